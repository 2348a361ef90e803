"""Whether more distinct minds make a better market: score and behaviours over their number.

No held-out window is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evobourse.agents.minds.stand_ins import Minds, TeacherMinds
from evobourse.evolve.genomes.cloud import Cloud
from evobourse.experiments.config.experiment import find_config, load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.experiments.simulate.bundle import OpenPopulation, open_population
from evobourse.experiments.simulate.mixtures import draw_mixtures
from evobourse.experiments.studies.run import Page, Study
from evobourse.experiments.studies.scale_effect.bred import MEASURES as BRED_MEASURES
from evobourse.experiments.studies.scale_effect.bred import Bred, breed_clouds, tell_bred
from evobourse.experiments.studies.scale_effect.measures import (
    CROWD,
    TRAINING,
    measure_crowd,
    write_table,
)
from evobourse.experiments.sweep.arms import Arm, without_merge
from evobourse.experiments.sweep.judging import Judge
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.fitness.palette import COLOURS

STUDY = Study(
    question="do more distinct minds make a better market, and how many behaviours are distinct?",
    minutes=3,
    page="docs/studies/scale_effect.md",
)

MEASURES = (TRAINING, *CROWD)
SLOW, FAST = 3, 6
"""Clouds tried in every second generation of a sweep, and societies tried with each."""


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
    bred
        Numbers of minds of the clouds that are evolved; empty for none.
    rank
        Of these clouds.
    who
        What answers for them: the rules of the style ``teachers``, or the config's ``models``.
    seeds, generations
        Sweeps of each size, and the length of each.
    folder
        Of the runs; one that is there with the same config is gone on with.
    """

    population: str = "hand-set"
    config: str = "quickstart"
    minds: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    draws: int = 3
    groups: int = 4
    bred: tuple[int, ...] = (1, 8, 64, 512)
    rank: int = 3
    who: Literal["teachers", "models"] = "teachers"
    seeds: int = 3
    generations: int = 6
    folder: Path = Path("runs/studies/scale_effect")


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
        for column, measure in enumerate(MEASURES):
            ends = values[:, [0, -1], column].mean(axis=0)
            figure = f"{measure}, {max(settings.minds)} of {name}"
            peer = f"{min(settings.minds)} of them"
            report.figure(figure, ends[1], "1", peer, ends[1] / ends[0] if ends[0] else None)
    clouds = breed(settings, report) if settings.bred else None
    page = PAGE.format(
        command=report.command,
        population=settings.population,
        draws=settings.draws,
        groups=settings.groups,
        paths=judge.target.paths,
        agents=judge.experiment.windows.world.n_agents,
        days=judge.experiment.windows.world.days,
        sections="\n\n".join(
            f"## Not bred, who answers: {name}\n\n{write_table(settings.minds, values, MEASURES)}"
            for name, values in found.items()
        ),
        bred=tell_clouds(settings, clouds) if clouds else "",
        picture="scale_effect.png",
    )
    return Page(page, {"scale_effect.png": draw_scale(settings, found, clouds)})


def breed(settings: Settings, report: Report) -> Bred:
    """Evolve clouds of each size."""
    config = load_config(find_config(settings.config))
    cross = replace(config.search.cross, slow_count=SLOW, slow_every=2, fast_count=FAST)
    search = replace(config.search, generations=settings.generations, cross=cross)
    selection = replace(config.selection, champions=4, validation_groups=settings.groups)
    config = replace(config, search=search, selection=selection)
    arm = Arm("a cloud on the unmerged base", without_merge, settings.who)
    cloud, sizes = Cloud(max(settings.bred), settings.rank), settings.bred
    steps = settings.seeds * len(sizes) * settings.generations
    with report.steps("generations", steps) as step:
        found = breed_clouds(
            config, cloud, sizes, settings.seeds, arm, settings.groups, settings.folder, step
        )
    for row, size in enumerate(sizes):
        for column, measure in enumerate(BRED_MEASURES):
            report.figure(f"{measure}, cloud of {size}", found.values[:, row, column].mean(), "1")
    return found


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
    for count in counts:
        population = draw_mixtures(opened.bundle, count, draw)
        rows.append(measure_crowd(judge, population, minds, opened.bundle.history, draw))
        on_market()
    return np.array(rows)


def tell_clouds(settings: Settings, clouds: Bred) -> str:
    """Write the chapter of the clouds."""
    return BRED.format(
        who={"teachers": "the style teachers' rules", "models": "the model's minds"}[settings.who],
        seeds=settings.seeds,
        rank=settings.rank,
        genes=clouds.genes,
        candidates=clouds.candidates,
        generations=settings.generations,
        groups=settings.groups,
        table=tell_bred(settings.bred, clouds),
    )


def draw_scale(
    settings: Settings, found: dict[str, NDArray[np.float64]], clouds: Bred | None
) -> Figure:
    """Draw score and distinct behaviours over the number of minds, a line a draw or seed."""
    lines = [(f"{name}, not bred", settings.minds, v[:, :, :2]) for name, v in found.items()]
    if clouds is not None:
        lines.append((f"{settings.who}, bred", settings.bred, clouds.values[:, :, [0, 2]]))
    figure = new_figure(9, 3.8)
    score, distinct = figure.subplots(1, 2)
    for (name, counts, values), colour in zip(lines, COLOURS, strict=False):
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

Minds that are not bred are mixtures of all styles of `{population}`, spread evenly over the
simplex by a scrambled Halton sequence, each with as many of the {agents} agents; society, masks and
rules are the population's own, not bred for these minds, whatever their number. {draws} sequences;
a longer one begins with the shorter. Means with 95 % intervals over sequences (Student's t).

- *J/J95* is against real training windows of {days} days, {groups} groups of {paths} paths; lower
  is better.
- *Distinct behaviours* are the effective number (K*) of the minds' expected tendencies over all
  that they can see.
- *K\\* of minds in the market* takes the days of one market for the situations; *of investors*
  counts dice as independence.

{sections}
{bred}
![score and distinct behaviours over the number of minds]({picture})
"""

BRED = """
## Bred clouds, who answers: {who}

For each number of minds {seeds} sweeps of {generations} generations and {candidates} candidates,
from the same start, over the same {genes} genes: a cloud's mean and {rank} spreads of mixtures,
temperatures and traits, masks and the society. The base is not merged. A champion is scored on
{groups} fresh groups of paths from training windows, and as many from validation windows, on which
it was chosen among four. Means with 95 % intervals over sweep seeds (Student's t).

Where minds are more than agents, not all of them are anybody's at a time.

{table}
"""
