"""How much a market moves: in the long run before a simulation, and lately."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LONG_RUN_DAYS = 750
_LEAST_VARIANCE = 1e-10


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
        return float(np.sqrt(self.variance))

    def follow(
        self, closes: NDArray[np.int64], log_path: NDArray[np.float64], half_life_days: float
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
        """
        keep = 0.5 ** (1.0 / half_life_days)
        if self.variance:
            variance = keep * self.variance + (1 - keep) * (log_path[-1] - log_path[-2]) ** 2
            return Volatility(self.long_run, max(variance, _LEAST_VARIANCE))
        squares = np.diff(np.log(closes[-LONG_RUN_DAYS - 1 :])) ** 2
        weights = keep ** np.arange(len(squares))[::-1]
        variance = float(squares @ weights / weights.sum())
        return Volatility(float(np.sqrt(squares.mean())), max(variance, _LEAST_VARIANCE))

    def mixed(self, weight: float) -> float:
        """Return the long-run deviation, a part of it replaced by the recent one."""
        return (1 - weight) * self.long_run + weight * self.recent


UNMEASURED = Volatility(0.0, 0.0)
"""Before any close was seen."""
