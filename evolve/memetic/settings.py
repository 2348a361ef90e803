"""When and how a sweep's best candidate learns: settings alone, light to import."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from evobourse.agents.bounds import Bounds, check_bounds
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
    discount
        Weight of a day's profit beside that of the day before, see
        `agents.training.rewards.RewardRules`.
    risk_aversion
        Price of risk: half of it times the squared daily profit is taken off that.
    """

    every: Annotated[int, Bounds(1, unit="generations")] = 20
    steps: Annotated[int, Bounds(1)] = 3
    markets: Annotated[int, Bounds(1)] = 8
    nats: Annotated[float, Bounds(0, unit="nats", above=True)] = 0.02
    discount: Annotated[float, Bounds(0, 1, above=True)] = 0.9
    risk_aversion: Annotated[float, Bounds(0)] = 0.0

    def __post_init__(self) -> None:
        check_bounds(self, EvolveError)

    @property
    def paths(self) -> int:
        """Count the markets of a lesson."""
        return self.steps * self.markets

    def due(self, generation: int, before: Iterable[Candidate]) -> bool:
        """Say whether a generation begins with a lesson: it is time, and somebody has a score."""
        return not generation % self.every and any(c.score is not None for c in before)
