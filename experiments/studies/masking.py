"""Whether a market is better or worse where investors see different things.

No held-out window is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.personas.persona import Population
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.markets import World, play_market
from evobourse.experiments.config.experiment import ExperimentConfig, find_config, load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.intervals import show, write_interval
from evobourse.experiments.simulate.bundle import open_population
from evobourse.experiments.studies.robustness.standings import Standing, judge_variants
from evobourse.experiments.studies.robustness.variants import ORIGINAL, Variant
from evobourse.experiments.studies.run import Page, Study
from evobourse.fitness.behaviour.table import describe_behaviour

STUDY = Study(
    question="is a market better or worse where investors see different things?",
    minutes=2,
    page="docs/studies/masking.md",
)

RATES = (0.0, 0.2, 0.4, 0.6, 0.8)
MOMENTARY = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    populations
        Bundles' folders, configs (the populations that their sweeps begin with), or `hand-set`.
    config
        Whose windows they are scored on, and with how many agents.
    groups
        Of paths a score; as on the config's scoreboard by default.
    seeds
        Markets for the behaviour.
    agents, days
        Of each of those markets.
    """

    populations: tuple[str, ...] = ("quickstart", "hand-set")
    config: str = "quickstart"
    groups: int | None = None
    seeds: int = 8
    agents: int = 400
    days: int = 250


def run(settings: Settings, report: Report) -> Page:
    """Score and measure the populations at every mask rate."""
    config = load_config(find_config(settings.config))
    groups = settings.groups or config.selection.heldout_groups
    sections = []
    count = 1 + len(RATES) + len(MOMENTARY)
    with report.steps("mask rates", 3 * count * len(settings.populations)) as step:
        for place in settings.populations:
            opened = open_population(place)
            bundle, minds = opened.bundle, opened.minds
            world = World(bundle.offsets, bundle.rules, settings.agents, settings.days)
            variants = vary_masks(bundle.population, lambda minds=minds: minds)  # type: ignore[misc]
            standings = judge(config, bundle, variants, groups, step)
            behaviour = {}
            for variant in variants:
                behaviour[variant.name] = measure(bundle, variant, world, settings.seeds)
                step()
            sections.append(f"## Population {place}\n\n{table(standings, behaviour)}\n")
            tell(place, standings, report)
    page = PAGE.format(
        command=report.command,
        attention=bundle.population.society.attention,
        paths=groups * config.market.paths,
        groups=groups,
        seeds=settings.seeds,
        agents=settings.agents,
        days=settings.days,
        sections="\n".join(sections),
    )
    return Page(page)


def tell(cast: str, standings: dict[tuple[str, str], Standing], report: Report) -> None:
    """Tell a figure for each variant and split; its peer is the population as it was."""
    for (name, split), standing in standings.items():
        ratio = None if standing.against is None else float(np.exp(standing.against[0]))
        figure = f"J/J95, {cast} population, {name} masks, {split} windows"
        report.figure(figure, standing.row["score"], "1", "its own masks", ratio)


def vary_masks(population: Population, minds: Callable[[], Minds]) -> tuple[Variant, ...]:
    """List a population as it is, then with every mask rate, lasting ones and momentary ones."""

    def masked(lasting: float, momentary: float) -> Population:
        society = population.society.unmasked()
        mask = dict.fromkeys(society.mask, lasting)
        society = replace(society, mask=mask, momentary_mask=momentary)
        return replace(population, society=society)

    return (
        Variant(ORIGINAL, "its own masks", population, minds),
        *(Variant(f"lasting {x}", f"{x} for good", masked(x, 0.0), minds) for x in RATES),
        *(Variant(f"momentary {x}", f"{x} for a day", masked(0.0, x), minds) for x in MOMENTARY),
    )


def judge(
    config: ExperimentConfig,
    bundle: Bundle,
    variants: Sequence[Variant],
    groups: int,
    on_standing: Callable[[], None] = lambda: None,
) -> dict[tuple[str, str], Standing]:
    """Score variants on training and validation windows, by name and split."""
    found = {}
    for standing in judge_variants(config, bundle, variants, groups):
        found[standing.row["name"], standing.row["split"]] = standing
        on_standing()
    return found


def measure(bundle: Bundle, variant: Variant, world: World, seeds: int) -> NDArray[np.float64]:
    """Play markets from the bundle's history and measure them: float64[seeds, 3].

    Returns
    -------
    NDArray
        K* of the personas' mean tendencies and of single investors' tendencies, and how often a
        year's trades turn over all shares.
    """
    population = variant.population
    [choices] = tabulate_choices([population], variant.minds())
    names = [persona.name for persona in population.personas]
    rows = []
    for seed in range(1, seeds + 1):
        tape = play_market(world, (population, bundle.history, seed), choices, "full")
        found = describe_behaviour(tape, bundle.rules, names)
        rows.append([found.minds_by_day, found.investors_by_day, found.groups[-1].turnover])
    return np.array(rows)


def table(
    standings: dict[tuple[str, str], Standing], behaviour: dict[str, NDArray[np.float64]]
) -> str:
    """Return a row a variant: scores with intervals, against its own masks, K*, volume."""
    lines = [
        "| masks | J/J95, training | against its own | J/J95, validation | against its own "
        "| K*, personas | K*, investors | turnover a year |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, measured in behaviour.items():
        cells = [
            cell
            for split in ("train", "validation")
            for cell in _score_cells(standings[name, split])
        ]
        cells += [show(measured[:, k], digits) for k, digits in ((0, 2), (1, 0), (2, 1))]
        lines.append(f"| {'its own' if name == ORIGINAL else name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _score_cells(standing: Standing) -> list[str]:
    row, against = standing.row, standing.against
    score = f"{row['score']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"
    if against is None:
        return [score, ""]
    return [score, f"{write_interval(against, sign='+')}, {standing.verdict}"]


PAGE = """# Masking: is a market better or worse with asymmetry?

Written by `{command}`; do not edit.

Minds are real. A population of a config is the one that its sweep begins with, not bred at all;
`hand-set` has the same personas in a society that was set by hand (docs/studies/mechanisms.md); a
bundle's was bred with its own masks, so that any others put it out of place.

A *lasting* mask hides a field from an agent for good, a *momentary* one for a day; each field has
the rate of its row, the other kind is off. At all rates an agent attends to at most {attention} of
the fields that it could see, drawn once: even without masks agents see different things.

J/J95 (0: as close to the real market as that is to itself; 95 % bootstrap intervals over {groups}
groups, {paths} paths a split); *against its own*: mean log ratio to the same population with its
own masks, over 0 worse. K* is the effective number of independent minds, days as situations;
turnover is how often a year's trades turn over all shares. Both from {seeds} markets of {agents}
agents over {days} days, means with 95 % intervals.

{sections}"""
