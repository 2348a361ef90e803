"""Daily bars made of any price file, and written as one that every command takes."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from evobourse.market.durable import replace_bytes
from evobourse.market.errors import SeriesError
from evobourse.market.series.files import Bars, daily_series, read_bars
from evobourse.market.series.frequency import join_days, measure_frequency, refuse_other_frequencies
from evobourse.market.series.named import SplitPolicy, settle_splits
from evobourse.market.series.prices import PriceSeries
from evobourse.market.series.stamps import trading_days
from evobourse.market.series.suspensions import SuspensionPolicy, empty_days, settle_suspensions

SESSION_STEPS = 3
"""Usual distances of bars that the night between two sessions is longer than."""


def make_daily(
    path: Path,
    zone: str | None = None,
    stock_splits: SplitPolicy = "refuse",
    suspended_days: SuspensionPolicy = "refuse",
) -> PriceSeries:
    """Make daily bars of a file's bars within the day: first open, last close, summed volume.

    Parameters
    ----------
    path : pathlib.Path
        A ``.csv``, ``.txt`` or ``.parquet`` file of bars within the day, or of days.
    zone : str or None
        The zone whose days are meant, such as ``Asia/Tokyo``. Stamps of the file that name no zone
        are then UTC. None takes the days as written.
    stock_splits, suspended_days
        As `market.series.named.load_series` takes them. Bars within the day without a price are
        left out under any policy: no day is made of them.

    Raises
    ------
    SeriesError
        If `read_bars` refuses the file, bars are longer than a day, the zone is unknown, or the
        file's stamps run through a UTC midnight and no zone is given.
    """
    bars = read_bars(path, close_only=True)
    wall, columns = bars.stamps.wall, bars.columns
    intraday = measure_frequency(wall.astype("datetime64[D]"), wall).name == "intraday"
    if zone is not None:
        days = bars.stamps.days_in(_zone(zone))
    elif intraday:
        days = _written_days(bars)
    else:
        days, _ = trading_days(bars.source, bars.stamps)
    if intraday:
        _refuse_disorder(bars)
        held = ~empty_days(columns)
        columns = {name: values[held] for name, values in columns.items()}
        days, columns = join_days(days[held], columns)
    refuse_other_frequencies(bars.source, days)
    days, columns = settle_suspensions(bars.source, days, columns, suspended_days)
    series = daily_series(bars.source, path.stem, days, columns)
    return settle_splits(bars.source, series, stock_splits)


def write_prices(series: PriceSeries, path: Path) -> None:
    """Write a series as CSV or Parquet, whole or not at all; `load_series` reads it as it was.

    Raises
    ------
    SeriesError
        If the ending is neither ``.csv`` nor ``.parquet``.
    OSError
        If the file cannot be written.
    """
    if path.suffix.lower() == ".csv":
        replace_bytes(path, series.frame.to_csv(index=False).encode())
    elif path.suffix.lower() == ".parquet":
        replace_bytes(path, series.frame.to_parquet())
    else:
        raise SeriesError(f"{path}: expected a name that ends in .csv or .parquet")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SeriesError(
            f"unknown zone {name!r}; expected one such as Europe/Berlin, Asia/Tokyo or UTC"
        ) from error


def _written_days(bars: Bars) -> NDArray[np.datetime64]:
    """Return the written days of bars within the day, unless UTC's midnight falls into sessions."""
    wall = bars.stamps.wall
    days = wall.astype("datetime64[D]")
    steps = np.diff(wall).astype(np.int64)
    nights = steps[days[1:] != days[:-1]]
    in_utc = bars.stamps.offset_seconds is not None and not bars.stamps.offset_seconds.any()
    if in_utc and len(nights) and np.median(nights) <= SESSION_STEPS * np.median(steps):
        raise SeriesError(
            f"{bars.source}: stamps in UTC run on through midnight; say whose days are meant: "
            "--zone of the exchange, or --zone UTC"
        )
    return days


def _refuse_disorder(bars: Bars) -> None:
    wall = bars.stamps.wall
    moments = wall.astype(np.int64)
    if bars.stamps.offset_seconds is not None:  # an hour comes twice on the wall in autumn
        moments = moments - bars.stamps.offset_seconds
    bad = np.flatnonzero(np.diff(moments) <= 0)
    if bad.size:
        row = int(bad[0]) + 1
        before, late = (str(wall[n]).replace("T", " ") for n in (row - 1, row))
        raise SeriesError(
            f"{bars.source}: row {row + 1}: {late} does not come after {before}; sort the rows, "
            "drop duplicates"
        )
