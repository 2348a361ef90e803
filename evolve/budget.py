"""When a search has used up what it may: minutes of a clock, decisions of agents.

What was used before a resume counts, and so does what the next generation will take.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.memetic.settings import LESSON_CANDIDATES, MemeticConfig
from evobourse.evolve.timings import Timings


@dataclass
class Budget:
    """Most that a search may use; called by `evolve.loop.evolve` before each generation.

    Decisions are counted from the lineage, so that the same budget ends the same sweep at the
    same generation, resumed or not. Minutes are this machine's: where they end a sweep depends
    on it. A generation that was killed half-way is not counted.

    Attributes
    ----------
    timings : Timings
        Of the run; those of earlier sessions count.
    max_minutes, max_decisions : float and int, or None
        None for no limit.
    decisions_a_path : int
        Agents times days.
    paths : int
        Paths a candidate, at most.
    lessons : MemeticConfig, optional
        Their markets count, and the candidates that come of them; None where nobody is taught.
    """

    timings: Timings
    max_minutes: float | None = None
    max_decisions: int | None = None
    decisions_a_path: int = 0
    paths: int = 0
    lessons: MemeticConfig | None = None
    clock: Callable[[], float] = time.monotonic
    _before_s: float = field(init=False)
    _began_s: float = field(init=False)
    _counted: int = field(init=False, default=0)
    _paths_played: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._before_s = sum(timing.seconds for timing in self.timings.read())
        self._began_s = self.clock()

    def __call__(self, planned: int, candidates: Sequence[Candidate]) -> str | None:
        """Say in words why a generation of `planned` candidates may not begin; None if it may.

        Raises
        ------
        EvolveError
            When the very first generation takes more decisions than allowed.
        """
        generation = candidates[-1].generation + 1 if candidates else 0
        taught = 0
        if self.lessons is not None and self.lessons.due(generation, candidates):
            planned, taught = planned + LESSON_CANDIDATES, self.lessons.paths
        return self._decisions_spent(planned, taught, candidates) or self._minutes_spent(planned)

    def _decisions_spent(
        self, planned: int, taught: int, candidates: Sequence[Candidate]
    ) -> str | None:
        if self.max_decisions is None:
            return None
        self._paths_played += int(count_paths(candidates, self.lessons, self._counted).sum())
        self._counted = len(candidates)
        taken = self.decisions_a_path * self._paths_played
        coming = self.decisions_a_path * (self.paths * planned + taught)
        if taken + coming <= self.max_decisions:
            return None
        if not candidates:
            raise EvolveError(
                f"budget.max_decisions is {self.max_decisions:,}, but the first generation takes "
                f"{coming:,}; allow more, or set fewer agents, days, paths or candidates"
            )
        return (
            f"the decision budget: {taken:,} of {self.max_decisions:,} decisions are taken, "
            f"the next generation{' and its lesson' if taught else ''} would take {coming:,}"
        )

    def _minutes_spent(self, planned: int) -> str | None:
        if self.max_minutes is None:
            return None
        used_s = self._before_s + self.clock() - self._began_s
        alike = [t.seconds for t in self.timings.read() if t.candidates == planned]
        coming_s = alike[-1] if alike else 0.0
        if used_s + coming_s <= 60.0 * self.max_minutes:
            return None
        return (
            f"the time budget: {used_s / 60:.1f} of {self.max_minutes:g} minutes are used, "
            f"the next generation would take about {coming_s / 60:.1f}"
        )


def count_paths(
    candidates: Sequence[Candidate], lessons: MemeticConfig | None, begin: int = 0
) -> NDArray[np.int64]:
    """Count the market paths that a lineage names.

    Parameters
    ----------
    candidates : sequence of Candidate
        In order.
    lessons : MemeticConfig or None
        A lesson's paths stand with the first candidate of its generation.
    begin : int
        Leaves out so many candidates, whole generations.

    Returns
    -------
    NDArray
        int64[n - begin], of each candidate.
    """
    paths = np.array([len(c.seeds) for c in candidates[begin:]], np.int64)
    if lessons is None:
        return paths
    born = np.array([c.generation for c in candidates[begin:]], np.int64)
    generations, first, counts = np.unique(born, return_index=True, return_counts=True)
    for generation, at, count in zip(generations, first, counts, strict=True):
        # What a search ends at is a generation of one, without a lesson.
        if count > LESSON_CANDIDATES and lessons.due(generation, islice(candidates, begin + at)):
            paths[at] += lessons.paths
    return paths
