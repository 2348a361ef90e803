"""How far, how much and in which regime orders are drawn, as compiled loops need it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to these, delete __pycache__.
from evobourse.agents.crowds.daily_loops import Spread, in_parts
from evobourse.agents.crowds.elementary import logarithm

RECENT_DAYS = 20


class OrderLaw(NamedTuple):
    """Mixtures of offsets and quantities in R regimes, and what regimes are told by.

    Attributes
    ----------
    steps, means, factors
        int64[R, C - 1], float64[R, C, 2] and float64[R, C, 3], see
        `agents.crowds.daily_loops.Spread`.
    odds
        float64[R], log odds of a regime at its mean.
    centre, scale, places, precisions
        float64[2], float64[2], float64[R, 2] and float64[R, 3], see
        `agents.crowds.order_regimes.OrderRegimes`.
    fitted
        Whether there are regimes: then quantities vary, and offsets are in units of the
        volatility of the long run; else of that which agents measure.
    """

    steps: NDArray[np.int64]
    means: NDArray[np.float64]
    factors: NDArray[np.float64]
    odds: NDArray[np.float64]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    places: NDArray[np.float64]
    precisions: NDArray[np.float64]
    fitted: bool


def mixture_steps(weights: Sequence[float], components: int) -> NDArray[np.int64]:
    """Return cumulated weights in parts, int64[components - 1]; components that lack have none."""
    cumulated = [*np.cumsum(weights)[:-1], *[1.0] * (components - len(weights))]
    return np.array([in_parts(weight) for weight in cumulated], np.int64)


@njit(cache=True)
def regime_signs(log_closes: NDArray[np.float64], usual: float) -> NDArray[np.float64]:
    """Return what a morning's regime is told by.

    Parameters
    ----------
    log_closes
        float64[H], H over 20, up to yesterday's.
    usual
        Usual daily volatility.

    Returns
    -------
    NDArray
        float64[2]: log of the volatility of the last 20 days over the usual; the return over
        them in its usual standard deviations.
    """
    squares, total = 0.0, 0.0
    for day in range(log_closes.size - RECENT_DAYS, log_closes.size):
        move = log_closes[day] - log_closes[day - 1]
        squares += move * move
        total += move
    recent = max(math.sqrt(squares / RECENT_DAYS), 1e-8)
    return np.array([logarithm(recent / usual), total / (usual * math.sqrt(RECENT_DAYS))])


@njit(cache=True)
def likeliest_regime(law: OrderLaw, signs: NDArray[np.float64]) -> int:
    """Return the most likely regime of two signs, float64[2]."""
    best, best_odds = 0, -np.inf
    one = (signs[0] - law.centre[0]) / law.scale[0]
    other = (signs[1] - law.centre[1]) / law.scale[1]
    for r in range(law.odds.size):
        x, y = one - law.places[r, 0], other - law.places[r, 1]
        a, b, d = law.precisions[r, 0], law.precisions[r, 1], law.precisions[r, 2]
        odds = law.odds[r] - 0.5 * (a * x * x + 2 * b * x * y + d * y * y)
        if odds > best_odds:
            best, best_odds = r, odds
    return best


@njit(cache=True)
def tell_regime(law: OrderLaw, log_path: NDArray[np.float64], long_run: float) -> int:
    """Return a morning's regime; 0 where there are none."""
    return likeliest_regime(law, regime_signs(log_path, long_run)) if law.fitted else 0


@njit(cache=True)
def spread_of(law: OrderLaw, regime: int) -> Spread:
    """Return the mixture of a regime."""
    return Spread(law.steps[regime], law.means[regime], law.factors[regime], law.fitted)


@njit(cache=True)
def spread_units(law: OrderLaw, unit: float, long_run: float) -> tuple[float, float]:
    """Return log price per unit of distance, and distances per unit of the mixture's offsets."""
    return unit, (long_run / unit if law.fitted else 1.0)
