"""Numbers of a search that are the same on every processor.

Libraries of linear algebra and of elementary functions differ in last bits (docs/decisions/123).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal

import numpy as np
from numba import njit
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
DIGITS = 8
STEP = 2.0**-26
COVARIANCE_BITS = 26
_PRECISE = Context(prec=25)


def exponentials(values: Matrix) -> Matrix:
    """Return ``exp`` of each, correctly rounded: numpy's last bit depends on the processor."""
    return _each(_PRECISE.exp, values)


def logarithms(values: Matrix) -> Matrix:
    """Return ``log`` of each, correctly rounded."""
    return _each(_PRECISE.ln, values)


def _each(function: Callable[[Decimal], Decimal], values: Matrix) -> Matrix:
    found = [float(function(Decimal(value))) for value in values.ravel().tolist()]
    return np.array(found, np.float64).reshape(values.shape)


def recorded(value: float) -> float:
    """Round a number that is evaluated or written down to `DIGITS` decimal digits."""
    return float(f"{value:.{DIGITS}g}")


def proposed(rows: Matrix) -> Matrix:
    """Round a search's coordinates, of which one is a quarter of a gene's range, to `STEP`."""
    rounded: Matrix = np.rint(rows / STEP) * STEP
    return rounded


def decompose(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Return eigenvalues and eigenvectors (columns) of a covariance, float64[d, d].

    Its entries are rounded to `COVARIANCE_BITS` bits of what their variances allow, then come
    Jacobi's rotations in one order (Golub and Van Loan, Matrix Computations, 4th ed., section
    8.5): LAPACK's vectors differ among processors, by much where two eigenvalues are close.
    """
    _, exponent = np.frexp(np.sqrt(np.diag(matrix)))
    step = np.ldexp(1.0, exponent[:, None] + exponent[None, :] - COVARIANCE_BITS)
    work: Matrix = np.rint(matrix / step) * step
    vectors = np.eye(len(work))
    _rotate(work, vectors)
    values = np.diag(work)
    return np.maximum(values, values.max() * 2.0**-COVARIANCE_BITS), vectors


@njit(cache=True, error_model="numpy")
def _rotate(work: Matrix, vectors: Matrix) -> None:
    size = len(work)
    for _ in range(60):
        off = whole = 0.0
        for p in range(size):
            for q in range(size):
                whole += work[p, q] * work[p, q]
                if p != q:
                    off += work[p, q] * work[p, q]
        if off <= 1e-30 * whole:
            return
        for p in range(size - 1):
            for q in range(p + 1, size):
                if work[p, q] == 0.0:
                    continue
                turn = (work[q, q] - work[p, p]) / (2.0 * work[p, q])
                tangent = 1.0 / (abs(turn) + np.sqrt(turn * turn + 1.0))
                if turn < 0.0:
                    tangent = -tangent
                cosine = 1.0 / np.sqrt(tangent * tangent + 1.0)
                sine = tangent * cosine
                for k in range(size):
                    left, right = work[k, p], work[k, q]
                    work[k, p], work[k, q] = (
                        cosine * left - sine * right,
                        sine * left + cosine * right,
                    )
                for k in range(size):
                    left, right = work[p, k], work[q, k]
                    work[p, k], work[q, k] = (
                        cosine * left - sine * right,
                        sine * left + cosine * right,
                    )
                for k in range(size):
                    left, right = vectors[k, p], vectors[k, q]
                    vectors[k, p], vectors[k, q] = (
                        cosine * left - sine * right,
                        sine * left + cosine * right,
                    )
