"""Whether more distinct minds make a better market: score and behaviours over their number.

No held-out window is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds, TeacherMinds
from evobourse.evolve.markets import play_market
from evobourse.experiments.config.experiment import find_config, load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.simulate.bundle import OpenPopulation, open_population
from evobourse.experiments.simulate.mixtures import draw_mixtures
from evobourse.experiments.studies.run import Page, Study
from evobourse.experiments.sweep.judging import Judge
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.fitness.behaviour.herding import effective_minds
from evobourse.fitness.behaviour.table import describe_behaviour
from evobourse.fitness.palette import COLOURS

STUDY = Study(
    question="do more distinct minds make a better market, and how many behaviours are distinct?",
    minutes=3,
    page="docs/studies/scale_effect.md",
)

OPTIONS = np.arange(-2.0, 3.0)
MEASURES = {
    "score": "log of J/J95, training",
    "behaviours": "distinct behaviours, K*",
    "by_day": "K* of minds in the market",
    "investors": "K* of investors",
    "volatility": "volatility a day, %",
}


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    population
        A bundle's folder, a config (the population that its sweep begins with), or `hand-set`.
    config
        Whose windows markets are scored on, and with how many agents.
    minds
        Numbers of distinct minds.
    draws
        Sequences of minds, each independent of the others.
    groups
        Of paths, one score each.
    """

    population: str = "hand-set"
    config: str = "quickstart"
    minds: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    draws: int = 3
    groups: int = 4


def run(settings: Settings, report: Report) -> Page:
    """Play markets of more and more minds, with the models' minds and with the teachers."""
    opened = open_population(settings.population)
    styles = [path.name for path in opened.bundle.adapters]
    who: dict[str, Minds] = {"the model's minds": opened.minds}
    who["teachers"] = TeacherMinds(tuple(styles))
    judge = open_judge(settings.config, opened, settings.groups)
    found: dict[str, NDArray[np.float64]] = {}
    with report.steps("markets", len(who) * settings.draws * len(settings.minds)) as step:
        for name, minds in who.items():
            draws = [
                measure_draw(opened, minds, judge, settings.minds, draw, step)
                for draw in range(1, settings.draws + 1)
            ]
            found[name] = np.array(draws)
    for name, values in found.items():
        for column, measure in enumerate(MEASURES.values()):
            ends = values[:, [0, -1], column].mean(axis=0)
            figure = f"{measure}, {max(settings.minds)} of {name}"
            peer = f"{min(settings.minds)} of them"
            report.figure(figure, ends[1], "1", peer, ends[1] / ends[0] if ends[0] else None)
    page = PAGE.format(
        command=report.command,
        population=settings.population,
        draws=settings.draws,
        groups=settings.groups,
        paths=judge.target.paths,
        agents=judge.experiment.windows.world.n_agents,
        days=judge.experiment.windows.world.days,
        sections="\n\n".join(
            f"## Who answers: {name}\n\n{table(settings.minds, values)}"
            for name, values in found.items()
        ),
        picture="scale_effect.png",
    )
    return Page(page, {"scale_effect.png": draw_scale(settings.minds, found)})


def open_judge(config: str, opened: OpenPopulation, groups: int) -> Judge:
    """Return what scores markets on a config's training windows, by a population's rules."""
    experiment = build_experiment(load_config(find_config(config))).in_market_of(opened.bundle)
    return Judge(experiment, experiment.splits.train, groups, "robust")


def measure_draw(
    opened: OpenPopulation,
    minds: Minds,
    judge: Judge,
    counts: Sequence[int],
    draw: int,
    on_market: Callable[[], None] = lambda: None,
) -> NDArray[np.float64]:
    """Measure a sequence of minds at each length: float64[counts, `MEASURES`]."""
    rows = []
    world = judge.experiment.windows.world
    for count in counts:
        population = draw_mixtures(opened.bundle, count, draw)
        [choices] = tabulate_choices([population], minds)
        paths = judge.play(population, minds)
        tape = play_market(world, (population, opened.bundle.history, draw), choices, "full")
        names = [persona.name for persona in population.personas]
        behaviour = describe_behaviour(tape, opened.bundle.rules, names)
        rows.append(
            [
                float(np.log(judge.score(paths).ratio)),
                effective_minds(mean_tendencies(choices)),
                behaviour.minds_by_day,
                behaviour.investors_by_day,
                100 * paths.log_returns.std(),
            ]
        )
        on_market()
    return np.array(rows)


def mean_tendencies(choices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return expected tendencies float64[P, V] of cumulated choices, less each mind's own mean."""
    chances = np.diff(choices, axis=2, prepend=0.0)
    mean = chances @ OPTIONS
    return np.asarray(mean - mean.mean(axis=1, keepdims=True))


def table(counts: Sequence[int], values: NDArray[np.float64]) -> str:
    """Return a row a number of minds, of values float64[draws, counts, `MEASURES`]."""
    lines = [f"| minds | {' | '.join(MEASURES.values())} |", "|---" * (len(MEASURES) + 1) + "|"]
    for row, count in enumerate(counts):
        cells = [show(values[:, row, k]) for k in range(len(MEASURES))]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_scale(counts: Sequence[int], found: dict[str, NDArray[np.float64]]) -> Figure:
    """Draw score and distinct behaviours over the number of minds, a line a draw."""
    figure = new_figure(9, 3.8)
    score, distinct = figure.subplots(1, 2)
    for (name, values), colour in zip(found.items(), COLOURS, strict=False):
        for axes, column in ((score, 0), (distinct, 1)):
            axes.plot(counts, values[:, :, column].T, color=colour, lw=0.8, alpha=0.5)
            axes.plot(counts, values[:, :, column].mean(axis=0), "o-", color=colour, label=name)
    score.set(xscale="log", xlabel="distinct minds", ylabel="log of J/J95, training windows")
    distinct.set(xscale="log", xlabel="distinct minds", ylabel="distinct behaviours, K*")
    score.legend(frameon=False, fontsize="small")
    plain_axes(score, distinct)
    return figure


PAGE = """# Scale effect: do more minds make a better market?

Written by `{command}`; do not edit.

Minds are mixtures of all styles of `{population}`, spread evenly over the simplex by a scrambled
Halton sequence, each with as many of the {agents} agents; society, masks and rules are the
population's own, not bred for these minds, whatever their number. {draws} sequences; a longer one
begins with the
shorter. Means with 95 % intervals over sequences (Student's t).

- *J/J95* is against real training windows of {days} days, {groups} groups of {paths} paths; lower
  is better.
- *Distinct behaviours* are the effective number (K*) of the minds' expected tendencies over all
  that they can see.
- *K\\* of minds in the market* takes the days of one market for the situations; *of investors*
  counts dice as independence.

{sections}

![score and distinct behaviours over the number of minds]({picture})
"""
