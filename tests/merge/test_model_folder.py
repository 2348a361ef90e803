"""A model's folder is read as transformers reads it, or refused in one line that names why."""

import json
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaForSequenceClassification, LlamaModel

from evobourse.merge.engine.loading import load_quantized
from evobourse.merge.errors import ModelError
from evobourse.merge.model_config import read_config
from evobourse.merge.model_folder import open_weights
from evobourse.merge.sources import load_model
from tests.random_models import WIDTHS, make_model, make_tokenizer, with_nan, without, write_base


def refusal(folder):
    """Refuse a folder, tensor by tensor and whole; return what is said."""
    messages = []
    for load in (load_quantized, load_model):
        with pytest.raises(ModelError) as caught:
            load(str(folder))
        messages.append(str(caught.value))
        assert "\n" not in messages[-1]
        assert str(folder) in messages[-1]
    return " ".join(messages)


@settings(max_examples=12)
@given(
    kind=st.sampled_from(["llama", "mistral", "qwen2", "qwen3"]),
    seed=st.integers(0, 99),
    layers=st.integers(1, 3),
    tied=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    shard=st.sampled_from(["20KB", "5GB"]),
)
def test_every_weight_is_what_transformers_loads(
    kind, seed, layers, tied, dtype, shard, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("model")
    model = make_model(kind, seed, num_hidden_layers=layers, tie_word_embeddings=tied)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)
    expected = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    empty, read = open_weights("name", folder)
    state = expected.state_dict()
    assert list(empty.state_dict()) == list(state)
    assert all(torch.equal(read(key), tensor) for key, tensor in state.items())
    assert empty.config.tie_word_embeddings == tied


@pytest.mark.parametrize("form", ["safetensors", "bin"])
@pytest.mark.parametrize(
    ("change", "config", "named"),
    [
        (without("layers.2.self_attn.q_proj", "layers.2.mlp.down"), {}, r"layers\.2\.mlp\.down"),
        (without("lm_head"), {}, r"has no lm_head\.weight"),
        (lambda t: {f"language_model.{k}": x for k, x in t.items()}, {}, "drawn at random"),
        (None, {"num_hidden_layers": 4}, r"lacks model\.layers\.3\..* says 4 layers"),
        (None, {"num_hidden_layers": 2}, r"holds model\.layers\.2\..* no place for"),
        (None, {"intermediate_size": 64}, r"\(64, 128\) in its file, \(64, 64\) by its config"),
        (with_nan("layers.1.mlp.up_proj"), {}, r"not a number in model\.layers\.1\.mlp\.up_proj"),
        (with_nan("embed", float("inf")), {}, r"not a number in model\.embed_tokens"),
        (lambda t: {**t, "score.weight": torch.ones(1, 64)}, {}, r"holds score\.weight"),
        (lambda _: {}, {}, "drawn at random"),
    ],
)
def test_weights_that_are_not_the_models_are_named(tmp_path, form, change, config, named):
    folder = write_base(tmp_path / "base", None, None, change, form, **config)
    assert re.search(named, refusal(folder))


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"embedding_multiplier": 12.0}, "embedding_multiplier: 12.0"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping: 50.0"),
        ({"sliding_window": 64}, "sliding_window: 64"),
        ({"rope_interleaved": True}, "rope_interleaved: True"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised already.*gptq"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantised already.*fp8"),
        ({"model_type": "not-known"}, "config.json is not understood.*not-known"),
        ({"model_type": "t5"}, "t5 is no causal language model"),
        ({"num_hidden_layers": "many"}, "cannot be loaded"),
        ({"hidden_size": -1}, "cannot be loaded"),
        ({"rope_parameters": {"rope_type": "not-known", "rope_theta": 1.0}}, "cannot be loaded"),
        ({"hidden_act": "not-known"}, "cannot be loaded"),
    ],
)
def test_a_config_that_is_not_understood_is_named(tmp_path, config, named):
    folder = write_base(tmp_path / "base", **config)
    if "model_type" in config:
        told = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**told, "architectures": None}))
    assert re.search(named, refusal(folder))


def test_fields_that_say_nothing_of_mathematics_pass(tmp_path):
    told = {"unsloth_fixed": True, "rope_interleaved": False, "transformers.js_config": {"a": 1}}
    told |= {"embedding_multiplier": 1.0, "logit_scale": None, "temperature": 0.6}
    folder = write_base(tmp_path / "base", **told)
    assert read_config("name", folder).num_hidden_layers == WIDTHS["num_hidden_layers"]
    load_quantized(str(folder))


@pytest.mark.parametrize(
    ("kind", "named"),
    [(LlamaForSequenceClassification, "reward model"), (LlamaModel, "without a head")],
)
def test_a_model_of_another_kind_is_named(tmp_path, kind, named):
    config = make_model(tie_word_embeddings=True).config
    kind(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    assert named in refusal(tmp_path)


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_a_head_of_its_own_is_used_whatever_the_config_says(tmp_path, form):
    model = make_model()
    folder = write_base(tmp_path / "base", model, form=form, tie_word_embeddings=True)
    own = model.get_output_embeddings().weight
    quantised = load_quantized(str(folder))[0]
    assert torch.equal(quantised.lm_head.weight.float(), own)
    assert not torch.equal(quantised.model.embed_tokens.weight.float(), own)
    whole = load_model(str(folder))[0]
    assert torch.equal(whole.lm_head.weight, own)
    assert not quantised.config.tie_word_embeddings
    assert not whole.config.tie_word_embeddings


@pytest.mark.parametrize("damaged", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}", b"\x00\x01", b'{"model_type": 3}'])
def test_a_damaged_file_is_one_line(tmp_path, damaged, content):
    folder = write_base(tmp_path / "base")
    (folder / damaged).write_bytes(content)
    refusal(folder)


def test_experts_are_refused_by_the_name_of_their_architecture(tmp_path):
    folder = write_base(tmp_path / "base", make_model("mixtral", num_local_experts=4))
    with pytest.raises(ModelError, match="model_type 'mixtral' is not known"):
        load_quantized(str(folder))
