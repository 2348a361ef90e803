"""When and how a sweep's best candidate learns: settings alone, light to import."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evobourse.evolve.errors import EvolveError

if TYPE_CHECKING:
    from evobourse.evolve.lineage import Candidate

LESSON_CANDIDATES = 2
"""More in a generation with a lesson: the pupil as it was, and as it was taught."""


@dataclass(frozen=True)
class MemeticConfig:
    """When the best candidate so far is trained, and how.

    Attributes
    ----------
    every
        Before each so many-th generation, the first left out.
    steps
        Of the policy gradient.
    markets
        Played for each of them, on training windows.
    nats
        Mean divergence of a persona's choices from those before, at most, in each step.
    discount, risk_aversion
        See `agents.training.rewards.RewardRules`.
    """

    every: int = 20
    steps: int = 3
    markets: int = 8
    nats: float = 0.02
    discount: float = 0.9
    risk_aversion: float = 0.0

    def __post_init__(self) -> None:
        if min(self.every, self.steps, self.markets) < 1 or not self.nats > 0:
            raise EvolveError(
                f"memetic: every {self.every}, steps {self.steps}, markets {self.markets}, nats "
                f"{self.nats}; use whole numbers of at least 1, and nats above 0"
            )

    @property
    def paths(self) -> int:
        """Count the markets of a lesson."""
        return self.steps * self.markets

    def due(self, generation: int, before: Iterable[Candidate]) -> bool:
        """Say whether a generation begins with a lesson: it is time, and somebody has a score."""
        return not generation % self.every and any(c.score is not None for c in before)
