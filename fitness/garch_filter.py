"""A Gaussian GARCH(1,1) fitted to one path, fast enough to be a statistic of every path.

Its estimates are those of arch.
"""

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.optimize import minimize

from evobourse.fitness.moments import FloatArray

BACKCAST_DAYS = 75
BACKCAST_DECAY = 0.94
"""The variance before the first day: a weighted mean of the first squares, as in arch."""

STARTS = [
    [(p, a) for p in persistences for a in (0.02, 0.05, 0.1, 0.2, 0.5, 0.9)]
    for persistences in ((0.1, 0.5, 0.85), (0.93, 0.98, 0.995))
]
"""Persistence and alpha's share of it, in two groups: the likelihood may have several peaks."""

HOPELESS = 0.02
"""A start that is worse than the other by so much, in log likelihood a day, is not searched."""

LARGEST_PERSISTENCE = 1.0 - 1e-6


def garch_residuals(values: npt.ArrayLike) -> FloatArray:
    """Divide a series by the volatility that a GARCH(1,1) sees in it.

    Parameters
    ----------
    values : array_like, shape [T]
        A series of mean zero and about unit variance.

    Returns
    -------
    float64 array, shape [T]
        ``z[t] / sigma[t]`` with ``sigma[t]**2 = omega + alpha z[t-1]**2 + beta sigma[t-1]**2`` at
        the maximum of the Gaussian quasi-likelihood; NaN if the search fails.

    References
    ----------
    Bollerslev (1986), Journal of Econometrics 31(3), 307-327, doi:10.1016/0304-4076(86)90063-1;
    its gradient is Fiorentini, Calzolari and Panattoni (1996), Journal of Applied Econometrics
    11(4), 399-417.
    """
    squares = np.square(np.asarray(values, dtype=np.float64))
    weights = BACKCAST_DECAY ** np.arange(min(BACKCAST_DAYS, len(squares)))
    before = float(squares[: len(weights)] @ weights / weights.sum())
    scale = float(squares.mean())

    def loss(x: FloatArray) -> tuple[float, FloatArray]:
        """Mean negative log likelihood over log variance, persistence and alpha's share of it."""
        variance, p, a = scale * np.exp(x[0]), x[1], x[2]
        omega, alpha, beta = variance * (1.0 - p), p * a, p * (1.0 - a)
        value, by_omega, by_alpha, by_beta = _loss(squares, before, omega, alpha, beta)
        by_p = a * by_alpha + (1.0 - a) * by_beta - variance * by_omega
        return value, np.array([omega * by_omega, by_p, p * (by_alpha - by_beta)])

    bounds = [(-7.0, 7.0), (0.0, LARGEST_PERSISTENCE), (0.0, 1.0)]
    tried = [min((loss(np.array([0.0, *pa]))[0], pa) for pa in group) for group in STARTS]
    ends = [
        minimize(loss, [0.0, *start], jac=True, method="L-BFGS-B", bounds=bounds)
        for value, start in tried
        if value < min(tried)[0] + HOPELESS
    ]
    found = min(ends, key=lambda end: float(end.fun))
    if not found.success:
        return np.full(squares.shape, np.nan)
    variance, p, a = scale * np.exp(found.x[0]), found.x[1], found.x[2]
    sigma2 = _variances(squares, before, variance * (1.0 - p), p * a, p * (1.0 - a))
    return np.asarray(np.asarray(values) / np.sqrt(sigma2))


@njit(cache=True)
def _variances(
    squares: FloatArray, before: float, omega: float, alpha: float, beta: float
) -> FloatArray:
    variances = np.empty_like(squares)
    last = omega + (alpha + beta) * before
    for day in range(len(squares)):
        variances[day] = last
        last = omega + alpha * squares[day] + beta * last
    return variances


@njit(cache=True)
def _loss(
    squares: FloatArray, before: float, omega: float, alpha: float, beta: float
) -> tuple[float, float, float, float]:
    """Mean of ``(log s + z**2 / s) / 2``, s the variance, and its derivatives."""
    total, by_omega, by_alpha, by_beta = 0.0, 0.0, 0.0, 0.0
    variance = omega + (alpha + beta) * before
    of_omega, of_alpha, of_beta = 1.0, before, before
    for day in range(len(squares)):
        surprise = squares[day] / variance
        total += np.log(variance) + surprise
        slope = (1.0 - surprise) / variance
        by_omega += slope * of_omega
        by_alpha += slope * of_alpha
        by_beta += slope * of_beta
        of_omega = 1.0 + beta * of_omega
        of_alpha = squares[day] + beta * of_alpha
        of_beta = variance + beta * of_beta
        variance = omega + alpha * squares[day] + beta * variance
    half = 0.5 / len(squares)
    return half * total, half * by_omega, half * by_alpha, half * by_beta
