"""A base answers as transformers' own forward does, or it is refused when it is opened."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from evobourse.agents.minds import self_check
from evobourse.agents.observation import INVOCATION, render_rules, render_view
from evobourse.evolve.bases.opening import open_model
from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.errors import ModelError
from evobourse.merge.reference import reference_logits
from tests.random_models import make_model, make_tokenizer, write_base

NOBODY = np.zeros((1, 0), np.float32)
VIEWS = np.arange(0, 9216, 600)
GRANITE = {"embedding_multiplier": 12.0, "logits_scaling": 8.0, "residual_multiplier": 0.22}
KINDS = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "mistral with a window": {"sliding_window": 32},
    "qwen2": {},
    "qwen2 with a window": {
        "use_sliding_window": True,
        "sliding_window": 32,
        "max_window_layers": 1,
    },
    "qwen3": {},
    "phi3": {},
    "olmo2": {},
    "smollm3": {},
    "granite": {**GRANITE, "attention_multiplier": 0.0156},
    "cohere": {"logit_scale": 0.25},
    "gemma": {},
    "gemma2": {},
    "gemma3_text": {},
    "glm": {},
    "stablelm": {},
    "starcoder2": {"sliding_window": 32},
    "mixtral": {"num_local_experts": 4},
    "gpt_neox": {},
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512},
    "helium": {},
    "nemotron": {},
}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Remember nothing of other tests."""
    monkeypatch.setenv("EVOBOURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def whole_texts(folder, tokenizer, options, views=VIEWS):
    """Ask transformers itself, one whole text after the other."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rows = []
    for view in views.tolist():
        ids = tokenizer(render_rules() + render_view(view), return_tensors="pt").input_ids
        with torch.inference_mode():
            rows.append(model(ids).logits[0, -1, options].numpy())
    return np.array(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_a_base_of_any_kind_is_right_or_refused_in_one_line(tmp_path, kind):
    model = make_model(kind.split(maxsplit=1)[0], **KINDS[kind])
    folder = write_base(tmp_path / "base", model)
    engine, refused = None, ""
    try:
        engine = open_model(str(folder), (), ()).engine
    except ModelError as error:
        refused = str(error)
    if engine is None:
        assert "\n" not in refused
        assert kind not in ("llama", "mistral", "qwen2", "qwen3")
        return
    exact = whole_texts(folder, make_tokenizer(), engine.options)
    found = self_check.compare(engine.answer(NOBODY, VIEWS), exact)
    print(kind, found)
    assert found.correlation > 0.998
    assert found.variation < 0.05


@pytest.mark.parametrize("style", ["byte-level", "stops", "pieces"])
def test_a_beginning_of_sequence_stands_where_the_tokenizer_puts_it(tmp_path, style):
    tokenizer = make_tokenizer(style, "b")
    folder = write_base(tmp_path / "base", make_model(), tokenizer)
    engine = open_model(str(folder), (), ()).engine
    for view in VIEWS.tolist():
        text = render_rules() + render_view(view)
        assert engine.prompt_tokens(view) == tokenizer(text).input_ids
        assert engine.prompt_tokens(view)[0] == 1
    told = render_rules()[:40]
    prompt = engine.text_prompt(told, " calm ->")
    assert prompt.tokens == tokenizer(f"{told}{INVOCATION} calm ->").input_ids
    exact = whole_texts(folder, tokenizer, engine.options)
    assert self_check.compare(engine.answer(NOBODY, VIEWS), exact).correlation > 0.998


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize("kind", ["llama", "granite", "gemma2", "mixtral", "stablelm"])
def test_the_reference_read_module_by_module_is_transformers_own(tmp_path, form, kind):
    folder = write_base(tmp_path / "base", make_model(kind), form=form)
    prompts = [[5, 6, 7], [8] * 11, [400, 3]]
    streamed = reference_logits("name", folder, prompts, [3, 9, 20])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        rows = [model(torch.tensor([p])).logits[0, -1, [3, 9, 20]].numpy() for p in prompts]
    np.testing.assert_allclose(streamed, rows, rtol=0, atol=1e-4)


def test_an_engine_that_computes_otherwise_is_found_out(tmp_path, monkeypatch):
    folder = write_base(tmp_path / "base")
    own = Decoder.option_logits
    for spoil in (
        lambda logits: logits.roll(1, -1),
        lambda logits: 3 * logits,
        lambda logits: logits + torch.arange(5),
    ):
        changed = lambda *a, spoil=spoil: spoil(own(*a))  # noqa: E731 - one line a fault
        monkeypatch.setattr(Decoder, "option_logits", changed)
        with pytest.raises(ModelError, match="does not answer as transformers' own forward does"):
            open_model(str(folder), (), ())
    monkeypatch.setattr(Decoder, "option_logits", lambda *a: own(*a) / 0)
    with pytest.raises(ModelError, match="not a number"):
        open_model(str(folder), (), ())
    monkeypatch.setattr(Decoder, "option_logits", own)
    open_model(str(folder), (), ())


def test_the_likely_cause_is_named():
    told = self_check._because(make_model("granite", **GRANITE).config)
    assert "Granite" in told
    assert "embedding_multiplier 12.0" in told
    assert self_check._because(make_model().config) == ""


def test_a_proof_is_remembered_by_what_it_depends_on(tmp_path, cache, monkeypatch):
    folder = write_base(tmp_path / "base")
    asked = []

    def count(*arguments):
        asked.append(arguments[0])
        return reference_logits(*arguments)

    monkeypatch.setattr(self_check, "reference_logits", count)
    open_model(str(folder), (), ())
    open_model(str(folder), (), ())
    shutil.copytree(folder, tmp_path / "copy")
    open_model(str(tmp_path / "copy"), (), ())
    assert len(asked) == 1
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**told, "rms_norm_eps": 1e-4}))
    open_model(str(folder), (), ())
    other = write_base(tmp_path / "other", make_model(seed=3))
    open_model(str(other), (), ())
    assert len(asked) == 3
    assert len(list((cache / "proved").glob("*.json"))) == 3


def test_two_processes_prove_the_same_base_at_once(tmp_path, cache, monkeypatch):
    def write_after_another(path, data):
        path.parent.mkdir(parents=True)
        path.write_bytes(data)  # the other's, of the same temporary name
        raise FileNotFoundError(path)

    monkeypatch.setattr(self_check, "replace_bytes", write_after_another)
    open_model(str(write_base(tmp_path / "base")), (), ())
    (proof,) = (cache / "proved").glob("*.json")
    assert json.loads(proof.read_text())["correlation"] > 0.98


def test_a_prompt_longer_than_the_model_reads_is_refused(tmp_path):
    folder = write_base(tmp_path / "base", make_model(max_position_embeddings=64))
    with pytest.raises(ModelError, match="the model reads 64 at most"):
        open_model(str(folder), (), ())


@pytest.mark.usefixtures("fetched_base")
def test_the_default_base_is_within_what_int8_costs(smol, int8_model, monkeypatch):
    from evobourse.merge.sources import DEFAULT_BASE
    from tests.shared_weights import share_weights

    monkeypatch.undo()  # the fetched base lies in the tests' common cache
    found = self_check.prove_base(DEFAULT_BASE, share_weights(int8_model), smol[1], "any")
    print(found)
    assert 0.99 < found.correlation < 1
    assert 0 < found.variation < self_check.MOST_VARIATION / 2
