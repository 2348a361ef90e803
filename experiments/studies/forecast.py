"""Whether simulated days teach what real ones teach: forecasters trained on each, tested on others.

No held-out window is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.stand_ins import Minds
from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.experiment import ExperimentConfig, load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.reports.scores import describe
from evobourse.experiments.simulate.bundle import open_bundle
from evobourse.experiments.studies.run import Page, Study
from evobourse.experiments.sweep.judging import Judge
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.fitness.predictive import PredictiveScore, Quantity, predictive_score

STUDY = Study(
    question="of what use on real days is a forecaster that learnt on simulated ones?",
    minutes=3,
    page="runs/studies/predictive.md",
)

QUANTITIES: Mapping[Quantity, str] = {
    "magnitude": "size of the next day's return",
    "return": "next day's return",
}


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    run
        Folder of a finished run.
    groups
        Of ``market.paths`` simulated paths, a forecaster each.
    """

    run: Path = Path("runs/quickstart")
    groups: int = 8


@dataclass(frozen=True, eq=False)
class Taught:
    """What the simulated days of one market taught, a score a group of paths and quantity."""

    name: str
    scores: Mapping[Quantity, Sequence[PredictiveScore]]


def run(settings: Settings, report: Report) -> Page:
    """Let the market of a run's population and every law teach a forecaster."""
    bundle, bases = open_bundle(settings.run / "bundle")
    config = load_config(settings.run / "config.yaml")
    rows = []
    for row in teach(config, bundle, bases.serve(bundle.recipe), settings.groups):
        rows.append(row)
        for quantity, scores in row.scores.items():
            ratio = float(np.mean([score.ratio for score in scores]))
            name = f"error of the {QUANTITIES[quantity]}, taught by {row.name}"
            report.figure(name, ratio, "1", "taught by real training days", ratio)
    return Page(write_page(rows, settings, report.command))


def teach(config: ExperimentConfig, bundle: Bundle, minds: Minds, groups: int) -> Iterator[Taught]:
    """Train forecasters on a bundle's market and on every law, and test them on validation days.

    Simulated paths begin on training windows; laws are fitted on training days.
    """
    experiment = build_experiment(config)
    world = replace(experiment.windows.world, offsets=bundle.offsets, rules=bundle.rules)
    experiment = replace(experiment, windows=replace(experiment.windows, world=world))
    splits = experiment.splits
    train, test = map(experiment.split_returns, (splits.train, splits.validation))
    judge = Judge(experiment, splits.train, groups, "robust")

    def taught(name: str, returns: NDArray[np.float64]) -> Taught:
        each = returns.reshape(groups, -1, returns.shape[1])
        return Taught(
            name, {q: [predictive_score(g, train, test, q) for g in each] for q in QUANTITIES}
        )

    yield taught("evolved", judge.play(bundle.population, minds))
    for name, law in judge.baselines():
        if name != "bootstrap_target":  # the training days once more
            yield taught(name, law(judge.stream(name)))


def write_page(rows: Sequence[Taught], settings: Settings, command: str) -> str:
    """Write the page in Markdown."""
    lines = [
        "# What simulated days teach",
        "",
        f"A forecaster learns from simulated days and is tested on real ones that it never saw "
        f"(after TRADES, arXiv 2502.07071): the validation days of `{settings.run.name}`.",
        "Figures are its mean absolute error over that of the same forecaster, taught by the real "
        "training days.",
        "1 is as good a teacher as the market itself.",
        f"Means over {settings.groups} groups of paths, with 95 % intervals.",
        f"Written by `{command}`; do not edit.",
        "",
        " | ".join(["| taught by", *QUANTITIES.values()]) + " |",
        f"|---|{'---:|' * len(QUANTITIES)}",
    ]
    for row in rows:
        ratios = [show([score.ratio for score in row.scores[q]], 3) for q in QUANTITIES]
        lines.append(" | ".join([f"| {describe(row.name)}", *ratios]) + " |")
    nothing = [f"{s.constant / s.real:.3f}" for s in (rows[0].scores[q][0] for q in QUANTITIES)]
    lines.append(" | ".join(["| nothing: the training days' mean", *nothing]) + " |")
    return "\n".join([*lines, ""])
