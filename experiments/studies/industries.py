"""Whether agents who speak for companies or an industry make stocks move together as real ones do.

Each stock has investors of its own, who see it alone; what joins stocks is an industry that quotes
in all of them, or news that all hear.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.stand_ins import Minds
from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.cast import Cast, CastAsset, Member
from evobourse.experiments.config.scenario import Scenario
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.simulate.bundle import open_population
from evobourse.experiments.simulate.cast import build_cast
from evobourse.experiments.studies.run import Page, Study
from evobourse.market.events.kinds import News
from evobourse.market.events.schedule import EventSchedule
from evobourse.market.series.named import load_series

STUDY = Study(
    question="do agents as companies and industries make stocks move together as real ones do?",
    minutes=4,
    page="docs/studies/industries.md",
)

ARMS = ("investors alone", "companies", "industry", "common news", "industry and common news")


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    population
        A bundle's folder, a config (the population that its sweep begins with), or `hand-set`.
    stocks
        Real ones whose prices markets begin with; names of shipped ones, or files of your own.
    until
        Last real day before the first simulated one (ISO).
    arms
        Of `investors alone`, `companies`, `industry`, `common news`, `industry and common news`.
    seeds
        Markets of each arm.
    investors
        Of each style and stock.
    days
        Of each market.
    """

    population: str = "hand-set"
    stocks: tuple[str, ...] = ("aapl", "ibm", "msft", "goog")
    until: str = "2010-12-31"
    arms: tuple[str, ...] = ARMS
    seeds: int = 5
    investors: int = 8
    days: int = 120


def make_cast(settings: Settings, styles: Sequence[str], arm: str) -> Cast:
    """Return the cast of an arm: investors of every style in every stock, and who speaks."""
    members = [
        Member(f"{stock} {style}", settings.investors, style=style, asset=stock)
        for stock in settings.stocks
        for style in styles
    ]
    if arm == "companies":
        members += [
            Member(f"{stock} itself", kind="company", asset=stock) for stock in settings.stocks
        ]
    if arm.startswith("industry"):
        members.append(Member("industry", kind="industry", assets=settings.stocks))
    assets = tuple(CastAsset(stock, stock, settings.until) for stock in settings.stocks)
    return Cast(tuple(members), arm, assets)


def daily_news(days: int, seed: int) -> EventSchedule:
    """Return a standard normal's news for every day, the same for all who listen."""
    tones = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(99,))).normal(size=days)
    return EventSchedule(
        [News(day=day, text="The sector's news.", tone=float(t)) for day, t in enumerate(tones)]
    )


def play_arm(
    settings: Settings,
    arm: str,
    bundle: Bundle,
    minds: Minds,
    on_market: Callable[[], None] = lambda: None,
) -> NDArray[np.float64]:
    """Play the markets of an arm: log returns float64[seeds, days, stocks]."""
    cast = make_cast(settings, [path.name for path in bundle.adapters], arm)
    found = []
    for seed in range(1, settings.seeds + 1):
        with tempfile.TemporaryDirectory(prefix="evobourse-") as folder:
            place = Scenario()
            if arm.endswith("common news"):
                file = Path(folder) / "events.yaml"
                file.write_text(daily_news(settings.days, seed).to_yaml())
                place = replace(place, events=str(file))
            exchange = build_cast(place, cast, bundle, minds, settings.days, seed).exchange
        start = exchange.ledger.mark_ticks.copy()
        days = [exchange.play_day() for _ in range(settings.days)]
        closes = np.vstack([start, [day.close_ticks for day in days]])
        found.append(np.diff(np.log(closes), axis=0))
        on_market()
    return np.array(found)


def real_returns(settings: Settings) -> NDArray[np.float64]:
    """Return the real stocks' log returns of the days that are simulated, float64[days, stocks].

    Raises
    ------
    ConfigError
        A stock ends before, or their days differ.
    """
    columns, dates = [], []
    for name in settings.stocks:
        series = load_series(name, close_only=True)
        first = int((series.dates <= np.datetime64(settings.until)).sum())
        stop = first + settings.days
        if stop > len(series):
            raise ConfigError(
                f"stocks: {name} has {len(series) - first} days after {settings.until}, expected "
                f"{settings.days}; set until or days"
            )
        columns.append(np.diff(np.log(series.close[first - 1 : stop])))
        dates.append(series.dates[first:stop])
    if not all(np.array_equal(one, dates[0]) for one in dates):
        raise ConfigError(f"stocks: {', '.join(settings.stocks)} do not trade on the same days")
    return np.array(columns).T


