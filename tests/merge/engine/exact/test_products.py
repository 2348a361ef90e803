"""Products against whole numbers, and the same bits whatever the batch, the order and the cut."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.merge.engine.exact import products
from evobourse.merge.engine.exact.products import Activations, multiply, quantize
from evobourse.merge.engine.exact.tiles import GROUP
from evobourse.merge.engine.exact.weights import (
    dequantize_groups,
    matrix_of,
    pack_groups,
    quantize_groups,
    to_matrix,
    unpack_groups,
)

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 200), st.integers(1, 100))


def draw(seed, rows, inputs, outputs, loud=1.0):
    """Rows in INT16, and a matrix as INT8 [out, in], its scales bf16, and packed."""
    rng = np.random.default_rng(seed)
    x = quantize((loud * rng.standard_normal((rows, inputs))).astype(np.float32))
    weight, scale = quantize_groups(torch.from_numpy(rng.standard_normal((outputs, inputs))))
    return x, weight, scale, matrix_of(*pack_groups(weight, scale), inputs, outputs)


def product(x, matrix):
    out = np.full((len(x.values), matrix.outputs), np.nan, np.float32)
    multiply(x, matrix, out)
    return out


def by_hand(x, weight, scale):
    """The same sums in numpy: groups in int64, then one float32 operation after another."""
    outputs, inputs = weight.shape
    groups = -(-inputs // GROUP)
    whole = np.zeros((outputs, groups * GROUP), np.int64)
    whole[:, :inputs] = weight.numpy()
    scales, out = scale.float().numpy(), np.zeros((len(x.values), outputs), np.float32)
    for group in range(groups):
        span = slice(group * GROUP, (group + 1) * GROUP)
        exact = x.values[:, span].astype(np.int64) @ whole[:, span].T
        assert np.abs(exact).max(initial=0) < 2**31
        out = out + exact.astype(np.float32) * (x.scale[:, group, None] * scales[:, group])
    return out


@settings(max_examples=60)
@given(SHAPES, st.integers(0, 99))
def test_a_product_is_its_whole_numbers_sums_to_the_last_bit(shape, seed):
    x, weight, scale, matrix = draw(seed, *shape)
    assert np.array_equal(product(x, matrix), by_hand(x, weight, scale))


def test_the_largest_numbers_do_not_overflow():
    x = Activations(np.full((13, GROUP), -32767, np.int16), np.ones((13, 1), np.float32))
    weight = torch.full((40, GROUP), 127, dtype=torch.int8)
    scale = torch.ones(40, 1, dtype=torch.bfloat16)
    out = product(x, matrix_of(*pack_groups(weight, scale), GROUP, 40))
    assert (out == np.float32(-32767 * 127 * GROUP)).all()


@settings(max_examples=40)
@given(SHAPES, st.integers(0, 99), st.integers(1, 4), st.data())
def test_a_row_has_the_same_bits_in_any_batch_order_and_cut(shape, seed, threads, data):
    x, _, _, matrix = draw(seed, *shape)
    whole = product(x, matrix)
    rows = data.draw(st.lists(st.integers(0, shape[0] - 1), min_size=1, max_size=50))
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "FEW_ROWS", data.draw(st.sampled_from([0, 1000])))
        patch.setattr(products, "THREAD_WORK", 1)
        torch.set_num_threads(threads)
        try:
            assert np.array_equal(product(x.of(np.array(rows)), matrix), whole[rows])
        finally:
            torch.set_num_threads(before)


@pytest.mark.parametrize(("inputs", "outputs"), [(576, 1536), (576, 192), (1536, 576)])
def test_one_row_and_many_have_the_same_bits_in_a_models_shapes(inputs, outputs):
    x, _, _, matrix = draw(0, 1025, inputs, outputs)
    whole = product(x, matrix)
    for rows in ([0], [1024], range(2), range(7, 20), range(64), range(1, 1000)):
        assert np.array_equal(product(x.of(np.array(rows)), matrix), whole[list(rows)])


def test_a_product_goes_to_its_columns_and_is_added_where_asked():
    x, _, _, matrix = draw(3, 9, 100, 37)
    alone, out = product(x, matrix), np.ones((9, 50), np.float32)
    multiply(x, matrix, out, 5)
    assert np.array_equal(out[:, 5:42], alone)
    multiply(x, matrix, out, 5, add=True)
    assert np.array_equal(out[:, 5:42], alone + alone)
    assert (np.delete(out, np.s_[5:42], axis=1) == 1).all()


@given(st.integers(1, 150), st.integers(0, 99), st.floats(1e-20, 1e20))
def test_rounding_of_rows_errs_by_half_a_step(inputs, seed, loud):
    rows = np.random.default_rng(seed).standard_normal((5, inputs)).astype(np.float32)
    rows *= np.float32(loud)
    rows[0] = 0
    x = quantize(rows)
    assert np.abs(x.values.astype(int)).max() <= 32767
    assert not x.values[:, inputs:].any()
    step = np.repeat(x.scale, GROUP, axis=1)[:, :inputs].astype(float)
    error = np.abs(x.values[:, :inputs] * step - rows)
    assert (error <= 0.51 * step + 1e-7 * np.abs(rows)).all()
    assert not x.values[0].any()


@given(st.integers(1, 200), st.integers(1, 80), st.integers(0, 99))
def test_packing_is_undone(inputs, outputs, seed):
    _, weight, scale, _ = draw(seed, 1, inputs, outputs)
    again = unpack_groups(*pack_groups(weight, scale), inputs, outputs)
    assert torch.equal(again[0], weight)
    assert torch.equal(again[1], scale)


def test_a_product_is_near_the_matrix_itself():
    weight = torch.from_numpy(np.random.default_rng(0).standard_normal((9000, 96))).float()
    rows = np.random.default_rng(1).standard_normal((3, 96)).astype(np.float32)
    rounded = dequantize_groups(*quantize_groups(weight)).float()
    assert (rounded - weight).norm() / weight.norm() < 0.01
    out = product(quantize(rows), to_matrix(weight))  # in several parts: 9,000 rows
    expected = rows @ weight.numpy().T
    assert np.abs(out - expected).max() < 0.02 * np.abs(expected).max()
