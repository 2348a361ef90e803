"""What a score of so many windows can tell: how often a random walk passes for the real market."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evobourse.fitness.baselines.without_agents import gbm
from evobourse.fitness.moments import FloatArray, moments
from evobourse.fitness.target import Target

LEVEL = 0.05
MAY_PASS = 0.2
"""A score tells something where a random walk passes in no more of the cases: power of 80 %."""

WALKS = 1000
"""Random walks simulated, and scores drawn from them for each number of windows."""

MOST_WINDOWS = 64


@dataclass(frozen=True)
class Resolution:
    """What scores of so many windows tell from a Gaussian random walk.

    Attributes
    ----------
    walk_passes : float
        Share of scores of random walks, of as many windows, that are not rejected at 5 %.
    windows_needed : int or None
        Least number of windows, in doubling steps, at which no more than `MAY_PASS` do; None if
        that takes more than `MOST_WINDOWS`.
    """

    walk_passes: float
    windows_needed: int | None

    @property
    def tells(self) -> bool:
        """Whether the score is of enough windows to tell a random walk."""
        return self.walk_passes <= MAY_PASS


def measure_resolution(
    target: Target, log_returns: npt.ArrayLike, rng: np.random.Generator
) -> Resolution:
    """Score random walks with the real mean and volatility as often as it takes.

    Parameters
    ----------
    target : Target
        Of as many paths as the score in question; its volume, if any, is left out, as walks have
        none.
    log_returns : array_like, shape [T]
        Real daily log returns, whose mean and volatility the walks have.
    rng : numpy.random.Generator
        Of the walks, and of the real years that they are held against.
    """
    prices = target.without_volume()
    walks = moments(gbm(log_returns, WALKS, target.window_days, rng), target.sigma_real)
    passes = _share_passed(prices, walks, rng)
    count = 1
    while count <= MOST_WINDOWS:
        if _share_passed(prices.redraw(count, rng), walks, rng) <= MAY_PASS:
            return Resolution(passes, count)
        count *= 2
    return Resolution(passes, None)


def _share_passed(target: Target, walks: FloatArray, rng: np.random.Generator) -> float:
    drawn = rng.integers(len(walks), size=(WALKS, target.paths))
    squares = target.squares(walks[drawn].mean(axis=1))
    return float(np.mean([target.p_value(one) > LEVEL for one in squares]))
