import json
import shutil

import numpy as np
import pytest
import torch

from evobourse.agents.encodings.encoded_minds import EncodedMinds
from evobourse.agents.encodings.encoding import Encoding
from evobourse.agents.encodings.projector import FILE, SoftInputs, open_projector, read_projector
from evobourse.agents.encodings.window import WINDOW, shows_window
from evobourse.agents.errors import AgentError
from evobourse.agents.minds.answer_memo import AnswerMemo
from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.observation import INVOCATION
from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.byte_budget import ByteBudget
from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.engine.prompt import SoftToken
from evobourse.merge.engine.prompt_trie import PromptTrie
from evobourse.merge.errors import ModelError
from evobourse.merge.peft.folder import read_adapter
from tests.shared_weights import share_weights

MIND, HALF = np.ones((1, 1), np.float32), np.full((1, 1), 0.5, np.float32)


@pytest.fixture(scope="module")
def open_minds(make_engine, tiny, tokenizer):
    """Open minds that remember nothing, those of one encoding all on one model."""
    engines = {name: make_engine([tiny[name]]) for name in ("digits", "patches")}

    def make(name, memo=None, folder=None):
        model, bank = engines[name].decoder.model, engines[name].bank
        engine = MindEngine(model, tokenizer, bank, "bare", memo)
        return EncodedMinds(engine, Encoding(name), [folder or tiny[name]])

    return make


@pytest.fixture(scope="module")
def few(seen):
    """Five of the days' views and windows, with and without a window."""
    hidden = np.flatnonzero(~shows_window(seen.views))[:2]
    chosen = np.concatenate([np.flatnonzero(shows_window(seen.views))[:3], hidden])
    assert len(chosen) == 5
    return seen.views[chosen], seen.windows[chosen]


def embeds_of(model, prompt):
    """Embed a prompt as transformers would, soft tokens as they are."""
    rows = [
        model.get_input_embeddings()(torch.tensor(t))
        if isinstance(t, int)
        else torch.tensor(t.vector)
        for t in prompt.tokens
    ]
    return torch.stack(rows)[None]


# Training


def test_training_writes_the_projector_beside_the_adapter(tiny, smol):
    files = {name: {path.name for path in folder.iterdir()} for name, folder in tiny.items()}
    assert files["patches"] == files["digits"] | {FILE}
    assert FILE not in files["digits"]
    projector = read_projector(tiny["patches"])
    assert projector(torch.zeros(2, WINDOW)).shape == (2, 5, 576)
    began = open_projector(*smol)
    assert began.prototypes.shape == (5 + 5 + 3 + 3, 576)  # the words of the four price signs
    moved = (projector.prototypes - began.prototypes).abs().amax(dim=1)
    assert (moved > 1e-4).all()  # the gradient reaches every one, through all layers


def test_the_same_seed_makes_the_same_bytes(train_tiny, tiny, tmp_path):
    again = train_tiny("patches", tmp_path)
    for file in again.iterdir():
        assert file.read_bytes() == (tiny["patches"] / file.name).read_bytes(), file.name


# Exact


def test_soft_tokens_logits_equal_inputs_embeds_in_fp32(smol, open_minds, few, monkeypatch):
    monkeypatch.setattr(Decoder, "first_adapted", 24)
    trie = PromptTrie(Decoder(smol[0]), AdapterBank(smol[0], ()), ByteBudget(10**9))
    minds = open_minds("patches")
    prompts = minds.prompts(MIND, *few)
    assert sum(isinstance(t, SoftToken) for prompt in prompts for t in prompt.tokens) == 15
    none = np.zeros((1, 0), np.float32)
    [(_, states)] = trie.last_states([(none, prompt) for prompt in prompts])
    logits = trie.decoder.option_logits(states, minds.engine.options)
    for prompt, own in zip(prompts, logits, strict=True):
        with torch.inference_mode():
            whole = smol[0](inputs_embeds=embeds_of(smol[0], prompt)).logits[0, -1]
        torch.testing.assert_close(own, whole[minds.engine.options], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["digits", "patches"])
