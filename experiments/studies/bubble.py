"""Bubbles, recessions and herding over temperatures, among investors who read each other or not.

After TwinMarket (Yang et al. 2025, arXiv 2502.01506): links where trading profiles are more similar
than .2, trades fading at .5 a day; stylised facts, and the swings that belief makes of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.personas.persona import Population
from evobourse.agents.personas.social import Social
from evobourse.evolve.markets import World, play_market
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.simulate.bundle import OpenPopulation, open_population
from evobourse.experiments.studies.run import Page, Study
from evobourse.fitness.behaviour.table import describe_behaviour
from evobourse.fitness.fact_table import max_drawdown, spread_windows
from evobourse.fitness.facts import (
    excess_kurtosis,
    leverage,
    mean_abs_acf,
    volatility_clustering,
    volume_volatility,
)
from evobourse.fitness.moments import hill
from evobourse.fitness.palette import COLOURS, INK
from evobourse.market.series.named import load_series

STUDY = Study(
    question="do beliefs that spread make bubbles and recessions, and at what temperature?",
    minutes=1,
    page="docs/studies/bubble.md",
)

BAND = (0.025, 0.975)
REAL_WINDOWS = 200

SWINGS = {
    "run_up": "largest rise, %",
    "drawdown": "largest fall, %",
    "longest": "longest run, days",
    "runs": "runs test, z",
}
FACTS = {
    "acf": "mean abs. ACF, lags 1-10",
    "hill": "tail index (Hill)",
    "kurtosis": "excess kurtosis",
    "clustering": "ACF of abs. returns, lags 1-10",
    "leverage": "leverage",
    "volume": "volume-volatility",
}
CROWD = {
    "herding": "herding (LSV), tendencies",
    "filled": "herding (LSV), filled orders",
    "minds": "K* of investors",
    "disposition": "disposition (PGR - PLR)",
}


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    population
        A bundle's folder, a config (the population that its sweep begins with), or `hand-set`.
    temperatures
        Times each persona's own.
    seeds
        Markets at each temperature, with and without a society.
    agents, days
        Of each market.
    link_threshold, decay
        Of the society.
    series
        Real prices with volume, whose windows give the bands.
    """

    population: str = "hand-set"
    temperatures: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    seeds: int = 5
    agents: int = 200
    days: int = 250
    link_threshold: float = 0.2
    decay: float = 0.5
    series: str = "sp500"


def longest_run(returns: NDArray[np.float64]) -> int:
    """Return the length of the longest run of days with one sign, of log returns float64[T]."""
    ends = np.flatnonzero(np.diff(np.sign(returns)) != 0)
    return int(np.diff([-1, *ends, len(returns) - 1]).max())


def runs_statistic(returns: NDArray[np.float64]) -> float:
    """Return z of the runs test of log returns float64[T]: below 0 signs persist.

    References
    ----------
    Wald and Wolfowitz (1940), On a test whether two samples are from the same population, Annals
    of Mathematical Statistics 11(2), 147-162. Days without a return are left out.
    """
    up = returns[returns != 0] > 0
    n, ups = len(up), int(up.sum())
    downs = n - ups
    if not ups or not downs:
        return float("nan")
    expected = 1 + 2 * ups * downs / n
    variance = (expected - 1) * (expected - 2) / (n - 1)
    return float((1 + np.count_nonzero(up[1:] != up[:-1]) - expected) / np.sqrt(variance))


def measure_path(returns: NDArray[np.float64], volume: NDArray[np.float64]) -> list[float]:
    """Return `SWINGS`, then `FACTS` of log returns and volumes float64[T]."""
    facts = [mean_abs_acf, hill, excess_kurtosis, volatility_clustering, leverage]
    return [
        100 * float(1 / (1 - max_drawdown(-returns)) - 1),  # a rise is a fall of the inverse price
        100 * float(max_drawdown(returns)),
        float(longest_run(returns)),
        runs_statistic(returns),
        *(float(fact(returns)) for fact in facts),
        float(volume_volatility(returns, volume)),
    ]


def heat(population: Population, times: float, social: Social | None) -> Population:
    """Return a population with every temperature multiplied, strangers or a society."""
    personas = tuple(replace(p, temperature=p.temperature * times) for p in population.personas)
    return Population(personas, replace(population.society, social=social))


def measure_markets(
    opened: OpenPopulation,
    social: Social | None,
    times: float,
    settings: Settings,
    on_market: Callable[[], None] = lambda: None,
) -> NDArray[np.float64]:
    """Play the markets of one temperature: float64[seeds, `SWINGS`, `FACTS` and `CROWD`]."""
    bundle = opened.bundle
    population = heat(bundle.population, times, social)
    [choices] = tabulate_choices([population], opened.minds)
    world = World(bundle.offsets, bundle.rules, settings.agents, settings.days)
    names = [persona.name for persona in population.personas]
    rows = []
    for seed in range(1, settings.seeds + 1):
        tape = play_market(world, (population, bundle.history, seed), choices, "full")
        path = measure_path(tape.log_returns(), tape.volume.astype(np.float64))
        crowd = describe_behaviour(tape, bundle.rules, names)
        own = [crowd.herding_intended, crowd.herding_filled, crowd.investors_by_day]
        rows.append([*path, *own, crowd.groups[-1].disposition])
        on_market()
    return np.array(rows)


