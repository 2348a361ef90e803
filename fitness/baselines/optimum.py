"""A fit's parameters to digits that last bits do not move, wherever its optimizer stopped."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from evobourse.fitness.moments import FloatArray

DIGITS = 5
STEPS = 12
SHARE = 1e-3
"""Of a parameter's scale: how far apart differences are taken, the same on every processor."""


def settled(
    loss: Callable[[FloatArray], float],
    found: npt.ArrayLike,
    scales: npt.ArrayLike,
    free: npt.ArrayLike,
) -> FloatArray:
    """Go by Newton's steps from near a minimum to it, and round it to `DIGITS` digits.

    Optimizers stop within about 1e-4 of a minimum, and last bits of a library's sums decide where
    (docs/decisions/151). Derivatives are differences over fixed steps: what these are off is the
    same everywhere, and what noise moves the place where they vanish is far below the rounding.

    Parameters
    ----------
    loss : callable
        From parameters, float64[n], to what is small at the minimum.
    found : array_like, shape [n]
        Where an optimizer stopped.
    scales : array_like, shape [n]
        By how much each parameter may be moved without the loss changing its shape.
    free : array_like of bool, shape [n]
        Parameters inside their bounds; the others stay as they are.

    Returns
    -------
    float64 array, shape [n]
        The minimum, rounded. Where the steps do not end at a lower loss: what was found, to three
        digits.
    """
    start = np.asarray(found, dtype=np.float64)
    inside = np.flatnonzero(np.asarray(free))
    steps = SHARE * np.asarray(scales, dtype=np.float64)[inside]
    at = start.copy()
    for _ in range(STEPS):
        slope, bend = _differences(loss, at, inside, steps)
        try:
            move = np.linalg.solve(bend, slope)
        except np.linalg.LinAlgError:
            break
        if not np.isfinite(move).all():
            break
        at[inside] -= move
        if (np.abs(move) < 1e-3 * steps).all():  # and the next step would be its square
            if loss(at) <= loss(start) + 1e-9:
                return _rounded(at, DIGITS)
            break
    return _rounded(start, 3)


def _differences(
    loss: Callable[[FloatArray], float],
    at: FloatArray,
    inside: npt.NDArray[np.int64],
    steps: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Take central first and second differences."""

    def moved(*by: tuple[int, int]) -> float:
        there = at.copy()
        for k, sign in by:
            there[inside[k]] += sign * steps[k]
        return loss(there)

    count, here = len(inside), loss(at)
    slope, bend = np.empty(count), np.empty((count, count))
    for k in range(count):
        above, below = moved((k, 1)), moved((k, -1))
        slope[k] = (above - below) / (2 * steps[k])
        bend[k, k] = (above - 2 * here + below) / steps[k] ** 2
        for m in range(k):
            crossed = moved((k, 1), (m, 1)) - moved((k, 1), (m, -1))
            crossed += moved((k, -1), (m, -1)) - moved((k, -1), (m, 1))
            bend[k, m] = bend[m, k] = crossed / (4 * steps[k] * steps[m])
    return slope, bend


def _rounded(values: FloatArray, digits: int) -> FloatArray:
    return np.array([float(f"{value:.{digits}g}") for value in values.tolist()])
