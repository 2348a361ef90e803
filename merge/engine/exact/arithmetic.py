"""What stands between products, row by row, in float32 operations that IEEE 754 fixes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.merge.engine.exact import kernels
from evobourse.merge.engine.exact.products import Activations, empty_activations
from evobourse.merge.engine.exact.threads import in_threads

Rows = NDArray[np.float32]
LEAST_ROWS = 32  # that are worth a thread


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
        lambda start, stop: kernels.normalize(
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
        lambda start, stop: kernels.normalize_quantize(
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
        `kernels.SILU` or `kernels.GELU_TANH`.
    """
    made = empty_activations(len(gated), gated.shape[1] // 2)
    in_threads(
        lambda start, stop: kernels.gate_quantize(
            gated, kind, made.values, made.scale, start, stop
        ),
        len(gated),
        LEAST_ROWS,
    )
    return made


def multiply_rows(rows: Rows, others: Rows) -> Rows:
    """Return inner products float32[n, m] of rows [n, width] and others [n or 1, m, width]."""
    out = np.empty((len(rows), others.shape[1]), np.float32)
    in_threads(lambda start, stop: kernels.multiply_rows(rows, others, out, start, stop), len(rows))
    return out


def soften(logits: Rows, cap: float) -> Rows:
    """Return ``cap * tanh(logits / cap)``."""
    out = np.ascontiguousarray(logits)
    kernels.soften(out.reshape(-1), np.float32(cap))
    return out


def add_scaled(hidden: Rows, more: Rows, factor: float) -> None:
    """Add rows, times a factor, to others in their place."""
    in_threads(
        lambda start, stop: kernels.add_scaled(hidden, more, np.float32(factor), start, stop),
        len(hidden),
        LEAST_ROWS,
    )
