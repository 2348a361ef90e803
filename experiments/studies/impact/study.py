"""How a market answers a buyer, and what would have been if something had happened on a day."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evobourse.experiments.config.scenario import Scenario, Size, load_scenario
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.simulate.bundle import open_population
from evobourse.experiments.studies.impact.response import (
    draw_response,
    measure_response_to,
    print_response,
)
from evobourse.experiments.studies.impact.what_if import (
    default_events,
    play_what_ifs,
    what_if_table,
)
from evobourse.experiments.studies.run import Page, Study, as_block
from evobourse.market.events.schedule import load_schedule

STUDY = Study(
    question="how does a market answer a buyer, and what if something else had happened?",
    minutes=1,
    page="docs/studies/impact.md",
)


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    population
        A bundle's folder, a config (the population that its sweep begins with), or `hand-set`.
    scenario
        Where; an exchange with a call a day by default.
    rates
        Parts of the volume that the buyer wants, over 0 and below 1.
    pairs
        Markets with the buyer and without, and markets that branch: one a seed.
    agents, days, seed
        Of each market, and the seed of the first.
    branch_day
        The day on which markets branch, from 0.
    events
        What happens on the branch, as a file of events whose days count from the branch; by
        default each of a list in turn.
    """

    population: str = "hand-set"
    scenario: Path | None = None
    rates: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2)
    pairs: int = 6
    agents: int = 200
    days: int = 60
    seed: int = 1
    branch_day: int = 30
    events: Path | None = None


def run(settings: Settings, report: Report) -> Page:
    """Run the pairs and the branches, and measure both."""
    if settings.branch_day >= settings.days:
        raise ConfigError(
            f"branch_day is {settings.branch_day} and days {settings.days}; branch before the end"
        )
    place = load_scenario(settings.scenario) if settings.scenario else Scenario()
    size = Size(settings.agents, settings.days, settings.seed)
    opened = open_population(settings.population)
    bundle, choices = opened.bundle, opened.table()
    happenings = default_events(bundle, settings.agents)
    if settings.events is not None:
        happenings = {settings.events.name: load_schedule(settings.events).events}
    lines = 2 + len(settings.rates) + len(happenings)
    with report.steps("markets", settings.pairs * lines) as step:
        found = measure_response_to(
            bundle, choices, place, settings.rates, settings.pairs, size, step
        )
        branches = play_what_ifs(
            place, bundle, choices, happenings, settings.branch_day, settings.pairs, size, step
        )
    for rate in found.rates:
        name = f"log price impact on the last day, a buyer of {rate.rate:g} of the volume"
        report.figure(name, rate.measured.response[-1], "1", "the market without the buyer")
    report.figure("Kyle's lambda over all rates", found.pooled.slope, "log price per day's volume")
    for name, one in branches.items():
        figure = f"log price on the first day, {name}"
        report.figure(figure, float(one.price[:, 0].mean()), "1", "the market left")
    picture = "impact.png"
    page = PAGE.format(
        command=report.command,
        population=settings.population,
        pairs=settings.pairs,
        agents=settings.agents,
        days=settings.days,
        table=as_block(lambda console: print_response(found, console)),
        picture=picture,
        day=settings.branch_day,
        branches=what_if_table(branches),
    )
    return Page(page, {picture: draw_response(found)})


PAGE = """# Impact: a buyer, and what would have been

Written by `{command}`; do not edit.

Population `{population}`, {agents} agents on the exchange over {days} days, {pairs} seeds. Each
market is played with and without; both have the same random numbers.

## A buyer

{table}

![price impact against the part of the volume bought]({picture})

## What if

Each market branches at the start of day {day} (from 0), and something happens on the branch alone;
until then branch and market are one, exactly. Prices are the branch's closes over the market's
own, the first day after the branch counted as day 1; means with 95 % intervals over seeds
(Student's t). Tendencies go from -2 to 2.

{branches}

Another day: `--set branch_day=N`. Events of your own: `--set events=FILE` (docs/events.md). By
hand, on a page: `evobourse desk`.
"""
