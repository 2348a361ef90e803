"""How the personas of a bundle behave: its markets played in full and measured, over seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.evolve.markets import World, play_market
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.sections import MOST_SHOWN
from evobourse.experiments.simulate.bundle import open_bundle
from evobourse.experiments.studies.run import Page, Study, as_block
from evobourse.fitness.behaviour.herding import effective_minds
from evobourse.fitness.behaviour.table import (
    CrowdBehaviour,
    GroupBehaviour,
    describe_behaviour,
)

STUDY = Study(
    question="how do a bundle's personas behave: disposition, turnover, herding, profit?",
    minutes=3,
    page="runs/studies/behaviour.md",
)

TENDENCIES = np.arange(-2.0, 3.0)
POLICY_DIGITS = 12
"""Mean tendencies beyond these digits are rounding, not policy."""

MEASURES = tuple(field.name for field in fields(GroupBehaviour) if field.name != "name")
OF_CROWD = tuple(field.name for field in fields(CrowdBehaviour) if field.name != "groups")
SHOWN = {
    "investors": ("agents", "{:.0f}"),
    "disposition": ("dispos.", "{:+.2f}±{:.2f}"),
    "turnover": ("turn", "{:.1f}"),
    "excess": ("excess", "{:+.1%}±{:.1%}"),
    "max_drawdown": ("fall", "{:.1%}"),
    "sortino": ("Sortino", "{:+.2f}"),
    "conformity": ("conform.", "{:+.2f}±{:.2f}"),
}
"""Measure of a group to its column: the heading and how mean and standard error are written."""


@dataclass(frozen=True)
class Estimate:
    """Mean over the seeds with a number, its standard error (NaN for one), and how many had one."""

    mean: float
    error: float
    seeds: int


@dataclass(frozen=True)
class BehaviourReport:
    """Behaviour over seeds.

    Attributes
    ----------
    groups
        Persona name to measure to estimate; the last is ``everyone``.
    crowd
        Measure of the whole crowd to estimate.
    policy_minds
        Effective number of minds among the personas' mean tendencies in all situations that they
        can meet: of what they think, without the days that they happened to see. NaN if none
        ever leans.
    personas
        Number of personas, the most that `policy_minds` can be.
    """

    groups: dict[str, dict[str, Estimate]]
    crowd: dict[str, Estimate]
    policy_minds: float
    personas: int

    def as_json(self) -> dict[str, Any]:
        """Return plain values; null stands for what is not defined."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(item) for key, item in value.items()}
            return None if isinstance(value, float) and not np.isfinite(value) else value

        return dict(plain(asdict(self)))


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    bundle
        Whose personas.
    agents, days
        Of each market.
    seeds, first_seed
        Markets, one a seed, and the seed of the first.
    """

    bundle: Path = Path("runs/quickstart/bundle")
    agents: int = 400
    days: int = 250
    seeds: int = 8
    first_seed: int = 1


def run(settings: Settings, report: Report) -> Page:
    """Play the bundle's markets and measure them."""
    size = settings.agents, settings.days, settings.seeds, settings.first_seed
    with report.steps("markets", settings.seeds) as step:
        found = measure_bundle(settings.bundle, *size, step)
    for name, row in found.groups.items():
        for measure, estimate in row.items():
            report.figure(f"{measure}, {name}", estimate.mean, "1", error=estimate.error)
    page = PAGE.format(
        command=report.command,
        bundle=settings.bundle,
        seeds=settings.seeds,
        agents=settings.agents,
        days=settings.days,
        table=as_block(lambda console: print_behaviour(found, console)),
    )
    return Page(page)


def measure_bundle(
    folder: Path,
    agents: int,
    days: int,
    seeds: int,
    first_seed: int = 1,
    on_market: Callable[[], None] = lambda: None,
) -> BehaviourReport:
    """Play a bundle's population and measure how it behaves.

    Parameters
    ----------
    folder
        The bundle.
    agents, days
        Size of each market; they start from the bundle's history.
    seeds, first_seed
        Number of markets, and the seed of the first; the others' follow it.
    on_market
        Called after each market.
    """
    bundle, bases = open_bundle(folder)
    population, world = bundle.population, World(bundle.offsets, bundle.rules, agents, days)
    [choices] = tabulate_choices([population], bases.serve(bundle.recipe))
    names = [persona.name for persona in population.personas]
    policies = np.round(np.diff(choices, prepend=0.0, axis=2) @ TENDENCIES, POLICY_DIGITS)
    found = []
    for seed in range(first_seed, first_seed + seeds):
        tape = play_market(world, (population, bundle.history, seed), choices, "full")
        found.append(describe_behaviour(tape, bundle.rules, names))
        on_market()
    return BehaviourReport(
        {
            name: {m: _estimate([getattr(f.groups[g], m) for f in found]) for m in MEASURES}
            for g, name in enumerate([*names, "everyone"])
        },
        {m: _estimate([getattr(f, m) for f in found]) for m in OF_CROWD},
        effective_minds(policies) if policies.any() else float("nan"),
        len(names),
    )


def print_behaviour(report: BehaviourReport, console: Console | None = None) -> None:
    """Print a report as a table of personas and a line for each measure of the crowd."""
    console = console or Console()
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column("persona", no_wrap=True)
    for heading, _ in SHOWN.values():
        table.add_column(heading, justify="right", no_wrap=True)
    *people, everyone = report.groups
    for name in (*people[:MOST_SHOWN], everyone):
        row = report.groups[name]
        cells = [_cell(row[measure], form) for measure, (_, form) in SHOWN.items()]
        table.add_row(name, *cells, style="bold" if name == "everyone" else "")
    console.print(table)
    if (more := len(people) - MOST_SHOWN) > 0:
        console.print(f"... and {more} more, with --json", highlight=False)
    for measure, estimate in report.crowd.items():
        shown = _cell(estimate, "{:.3f}±{:.3f}")
        console.print(f"{measure.replace('_', ' '):<20} {shown}", highlight=False)
    console.print(
        f"{'minds by policy':<20} {report.policy_minds:.2f} of {report.personas}", highlight=False
    )
    console.print(
        "mean over seeds, ± standard error. Dispos.: PGR - PLR over all days; turn: turnover of "
        "the shares, a year; excess: return less everyone's; fall: maximum drawdown; conform.: "
        "kappa with yesterday's majority of the others; herding: LSV, of days.",
        style="dim",
    )


def _estimate(values: list[float]) -> Estimate:
    known = np.array([v for v in values if np.isfinite(v)])
    nan = float("nan")
    mean = float(known.mean()) if known.size else nan
    error = float(known.std(ddof=1) / np.sqrt(known.size)) if known.size > 1 else nan
    return Estimate(mean, error, int(known.size))


def _cell(estimate: Estimate, form: str) -> str:
    if np.isnan(estimate.mean):
        return "-"
    if np.isnan(estimate.error):
        form = form.partition("±")[0]
    return form.format(estimate.mean, estimate.error)


PAGE = """# How a population behaves

Written by `{command}`; do not edit.

The personas of `{bundle}` in {seeds} markets of {agents} agents over {days} days.

{table}
"""
