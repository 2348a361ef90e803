"""A sweep's progress in 80 columns: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import median
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from evobourse.evolve.lineage import Candidate
from evobourse.evolve.searches.search import Optimizer, generation_name
from evobourse.evolve.watching import Phase

if TYPE_CHECKING:
    from evobourse.evolve.evaluation import MarketEvaluator
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.experiments.config.experiment import ExperimentConfig
    from evobourse.experiments.sweep.cost import SweepPlan
    from evobourse.experiments.sweep.pace import Work
    from evobourse.experiments.sweep.pipeline import Outcome

SEARCHING: tuple[Phase, ...] = ("merge", "ask", "trade")
PRICED: tuple[Phase, ...] = (*SEARCHING, "choose", "judge")
_DOING: dict[Phase, str] = {"open": "opening the models", "write": "writing report and bundle"}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TRUSTED_S = 2.0
"""Seconds of a phase after which what was measured weighs more than what was planned."""


_TIMED_DECISIONS = 10_000_000
"""Of fewer, what starts the workers and compiles is most of the time."""


def watch_sweep(config: ExperimentConfig, run_folder: RunFolder, console: Console) -> Outcome:
    """Run or resume a sweep with its progress on a console, see `run_sweep`."""
    with ProgressScreen(console, generations=config.search.generations) as screen:
        from evobourse.experiments.planner.rates import Rates, find_rates, remember_rates
        from evobourse.experiments.sweep.cost import plan_config
        from evobourse.experiments.sweep.pipeline import run_sweep

        rates = find_rates(config)
        screen.plan = plan_config(config, rates)

        def attach(search: Optimizer, evaluator: MarketEvaluator) -> ProgressScreen:
            screen.count_decisions = lambda: evaluator.decisions
            return screen

        outcome = run_sweep(config, run_folder, attach, screen.say, screen.begin)
        remember_rates(config, Rates(**{**asdict(rates), **screen.measured(config)}))
        return outcome


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
        line = f"{generation_name(generation)} | trial {done}/{total}"
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

    Two lines on a terminal: what is being done now and how far it is, and how long each phase has
    left in all. Elsewhere a line a generation. Time left is the plan's, corrected for each phase by
    how long the part that is done has taken.

    Parameters
    ----------
    console : Console
        Where to write.
    plan : SweepPlan, optional
        What the sweep will do and how long that takes; can be set later.
    generations : int
        Planned, in all; the plan's, if there is one.
    clock : callable
        Returns seconds, never running backwards.
    """

    def __init__(
        self,
        console: Console,
        plan: SweepPlan | None = None,
        generations: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan = plan
        self.count_decisions: Callable[[], int] = lambda: 0
        self._generations = generations
        self._console, self._clock = console, clock
        self._spent = dict.fromkeys(PRICED, 0.0) | {"open": 0.0}  # seconds, by phase
        self._paid = dict.fromkeys(PRICED, 0.0)  # seconds that the plan gave what is done
        self._counted = {"merge": 0, "ask": 0}  # merges, new answers
        self._in_generation = dict.fromkeys(SEARCHING, 0)
        self._generation = self._first = 0
        self._best: float | None = None
        self._phase: Phase = "open"
        self._total = 1
        self._done: Callable[[], int] = _nothing
        self._began_s = self._phase_began_s = clock()
        self._live = Live(
            console=console, get_renderable=self._render, refresh_per_second=8, transient=True
        )

    def __enter__(self) -> ProgressScreen:
        """Start the clock and, on a terminal, the live lines."""
        self._began_s = self._phase_began_s = self._clock()
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the live lines away."""
        self._live.stop()

    def say(self, line: str) -> None:
        """Print a line of news."""
        self._console.print(line, highlight=False, soft_wrap=True)

    def begin(self, phase: Phase, total: int, done: Callable[[], int]) -> None:
        """Hear that a phase begins, or goes on; see `evolve.watching.Begin`."""
        self._close_phase()
        self._phase, self._total, self._done = phase, total, done

    def on_progress(self, generation: int, done: int, total: int, best: float | None) -> None:
        """Hear which generation is under way."""
        if generation != self._generation:
            if not any(self._paid.values()):
                self._first = generation  # of a sweep that is resumed
            self._generation = generation
            self._in_generation = dict.fromkeys(SEARCHING, 0)
        if best is not None:
            self._best = best

    def on_generation(
        self, generation: int, candidates: Sequence[Candidate], search: Optimizer
    ) -> None:
        """Close a generation; without a terminal, print its line."""
        self._close_phase()
        for phase in SEARCHING:
            self._paid[phase] += self._planned(generation, phase)
        self._generation = generation + 1
        self._in_generation = dict.fromkeys(SEARCHING, 0)
        scores = [c.score for c in candidates if c.score is not None]
        self._best = min([*scores, *([] if self._best is None else [self._best])], default=None)
        if not self._console.is_terminal:
            failed = len(candidates) - len(scores)
            middle = f"median {median(scores):.2f}" if scores else "all failed"
            parts = [middle, *([f"{failed} failed"] if scores and failed else [])]
            self.say(self.status(generation, *parts))

    def status(self, generation: int, *parts: str) -> str:
        """Say where the sweep stands, as in ``g002 (3 of 24) | best 2.31 | ... | 3:12 left``."""
        elapsed = self._clock() - self._began_s
        pace = self.count_decisions() / elapsed if elapsed > 0 else 0.0
        best = "-" if self._best is None else f"{self._best:.2f}"
        shown = [self._name(generation), f"best {best}", *parts, f"{pace:,.0f} decisions/s"]
        left = f"{short_time(self.seconds_left())} left" if self.plan else "no end in sight"
        return " | ".join([*shown, left])

    def seconds_left(self) -> float:
        """Predict the seconds until the sweep has ended."""
        return sum(self.left().values()) + self._load_left()

    def left(self) -> dict[Phase, float]:
        """Predict the seconds of each phase that are left, all generations together."""
        running = self._clock() - self._phase_began_s
        found: dict[Phase, float] = {}
        for phase in PRICED:
            spent, paid = self._spent[phase], self._paid[phase] + self._paid_now(phase)
            if phase == self._phase:  # before its first step is done, it is taken to be on time
                spent += running if self._done() else min(running, self._paid_now(phase))
            # what was measured corrects the plan, the more of it the better
            factor = (spent + _TRUSTED_S) / (paid + _TRUSTED_S) if paid else 1.0
            found[phase] = factor * max(self._whole(phase) - paid, 0.0)
        if self._phase in ("choose", "judge"):
            found[self._phase] = self._phase_left(running)
        return found

    def measured(self, config: ExperimentConfig) -> dict[str, float]:
        """Return what was measured: fields of `experiments.planner.rates.Rates`."""
        self._close_phase()
        decisions, plan = self.count_decisions(), self.plan
        found = {"load_s": self._spent["open"]} if self._spent["open"] else {}
        if self._counted["ask"] >= 500 and self._spent["ask"]:
            found["answer_s"] = self._spent["ask"] / self._counted["ask"]
        if self._counted["merge"] and self._spent["merge"]:
            found["merge_s"] = self._spent["merge"] / self._counted["merge"]
        if decisions >= _TIMED_DECISIONS:
            found["decision_s"] = self._spent["trade"] / decisions
            found["lesson_decision_s"] = 2 * found["decision_s"]
        if plan and "decision_s" in found and self._spent["judge"]:
            market = config.market
            traded = plan.judging.markets * market.agents * market.days * found["decision_s"]
            fits = max(self._spent["judge"] - traded, 0.1 * self._spent["judge"])
            found["baseline_day_s"] = fits / (market.paths * market.days)
        return found

    def _close_phase(self) -> None:
        """Book the time and the work of the phase that was on."""
        now, phase = self._clock(), self._phase
        if phase in self._spent:
            self._spent[phase] += now - self._phase_began_s
        self._phase_began_s = now
        if phase == "merge":
            self._counted["merge"] += 1
        elif phase == "ask":
            self._counted["ask"] += self._done()
        if phase in ("merge", "ask"):
            self._in_generation[phase] += 1
        elif phase == "trade":
            self._in_generation[phase] = self._done()
        elif phase in ("choose", "judge"):
            self._paid[phase] = self._whole(phase)
        self._done = _nothing

    def _whole(self, phase: Phase) -> float:
        """Return the seconds that the plan gives a phase in all."""
        if self.plan is None:
            return 0.0
        if phase in SEARCHING:
            ahead = range(self._first, len(self.plan.searching))
            return sum(self._planned(g, phase) for g in ahead)
        work = self.plan.choosing if phase == "choose" else self.plan.judging
        return self.plan.pace.seconds(work)

    def _planned(self, generation: int, phase: Phase) -> float:
        """Return the seconds that the plan gives a phase of a generation."""
        if self.plan is None or generation >= len(self.plan.searching):
            return 0.0
        pace, work = self.plan.pace, _work(self.plan, generation)
        if phase == "merge":
            return work.casts * pace.merge_s
        if phase == "ask":
            return (work.casts + work.probes) * pace.ask_s
        return pace.trade_s(work)

    def _paid_now(self, phase: Phase) -> float:
        """Return the planned seconds of what is done of the phase or generation that is on."""
        on = phase == self._phase
        part = self._part() if on else 0.0
        if phase not in SEARCHING:
            return part * self._whole(phase) if self._paid[phase] == 0 else 0.0
        if self.plan is None or self._generation >= len(self.plan.searching):
            return 0.0
        work = _work(self.plan, self._generation)
        planned = self._planned(self._generation, phase)
        if phase == "trade":
            done = part * self._total if on else self._in_generation["trade"]
            return planned * min(done / max(work.markets, 1), 1.0)
        return planned * min((self._in_generation[phase] + part) / max(work.casts, 1), 1.0)

    def _part(self) -> float:
        """Return how much of the phase is done; before its first step, as much as was planned."""
        if done := self._done():
            return min(done / max(self._total, 1), 1.0)
        planned = self._step_s()
        return min((self._clock() - self._phase_began_s) / planned, 0.9) if planned else 0.0

    def _step_s(self) -> float:
        """Return the seconds that the plan gives the phase that is on: of a search, this once."""
        if self.plan is None or self._phase not in PRICED:
            return 0.0
        if self._phase not in SEARCHING:
            return self._whole(self._phase)
        pace = self.plan.pace
        if self._phase == "trade":
            return self._total * pace.market_s
        return pace.merge_s if self._phase == "merge" else pace.ask_s

    def _load_left(self) -> float:
        if self.plan is None or self._phase != "open" or self._spent["open"]:
            return 0.0
        return max(self.plan.pace.load_s - (self._clock() - self._phase_began_s), 0.0)

    def _name(self, generation: int) -> str:
        of = len(self.plan.searching) - 1 if self.plan else self._generations
        return f"{generation_name(generation)} ({min(generation + 1, of)} of {of})"

    def _render(self) -> Group:
        """Draw both lines; nothing but the bar gives way where there is little room."""
        now, done = self._clock(), min(self._done(), self._total)
        phase, left = self._phase, self.left()
        spin = _SPINNER[int(8 * now) % len(_SPINNER)]
        running = now - self._phase_began_s
        if phase in _DOING:
            what, when = _DOING[phase], f"{short_time(running)} so far"
        else:
            counted = self._total > 1
            what = f"{phase} {done:,} / {self._total:,}" if counted else phase
            if phase in SEARCHING:
                what = f"{self._name(self._generation)}  {what}"
            when = f"{short_time(self._phase_left(running))} left"
        best = "" if self._best is None else f"  best {self._best:.2f}"
        width = self._console.width
        room = max(min(width - len(what) - len(when) - len(best) - 6, 30), 0)
        room = room if self._total > 1 else 0
        full = round(room * done / self._total) if self._total else 0
        bar = (("━" * full, "cyan"), ("━" * (room - full), "dim"))
        first = Text.assemble((f"{spin} ", "cyan"), what, "  ", *bar, "  ", when, (best, "bold"))
        if self.plan is None:
            return Group(first)
        parts = [f"{name} {short_time(left[name])}" for name in PRICED if left[name] > 0]
        parts.append(f"all {short_time(self.seconds_left())}")
        while len(line := f"  left: {'  '.join(parts)}") > width and len(parts) > 1:
            parts.pop(0)  # whole or not at all
        second = Text(line, "dim")
        first.no_wrap = second.no_wrap = True
        return Group(first, second)

    def _phase_left(self, running: float) -> float:
        """Predict the seconds until the phase that is on ends: of a search, this once.

        The plan's, and the more is done, the more what that has taken.
        """
        part = self._part() if self._done() else 0.0
        planned = max(self._step_s() - running, 0.0)
        return part * (running / part - running) + (1 - part) * planned if part else planned


def _nothing() -> int:
    return 0


def _work(plan: SweepPlan, generation: int) -> Work:
    """Return the work of a generation, its lesson's included."""
    return sum(plan.teaching[generation : generation + 1], plan.searching[generation])


def short_time(seconds: float) -> str:
    """Write a duration in few characters: ``0:42``, ``12:05``, ``1h18``, ``2d03h``."""
    whole = max(round(seconds), 0)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    hours, rest = divmod(whole, 3600)
    return f"{hours}h{rest // 60:02d}" if hours < 24 else f"{hours // 24}d{hours % 24:02d}h"
