"""How much a market moves: in the long run before a simulation, and lately."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to these, delete __pycache__.
from evobourse.agents.crowds.elementary import exponential, logarithms

LONG_RUN_DAYS = 750
_LEAST_VARIANCE = 1e-10
_LN2 = math.log(2.0)


@dataclass(frozen=True)
class Volatility:
    """Standard deviations of daily log returns, as investors measure them.

    Attributes
    ----------
    long_run
        Over the `LONG_RUN_DAYS` before the simulation.
    variance
        Of recent days, exponentially weighted over history and simulation.
    """

    long_run: float
    variance: float

    @property
    def recent(self) -> float:
        """The recent standard deviation."""
        return math.sqrt(self.variance)

    def follow(
        self,
        closes: NDArray[np.int64],
        log_path: NDArray[np.float64],
        half_life_days: float,
        asymmetry: float,
    ) -> Volatility:
        """Return what it is once another close is known.

        Parameters
        ----------
        closes
            int64[H + day] ticks; the first time, the history that the long run is measured over.
        log_path
            float64[h], natural logarithms of the last of them.
        half_life_days
            Of the weights of recent days.
        asymmetry
            See `felt`.
        """
        keep = kept_a_day(half_life_days)
        if self.variance:
            move = log_path[-1] - log_path[-2]
            variance = follow_variance(self.variance, move, keep, asymmetry)
            return Volatility(self.long_run, variance)
        return Volatility(*measure(logarithms(closes[-LONG_RUN_DAYS - 1 :]), keep, asymmetry))

    def mixed(self, weight: float) -> float:
        """Return the long-run deviation, a part of it replaced by the recent one."""
        return (1 - weight) * self.long_run + weight * self.recent


UNMEASURED = Volatility(0.0, 0.0)
"""Before any close was seen."""


@njit(cache=True)
def kept_a_day(half_life_days: float) -> float:
    """Return what is left of a weight after a day."""
    return exponential(-_LN2 / half_life_days)


@njit(cache=True)
def felt(move: float, asymmetry: float) -> float:
    """Return a move's square: of a fall times ``1 + asymmetry``, of a rise ``1 - asymmetry``."""
    return float((1.0 - asymmetry if move > 0.0 else 1.0 + asymmetry) * move**2)


@njit(cache=True)
def follow_variance(variance: float, move: float, keep: float, asymmetry: float) -> float:
    """Return the recent variance after another day's log return; asymmetry: see `felt`."""
    return float(max(keep * variance + (1.0 - keep) * felt(move, asymmetry), _LEAST_VARIANCE))


@njit(cache=True)
def measure(log_path: NDArray[np.float64], keep: float, asymmetry: float) -> tuple[float, float]:
    """Return the long-run deviation and the recent variance of a history's end, float64[h]."""
    plain, weighted, weights, weight = 0.0, 0.0, 0.0, 1.0
    for day in range(log_path.size - 1, 0, -1):
        move = log_path[day] - log_path[day - 1]
        plain += move**2
        weighted += weight * felt(move, asymmetry)
        weights += weight
        weight *= keep
    long_run = math.sqrt(plain / (log_path.size - 1))
    return long_run, max(weighted / weights, _LEAST_VARIANCE)
