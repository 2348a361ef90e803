"""Whether simulated days teach what real ones teach: forecasters trained on each, tested on others.

No held-out window is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.stand_ins import Minds
from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.reports.scores import describe
from evobourse.experiments.sweep.judging import Judge
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.fitness.predictive import PredictiveScore, Quantity, predictive_score

QUANTITIES: Mapping[Quantity, str] = {
    "magnitude": "size of the next day's return",
    "return": "next day's return",
}


LAWS = ("gbm", "garch_t", "bootstrap_train")
"""Laws without agents beside the population; calibrated ones cost minutes."""


@dataclass(frozen=True, eq=False)
class Taught:
    """What the simulated days of one market taught, a score a group of paths and quantity."""

    name: str
    scores: Mapping[Quantity, Sequence[PredictiveScore]]


def teach(config: ExperimentConfig, bundle: Bundle, minds: Minds, groups: int) -> Iterator[Taught]:
    """Train forecasters on a bundle's market and on `LAWS`, and test them on validation days.

    Simulated paths begin on training windows; laws are fitted on training days.
    """
    experiment = build_experiment(config).in_market_of(bundle)
    splits = experiment.splits
    train, test = map(experiment.split_returns, (splits.train, splits.validation))
    judge = Judge(experiment, splits.train, groups, "robust")

    def taught(name: str, returns: NDArray[np.float64]) -> Taught:
        each = returns.reshape(groups, -1, returns.shape[1])
        return Taught(
            name, {q: [predictive_score(g, train, test, q) for g in each] for q in QUANTITIES}
        )

    yield taught("evolved", judge.play(bundle.population, minds).log_returns)
    for name, law in judge.baselines().items():
        if name in LAWS:
            yield taught(name, law(judge.stream(name)).log_returns)


def teaching_table(rows: Sequence[Taught]) -> str:
    """Return a row a market: its forecaster's error over that of one taught by real days."""
    lines = [
        f"| taught by | {' | '.join(QUANTITIES.values())} |",
        f"|---|{'---:|' * len(QUANTITIES)}",
    ]
    for row in rows:
        ratios = [show([score.ratio for score in row.scores[q]], 3) for q in QUANTITIES]
        name = "the population" if row.name == "evolved" else describe(row.name)
        lines.append(f"| {name} | {' | '.join(ratios)} |")
    nothing = [f"{s.constant / s.real:.3f}" for s in (rows[0].scores[q][0] for q in QUANTITIES)]
    lines.append(f"| nothing: the training days' mean | {' | '.join(nothing)} |")
    return "\n".join(lines)
