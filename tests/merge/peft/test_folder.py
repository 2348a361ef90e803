"""Adapters are read as PEFT applies them, or refused by the name of what is not understood."""

import json
import re
import warnings

import pytest
import torch
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from peft import PeftModel
from safetensors.torch import load_file

from evobourse.merge.errors import AdapterError
from evobourse.merge.model_folder import linear_layers
from evobourse.merge.peft.folder import read_adapter, read_rank
from evobourse.merge.recipes.recipe import load_source
from tests.random_models import MODULES, make_model, with_nan, without, write_adapter

PATTERNS = ("q_proj", "layers.1.mlp.up_proj", r".*\.0\.self_attn\.\w_proj", "down_proj")


@pytest.fixture(scope="module")
def base():
    return make_model()


def refusal(folder, base):
    with pytest.raises(AdapterError) as caught:
        read_adapter(folder, linear_layers(base))
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


@settings(max_examples=25, phases=(Phase.explicit, Phase.generate))  # no minutes of shrinking
@given(
    targets=st.one_of(
        st.lists(st.sampled_from(MODULES), min_size=1, unique=True),
        st.sampled_from([r".*\.(q|v)_proj", r"model\.layers\.[02]\.mlp\.\w+_proj", "all-linear"]),
    ),
    ranks=st.dictionaries(st.sampled_from(PATTERNS), st.integers(1, 9), max_size=2),
    alphas=st.dictionaries(st.sampled_from(PATTERNS), st.integers(1, 40), max_size=2),
    layers=st.one_of(st.none(), st.lists(st.integers(0, 2), min_size=1, unique=True)),
    excluded=st.one_of(st.none(), st.just(["k_proj"]), st.just(r".*\.1\..*gate_proj")),
    rslora=st.booleans(),
    form=st.sampled_from(["safetensors", "bin"]),
    started=st.sampled_from([True, False, "gaussian"]),
)
def test_an_adapter_changes_what_pefts_own_merge_changes(
    base, targets, ranks, alphas, layers, excluded, rslora, form, started, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("adapters") / "style"
    lora = {"target_modules": targets, "rank_pattern": ranks, "alpha_pattern": alphas}
    lora |= {"use_rslora": rslora, "exclude_modules": excluded}
    if isinstance(targets, list):
        lora |= {"layers_to_transform": layers}
        assume(excluded is None or set(targets) - {"k_proj", "gate_proj"})
    write_adapter(folder, base, **lora, told={"init_lora_weights": started})
    if form == "bin":
        file = folder / "adapter_model.safetensors"
        torch.save(load_file(file), folder / "adapter_model.bin")
        file.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned = PeftModel.from_pretrained(make_model(), folder)
    merged = tuned.merge_and_unload().state_dict()
    adapter = read_adapter(folder, linear_layers(base))
    updates = {
        f"model.layers.{layer}.{module}.weight": up @ down
        for (layer, module), (down, up) in adapter.factors.items()
    }
    folded = load_source("style", folder, base.state_dict())
    for key, tensor in base.state_dict().items():
        expected = tensor + updates[key] if key in updates else tensor
        torch.testing.assert_close(merged[key], expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(folded[key], merged[key], rtol=0, atol=1e-5)
        assert (key in updates) == (not torch.equal(merged[key], tensor))
    assert read_rank(folder) >= max(down.shape[0] for down, _ in adapter.factors.values())


UNDERSTOOD_ELSEWHERE = {
    "peft_type": "IA3",
    "task_type": "SEQ_CLS",
    "bias": "all",
    "use_dora": True,
    "use_qalora": True,
    "fan_in_fan_out": True,
    "lora_bias": True,
    "modules_to_save": ["lm_head"],
    "layer_replication": [[0, 2], [1, 2]],
    "trainable_token_indices": [1],
    "target_parameters": ["mlp.experts.gate_up_proj"],
    "loftq_config": {"loftq_bits": 4},
    "corda_config": {"corda_method": "kpm"},
    "arrow_config": {"top_k": 2},
    "init_lora_weights": "pissa_niter_4",
    "invocation_string": "<|answer|>",
    "a_field_of_next_year": 3,
    "r": "eight",
    "lora_alpha": None,
    "target_modules": None,
    "alora_invocation_tokens": "Today",
    "rank_pattern": {"q_proj": -1},
}


@pytest.mark.parametrize("name", UNDERSTOOD_ELSEWHERE)
def test_what_is_not_understood_is_refused_by_its_name(tmp_path, base, name):
    folder = write_adapter(tmp_path / "style", base, told={name: UNDERSTOOD_ELSEWHERE[name]})
    message = refusal(folder, base)
    assert name in message or "ranks" in message


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_an_adapter_that_changes_its_base_says_what_to_do(tmp_path, base, start):
    folder = write_adapter(tmp_path / "style", base, told={"init_lora_weights": start})
    message = refusal(folder, base)
    assert "changes the base's own weights" in message
    assert "merge_and_unload" in message


def test_fields_that_say_nothing_pass(tmp_path, base):
    told = {"a_field_of_next_year": None, "use_magic": False, "magic_config": {}}
    assert read_adapter(write_adapter(tmp_path / "style", base, told=told)).factors


def first_rows(tensors):
    return {k: t[:2].contiguous() if "lora_A" in k else t for k, t in tensors.items()}


def renamed(old, new):
    return lambda tensors: {k.replace(old, new): t for k, t in tensors.items()}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda _: {}, "holds no weights"),
        (lambda t: {k: torch.zeros(0) for k in t}, r"layer 0 .* has shape \(0,\)"),
        (without(".layers.1.", ".layers.2."), r"no weights for model\.layers\.1\..*14 of 21"),
        (without("layers.2.mlp.up_proj"), r"no weights for model\.layers\.2\.mlp\.up_proj \(1 of"),
        (without("layers.2.mlp.up_proj.lora_B"), "A and B do not match"),
        (with_nan("layers.1.self_attn.v_proj.lora_B"), "not a number in layer 1 self_attn.v_proj"),
        (with_nan("layers.0.mlp", float("inf")), "not a number in layer 0 mlp"),
        (
            lambda t: {k.replace("model.model", "model.x.model"): v for k, v in t.items()},
            "unexpected",
        ),
        (
            lambda t: {k.replace(".lora_", ".default.lora_"): v for k, v in t.items()},
            "no such linear",
        ),
        (renamed("layers.2", "layers.7"), "no such linear"),
        (first_rows, "A and B do not match"),
    ],
)
def test_weights_that_are_not_whole_are_named(tmp_path, base, change, named):
    assert re.search(named, refusal(write_adapter(tmp_path / "style", base, change), base))


def test_weights_of_another_config_are_named(tmp_path, base):
    folder = write_adapter(tmp_path / "style", base, told={"r": 16})
    assert "has rank 4, adapter_config.json says 16" in refusal(folder, base)
    folder = write_adapter(tmp_path / "other", base, told={"target_modules": ["q_proj"]})
    assert "which adapter_config.json does not target" in refusal(folder, base)


@pytest.mark.parametrize("content", [b"", b"\x00", b"[]", b"null", b'{"peft_type": 3}'])
@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_damaged_file_is_one_line(tmp_path, base, content, file):
    folder = write_adapter(tmp_path / "style", base)
    (folder / file).write_bytes(content)
    refusal(folder, base)


def test_a_pickle_is_not_run(tmp_path, base):
    folder = write_adapter(tmp_path / "style", base)
    (folder / "adapter_model.safetensors").unlink()
    for content in ({"key": print}, [1], b"text"):
        torch.save(content, folder / "adapter_model.bin")
        refusal(folder, base)
    (folder / "adapter_model.bin").write_bytes(b"not a pickle")
    refusal(folder, base)
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 4
