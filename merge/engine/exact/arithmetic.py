"""What stands between products, in float32 operations that IEEE 754 fixes, in a stated order.

No function of a library is called: their last bits differ among processors. LLVM fuses no
multiplication with an addition unless told to, and sums stand in 16 lanes, written out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from evobourse.merge.engine.exact.products import (
    LANES,
    Activations,
    empty_activations,
    nearest,
    quantize_row,
)
from evobourse.merge.engine.exact.threads import in_threads

Rows = NDArray[np.float32]
LEAST_ROWS = 32  # that are worth a thread
SILU, GELU_TANH = 0, 1


@intrinsic  # type: ignore[untyped-decorator]
def _power_of_two(context, shifted):  # type: ignore[no-untyped-def]
    """Return 2**n of n + 1.5 * 2**23, whose lowest bits hold n, -126 to 127."""
    whole = ir.IntType(32)

    def generate(context, build, signature, arguments):  # type: ignore[no-untyped-def]
        bits = build.shl(build.bitcast(arguments[0], whole), ir.Constant(whole, 23))
        return build.bitcast(build.add(bits, ir.Constant(whole, 127 << 23)), ir.FloatType())

    return types.float32(types.float32), generate


@njit(inline="always")  # type: ignore[untyped-decorator]
def exponential(x):  # type: ignore[no-untyped-def]
    """Return e**x of float32, within 2 units in the last place; -87 and below as -87, 88 above.

    Cody and Waite's reduction and the polynomial of Moshier's Cephes (expf).
    """
    x = min(max(x, np.float32(-87)), np.float32(88))
    shifted = x * np.float32(1.44269504) + np.float32(12582912)
    n = shifted - np.float32(12582912)
    r = (x - n * np.float32(0.693359375)) - n * np.float32(-2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    return ((p * r) * r + r + np.float32(1)) * _power_of_two(shifted)


@njit(inline="always")  # type: ignore[untyped-decorator]
def hyperbolic_tangent(x):  # type: ignore[no-untyped-def]
    """Return tanh of float32, within 2e-7."""
    return np.float32(1) - np.float32(2) / (exponential(np.float32(2) * x) + np.float32(1))


@njit(inline="always")  # type: ignore[untyped-decorator]
def _activate(x, kind):  # type: ignore[no-untyped-def]
    if kind == SILU:
        turned = -x
    else:  # x (1 + tanh(u)) / 2 is x / (1 + e**-2u)
        inner = x + np.float32(0.044715) * (x * x * x)
        turned = np.float32(-2 * 0.7978845608028654) * inner
    return x / (np.float32(1) + exponential(turned))


@njit(inline="always")  # type: ignore[untyped-decorator]
def total(lanes):  # type: ignore[no-untyped-def]
    """Add up the lanes, from the first to the last."""
    summed = lanes[0]
    for lane in range(1, LANES):
        summed += lanes[lane]
    return summed


@njit(inline="always")  # type: ignore[untyped-decorator]
def inner_product(left, right, lanes):  # type: ignore[no-untyped-def]
    """Return the sum of products of two rows float32[n]; lane k has places k, k + 16, ..."""
    lanes[:] = 0
    whole = len(left) // LANES * LANES
    for start in range(0, whole, LANES):
        for lane in range(LANES):
            lanes[lane] += left[start + lane] * right[start + lane]
    for lane in range(len(left) - whole):
        lanes[lane] += left[whole + lane] * right[whole + lane]
    return total(lanes)


@njit(inline="always")  # type: ignore[untyped-decorator]
def normalize_row(row, weight, epsilon, offset, lanes, out):  # type: ignore[no-untyped-def]
    """Divide a row by its root mean square and multiply it with ``offset + weight``."""
    mean = inner_product(row, row, lanes) / np.float32(len(row))
    turn = np.float32(1) / np.sqrt(mean + epsilon)
    for k in range(len(row)):
        out[k] = (row[k] * turn) * (offset + weight[k])


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _normalize(rows, weight, epsilon, offset, out, start, stop):  # type: ignore[no-untyped-def]
    lanes = np.zeros(LANES, np.float32)
    for row in range(start, stop):
        normalize_row(rows[row], weight, epsilon, offset, lanes, out[row])


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _normalize_quantize(
    rows, weight, epsilon, offset, values, scale, start, stop
):  # type: ignore[no-untyped-def]
    lanes, normed = np.zeros(LANES, np.float32), np.empty(rows.shape[1], np.float32)
    for row in range(start, stop):
        normalize_row(rows[row], weight, epsilon, offset, lanes, normed)
        quantize_row(normed, values[row], scale[row])


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _gate_quantize(gated, kind, values, scale, start, stop):  # type: ignore[no-untyped-def]
    width = gated.shape[1] // 2
    acted = np.empty(width, np.float32)
    for row in range(start, stop):
        for k in range(width):
            acted[k] = _activate(gated[row, k], kind) * gated[row, width + k]
        quantize_row(acted, values[row], scale[row])


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _multiply_rows(rows, others, out, start, stop):  # type: ignore[no-untyped-def]
    lanes = np.zeros(LANES, np.float32)
    for row in range(start, stop):
        for column in range(out.shape[1]):
            out[row, column] = inner_product(rows[row], others[row % len(others), column], lanes)


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _soften(logits, cap):  # type: ignore[no-untyped-def]
    for k in range(len(logits)):
        logits[k] = cap * hyperbolic_tangent(logits[k] / cap)


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _add_scaled(hidden, more, factor, start, stop):  # type: ignore[no-untyped-def]
    for row in range(start, stop):
        for k in range(hidden.shape[1]):
            hidden[row, k] += more[row, k] * factor


# Rows on threads


@dataclass(frozen=True)
class Norm:
    """A root mean square norm (Zhang and Sennrich 2019, arXiv:1910.07467).

    Attributes
    ----------
    weight
        float32[width], to which ``offset`` is added.
    epsilon, offset
        Added to the mean square, and to the weight.
    """

    weight: Rows
    epsilon: np.float32
    offset: np.float32


def normalize(rows: Rows, norm: Norm) -> Rows:
    """Return normed rows, float32[n, width]."""
    out = np.empty_like(rows)
    in_threads(
        lambda start, stop: _normalize(
            rows, norm.weight, norm.epsilon, norm.offset, out, start, stop
        ),
        len(rows),
        LEAST_ROWS,
    )
    return out


def normalize_quantize(rows: Rows, norm: Norm) -> Activations:
    """Norm rows and round them to INT16."""
    made = empty_activations(*rows.shape)
    in_threads(
        lambda start, stop: _normalize_quantize(
            rows, norm.weight, norm.epsilon, norm.offset, made.values, made.scale, start, stop
        ),
        len(rows),
        LEAST_ROWS,
    )
    return made


def gate_quantize(gated: Rows, kind: int) -> Activations:
    """Multiply the activation of the first half with the second, and round to INT16.

    Parameters
    ----------
    gated
        float32[n, 2 * width].
    kind
        `SILU` or `GELU_TANH`.
    """
    made = empty_activations(len(gated), gated.shape[1] // 2)
    in_threads(
        lambda start, stop: _gate_quantize(gated, kind, made.values, made.scale, start, stop),
        len(gated),
        LEAST_ROWS,
    )
    return made


def multiply_rows(rows: Rows, others: Rows) -> Rows:
    """Return inner products float32[n, m] of rows [n, width] and others [n or 1, m, width]."""
    out = np.empty((len(rows), others.shape[1]), np.float32)
    in_threads(lambda start, stop: _multiply_rows(rows, others, out, start, stop), len(rows))
    return out


def soften(logits: Rows, cap: float) -> Rows:
    """Return ``cap * tanh(logits / cap)``."""
    out = np.ascontiguousarray(logits)
    _soften(out.reshape(-1), np.float32(cap))
    return out


def add_scaled(hidden: Rows, more: Rows, factor: float) -> None:
    """Add rows, times a factor, to others in their place."""
    in_threads(
        lambda start, stop: _add_scaled(hidden, more, np.float32(factor), start, stop),
        len(hidden),
        LEAST_ROWS,
    )
