"""Own functions against float64, and the stated order of sums."""

import numpy as np
import pytest
import torch
from numba import njit
from torch.nn import functional

from evobourse.merge.engine.exact import kernels
from evobourse.merge.engine.exact.arithmetic import (
    Norm,
    add_scaled,
    gate_quantize,
    multiply_rows,
    normalize,
    normalize_quantize,
    soften,
)
from evobourse.merge.engine.exact.kernels import GELU_TANH, SILU
from evobourse.merge.engine.exact.products import quantize
from evobourse.merge.engine.exact.tiles import GROUP, LANES


@njit
def exponentials(x, out):
    for k in range(len(x)):
        out[k] = kernels.exponential(x[k])


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_the_exponential_errs_by_two_units_at_most():
    x = np.linspace(-87, 88, 1_000_001).astype(np.float32)
    out = np.empty_like(x)
    exponentials(x, out)
    exact = np.exp(x.astype(np.float64))
    assert (np.abs(out - exact) / np.spacing(exact.astype(np.float32))).max() < 2
    assert (np.diff(out) >= 0).mean() > 0.999
    far = np.array([-1e30, -88, 89, 1e30], np.float32)
    ends = np.empty_like(far)
    exponentials(far, ends)
    assert ends.tolist() == [out[0], out[0], out[-1], out[-1]]


def test_a_soft_cap_is_a_hyperbolic_tangent():
    x = np.linspace(-200, 200, 9_999).astype(np.float32).reshape(3, -1)
    expected = 50 * np.tanh(x.astype(float) / 50)
    np.testing.assert_allclose(soften(x, 50.0), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("kind", "reference"),
    [(SILU, functional.silu), (GELU_TANH, lambda x: functional.gelu(x, approximate="tanh"))],
)
def test_a_gate_is_torchs(kind, reference):
    gated = 3 * normal(0, 70, 2 * 100)
    gated[0, :3] = -1e4, 1e4, 0
    x = gate_quantize(gated, kind)
    whole = torch.from_numpy(gated.astype(float))
    expected = (reference(whole[:, :100]) * whole[:, 100:]).numpy()
    step = np.repeat(x.scale, GROUP, axis=1)[:, :100]
    assert (np.abs(x.values[:, :100] * step - expected) < 0.6 * step + 1e-5).all()


def by_lanes(left, right):
    """The sum as it is documented, one float32 operation after another."""
    lanes = np.zeros(LANES, np.float32)
    for k, product in enumerate(left * right):
        lanes[k % LANES] += product
    summed = lanes[0]
    for lane in lanes[1:]:
        summed = summed + lane
    return summed


@pytest.mark.parametrize("width", [1, 15, 16, 33, 576])
def test_inner_products_are_summed_in_sixteen_lanes(width):
    rows, others = normal(0, 5, width), normal(1, 3, width)
    expected = [[by_lanes(row, other) for other in others] for row in rows]
    assert np.array_equal(multiply_rows(rows, others[None]), np.array(expected, np.float32))
    own = normal(2, 5, 2, width)
    expected = [
        [by_lanes(row, other) for other in those] for row, those in zip(rows, own, strict=True)
    ]
    assert np.array_equal(multiply_rows(rows, own), np.array(expected, np.float32))


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_a_norm_is_torchs_and_its_steps_are_documented(offset):
    rows, weight = normal(0, 40, 100), normal(1, 100)
    norm = Norm(weight, np.float32(1e-5), np.float32(offset))
    found = normalize(rows, norm)
    expected = functional.rms_norm(
        torch.from_numpy(rows), (100,), torch.from_numpy(weight + np.float32(offset)), 1e-5
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    mean = by_lanes(rows[0], rows[0]) / np.float32(100)
    turn = np.float32(1) / np.sqrt(mean + np.float32(1e-5))
    assert np.array_equal(found[0], (rows[0] * turn) * (np.float32(offset) + weight))
    both, apart = normalize_quantize(rows, norm), quantize(found)
    assert np.array_equal(both.values, apart.values)
    assert np.array_equal(both.scale, apart.scale)


def test_more_is_added_times_a_factor():
    hidden, more = normal(0, 40, 33), normal(1, 40, 33)
    expected = hidden + more * np.float32(0.22)  # two roundings, none fused
    add_scaled(hidden, more, 0.22)
    assert np.array_equal(hidden, expected)