def pair_correlations(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlations of all pairs of stocks, of log returns float64[days, stocks]."""
    matrix = np.atleast_2d(np.corrcoef(returns, rowvar=False))
    return np.asarray(matrix[np.triu_indices(len(matrix), 1)])


def common_part(returns: NDArray[np.float64]) -> float:
    """Return the first eigenvalue's share of the correlation matrix: 1/A without a common move."""
    values = np.linalg.eigvalsh(np.corrcoef(returns, rowvar=False))
    return float(values[-1] / values.sum())


def run(settings: Settings, report: Report) -> Page:
    """Play all arms and hold their correlations against the real ones."""
    if len(settings.stocks) < 2:
        raise ConfigError("stocks: one alone; name two or more")
    if strange := [arm for arm in settings.arms if arm not in ARMS]:
        raise ConfigError(f"arms: {strange[0]!r} is unknown; known: {', '.join(ARMS)}")
    real = real_returns(settings)
    opened = open_population(settings.population)
    found = {}
    with report.steps("markets", len(settings.arms) * settings.seeds) as step:
        for arm in settings.arms:
            found[arm] = play_arm(settings, arm, opened.bundle, opened.minds, step)
    known = float(pair_correlations(real).mean())
    for arm, returns in found.items():
        mean = float(np.mean([pair_correlations(one) for one in returns]))
        figure = f"mean correlation of two stocks, {arm}"
        report.figure(figure, mean, "1", "real stocks, the same days", mean / known)
    page = PAGE.format(
        command=report.command,
        population=settings.population,
        stocks=", ".join(settings.stocks),
        until=settings.until,
        investors=settings.investors * len(opened.bundle.adapters),
        days=settings.days,
        seeds=settings.seeds,
        independent=f"{1 / len(settings.stocks):.2f}",
        table=arm_table(settings, found, real),
    )
    return Page(page)


def arm_table(
    settings: Settings, found: dict[str, NDArray[np.float64]], real: NDArray[np.float64]
) -> str:
    """Return a row an arm below the real stocks: correlations by pair, their mean, common part."""
    pairs = [f"{a}, {b}" for a, b in combinations(settings.stocks, 2)]
    lines = [
        f"| who trades | mean of pairs | less {settings.arms[0]} | common part | volatility, % "
        f"| {' | '.join(pairs)} |",
        "|---" * (len(pairs) + 5) + "|",
    ]
    own = " | ".join(f"{x:.2f}" for x in pair_correlations(real))
    lines.append(
        f"| real, the same days | {pair_correlations(real).mean():.2f} | | {common_part(real):.2f} "
        f"| {100 * real.std():.2f} | {own} |"
    )
    first = None
    for arm, returns in found.items():
        each = np.array([pair_correlations(one) for one in returns])
        mean = each.mean(axis=1)
        cells = [
            show(mean),
            "" if first is None else show(mean - first),
            show([common_part(one) for one in returns]),
            show(100 * returns.std(axis=(1, 2))),
            *(show(column) for column in each.T),
        ]
        first = mean if first is None else first
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


PAGE = """# Industries: do stocks move together?

Written by `{command}`; do not edit.

Stocks {stocks} from their real prices up to {until}; {investors} investors of all styles of
`{population}` in each, who see their own stock alone; {days} days on the exchange, {seeds} seeds.
*Companies* quote in their own stock each, an *industry* in all, by the model's answers to prompts
about them; *common news* is told to all investors every morning. Real are the same days after
{until}.

The *common part* is the first eigenvalue's share of the correlation matrix, {independent} where
stocks have nothing in common; returns that persist share days by chance, so that it lies above.
Means with 95 % intervals over seeds (Student's t); arms have their random numbers in common.

{table}

Investors hold one stock each: portfolios over several are not modelled, so that nobody carries a
move from one stock to another.
"""