def test_a_trained_encoding_equals_peft_on_the_same_weights(
    name, open_minds, tiny, rounded_model, few, total_variation
):
    from peft import PeftModel

    minds = open_minds(name)
    tuned = PeftModel.from_pretrained(share_weights(rounded_model), tiny[name]).eval()
    exact, soft = [], SoftInputs()
    for prompt in minds.prompts(MIND, *few):
        ids = torch.tensor([[t if isinstance(t, int) else 0 for t in prompt.tokens]])
        vectors = [t.vector for t in prompt.tokens if isinstance(t, SoftToken)]
        where = torch.tensor([[isinstance(t, SoftToken) for t in prompt.tokens]])
        with torch.inference_mode(), soft.attached(tuned):
            if vectors:
                soft.expect(where, torch.tensor(np.array(vectors)))
            exact.append(tuned(input_ids=ids).logits[0, -1, minds.engine.options])
    distance = total_variation(minds.answer(MIND, *few), torch.stack(exact).numpy())
    assert distance.mean() < 0.02
    assert distance.max() < 0.06


@pytest.mark.parametrize("name", ["digits", "patches"])
def test_an_answer_is_the_same_bits_alone_and_beside_any_others(name, open_minds, few):
    views, windows = few
    minds = open_minds(name)
    minds.ask(HALF, views[::-1], windows)  # other days for the same views
    together = minds.answer(MIND, views, windows)
    for n in (0, 4):
        alone = open_minds(name).answer(MIND, views[n : n + 1], windows[n : n + 1])
        np.testing.assert_array_equal(alone, together[n : n + 1])
    assert len(np.unique(together, axis=0)) >= 4


def test_what_is_masked_does_not_reach_the_model(open_minds, few):
    views, windows = few
    for name in ("digits", "patches"):
        minds = open_minds(name)
        shown, hidden = minds.prompts(MIND, views[[0, 4]], windows[[0, 4]])
        other, same = minds.prompts(MIND, views[[0, 4]], windows[[2, 1]])
        assert same == hidden
        assert other != shown
        assert not any(isinstance(t, SoftToken) for t in hidden.tokens)


def test_soft_tokens_of_a_mixture_are_mixed(open_minds, few):
    minds = open_minds("patches")
    whole, half, none = (
        [t.vector for t in minds.prompts(mind, *few)[0].tokens if isinstance(t, SoftToken)]
        for mind in (MIND, HALF, 0 * MIND)
    )
    np.testing.assert_allclose(np.array(half), np.array(whole) / 2, rtol=1e-5)
    assert not np.array(none).any()


# What is remembered


def test_the_memo_on_disk_knows_soft_tokens_by_content(open_minds, tiny, few, tmp_path):
    views, windows = (part[:3] for part in few)
    memo = tmp_path / "memo.sqlite"
    first = open_minds("patches", AnswerMemo(memo))
    answers = first.answer(MIND, views, windows)
    again = open_minds("patches", AnswerMemo(memo))
    np.testing.assert_array_equal(again.answer(MIND, views, windows), answers)
    assert (again.counters.computed, again.counters.recalled) == (0, 3)

    folder = shutil.copytree(tiny["patches"], tmp_path / "other")
    projector = read_projector(folder)
    projector.place.data += 0.5
    projector.save(folder)
    other = open_minds("patches", AnswerMemo(memo), folder)
    assert (other.answer(MIND, views, windows) != answers).any(axis=1).all()
    assert (other.counters.computed, other.counters.recalled) == (3, 0)


# What is refused


def test_an_adapter_of_another_encoding_is_refused(make_engine, tiny, style_folders, tmp_path):
    engine = make_engine([tiny["digits"]])
    with pytest.raises(
        AgentError, match=r"trained for minds\.encoding 'digits', and it is 'patches"
    ):
        EncodedMinds(engine, Encoding("patches"), [tiny["digits"]])
    with pytest.raises(AgentError, match=r"'value': was trained for minds\.encoding 'words'"):
        EncodedMinds(engine, Encoding("digits"), [style_folders["value"]])
    folder = shutil.copytree(tiny["digits"], tmp_path / "digits")
    record = json.loads((folder / "provenance.json").read_text()) | {"encoding": "patches"}
    (folder / "provenance.json").write_text(json.dumps(record))
    with pytest.raises(AgentError, match=f"no projector can be read from {FILE}"):
        EncodedMinds(engine, Encoding("patches"), [folder])


def test_a_soft_token_of_another_width_is_refused(style_engine):
    with pytest.raises(ModelError, match=r"soft token of shape \(64,\), expected finite \(576,\)"):
        style_engine.prompt([5], [SoftToken(np.ones(64, np.float32))])
    with pytest.raises(ModelError, match="expected finite"):
        style_engine.prompt([5], [SoftToken(np.full(576, np.nan, np.float32))])


def test_an_adapter_reads_without_its_projector(tiny, tokenizer):
    adapter = read_adapter(tiny["patches"])
    assert tokenizer.decode(list(adapter.invocation_tokens)) == INVOCATION
