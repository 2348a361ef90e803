"""A sweep's progress in 80 columns: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

from evobourse.evolve.lineage import Candidate
from evobourse.evolve.searches.search import Optimizer

if TYPE_CHECKING:
    from evobourse.evolve.evaluation import MarketEvaluator
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.experiments.config.experiment import ExperimentConfig
    from evobourse.experiments.sweep.pipeline import Outcome


def watch_sweep(config: ExperimentConfig, run_folder: RunFolder, console: Console) -> Outcome:
    """Run or resume a sweep with its progress on a console, see `run_sweep`."""
    from evobourse.experiments.sweep.pipeline import run_sweep

    screens: list[ProgressScreen] = []

    def screen(search: Optimizer, evaluator: MarketEvaluator) -> ProgressScreen:
        total = config.search.generations
        planned = [search.planned_candidates(g) for g in range(total)]
        screens.append(ProgressScreen(total, lambda: evaluator.decisions, planned, console))
        return screens[0].__enter__()

    def say(line: str) -> None:
        if screens:
            screens[0].close()
        console.print(line, highlight=False)

    try:
        return run_sweep(config, run_folder, screen, say)
    finally:
        if screens:
            screens[0].close()


class TrialScreen:
    """Prints each trial of a sweep over settings; an `evolve.loop.Observer`.

    Parameters
    ----------
    console : Console
    objectives : sequence of str
        What is printed of each: "score", or names of parts.
    """

    def __init__(self, console: Console, objectives: Sequence[str]) -> None:
        self._console, self._objectives = console, objectives

    def on_progress(self, generation: int, done: int, total: int, best: float | None) -> None:
        """Say how many trials of a generation are done."""
        line = f"generation {generation + 1} | trial {done}/{total}"
        self._console.print(line, highlight=False)

    def on_generation(
        self, generation: int, candidates: Sequence[Candidate], search: Optimizer
    ) -> None:
        """Say what its trials came to."""
        for c in candidates:
            known = {**c.parts, "score": c.score}
            said = "  ".join(f"{name} {known[name]:,.6g}" for name in self._objectives if c.score)
            values = (f"{s}.{g}={v}" for s, genes in c.genome.items() for g, v in genes.items())
            line = f"  {c.id}  {c.failure or said}  {' '.join(values)}"
            self._console.print(line, highlight=False, soft_wrap=True)


class ProgressScreen:
    """Shows a sweep's progress; an `evolve.loop.Observer` and a context manager.

    Time left is measured: seconds per candidate, taken from finished generations of the same
    planned size where there are any, since new forward passes make a large generation slower
    than its count alone says.

    Parameters
    ----------
    generations : int
        Planned, in all.
    count_decisions : callable
        Returns the agent decisions taken so far.
    planned_candidates : sequence of int, optional
        Candidates of each generation; by default all are taken to be alike.
    console : Console, optional
        Where to write; standard output by default.
    clock : callable
        Returns seconds, never running backwards.
    """

    def __init__(
        self,
        generations: int,
        count_decisions: Callable[[], int],
        planned_candidates: Sequence[int] | None = None,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.generations = generations
        self._count_decisions = count_decisions
        self._planned = list(planned_candidates or [1] * generations)
        self._console = console or Console()
        self._clock = clock
        self._seconds: dict[int, float] = {}
        self._scored: dict[int, float] = {}
        self._generation, self._share = 0, 0.0
        self._best: float | None = None
        self._left_s: float | None = None
        self._left_at_s = 0.0
        self._begin()
        self._bar = Progress(
            BarColumn(bar_width=14), _StatusColumn(self), console=self._console, expand=False
        )
        self._task = self._bar.add_task("sweep", total=float(sum(self._planned)))

    def __enter__(self) -> ProgressScreen:
        """Start the clock and, on a terminal, the bar."""
        self._begin()
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the bar as it last stood."""
        self.close()

    def close(self) -> None:
        """Stop the bar, so that other lines can follow it; once is enough, twice is no harm."""
        if self._bar.live.is_started:
            self._bar.stop()

    def on_progress(self, generation: int, done: int, total: int, best: float | None) -> None:
        """Move the bar within a generation."""
        if generation != self._generation:
            self._generation, self._generation_began_s = generation, self._clock()
        self._share = done / total if total else 0.0
        if best is not None:
            self._best = best
        self._move()

    def on_generation(
        self, generation: int, candidates: Sequence[Candidate], search: Optimizer
    ) -> None:
        """Close a generation; without a terminal, print its line."""
        now, size = self._clock(), self._size(generation)
        self._seconds[size] = self._seconds.get(size, 0.0) + now - self._generation_began_s
        self._scored[size] = self._scored.get(size, 0.0) + size
        self._generation, self._share, self._generation_began_s = generation + 1, 0.0, now
        scores = [c.score for c in candidates if c.score is not None]
        self._best = min([*scores, *([] if self._best is None else [self._best])], default=None)
        self._move()
        if not self._console.is_terminal:
            failed = len(candidates) - len(scores)
            middle = f"median {median(scores):.2f}" if scores else "all failed"
            parts = [middle, *([f"{failed} failed"] if scores and failed else [])]
            self._console.print(self.status(generation, *parts), soft_wrap=True, highlight=False)

    def status(self, generation: int | None = None, *parts: str) -> str:
        """Say where the sweep stands, as in ``generation 3/24 | best 2.31 | ... | 03:12 left``."""
        if generation is None:
            generation = min(self._generation, self.generations - 1)
        now = self._clock()
        elapsed = now - self._began_s
        pace = (self._count_decisions() - self._first_count) / elapsed if elapsed > 0 else 0.0
        if self._generation >= self.generations:
            when = f"done in {_clock_face(elapsed)}"
        elif self._left_s is None:
            when = "--:-- left"
        else:
            when = f"{_clock_face(max(0.0, self._left_s - (now - self._left_at_s)))} left"
        best = "-" if self._best is None else f"{self._best:.2f}"
        shown = [f"generation {generation + 1}/{self.generations}", f"best {best}", *parts]
        return " | ".join([*shown, f"{pace:,.0f} decisions/s", when])

    def _begin(self) -> None:
        self._began_s = self._generation_began_s = self._clock()
        self._first_count = self._count_decisions()

    def _size(self, generation: int) -> int:
        return self._planned[min(generation, len(self._planned) - 1)]

    def _move(self) -> None:
        done = float(sum(self._planned[: self._generation]))
        if self._generation < self.generations:
            done += self._share * self._size(self._generation)
        self._left_s, self._left_at_s = self._seconds_left(), self._clock()
        self._bar.update(self._task, completed=done)

    def _seconds_left(self) -> float | None:
        """Price what is left at each generation size's own measured pace, None before any."""
        seconds, scored = dict(self._seconds), dict(self._scored)
        if self._share > 0:
            size = self._size(self._generation)
            running_s = self._clock() - self._generation_began_s
            seconds[size] = seconds.get(size, 0.0) + running_s
            scored[size] = scored.get(size, 0.0) + self._share * size
        if not scored:
            return None
        overall = sum(seconds.values()) / sum(scored.values())
        left = 0.0
        for generation in range(self._generation, self.generations):
            size = self._size(generation)
            pace = seconds[size] / scored[size] if size in scored else overall
            left += pace * size * (1.0 - self._share * (generation == self._generation))
        return left


class _StatusColumn(ProgressColumn):
    """The screen's status, so that the time left runs down between two reports."""

    def __init__(self, screen: ProgressScreen) -> None:
        super().__init__()
        self._screen = screen

    def render(self, task: Task) -> Text:
        return Text(self._screen.status(), no_wrap=True)


def _clock_face(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
