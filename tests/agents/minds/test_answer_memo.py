import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.agents.errors import AgentError
from evobourse.agents.minds.answer_memo import AnswerMemo, answer_key
from evobourse.agents.minds.engine import MindEngine

ROOT = Path(__file__).parents[3]
ANSWER = np.arange(5, dtype=np.float32)


def mind(*coefficients):
    return np.array([coefficients], np.float32)


def keys_of(count, start=0):
    return [answer_key({"n": n}, [1, 2]) for n in range(start, start + count)]


bits = st.binary(min_size=20, max_size=20)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.integers(0, 10**6), bits, min_size=1, max_size=600))
def test_every_bit_comes_back(tmp_path_factory, answers):
    memo = AnswerMemo(tmp_path_factory.mktemp("memo") / "m.sqlite")
    put = {answer_key({}, [n]): np.frombuffer(b, "<f4") for n, b in answers.items()}
    memo.write(put)
    found = memo.read([*put, answer_key({}, [-1])])
    assert found.keys() == put.keys()
    assert all(found[key].tobytes() == put[key].tobytes() for key in put)


def test_a_key_tells_every_part_apart():
    scopes = [{"base": "a"}, {"base": "b"}, {"base": "a", "mind": [0.0]}, {}]
    prompts = [[1, 2, 3], [12, 3], [1, 23], "1, 2, 3", "", []]
    keys = [answer_key(scope, prompt) for scope in scopes for prompt in prompts]
    assert len(set(keys)) == len(keys)
    assert answer_key({"x": 1, "y": 2}, (4, 5)) == answer_key({"x": 1, "y": 2}, [4, 5])


def test_the_oldest_answers_make_room(tmp_path):
    memo = AnswerMemo(tmp_path / "m.sqlite", rows=100)
    keys = keys_of(250)
    for at in range(0, 250, 10):
        memo.write({key: ANSWER for key in keys[at : at + 10]})
        memo.write({keys[at]: ANSWER + 1})  # known: stays as it is
        assert len(memo) <= 100
    assert memo.read(keys).keys() == set(keys[150:])
    np.testing.assert_array_equal(memo.read(keys[240:241])[keys[240]], ANSWER)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from evobourse.agents.minds.answer_memo import AnswerMemo, answer_key
memo = AnswerMemo(Path(sys.argv[1]))
for n in range(200):
    memo.write({answer_key({"n": n}, [1, 2]): np.full(5, n, np.float32)})
    memo.write({answer_key({"own": sys.argv[2], "n": n}, [1]): np.full(5, n, np.float32)})
"""


def test_processes_share_a_file(tmp_path):
    file = tmp_path / "m.sqlite"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(file), str(w)], cwd=ROOT)
        for w in range(3)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    memo = AnswerMemo(file)
    assert len(memo) == 200 + 3 * 200
    found = memo.read(keys_of(200))
    assert [found[key][0] for key in keys_of(200)] == list(range(200))


def test_a_file_that_is_no_memo_is_refused(tmp_path):
    file = tmp_path / "prices.csv"
    file.write_text("date,close\n" * 200)
    with pytest.raises(AgentError, match=r"memo .*prices.csv: cannot be used \(.*not a database"):
        AnswerMemo(file)
    assert file.read_text().startswith("date,close")


# The engine's


def test_an_engine_recalls_the_same_bits_and_computes_nothing(
    style_engine, tokenizer, market_views, tmp_path
):
    model, bank = style_engine.decoder.model, style_engine.bank

    def engine(base="bare"):
        return MindEngine(model, tokenizer, bank, base, AnswerMemo(tmp_path / "m.sqlite"))

    chosen, views = mind(0.3, -0.2, 0.9), market_views[:6]
    first = engine()
    answer = first.answer(chosen, views)
    later = engine()
    np.testing.assert_array_equal(later.answer(chosen, views[::-1]), answer[::-1])
    counters = later.counters
    assert (counters.asked, counters.recalled, counters.computed, counters.tokens) == (6, 6, 0, 0)
    np.testing.assert_array_equal(later.answer(chosen, market_views[:7])[:6], answer)
    assert (counters.recalled, counters.computed) == (6, 1)

    later.answer(mind(0.3, -0.2, 0.8), views[:1])
    assert (counters.recalled, counters.computed) == (6, 2)
    renamed = engine("other weights")
    renamed.answer(chosen, views[:1])
    assert (renamed.counters.recalled, renamed.counters.computed) == (0, 1)


def test_a_prompt_cut_otherwise_is_another_answer_on_disk(
    style_engine, tokenizer, market_views, tmp_path
):
    model, bank = style_engine.decoder.model, style_engine.bank

    def engine():
        return MindEngine(model, tokenizer, bank, "bare", AnswerMemo(tmp_path / "m.sqlite"))

    chosen, view = mind(0.3, -0.2, 0.9), int(market_views[0])
    whole = engine().view_prompt(view)
    shared, [tokens] = whole.shared, whole.steps
    first = engine().answer(chosen, np.array([view]))
    later = engine()
    np.testing.assert_array_equal(later.answer_prompts(chosen, [whole]), first)
    assert (later.counters.recalled, later.counters.computed) == (1, 0)
    later.answer_prompts(chosen, [later.prompt(shared, tokens[:1], tokens[1:])])
    assert (later.counters.recalled, later.counters.computed) == (1, 1)
