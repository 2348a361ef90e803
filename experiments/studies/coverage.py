"""The Franke-Westerhoff market against the moment coverage that its paper reports.

The years differ from the paper's, and so may the figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.studies.run import Page, Study
from evobourse.fitness.baselines.calibration import calibrate_franke_westerhoff
from evobourse.fitness.baselines.franke_westerhoff import (
    PUBLISHED,
    FrankeWesterhoff,
    franke_westerhoff,
)
from evobourse.fitness.baselines.without_agents import block_bootstrap
from evobourse.fitness.distance import make_target
from evobourse.fitness.moments import ac1, acf, hill, moments
from evobourse.market.series.named import load_series

STUDY = Study(
    question="does the Franke-Westerhoff market reach the coverage of moments in its paper?",
    minutes=2,
    page="runs/studies/coverage.md",
)

PAPERS_DAYS = 6750
PAPERS_COVERAGE = 0.101
PAPER = "Franke and Westerhoff (2012), S&P 500 1980-2007, T = 6,750"
BLOCK_DAYS = 750
LAGS = (1, 5, 10, 25, 50, 100)
NINE = ("ac1", "mean |r|", "hill", *(f"acf |r| {lag}" for lag in LAGS))

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """What is compared.

    Attributes
    ----------
    series
        The real one.
    last_years
        Last year of each period of it.
    paths
        Simulated of each market.
    """

    series: str = "sp500"
    last_years: tuple[int, ...] = (2018, 2007)
    paths: int = 1000


def run(settings: Settings, report: Report) -> Page:
    """Hold the markets against each period."""
    series = load_series(settings.series)
    sections = []
    with report.steps("periods", len(settings.last_years)) as step:
        for last_year in settings.last_years:
            days = int(np.sum(series.dates < np.datetime64(f"{last_year + 1}-01-01")))
            period = f"{series.name} {series.dates[0].astype('M8[Y]')}-{last_year}"
            sections.append(compare(period, series.log_returns[: days - 1], settings.paths, report))
            step()
    page = PAGE.format(
        command=report.command,
        paper=PAPER,
        coverage=PAPERS_COVERAGE,
        paths=settings.paths,
        block=BLOCK_DAYS,
        sections="\n\n".join(sections),
    )
    return Page(page)


def compare(period: str, real: Array, paths: int, report: Report) -> str:
    """Say what the markets have in common with the real log returns of a period, [T]."""
    rng = np.random.default_rng(0)
    target = make_target(real, window_days=250, paths=4, rng=rng)
    calibrated = calibrate_franke_westerhoff(target, np.random.SeedSequence(0))
    lines = [f"## {period}", "", f"{len(real):,} returns; calibrated: `{calibrated}`."]
    measures = {
        "the paper's nine": (NINE, nine_moments),
        "this project's": (target.names, lambda r: moments(r, target.sigma_real)),
    }
    for label, (names, measure) in measures.items():
        redrawn = measure(block_bootstrap(real, paths, len(real), rng, BLOCK_DAYS))
        low, high = np.quantile(redrawn, [0.025, 0.975], axis=0)
        columns = [name.replace("|", "\\|") for name in names]
        lines += ["", f"| {label} | {' | '.join(columns)} | all |", "|---" * (len(names) + 2) + "|"]
        lines += [_row("95 % from", low), _row("95 % to", high)]
        for name, returns in _markets(real, calibrated, paths, rng):
            values = measure(returns)
            within = (low <= values) & (values <= high)
            joint = float(within.all(axis=1).mean())
            lines += [
                _row(f"{name}, mean", values.mean(axis=0)),
                _row(f"{name}, coverage", within.mean(axis=0), f"{joint:.3f}"),
            ]
            figure = f"joint moment coverage ratio, {period}, {label} moments, {name}"
            report.figure(figure, joint, "1", PAPER, joint / PAPERS_COVERAGE)
    return "\n".join(lines)


def nine_moments(log_returns: Array) -> Array:
    """Return the moments of Franke and Westerhoff (2012), [..., T] -> [..., 9] (names in `NINE`).

    Returns in percent; an autocorrelation of absolute returns beyond lag 1 is the mean of three
    neighbouring lags.
    """
    absolute = np.abs(100.0 * log_returns)
    memory = [
        acf(absolute, (lag,) if lag == 1 else (lag - 1, lag, lag + 1)).mean(axis=-1) for lag in LAGS
    ]
    return np.stack([ac1(log_returns), absolute.mean(axis=-1), hill(log_returns), *memory], axis=-1)


def _markets(
    real: Array, calibrated: FrankeWesterhoff, paths: int, rng: np.random.Generator
) -> Iterator[tuple[str, Array]]:
    for days in (len(real), PAPERS_DAYS):
        yield f"published, T = {days:,}", franke_westerhoff(PUBLISHED, paths, days, rng)
    yield f"calibrated, T = {len(real):,}", franke_westerhoff(calibrated, paths, len(real), rng)
    yield "real blocks redrawn", block_bootstrap(real, paths, len(real), rng, BLOCK_DAYS)


def _row(name: str, values: Array, joint: str = "") -> str:
    return f"| {name} | {' | '.join(f'{value:.3f}' for value in values)} | {joint} |"


PAGE = """# Moment coverage of the Franke-Westerhoff market

Written by `{command}`; do not edit.

A moment of a simulated path is covered where it lies in the 95 % interval of {paths:,} series that
are glued from blocks of {block} real days. *All* is the share of paths with every moment covered:
{paper}, reports {coverage:.1%}.

{sections}
"""
