"""Model time of a market against the number of its agents: distinct work decides.

The same sixteen minds are asked each time, of an engine that remembers nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.personas.persona import Population
from evobourse.evolve.evaluation import path_seeds
from evobourse.evolve.markets import play
from evobourse.experiments.benchmarks.minds.subject import Subject
from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.fitness.palette import COLOURS, MUTED

SIZES = (100, 1_000, 10_000, 100_000)


@dataclass(frozen=True)
class MarketTime:
    """What one market took.

    Attributes
    ----------
    agents, days
        Its size.
    model_seconds, market_seconds
        Time in the minds, and the rest.
    computed
        Questions that were computed.
    """

    agents: int
    days: int
    model_seconds: float
    market_seconds: float
    computed: int

    @property
    def decisions(self) -> int:
        """Decisions taken, one an agent and day."""
        return self.agents * self.days


class TimedMinds:
    """An engine, and the seconds spent in it."""

    def __init__(self, engine: MindEngine):
        self.engine = engine
        self.seconds = 0.0

    def ask(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> None:
        """Pass the question on."""
        began = time.perf_counter()
        self.engine.ask(mind, views)
        self.seconds += time.perf_counter() - began

    def answer(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> NDArray[np.float32]:
        """Pass the question on, and the answer back."""
        began = time.perf_counter()
        logits = self.engine.answer(mind, views)
        self.seconds += time.perf_counter() - began
        return logits


def time_market(
    subject: Subject, population: Population, agents: int, days: int, engine: MindEngine
) -> MarketTime:
    """Play one market on a real history and time its minds apart."""
    windows, split = subject.experiment.windows, subject.experiment.splits.train
    [seed] = path_seeds(np.random.SeedSequence(0), 1)
    minds, computed = TimedMinds(engine), engine.counters.computed
    world = replace(windows.world, n_agents=agents, days=days)
    began = time.perf_counter()
    play(world, [(population, windows.history(split, seed), seed)], minds)
    rest = time.perf_counter() - began - minds.seconds
    return MarketTime(agents, days, minds.seconds, rest, engine.counters.computed - computed)


def plot_distinct_work(
    times: Sequence[MarketTime], peer_decisions_per_second: float, ax: Axes | None = None
) -> Axes:
    """Draw model time over the number of agents, beside the peers' way.

    Parameters
    ----------
    times
        One market each, of the same days.
    peer_decisions_per_second
        What the peers' way was measured at; every decision is computed there.
    ax
        Where to draw; a new figure by default.
    """
    ax = new_figure(6.4, 4.0).subplots() if ax is None else ax
    agents = np.array([t.agents for t in times])
    days = times[0].days
    lines = [
        (
            "one full prompt per agent (scaled)",
            agents * days / peer_decisions_per_second,
            COLOURS[1],
            "s:",
        ),
        ("the market itself", np.array([t.market_seconds for t in times]), MUTED, "^--"),
        ("this engine's minds", np.array([t.model_seconds for t in times]), COLOURS[0], "o-"),
    ]
    for label, seconds, colour, style in lines:
        ax.loglog(agents, seconds, style, color=colour, label=label)
    ax.set(
        xlabel="agents in the market",
        ylabel="seconds",
        title=f"{days} days, {times[0].computed:,} distinct questions of 16 minds",
    )
    ax.legend(frameon=False, loc="upper left")
    plain_axes(ax, grid="both")
    return ax
