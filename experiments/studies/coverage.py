"""`make bench-coverage`: the Franke-Westerhoff market against the coverage that its paper reports.

Knows the paper's nine moments and how they are compared with the longest S&P 500 series at hand.
Deliberately fails no build: the years differ from the paper's, and so may the figure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evobourse.fitness.baselines.calibration import calibrate_franke_westerhoff
from evobourse.fitness.baselines.franke_westerhoff import (
    PUBLISHED,
    FrankeWesterhoff,
    franke_westerhoff,
)
from evobourse.fitness.baselines.without_agents import block_bootstrap
from evobourse.fitness.distance import make_target
from evobourse.fitness.moments import MOMENT_NAMES, ac1, acf, hill, moments
from evobourse.market.series.named import load_series

PAPERS_DAYS = 6750
PAPERS_COVERAGE = 0.101
PAPER = "Franke and Westerhoff (2012), S&P 500 1980-2007, T = 6,750"
BLOCK_DAYS = 750
PATHS = 1000
LAGS = (1, 5, 10, 25, 50, 100)
NINE = ("ac1", "mean |r|", "hill", *(f"acf |r| {lag}" for lag in LAGS))

Array = NDArray[np.float64]


def main() -> None:
    """Print the coverage of each moment and of all at once, one JSON line a joint figure."""
    series = load_series("sp500")
    for last_year in (2018, 2007):
        days = int(np.sum(series.dates < np.datetime64(f"{last_year + 1}-01-01")))
        compare(f"{series.name} 1999-{last_year}", series.log_returns[: days - 1])


def compare(period: str, real: Array) -> None:
    """Print what the markets have in common with the real log returns of a period, [T]."""
    rng = np.random.default_rng(0)
    target = make_target(real, window_days=250, paths=4, rng=rng)
    calibrated = calibrate_franke_westerhoff(target, np.random.SeedSequence(0))
    print(f"\n{period}, {len(real):,} returns; calibrated on its windows: {calibrated}")
    measures = {
        "the paper's nine": (NINE, nine_moments),
        "this project's": (MOMENT_NAMES, lambda r: moments(r, target.sigma_real)),
    }
    for label, (names, measure) in measures.items():
        redrawn = measure(block_bootstrap(real, PATHS, len(real), rng, BLOCK_DAYS))
        low, high = np.quantile(redrawn, [0.025, 0.975], axis=0)
        print(f"\n{label}: {', '.join(names)}")
        print(f"{'95 % from':32}{_line(low)}\n{'to':32}{_line(high)}")
        for name, returns in _markets(real, calibrated, rng):
            values = measure(returns)
            within = (low <= values) & (values <= high)
            joint = float(within.all(axis=1).mean())
            print(f"{name + ', mean':32}{_line(values.mean(axis=0))}")
            print(f"{name + ', coverage':32}{_line(within.mean(axis=0))}")
            figure = f"joint moment coverage ratio, {period}, {label} moments, {name}"
            line = {"bench": "fw_coverage", "figure": figure, "value": joint, "unit": "1"}
            print(json.dumps({**line, "peer": PAPER, "ratio": joint / PAPERS_COVERAGE}))


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
    real: Array, calibrated: FrankeWesterhoff, rng: np.random.Generator
) -> Iterator[tuple[str, Array]]:
    for days in (len(real), PAPERS_DAYS):
        yield f"published, T = {days:,}", franke_westerhoff(PUBLISHED, PATHS, days, rng)
    yield f"calibrated, T = {len(real):,}", franke_westerhoff(calibrated, PATHS, len(real), rng)
    yield "real blocks redrawn", block_bootstrap(real, PATHS, len(real), rng, BLOCK_DAYS)


def _line(values: Array) -> str:
    return " ".join(f"{value:7.3f}" for value in values)


if __name__ == "__main__":
    main()
