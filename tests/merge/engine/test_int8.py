import copy

import hypothesis.extra.numpy as hnp
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.decoder import LEAST_TOKENS
from evobourse.merge.engine.int8 import (
    GROUP,
    Int8Linear,
    load_weights,
    quantize_groups,
    quantize_int8,
)
from evobourse.merge.peft.folder import read_adapter
from tests.shared_weights import share_weights

BATCHES = (1, 2, 3, 7, 64, 257)
MODULES = ("self_attn.q_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.down_proj")


def random_normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@settings(deadline=None, max_examples=50)
@given(
    hnp.arrays("float32", (3, 2 * GROUP), elements=st.floats(-1e3, 1e3, width=32)),
    st.sampled_from([2 * GROUP, GROUP, 10]),
)
def test_rounding_errs_by_half_a_step_at_most(values, width):
    weight = torch.from_numpy(values)[:, :width]
    quantised, scale = quantize_groups(weight)
    groups = width // GROUP if width % GROUP == 0 else 1
    assert scale.shape == (3, groups)
    assert quantised.abs().max() <= 127
    step = scale.float().repeat_interleave(width // groups, dim=1)
    error = (weight - quantised.float() * step).abs()
    assert (error <= step * 0.5001).all()


def test_only_the_decoder_stack_is_quantised(int8_model, smol):
    linears = [m for m in int8_model.model.layers.modules() if isinstance(m, Int8Linear)]
    assert len(linears) == 7 * len(smol[0].model.layers)
    assert not any(isinstance(m, nn.Linear) for m in int8_model.model.layers.modules())
    assert torch.equal(int8_model.lm_head.weight, smol[0].lm_head.weight)
    assert torch.equal(int8_model.model.embed_tokens.weight, smol[0].model.embed_tokens.weight)


@pytest.mark.parametrize("module", MODULES)
def test_a_token_is_the_same_bits_in_any_pass(int8_model, module):
    """A decoder fills a pass up to `LEAST_TOKENS`: fewer have these bits too, but for one alone."""
    linear = int8_model.model.layers[12].get_submodule(module)
    hidden = random_normal(1025, 1, linear.in_features)
    with torch.inference_mode():
        whole = linear(hidden)
        for tokens in (2, 3, 7, LEAST_TOKENS, 17, 64, 257, 511, 1000):
            assert torch.equal(linear(hidden[:tokens]), whole[:tokens])
            assert torch.equal(linear(hidden[-tokens:]), whole[-tokens:])
        for token in (0, 1, 100, 1024):
            filled = linear(hidden[token : token + 1].expand(LEAST_TOKENS, -1, -1))
            assert torch.equal(filled, whole[token : token + 1].expand_as(filled))


def test_a_row_with_its_own_mixture_is_the_same_bits_in_any_batch(int8_model, style_folders):
    model = share_weights(int8_model)
    adapters = tuple(map(read_adapter, style_folders.values()))
    bank = AdapterBank(model, adapters)
    linear = model.model.layers[-1].mlp.down_proj
    hidden = random_normal(max(BATCHES), 9, linear.in_features)
    mixtures = random_normal(max(BATCHES), 1, len(adapters))

    def apply(rows):
        with torch.inference_mode(), bank.mixed(mixtures[rows]):
            return linear(hidden[rows])

    whole = apply(slice(None))
    bare = linear(hidden)
    assert not torch.equal(whole, bare)
    for rows in BATCHES:
        assert torch.equal(apply(slice(rows)), whole[:rows])
        assert torch.equal(apply(slice(257 - rows, 257)), whole[-rows:])
    with bank.mixed(torch.zeros(257, 1, len(adapters))):
        assert torch.equal(linear(hidden), bare)


def test_the_product_is_that_of_the_rounded_weights(int8_model, rounded_model):
    for module in MODULES:
        name = f"model.layers.3.{module}"
        linear = int8_model.get_submodule(name)
        hidden = random_normal(4, 5, linear.in_features)
        exact = rounded_model.get_submodule(name)(hidden.to(torch.bfloat16).float())
        torch.testing.assert_close(linear(hidden), exact, rtol=2**-7, atol=2e-2)


def test_a_bias_is_kept_in_full_precision():
    linear = nn.Linear(GROUP, 8)
    hidden = torch.zeros(2, 3, GROUP)
    assert torch.equal(Int8Linear(linear)(hidden), linear.bias.detach().expand(2, 3, 8))


def test_loading_weights_equals_quantising_the_model_that_has_them(smol, int8_model):
    names = ("model.layers.5.mlp.up_proj.weight", "model.layers.7.input_layernorm.weight")
    up, norm = (smol[0].state_dict()[name] for name in names)
    state = dict(zip(names, (1.3 * up, norm + 0.25), strict=True))
    changed = share_weights(smol[0])
    changed.load_state_dict(state, strict=False, assign=True)
    loaded = copy.deepcopy(int8_model)
    load_weights(loaded, state)
    expected = quantize_int8(changed).state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[k]) for k, tensor in loaded.state_dict().items())
    differs = {k for k, v in int8_model.state_dict().items() if not torch.equal(v, expected[k])}
    assert {k.rpartition(".")[0] for k in differs} == {n.rpartition(".")[0] for n in names}
