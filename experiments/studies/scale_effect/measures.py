"""How good a population's market is, and how many of its minds are distinct."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.personas.persona import Population
from evobourse.evolve.markets import play_market
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.sweep.judging import Judge
from evobourse.fitness.behaviour.herding import effective_minds
from evobourse.fitness.behaviour.table import describe_behaviour

OPTIONS = np.arange(-2.0, 3.0)
TRAINING = "log of J/J95, training"
CROWD = (
    "distinct behaviours, K*",
    "K* of minds in the market",
    "K* of investors",
    "volatility a day, %",
)


def measure_crowd(
    judge: Judge,
    population: Population,
    minds: Minds,
    history: NDArray[np.int64],
    seed: int,
) -> list[float]:
    """Score a population, log of J/J95, and measure it as `CROWD` says.

    Parameters
    ----------
    judge
        Its windows.
    history, seed
        Of one more market, in which behaviours are told apart by day.
    """
    world = judge.experiment.windows.world
    [choices] = tabulate_choices([population], minds)
    paths = judge.play_table(population, choices)
    tape = play_market(world, (population, history, seed), choices, "full")
    names = [persona.name for persona in population.personas]
    behaviour = describe_behaviour(tape, world.rules, names)
    mean = mean_tendencies(choices)
    return [
        float(np.log(judge.score(paths).ratio)),
        effective_minds(mean) if mean.any() else float("nan"),
        behaviour.minds_by_day,
        behaviour.investors_by_day,
        100 * paths.log_returns.std(),
    ]


def mean_tendencies(choices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return expected tendencies float64[P, V] of cumulated choices, less each mind's own mean."""
    chances = np.diff(choices, axis=2, prepend=0.0)
    mean = chances @ OPTIONS
    return np.asarray(mean - mean.mean(axis=1, keepdims=True))


def write_table(counts: Sequence[int], values: NDArray[np.float64], measures: Iterable[str]) -> str:
    """Return a row a number of minds, of values float64[draws, counts, measures]."""
    named = list(measures)
    lines = [f"| minds | {' | '.join(named)} |", "|---" * (len(named) + 1) + "|"]
    for row, count in enumerate(counts):
        cells = [show(values[:, row, k]) for k in range(len(named))]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return "\n".join(lines)
