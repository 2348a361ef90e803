"""Numbers of a search rounded to grids, so that another processor's last bits change nothing.

Libraries of linear algebra and of elementary functions differ there (docs/decisions/105).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
DIGITS = 8
STEPS = 2.0**20  # to the unit of a search's own coordinates
BITS = 30  # of a covariance


def recorded(value: float) -> float:
    """Round a number that is evaluated or written down to `DIGITS` decimal digits."""
    return float(f"{value:.{DIGITS}g}")


def proposed(rows: Matrix) -> Matrix:
    """Round a search's coordinates to a fixed step."""
    rounded: Matrix = np.rint(rows * STEPS) / STEPS
    return rounded


def decompose(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Return eigenvalues and eigenvectors (columns) of a symmetric matrix, rounded to `BITS` bits.

    Jacobi's rotations in one order (Golub and Van Loan, Matrix Computations, 4th ed., section
    8.5): LAPACK's vectors differ among processors, by much where two eigenvalues are close.
    """
    fraction, exponent = np.frexp(matrix)
    work: Matrix = np.ldexp(np.rint(np.ldexp(fraction, BITS)), exponent - BITS)
    vectors = np.eye(len(work))
    _rotate(work, vectors)
    return np.diag(work).copy(), vectors


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
