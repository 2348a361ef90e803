"""Replies of servers: every shape is read to the digit, and what is no distribution is refused."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from evobourse.agents.minds.replies import NoDistribution, read_echoed, read_listed, tokens_used

LOGITS = arrays.arrays(np.float64, st.integers(40, 300), elements=st.floats(-25, 25))
SHAPES = ("openai", "ids", "llama.cpp", "llama.cpp with nulls")


def logprobs_of(logits):
    return logits - np.logaddexp.reduce(logits)


def likeliest(logprobs, top):
    order = np.argsort(-logprobs, kind="stable")[:top]
    return {int(n): float(logprobs[n]) for n in order}


def reply(listed, shape):
    """Write listed tokens as servers do; what a server need not say is null."""
    if shape == "openai":
        logprobs = {"content": None, "top_logprobs": [{f"t{n}": v for n, v in listed.items()}]}
    elif shape == "ids":
        logprobs = {"top_logprobs": [{f"token_id:{n}": v for n, v in listed.items()}]}
    else:
        with_ids = shape == "llama.cpp"
        entries = [
            {"token": f"t{n}", "id": n if with_ids else None, "bytes": None, "logprob": v}
            for n, v in listed.items()
        ]
        logprobs = {"content": [{"top_logprobs": entries}], "top_logprobs": None}
    return {"choices": [{"index": None, "logprobs": logprobs}], "usage": None}


@given(LOGITS, st.integers(5, 40), st.sampled_from(SHAPES))
def test_every_shape_is_read_to_the_digit(logits, top, shape):
    listed = likeliest(logprobs_of(logits), top)
    assume(abs(sum(map(math.exp, listed.values())) - 1) > 1e-5)  # or nothing else is possible
    read = read_listed(reply(listed, shape), top)
    for n, value in listed.items():
        assert {read.get(name, value) for name in (n, f"t{n}")} == {value}
    assert len(read) == len(listed) * (2 if shape == "llama.cpp" else 1)


@given(LOGITS, st.integers(5, 40))
def test_rounded_to_four_digits_it_is_still_a_distribution(logits, top):
    listed = likeliest(logprobs_of(logits), top)
    read_listed(reply({n: round(v, 4) for n, v in listed.items()}, "ids"), len(listed))


@given(
    LOGITS,
    st.sampled_from(SHAPES),
    st.sampled_from([math.nan, math.inf, -math.inf, -9999.0, -100.0, -3.4e38, 0.5, 1.0]),
    st.data(),
)
def test_one_value_that_stands_for_none_spoils_a_reply(logits, shape, value, data):
    listed = likeliest(logprobs_of(logits), 20)
    listed[data.draw(st.sampled_from(sorted(listed)))] = value
    with pytest.raises(NoDistribution, match="received"):
        read_listed(reply(listed, shape), 20)


@given(LOGITS, st.sampled_from(SHAPES), st.floats(0.1, 25))
def test_what_adds_up_to_more_than_one_is_refused(logits, shape, more):
    """As logarithms to another base do, or logits that were never normalised."""
    listed = likeliest(logprobs_of(logits), 30)
    raised = {n: min(v + more, 0.0) for n, v in listed.items()}
    assume(sum(map(math.exp, raised.values())) > 1.021)
    with pytest.raises(NoDistribution, match="30 tokens add up to"):
        read_listed(reply(raised, shape), 30)


@given(LOGITS, st.sampled_from(SHAPES), st.integers(1, 4))
def test_a_list_too_short_for_five_options_is_refused(logits, shape, count):
    with pytest.raises(NoDistribution, match=f"^{count} tokens are listed where 20 were asked for"):
        read_listed(reply(likeliest(logprobs_of(logits), count), shape), 20)


@given(LOGITS, st.sampled_from(SHAPES), st.integers(5, 19))
def test_a_list_cut_by_a_sampler_is_refused(logits, shape, kept):
    """Its probabilities were shared out among the tokens kept, and the others are unknown."""
    listed = likeliest(logits, kept)
    values = logprobs_of(np.array(list(listed.values())))
    assume(values.min() > -80)
    cut = dict(zip(listed, values.tolist(), strict=True))
    with pytest.raises(NoDistribution, match="have all probability, as behind top_k or top_p"):
        read_listed(reply(cut, shape), 20)
    assert read_listed(reply(cut, "ids"), kept) == cut  # it was never asked for more


@pytest.mark.parametrize(
    "logprobs",
    [{}, {"top_logprobs": [{}]}, {"content": []}, {"top_logprobs": [{" A": None}]}, None,
     {"top_logprobs": None}, {"top_logprobs": [None]}, {"top_logprobs": [{" A": "-1"}]},
     {"top_logprobs": [{" A": True}]}, {"content": [{"top_logprobs": [{"token": " A"}]}]}],
)  # fmt: skip
def test_logprobs_of_no_known_shape_are_refused(logprobs):
    with pytest.raises((ValueError, TypeError, KeyError, IndexError, AttributeError)):
        read_listed({"choices": [{"logprobs": logprobs}]}, 20)


def echo(tokens, values, index=0):
    return {"index": index, "logprobs": {"tokens": tokens, "token_logprobs": values}}


@pytest.mark.parametrize(
    ("tokens", "values"),
    [(["->A", "x"], [-1.0, 0]), (["x"], [-1.0]), ([" A", "x"], [None, -1.0]),
     ([" A", "x"], [0.7, 0]), ([" A", "x"], [float("nan"), 0]), ([" A", "x"], [-9999.0, 0]),
     ([" A", "x"], [-math.inf, 0])],
)  # fmt: skip
def test_an_echo_that_does_not_end_in_the_option_is_refused(tokens, values):
    for good in (" A", "A", "\u2581A"):
        for index in (0, None):
            read = read_echoed({"choices": [echo([good, "x"], [-1.0, 0], index)]}, [" A"])
            assert read == {" A": -1.0}
    read = read_echoed({"choices": [echo(["token_id:7", "x"], [-1.0, 0])]}, [7])
    assert read == {7: -1.0}
    with pytest.raises((ValueError, TypeError, IndexError, NoDistribution)):
        read_echoed({"choices": [echo(tokens, values)]}, [" A"])
    with pytest.raises(ValueError, match="argument"):
        read_echoed({"choices": [echo([" A", "x"], [-1.0, 0])]}, [" A", " B"])


def test_echoes_that_add_up_to_more_than_one_are_refused():
    choices = [echo([f" {one}", "x"], [-0.1, 0], n) for n, one in enumerate("ABCDE")]
    with pytest.raises(NoDistribution, match="5 tokens add up to"):
        read_echoed({"choices": choices}, [f" {one}" for one in "ABCDE"])


def test_costs_that_are_not_said():
    assert tokens_used({}, 7) == tokens_used({"usage": None}, 7) == 7
    assert tokens_used({"usage": {"total_tokens": None}}, 7) == 7
    assert tokens_used({"usage": {"total_tokens": 5}}, 7) == 5
