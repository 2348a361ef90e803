import copy
import json

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.int8 import Int8Linear, quantize_int8
from evobourse.merge.errors import AdapterError
from evobourse.merge.peft.folder import Adapter, read_adapter
from evobourse.merge.peft.write import mix_adapters, principal_factors, write_adapter
from tests.shared_weights import share_weights

SHAPES = {"self_attn.q_proj": (32, 32), "self_attn.v_proj": (16, 32), "mlp.down_proj": (32, 64)}


def random_adapter(name, seed, rank, places, tokens=None):
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for layer, module in places:
        out, into = SHAPES[module]
        factors[layer, module] = (
            torch.randn((rank, into), generator=generator) / into**0.5,
            torch.randn((out, rank), generator=generator),
        )
    return Adapter(name, factors, tokens, f"hash of {name}")


@pytest.fixture
def adapters():
    """Ranks 3 and 5; the second lacks a layer and a module."""
    whole = [(layer, module) for layer in (0, 1) for module in SHAPES]
    part = [(1, "self_attn.q_proj"), (1, "mlp.down_proj")]
    return (random_adapter("a", 0, 3, whole), random_adapter("b", 1, 5, part))


@pytest.fixture
def mind():
    """Coefficients [2 blocks, 2] and cores [2, 2, 5, 5]."""
    rng = np.random.default_rng(0)
    coefficients = np.array([[0.7, -0.4], [1.3, 0.9]], np.float32)
    return coefficients, rng.normal(size=(2, 2, 5, 5)).astype(np.float32)


def update(adapters, coefficients, cores, place):
    """``sum_k c[k, block] B_k C_k A_k`` in float64, straight from its definition."""
    block = place[0]  # two adapted layers, two blocks
    total = torch.zeros(SHAPES[place[1]], dtype=torch.float64)
    for k, adapter in enumerate(adapters):
        if place in adapter.factors:
            down, up = (factor.double() for factor in adapter.factors[place])
            core = torch.eye(len(down), dtype=torch.float64)
            if cores is not None:
                core = torch.from_numpy(cores[block, k, : len(down), : len(down)]).double()
            total += float(coefficients[block, k]) * up @ core @ down
    return total


@pytest.mark.parametrize("cored", [False, True])
def test_a_written_mind_is_the_same_update_in_peft_and_when_read_back(
    adapters, mind, cored, tiny_llama, tmp_path
):
    coefficients, cores = mind[0], mind[1] if cored else None
    mixed = mix_adapters("mind", adapters, coefficients, cores)
    assert mixed.factors[0, "self_attn.q_proj"][0].shape[0] == 3
    assert mixed.factors[1, "self_attn.q_proj"][0].shape[0] == 3 + 5
    write_adapter(mixed, tmp_path / "mind", "owner/base", "A mind.")
    read = read_adapter(tmp_path / "mind")
    model = tiny_llama(0)
    tuned = PeftModel.from_pretrained(copy.deepcopy(model), tmp_path / "mind")
    plain, folded = model.state_dict(), tuned.merge_and_unload().state_dict()
    for layer in (0, 1):
        for module in SHAPES:
            expected = update(adapters, coefficients, cores, (layer, module))
            down, up = read.factors[layer, module]
            torch.testing.assert_close((up @ down).double(), expected, rtol=0, atol=1e-5)
            key = f"model.layers.{layer}.{module}.weight"
            change = (folded[key] - plain[key]).double()
            torch.testing.assert_close(change, expected, rtol=0, atol=1e-5)
    touched = {f"model.layers.{n}.{module}.weight" for n in (0, 1) for module in SHAPES}
    assert {key for key in plain if not torch.equal(plain[key], folded[key])} == touched


def test_a_written_mind_answers_in_peft_as_base_plus_update(adapters, mind, tiny_llama, tmp_path):
    write_adapter(mix_adapters("mind", adapters, *mind), tmp_path, "owner/base")
    model, tokens = tiny_llama(0), torch.arange(12)[None]
    tuned = PeftModel.from_pretrained(copy.deepcopy(model), tmp_path)
    with torch.inference_mode():
        for layer in (0, 1):
            for module in SHAPES:
                weight = model.model.layers[layer].get_submodule(module).weight
                weight += update(adapters, *mind, (layer, module)).float()
        torch.testing.assert_close(tuned(tokens).logits, model(tokens).logits, rtol=0, atol=1e-4)


