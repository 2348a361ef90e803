"""Experience: what decisions earned in markets, added up by who chose what in view of what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.errors import AgentError
from evobourse.agents.observation import OPTIONS, VIEWS
from evobourse.agents.training.rewards import RewardRules, read_ledger, reward_decisions
from evobourse.market.rules import MarketRules
from evobourse.market.tape.daily_tape import Tape


@dataclass(frozen=True, eq=False)
class Experience:
    """Decisions of P personas over V views; of several markets it is the sum.

    Attributes
    ----------
    counts : int64[P, V, 5]
        Decisions by persona, row of the view, and option.
    rewards, squares : float64[P, V, 5]
        Sums of their rewards, and of the rewards' squares.
    """

    counts: NDArray[np.int64]
    rewards: NDArray[np.float64]
    squares: NDArray[np.float64]

    def __add__(self, other: Experience) -> Experience:
        return Experience(
            self.counts + other.counts, self.rewards + other.rewards, self.squares + other.squares
        )

    def mean_reward(self) -> NDArray[np.float64]:
        """Return each persona's mean reward of a decision, float64[P]; 0 without any."""
        return np.asarray(_total(self.rewards) / np.maximum(_total(self.counts), 1))

    def advantages(self) -> NDArray[np.float64]:
        """Return how much better than the others in the same view each option did.

        A decision's advantage is its reward less the mean reward of the persona's other decisions
        in the same view: leave one out (Kool, van Hoof and Welling 2019, ICLR experiment), so that
        its baseline is independent of it. Advantages are summed by option, and divided by the
        number and the standard deviation of the persona's rewards.

        Returns
        -------
        NDArray
            float64[P, V, 5]; weighted with the score of each option, they estimate the policy
            gradient of the mean reward in standard deviations.
        """
        met = self.counts.sum(axis=2, keepdims=True)
        mean = self.rewards.sum(axis=2, keepdims=True) / np.maximum(met, 1)
        others = met / np.maximum(met - 1, 1)
        sums = others * (self.rewards - self.counts * mean)
        number = np.maximum(_total(self.counts), 1)
        variance = _total(self.squares) / number - self.mean_reward() ** 2
        scale = number * np.sqrt(np.maximum(variance, 0.0))
        scale = np.where(scale > 0, scale, np.inf)[:, None, None]
        return np.asarray(np.where(met > 1, sums, 0.0) / scale)


def read_experience(
    tape: Tape,
    personas: int,
    views: NDArray[np.int64],
    market: MarketRules,
    rules: RewardRules,
) -> Experience:
    """Add up what every decision on a fully recorded tape earned.

    Parameters
    ----------
    tape
        Of a market of one `agents.crowds.persona_crowd.PersonaCrowd`.
    personas
        How many there are.
    views
        int64[V], those that can be met, see `agents.observation.possible_views`.
    market, rules
        What trades cost, and what counts as good.

    Raises
    ------
    AgentError
        The tape holds prices alone.
    """
    if tape.decisions is None:
        raise AgentError("experience: the tape holds prices alone; record the market in full")
    row_of = np.full(VIEWS, -1)
    row_of[views] = np.arange(len(views))
    persona, view, tendency = (
        tape.decisions[name].to_numpy() for name in ("persona", "view", "tendency")
    )
    reward = reward_decisions(read_ledger(tape, market), rules).ravel()
    shape = (personas, len(views), len(OPTIONS))
    where = np.ravel_multi_index((persona, row_of[view], tendency + 2), shape)
    size = int(np.prod(shape))
    counts = np.bincount(where, minlength=size).reshape(shape)
    rewards, squares = (
        np.asarray(np.bincount(where, reward**k, size), np.float64).reshape(shape) for k in (1, 2)
    )
    return Experience(counts.astype(np.int64), rewards, squares)


def _total(table: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.asarray(table.sum(axis=(1, 2)), np.float64)
