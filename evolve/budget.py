"""When a search has used up what it may: minutes of a clock, decisions of agents.

Knows: what was used before, also before a resume, and what the next generation will take.
Does not know: how candidates are proposed or scored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evolve.errors import EvolveError
from evolve.lineage import Candidate
from evolve.timings import Timings


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
    """

    timings: Timings
    max_minutes: float | None = None
    max_decisions: int | None = None
    decisions_a_path: int = 0
    paths: int = 0
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
        return self._decisions_spent(planned, candidates) or self._minutes_spent(planned)

    def _decisions_spent(self, planned: int, candidates: Sequence[Candidate]) -> str | None:
        if self.max_decisions is None:
            return None
        self._paths_played += sum(len(c.seeds) for c in candidates[self._counted :])
        self._counted = len(candidates)
        taken = self.decisions_a_path * self._paths_played
        coming = self.decisions_a_path * self.paths * planned
        if taken + coming <= self.max_decisions:
            return None
        if not candidates:
            raise EvolveError(
                f"search.max_decisions is {self.max_decisions:,}, but the first generation takes "
                f"{coming:,}; allow more, or set fewer agents, days, paths or candidates"
            )
        return (
            f"the decision budget: {taken:,} of {self.max_decisions:,} decisions are taken, "
            f"the next generation would take {coming:,}"
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
