"""Stock splits that prices were not adjusted for: finding and undoing them.

They are suspected from daily bars alone; corporate records and dividends play no part.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evobourse.market.errors import SeriesError
from evobourse.market.series.prices import PriceSeries

FORWARD = ((3, 2), *((n, 1) for n in (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 50, 100)))
RATIOS = (*FORWARD, *((old, new) for new, old in FORWARD[1:]))
GAP_TOLERANCE = 0.04
"""Log distance of the overnight jump from a simple ratio."""
CALM_TURNOVER = 3.0
"""Money traded on the day, in medians of the days before; a crash of that size has more."""
USUAL_DAYS = 20


@dataclass(frozen=True)
class StockSplit:
    """A split: from ``day`` (ISO) on, ``new`` shares stand for ``old`` ones of before."""

    day: str
    new: int
    old: int = 1

    def __str__(self) -> str:
        return f"{self.new}:{self.old} on {self.day}"


def suspect_splits(series: PriceSeries) -> tuple[StockSplit, ...]:
    """Find jumps that look like splits which earlier rows were not adjusted for.

    A day is suspected if it opens at the previous close times a simple ratio (3:2, 2:1, 3:1 ...
    1:100), give or take 4 %, closes nearer to that level than to the previous close, and no more
    than three times the usual money changes hands. The ratio alone cannot tell a split from a
    collapse: Apple opened at 53 % of its last close on 2000-09-29, at ten times the usual
    turnover. Without opens the close must hit the ratio; without volume the ratio decides alone.

    Parameters
    ----------
    series : PriceSeries
        Daily bars, or closes alone.

    Returns
    -------
    tuple of StockSplit
        In order of time; `docs/decisions/022-real-series.md` has the rates of error.
    """
    after = series.close if "open" in series.absent else series.open
    gap, move = (np.log(prices[1:] / series.close[:-1]) for prices in (after, series.close))
    logs = np.log([new / old for new, old in RATIOS])
    nearest = np.argmin(np.abs(gap[:, None] + logs), axis=1)
    jump = -logs[nearest]
    found = (np.abs(gap - jump) <= GAP_TOLERANCE) & (np.abs(move - jump) < np.abs(move))
    turnover = pd.Series(series.close * series.volume)
    usual = turnover.rolling(USUAL_DAYS, min_periods=1).median().to_numpy()[:-1]
    found &= (turnover.to_numpy()[1:] <= CALM_TURNOVER * usual) | (usual == 0)
    return tuple(
        StockSplit(str(series.dates[row + 1]), *RATIOS[nearest[row]])
        for row in np.flatnonzero(found)
    )


def adjust_splits(series: PriceSeries, splits: Sequence[StockSplit]) -> PriceSeries:
    """Put the rows before each split on the footing of the rows after it.

    Parameters
    ----------
    series : PriceSeries
        Prices and volume as they were traded.
    splits : sequence of StockSplit
        What happened, in any order.

    Returns
    -------
    PriceSeries
        Earlier prices divided and earlier volume multiplied by each ratio.

    Raises
    ------
    SeriesError
        If a split's day is no trading day of the series, or its first.
    """
    shares = np.ones(len(series))
    for split in splits:
        row = int(np.searchsorted(series.dates, np.datetime64(split.day)))
        if row in (0, len(series)) or str(series.dates[row]) != split.day:
            raise SeriesError(
                f"{series.name}: split {split} is on no trading day after the first; "
                f"the series runs from {series.dates[0]} to {series.dates[-1]}"
            )
        shares[:row] *= split.new / split.old
    prices = [column for column in series.columns if column != "volume"]
    columns = {column: getattr(series, column) / shares for column in prices}
    return replace(series, volume=series.volume * shares, **columns)
