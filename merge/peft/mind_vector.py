"""A mind as one array: its coefficients and, where it has them, the cores between factors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Mixture = NDArray[np.float32]
"""Coefficients [blocks, K]; with cores [blocks, K, 1 + r * r], each coefficient and its core."""


def join_cores(coefficients: Mixture, cores: NDArray[np.float32]) -> Mixture:
    """Put coefficients [blocks, K] and cores [blocks, K, r, r] into one array."""
    flat = cores.reshape(*coefficients.shape, -1).astype(np.float32)
    return np.concatenate([coefficients[:, :, None], flat], axis=2)


def split_cores(mixture: Mixture) -> tuple[Mixture, NDArray[np.float32] | None]:
    """Undo `join_cores`; of a mixture without cores, return itself and None."""
    if mixture.ndim == 2:
        return mixture, None
    rank = math.isqrt(mixture.shape[2] - 1)
    return mixture[:, :, 0], mixture[:, :, 1:].reshape(*mixture.shape[:2], rank, rank)
