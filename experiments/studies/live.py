"""The same personas trade real prices day by day, beside buying and holding, with costs.

After AI-Trader (arXiv 2512.10971) and StockBench (arXiv 2510.02209). The price is the real one
whatever they do: they are too small to move it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds, RandomMinds, TeacherMinds
from evobourse.agents.observation import HISTORY_DAYS
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.simulate.bundle import open_population
from evobourse.experiments.simulate.paper_trading import YEAR_DAYS, Record, hold, trade
from evobourse.experiments.studies.run import Page, Study
from evobourse.fitness.behaviour.trading import sortino_ratio
from evobourse.fitness.fact_table import max_drawdown
from evobourse.market.series.named import load_series
from evobourse.market.series.prices import PriceSeries

STUDY = Study(
    question="do the personas earn anything on real prices, beside buying and holding?",
    minutes=2,
    page="docs/studies/live.md",
)

BLOCK_DAYS, RESAMPLES = 20, 1000


@dataclass(frozen=True)
class Settings:
    """Who trades what.

    Attributes
    ----------
    population
        A bundle's folder, or a config: the population that its sweep begins with.
    series
        Real prices: names of shipped ones, or files of your own.
    since
        First day traded (ISO).
    agents
        Of each persona; their masks and dice differ.
    cost_bps
        Of each trade's value, in basis points.
    seed
        Of masks and dice.
    """

    population: str = "quickstart"
    series: tuple[str, ...] = ("sp500", "nasdaq", "aapl", "ibm", "msft", "goog")
    since: str = "2010-12-01"
    agents: int = 100
    cost_bps: int = 10
    seed: int = 1


def excess_interval(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], rng: np.random.Generator
) -> tuple[float, float, float]:
    """Return the mean daily log return over another's, in percent a year, with its 95 % interval.

    By a circular block bootstrap of `BLOCK_DAYS` (Politis and Romano 1992).
    """
    gap = np.log1p(ours) - np.log1p(theirs)
    blocks = -(-len(gap) // BLOCK_DAYS)
    starts = rng.integers(len(gap), size=(RESAMPLES, blocks, 1))
    rows = ((starts + np.arange(BLOCK_DAYS)) % len(gap)).reshape(RESAMPLES, -1)[:, : len(gap)]
    low, high = np.quantile(gap[rows].mean(axis=1), [0.025, 0.975])
    return tuple(float(100 * YEAR_DAYS * x) for x in (gap.mean(), low, high))  # type: ignore[return-value]


def days_of(series: PriceSeries, since: str) -> range:
    """Return the rows to trade.

    Raises
    ------
    ConfigError
        There are too few days before the first, or too few to trade.
    """
    try:
        first = int((series.dates < np.datetime64(since)).sum())
    except ValueError as error:
        raise ConfigError(f"since is {since!r}, expected a date (ISO)") from error
    if first < HISTORY_DAYS or len(series) - first < YEAR_DAYS // 4:
        raise ConfigError(
            f"series {series.name}: {first} days before {since} and {len(series) - first} from it "
            f"on, expected {HISTORY_DAYS} and {YEAR_DAYS // 4}; set since"
        )
    return range(first, len(series))


def run(settings: Settings, report: Report) -> Page:
    """Trade every series with the personas, with the teachers and with dice."""
    loaded = [load_series(name) for name in settings.series]
    days = {series.name: days_of(series, settings.since) for series in loaded}
    opened = open_population(settings.population)
    population = opened.bundle.population
    styles = tuple(path.name for path in opened.bundle.adapters)
    minds: dict[str, Minds] = {"": opened.minds, "teachers, ": TeacherMinds(styles)}
    minds["dice, "] = RandomMinds()
    tables = {
        name: choices
        for name, who in minds.items()
        for choices in tabulate_choices([population], who)
    }
    cost = settings.cost_bps / 10_000
    sections = []
    with report.steps("series", len(loaded)) as step:
        for series in loaded:
            records = {
                name: hold(series, days[series.name], part, cost)
                for name, part in (("buy and hold", 1.0), ("half bought and held", 0.5))
            }
            for name, choices in tables.items():
                mine = trade(
                    series,
                    days[series.name],
                    choices,
                    population.society.attention,
                    settings.agents,
                    cost,
                    np.random.default_rng(settings.seed),
                )
                records |= group(name, [p.name for p in population.personas], mine)
            said = tell(series.name, records, report.figure)
            name = series.name
            first, last = (series.dates[row] for row in (days[name][0], days[name][-1]))
            sections.append(f"## {name}, {first} to {last}\n\n{said}")
            step()
    page = PAGE.format(
        command=report.command,
        population=settings.population,
        agents=settings.agents,
        cost=settings.cost_bps,
        attention=population.society.attention,
        sections="\n\n".join(sections),
    )
    return Page(page)


def group(prefix: str, names: list[str], records: list[Record]) -> dict[str, Record]:
    """Name the records of a table's personas; of stand-ins keep the mean of all alone."""
    whole = Record(
        np.mean([one.returns for one in records], axis=0),
        float(np.mean([one.invested for one in records])),
        float(np.mean([one.turnover for one in records])),
    )
    own = {} if prefix else dict(zip(names, records, strict=True))
    return {**own, f"{prefix}all personas alike": whole}


def tell(series: str, records: Mapping[str, Record], on_figure: Callable[..., None]) -> str:
    """Return a row a strategy, and tell its figure: what it earned over buying and holding."""
    lines = [
        "| who | a year, % | volatility, % | Sharpe | Sortino | largest fall, % | invested, % "
        "| turnover a year | over buy and hold, log-% a year |",
        "|---" * 9 + "|",
    ]
    held = records["buy and hold"].returns
    for name, one in records.items():
        logs = np.log1p(one.returns)
        spread = one.returns.std() * np.sqrt(YEAR_DAYS)
        over = excess_interval(one.returns, held, np.random.default_rng(0))
        alone = name == "buy and hold"
        cells = [
            f"{100 * np.expm1(YEAR_DAYS * logs.mean()):.1f}",
            f"{100 * spread:.1f}",
            f"{YEAR_DAYS * one.returns.mean() / spread:.2f}",
            f"{float(sortino_ratio(one.returns)):.2f}",
            f"{100 * float(max_drawdown(logs)):.0f}",
            f"{100 * one.invested:.0f}",
            f"{one.turnover:.1f}",
            "" if alone else "{:.1f} [{:.1f}, {:.1f}]".format(*over),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        if not alone:
            figure = f"log return a year over buying and holding, {series}, {name}"
            ends = {"low": over[1], "high": over[2]}
            on_figure(figure, over[0], "%", "buy and hold", **ends)
    return "\n".join(lines)


PAGE = """# Live: the personas on real prices

Written by `{command}`; do not edit.

{agents} agents of each persona of `{population}` trade real days one by one: at each open they know
the closes before it, of which each sees {attention} signs, and neither news nor others. They begin
half invested, are never short, borrow nothing, and pay {cost} basis points of every trade. The
interval is by a circular block bootstrap of the days; it is not corrected for the number of rows.

**Contamination.** The base model was trained years after these days and has read of them. It is
shown no name, no date and no price, but words for trend, value, range and risk, so that it cannot
tell which day it is. Style adapters were trained on S&P 500 days of 1999 to 2006 to follow their
teachers, not to forecast. A population that was bred saw its sweep's training and validation days.

{sections}
"""
