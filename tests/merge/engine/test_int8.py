import copy

import hypothesis.extra.numpy as hnp
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.exact.products import quantize
from evobourse.merge.engine.exact.tiles import GROUP
from evobourse.merge.engine.exact.weights import quantize_groups
from evobourse.merge.engine.int8 import Int8Linear, load_weights, quantize_int8
from evobourse.merge.peft.folder import read_adapter
from tests.shared_weights import share_weights

BATCHES = (1, 2, 3, 7, 64, 257)
MODULES = ("self_attn.q_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.down_proj")


def random_normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@settings(deadline=None, max_examples=50)
@given(
    hnp.arrays("float32", (3, 2 * GROUP), elements=st.floats(-1e3, 1e3, width=32)),
    st.sampled_from([2 * GROUP, GROUP, 10, GROUP + 3]),
)
def test_rounding_errs_by_half_a_step_at_most(values, width):
    weight = torch.from_numpy(values)[:, :width]
    quantised, scale = quantize_groups(weight)
    assert scale.shape == (3, -(-width // GROUP))
    assert quantised.abs().max() <= 127
    step = scale.float().repeat_interleave(GROUP, dim=1)[:, :width]
    error = (weight - quantised.float() * step).abs()
    assert (error <= step * 0.5001).all()


def test_only_the_decoder_stack_is_quantised(int8_model, smol):
    linears = [m for m in int8_model.model.layers.modules() if isinstance(m, Int8Linear)]
    assert len(linears) == 7 * len(smol[0].model.layers)
    assert not any(isinstance(m, nn.Linear) for m in int8_model.model.layers.modules())
    assert torch.equal(int8_model.lm_head.weight, smol[0].lm_head.weight)
    assert torch.equal(int8_model.model.embed_tokens.weight, smol[0].model.embed_tokens.weight)


def test_a_row_with_its_own_mixture_is_the_same_bits_in_any_batch(int8_model, style_folders):
    model = share_weights(int8_model)
    adapters = tuple(map(read_adapter, style_folders.values()))
    bank = AdapterBank(model, adapters)
    linear = model.model.layers[-1].mlp.down_proj
    hidden = random_normal(9 * max(BATCHES), linear.in_features).numpy()
    mixtures = random_normal(max(BATCHES), 1, len(adapters))

    def apply(rows, mixtures=mixtures):
        row_of = np.repeat(np.arange(len(rows)), 9)
        out = np.zeros((len(row_of), linear.out_features), np.float32)
        own = hidden.reshape(-1, 9, linear.in_features)[rows].reshape(len(out), -1)
        with bank.mixed(mixtures[rows]):
            linear.site.add_exactly(quantize(own), out, 0, row_of)
        return out.reshape(len(rows), 9, -1)

    whole = apply(range(257))
    assert np.abs(whole).max() > 0.1
    for rows in BATCHES:
        assert np.array_equal(apply(range(rows)), whole[:rows])
        assert np.array_equal(apply(range(257 - rows, 257)), whole[-rows:])
    assert not apply(range(257), torch.zeros_like(mixtures)).any()
    # And it is the adapters' own sum, which the bf16 of a GPU gives too.
    out = torch.zeros(257, 9, linear.out_features)
    with bank.mixed(mixtures):
        rough = linear.site.add(out, torch.from_numpy(hidden).view(257, 9, -1).bfloat16())
    exact = torch.zeros(257, 9, linear.out_features)
    for k, adapter in enumerate(adapters):
        down, up = adapter.factors[29, "mlp.down_proj"]
        products = torch.from_numpy(hidden).view(257, 9, -1) @ down.T @ up.T
        exact += mixtures[:, 0, k, None, None] * products
    ours, theirs = (
        float((x - exact).norm() / exact.norm()) for x in (torch.from_numpy(whole), rough)
    )
    assert ours < 0.01
    assert theirs < 0.01


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
