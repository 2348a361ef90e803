"""What a simulated market forecasts of three days, and what its days teach a forecaster.

No held-out window of a sweep is read: populations before evolution know none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.markets import MIN_HISTORY_DAYS
from evobourse.experiments.config.experiment import find_config, load_config
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.scoring.chronos import forecast_returns
from evobourse.experiments.simulate.bundle import open_population
from evobourse.experiments.studies.forecast.ensemble import (
    PAST_DAYS,
    Losses,
    compare_losses,
    garch_ensemble,
    losses_of_ensemble,
    losses_of_normal,
    market_ensemble,
    past_spread,
    rescale,
    verdict_table,
)
from evobourse.experiments.studies.forecast.teaching import QUANTITIES, teach, teaching_table
from evobourse.experiments.studies.run import Page, Study
from evobourse.fitness.forecasts import HORIZON_DAYS, NAIVE, rolling_origins
from evobourse.market.series.named import load_series
from evobourse.market.series.prices import PriceSeries

STUDY = Study(
    question="does a simulated market forecast three days, and do its days teach a forecaster?",
    minutes=5,
    page="docs/studies/forecast.md",
)

NAMES = {
    "last_return": "last return again",
    "arima": "ARIMA(1,1,0) with drift",
    "ets": "ETS(A,N,N)",
    "garch_t": "GARCH-t told the past",
    "market": "simulated market",
    "market-rescaled": "simulated market, spread of the past",
    "teachers": "teachers' market, spread of the past",
}


@dataclass(frozen=True)
class Settings:
    """What is forecast.

    Attributes
    ----------
    population
        A bundle's folder, a config (the population that its sweep begins with), or `hand-set`.
    config
        Whose training days teach a forecaster, and whose validation days test it.
    series
        Real prices: names of shipped ones, or files of your own.
    origins
        Forecasts of each series, three days apart, the last ending with the series.
    fitted_days
        Returns known to ARIMA and ETS at the first origin.
    members
        Markets of each origin.
    agents
        Of each market.
    groups
        Of ``market.paths`` simulated paths, a forecaster each.
    chronos
        Folder of a Chronos model, if there is one.
    """

    population: str = "hand-set"
    config: str = "quickstart"
    series: tuple[str, ...] = ("sp500", "nasdaq", "aapl", "ibm", "msft", "goog", "wti")
    origins: int = 40
    fitted_days: int = 500
    members: int = 16
    agents: int = 200
    groups: int = 2
    chronos: Path | None = None


def run(settings: Settings, report: Report) -> Page:
    """Forecast every series with everybody, then teach forecasters."""
    loaded = {name: load_series(name, close_only=True) for name in settings.series}
    opened = open_population(settings.population)
    bundle = opened.bundle
    tables = {"market": opened.table()}
    styles = tuple(path.name for path in bundle.adapters)
    [tables["teachers"]] = tabulate_choices([bundle.population], TeacherMinds(styles))
    by_series: dict[str, dict[str, Losses]] = {}
    with report.steps("series", len(loaded)) as step:
        for series in loaded.values():
            by_series[series.name] = forecast_series(settings, series, bundle, tables)
            step()
    names = {name: NAMES.get(name, name) for name in next(iter(by_series.values()))}
    del names[NAIVE]
    verdicts = {
        "squared": compare_losses(by_series, lambda losses: losses.squared),
        "crps": compare_losses(by_series, lambda losses: losses.crps),
    }
    for score, found in verdicts.items():
        for name, said in names.items():
            ratios = [found[series, name].ratio for series in by_series]
            worse = sum(found[series, name].word == "worse" for series in by_series)
            better = sum(found[series, name].word == "better" for series in by_series)
            figure = f"{score} of {said} over the naive one, geometric mean of {len(ratios)} series"
            mean = float(np.exp(np.mean(np.log(ratios))))
            report.figure(figure, mean, "1", "zero return", mean, better=better, worse=worse)
    config = load_config(find_config(settings.config))
    taught = list(teach(config, bundle, opened.minds, settings.groups))
    for row in taught[:1]:
        for quantity, what in QUANTITIES.items():
            ratio = float(np.mean([score.ratio for score in row.scores[quantity]]))
            figure = f"error of the {what}, taught by the population"
            report.figure(figure, ratio, "1", "taught by real training days", ratio)
    page = PAGE.format(
        command=report.command,
        population=settings.population,
        origins=settings.origins,
        members=settings.members,
        agents=settings.agents,
        tests=len(verdicts["crps"]),
        past=PAST_DAYS,
        squared=verdict_table(verdicts["squared"], list(by_series), names),
        crps=verdict_table(verdicts["crps"], list(by_series), names),
        groups=settings.groups,
        taught=teaching_table(taught),
    )
    return Page(page)


def forecast_series(
    settings: Settings,
    series: PriceSeries,
    bundle: Bundle,
    tables: Mapping[str, NDArray[np.float64]],
) -> dict[str, Losses]:
    """Return what each forecaster loses on a series' last days, the naive one first.

    Raises
    ------
    ConfigError
        The series is too short.
    """
    returns = series.log_returns
    days = HORIZON_DAYS * settings.origins
    first = len(returns) - days
    least = max(settings.fitted_days, PAST_DAYS, MIN_HISTORY_DAYS)
    if first < least:
        raise ConfigError(
            f"series {series.name}: {len(returns)} returns, expected {least + days} or more; ask "
            "for fewer origins or fitted_days"
        )
    origins = rolling_origins(len(returns), first)
    actual = returns[origins[:, None] + np.arange(HORIZON_DAYS)]
    spread = past_spread(returns, origins)
    known = first - settings.fitted_days  # statsmodels' fits grow with their history
    means = forecast_returns(returns[known:], origins - known, settings.chronos)
    found = {NAIVE: losses_of_normal(np.zeros_like(actual), spread, actual)}
    found |= {name: losses_of_normal(mean, spread, actual) for name, mean in means.items()}
    garch = garch_ensemble(returns, origins, settings.members, np.random.default_rng(1))
    found["garch_t"] = losses_of_ensemble(garch, actual)
    for name, table in tables.items():
        drawn = market_ensemble(bundle, table, series, origins, settings.agents, settings.members)
        whole = losses_of_ensemble(rescale(drawn, spread), actual)
        if name == "market":
            found |= {name: losses_of_ensemble(drawn, actual), "market-rescaled": whole}
        else:
            found[name] = whole
    return found


PAGE = """# Forecast: three days ahead

Written by `{command}`; do not edit.

Population `{population}`. At each of {origins} origins, three days apart, {members} markets of
{agents} agents begin with the real prices so far and play three days; their mean and spread are the
forecast of the three daily log returns. The forecast that nothing will happen is the naive one.
Loss over the naive one's, under 1 is better; p of the Diebold-Mariano test after Holm's correction
for all {tests} in a table.

## Squared error of the mean

{squared}

## CRPS of the distribution

Zero return, last return, ARIMA, ETS have the standard deviation of the last {past} days for a
spread, as have markets whose spread is the past's; GARCH-t and the other market have their own.

{crps}

## What simulated days teach

A forecaster learns from simulated days and is tested on real ones that it never saw (after TRADES,
arXiv 2502.07071), the config's validation days. Mean absolute error over that of the same
forecaster, taught by the real training days: 1 is as good a teacher as the market itself. Means
over {groups} groups of paths, with 95 % intervals.

{taught}

Minds read no text of the day here: there is none for these days. A pretrained forecaster joins
with `--set chronos=FOLDER`.
"""