def test_a_mixture_of_shipped_styles_is_pefts_own_concatenation(smol, style_folders, tmp_path):
    read = [read_adapter(folder) for folder in style_folders.values()]
    weights = [0.8, -0.3, 0.5]
    coefficients = np.array([weights], np.float32)
    write_adapter(mix_adapters("mind", read, coefficients), tmp_path, "smollm2-135m-instruct")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["alora_invocation_tokens"] == list(read[0].invocation_tokens)
    assert (config["r"], config["lora_alpha"]) == (24, 24)
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    names = list(style_folders)
    first, *others = style_folders.items()
    tuned = PeftModel.from_pretrained(share_weights(smol[0]), first[1], first[0])
    for name, folder in others:
        tuned.load_adapter(folder, name)
    tuned.add_weighted_adapter(names, weights, "cat", combination_type="cat")
    ours = load_file(tmp_path / "adapter_model.safetensors")
    theirs = {
        key.replace(".cat.", "."): tensor
        for key, tensor in tuned.state_dict().items()
        if ".cat." in key
    }
    assert ours.keys() == theirs.keys()
    for key in (key for key in ours if ".lora_A." in key):
        up = key.replace("lora_A", "lora_B")
        expected = theirs[up].float() @ theirs[key].float()
        torch.testing.assert_close(ours[up] @ ours[key], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cored", [False, True])
def test_a_bank_with_cores_adds_each_rows_own_update(adapters, mind, cored, tiny_llama):
    model = quantize_int8(tiny_llama(0))
    bank = AdapterBank(model, adapters, blocks=2)
    rng = np.random.default_rng(1)
    rows = 6
    coefficients = rng.normal(size=(rows, 2, 2)).astype(np.float32)
    cores = rng.normal(size=(rows, 2, 2, 5, 5)).astype(np.float32)
    given = torch.from_numpy(cores) if cored else None
    for place in ((1, "self_attn.q_proj"), (0, "mlp.down_proj")):
        linear = model.model.layers[place[0]].get_submodule(place[1])
        assert isinstance(linear, Int8Linear)
        generator = torch.Generator().manual_seed(2)
        hidden = torch.randn((rows, 4, linear.in_features), generator=generator)
        bare = linear(hidden)
        with bank.mixed(torch.from_numpy(coefficients), given):
            added = linear(hidden) - bare
            one = [rows - 1]
            with bank.mixed(torch.from_numpy(coefficients[one]), given[one] if cored else None):
                assert torch.equal(linear(hidden[one]), (bare + added)[one])
        for row in range(rows):
            own = cores[row] if cored else None
            expected = hidden[row].double() @ update(adapters, coefficients[row], own, place).T
            scale = float(expected.abs().max())
            torch.testing.assert_close(added[row].double(), expected, rtol=0, atol=2e-2 * scale)
        assert torch.equal(linear(hidden), bare)


def test_identity_cores_are_no_cores(adapters, tiny_llama):
    model = quantize_int8(tiny_llama(0))
    bank = AdapterBank(model, adapters)
    tokens, coefficients = torch.arange(9)[None], torch.tensor([[[0.6, -0.8]]])
    identity = torch.eye(5).expand(1, 1, 2, 5, 5)
    with torch.inference_mode():
        with bank.mixed(coefficients):
            plain = model(tokens).logits
        with bank.mixed(coefficients, identity):
            assert torch.equal(model(tokens).logits, plain)
        with bank.mixed(coefficients, identity.flip(3)):
            assert not torch.equal(model(tokens).logits, plain)


def test_cores_leave_the_span_of_the_styles(style_folders):
    read = [read_adapter(folder) for folder in style_folders.values()]
    place = (27, "self_attn.q_proj")
    rng = np.random.default_rng(0)
    cores = rng.normal(size=(1, 3, 8, 8)).astype(np.float32)
    coefficients = np.ones((1, 3), np.float32)

    def flat(*cores):
        down, up = mix_adapters("mind", read, coefficients, *cores).factors[place]
        return (up @ down).flatten()

    span = torch.stack([(up @ down).flatten() for down, up in (a.factors[place] for a in read)], 1)

    def outside(target):
        # not gelsy, the default: its pivots begin with what the memory held, and so do its digits
        inside = span @ torch.linalg.lstsq(span, target[:, None], driver="gelsd").solution
        return float((target - inside[:, 0]).norm() / target.norm())

    assert outside(flat()) < 1e-4
    assert outside(flat(cores)) > 0.5


def test_principal_factors_keep_the_product_and_sort_its_directions(style_folders):
    adapter = read_adapter(style_folders["value"])
    principal = principal_factors(adapter)
    for place in ((24, "self_attn.v_proj"), (29, "mlp.down_proj")):
        down, up = adapter.factors[place]
        new_down, new_up = principal.factors[place]
        assert (new_down.shape, new_up.shape) == (down.shape, up.shape)
        scale = (up @ down).norm()
        assert (new_up @ new_down - up @ down).norm() < 1e-5 * scale
        gram_up, gram_down = new_up.T @ new_up, new_down @ new_down.T
        strength = torch.linalg.svdvals((up @ down).double())[:8].float()
        for gram in (gram_up, gram_down):
            torch.testing.assert_close(gram, torch.diag(strength), rtol=0, atol=1e-5 * scale)
        assert (new_up.gather(0, new_up.abs().argmax(0)[None]) > 0).all()
    assert principal.invocation_tokens == adapter.invocation_tokens
    assert principal.content_hash != adapter.content_hash


@pytest.mark.parametrize(
    ("coefficients", "cores", "message"),
    [
        (np.ones((2, 3)), None, r"coefficients have shape \(2, 3\), expected \(blocks, 2\)"),
        (np.ones((2, 2)), np.ones((2, 2, 3, 3)), r"cores have shape .* expected \(2, 2, 5, 5\)"),
    ],
)
def test_a_malformed_mind_is_refused(adapters, coefficients, cores, message):
    with pytest.raises(AdapterError, match=message):
        mix_adapters("mind", adapters, coefficients, cores)


def test_activated_and_ordinary_adapters_do_not_mix_into_one(adapters):
    activated = random_adapter("c", 2, 3, [(0, "mlp.down_proj")], tokens=(1, 2))
    with pytest.raises(AdapterError, match=r"invocation tokens differ: 'a' None, 'c' \(1, 2\)"):
        mix_adapters("mind", (adapters[0], activated), np.ones((1, 2), np.float32))