def real_bands(name: str, days: int) -> NDArray[np.float64]:
    """Return `BAND` of real windows' `SWINGS` and `FACTS`: float64[2, measures]."""
    series = load_series(name)
    returns, volumes = (
        spread_windows(values, days, REAL_WINDOWS)
        for values in (series.log_returns, series.volume[1:])
    )
    measured = [measure_path(*pair) for pair in zip(returns, volumes, strict=True)]
    return np.asarray(np.nanquantile(np.array(measured), BAND, axis=0))


def run(settings: Settings, report: Report) -> Page:
    """Play all markets and hold them against real windows."""
    opened = open_population(settings.population)
    social = Social(link_threshold=settings.link_threshold, decay=settings.decay)
    found = {}
    kinds: dict[str, Social | None] = {"strangers": None, "society": social}
    with report.steps("markets", 2 * len(settings.temperatures) * settings.seeds) as step:
        for kind, society in kinds.items():
            for times in settings.temperatures:
                found[kind, times] = measure_markets(opened, society, times, settings, step)
    bands = real_bands(settings.series, settings.days)
    measures = [*SWINGS.values(), *FACTS.values(), *CROWD.values()]
    for (kind, times), values in found.items():
        for name, mean in zip(measures, np.nanmean(values, axis=0), strict=True):
            figure = f"{name}, {kind}, temperature x {times:g}, mean over seeds"
            report.figure(figure, float(mean), "1")
    first = len(SWINGS)
    page = PAGE.format(
        command=report.command,
        population=settings.population,
        agents=settings.agents,
        days=settings.days,
        seeds=settings.seeds,
        threshold=settings.link_threshold,
        decay=settings.decay,
        series=settings.series,
        swings=measure_table(found, SWINGS, 0, bands),
        facts=measure_table(found, FACTS, first, bands),
        crowd=measure_table(found, CROWD, first + len(FACTS), None),
        society=difference_table(found, settings.temperatures, measures),
        picture="bubble.png",
    )
    return Page(page, {"bubble.png": draw_swings(found, settings.temperatures, bands)})


Found = Mapping[tuple[str, float], NDArray[np.float64]]


def measure_table(
    found: Found, names: Mapping[str, str], first: int, bands: NDArray[np.float64] | None
) -> str:
    """Return a row a kind and temperature, below the real band: means, and how many are in it."""
    lines = [f"| | temperature, times | {' | '.join(names.values())} |"]
    lines.append("|---" * (len(names) + 2) + "|")
    columns = range(first, first + len(names))
    if bands is not None:
        real = " | ".join(f"{bands[0, k]:.2f} to {bands[1, k]:.2f}" for k in columns)
        lines.append(f"| real windows, 95 % | | {real} |")
    for (kind, times), values in found.items():
        cells = []
        for k in columns:
            cell = show(values[:, k])
            if bands is not None:
                inside = (values[:, k] >= bands[0, k]) & (values[:, k] <= bands[1, k])
                cell += f", {inside.sum()} of {len(values)} in"
            cells.append(cell)
        lines.append(f"| {kind} | {times:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def difference_table(found: Found, temperatures: tuple[float, ...], names: list[str]) -> str:
    """Return a row a measure: society less strangers, paired by seed, at each temperature."""
    lines = [
        f"| society less strangers | {' | '.join(f'x {t:g}' for t in temperatures)} |",
        "|---" * (len(temperatures) + 1) + "|",
    ]
    for k, name in enumerate(names):
        cells = [show((found["society", t] - found["strangers", t])[:, k]) for t in temperatures]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_swings(
    found: Found, temperatures: tuple[float, ...], bands: NDArray[np.float64]
) -> Figure:
    """Draw the largest rise and fall over temperatures, a dot a market, with the real band."""
    figure = new_figure(9, 3.8)
    for column, axes in enumerate(figure.subplots(1, 2)):
        axes.axhspan(*bands[:, column], color=INK, alpha=0.1, lw=0, label="real, 95 %")
        for kind, colour in zip(("strangers", "society"), COLOURS, strict=False):
            values = np.array([found[kind, t][:, column] for t in temperatures])
            axes.plot(temperatures, values, ".", color=colour, alpha=0.5)
            axes.plot(temperatures, values.mean(axis=1), "o-", color=colour, label=kind)
        axes.set(xscale="log", xlabel="temperature, times", ylabel=list(SWINGS.values())[column])
        plain_axes(axes)
        axes.legend(frameon=False, fontsize="small")
    return figure


PAGE = """# Bubbles and recessions among investors who read each other

Written by `{command}`; do not edit.

Population `{population}`, {agents} agents, {days} days, {seeds} seeds at each temperature.
*Strangers* know prices alone; a *society* has links over a similarity of {threshold:g}, decay
{decay:g} a day, posts and moods. Means with 95 % intervals over seeds (Student's t); real bands
are of {series}'s windows of as many days, and *in* counts the markets inside.

## Swings

The runs test's z is below 0 where rises and falls come in rows.

{swings}

![largest rise and fall over temperatures]({picture})

## Stylised facts

{facts}

## The crowd

{crowd}

## What reading each other changes

{society}

How a rumour travels in such a society is in docs/studies/society.md. Lottery preference and
under-diversification cannot be measured here: an investor has one asset and cash.
"""
