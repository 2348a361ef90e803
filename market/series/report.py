"""What was understood of a price file, and why it is refused if it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evobourse.market.errors import SeriesError
from evobourse.market.series.files import read_bars
from evobourse.market.series.frequency import Frequency, measure_frequency
from evobourse.market.series.named import load_series
from evobourse.market.series.prices import COLUMNS
from evobourse.market.series.stamps import trading_days, weekdays
from evobourse.market.series.suspensions import empty_days, no_trade_days

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class PriceFileReport:
    """What was understood of a price file.

    Attributes
    ----------
    rows : int
        Rows of data.
    first_day, last_day : str
        ISO dates of the first and the last bar.
    frequency : Frequency
        How often bars come; as text ``daily``, or the name and the distance.
    zone : str
        Of the stamps, empty where the file names none.
    shifted : bool
        Whether stamps were midnights of another zone, and dates are one day later.
    weekdays : tuple of str
        The days of the week that have bars, ``Mon`` first.
    columns : dict of str to str
        What each column that is read is called in the file, ``date`` first.
    missing, ignored : tuple of str
        Columns that a sweep needs and the file lacks; the file's columns that nobody reads.
    empty_days, idle_days : int
        Rows without any price, and rows that only repeat the close before without volume: days
        that ``suspended_days`` keeps or drops.
    trouble : str or None
        Why `load_series` refuses the file with its default policies, in one line; None if it does
        not.
    """

    rows: int
    first_day: str
    last_day: str
    frequency: Frequency
    zone: str
    shifted: bool
    weekdays: tuple[str, ...]
    columns: dict[str, str]
    missing: tuple[str, ...]
    ignored: tuple[str, ...]
    empty_days: int
    idle_days: int
    trouble: str | None


def describe_prices(path: str | Path) -> PriceFileReport:
    """Say what is understood of a price file, also of one that `load_series` refuses.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``.csv``, ``.txt`` or ``.parquet`` file.

    Raises
    ------
    SeriesError
        If it is no table with dates and closes.
    """
    bars = read_bars(Path(path), close_only=True)
    try:
        days, shifted = trading_days(bars.source, bars.stamps)
    except SeriesError:  # which of two days is meant is the trouble told below
        days, shifted = bars.stamps.wall.astype("datetime64[D]"), False
    try:
        load_series(str(path), close_only=True)
        trouble = None
    except SeriesError as error:
        trouble = str(error)
    empty = empty_days(bars.columns)
    idle = no_trade_days(bars.columns) & ~empty
    return PriceFileReport(
        rows=len(days),
        first_day=str(days.min()) if len(days) else "",
        last_day=str(days.max()) if len(days) else "",
        frequency=measure_frequency(days, bars.stamps.wall),
        zone=bars.stamps.zone,
        shifted=shifted,
        weekdays=tuple(WEEKDAYS[day] for day in np.unique(weekdays(days))),
        columns=bars.spelled,
        missing=tuple(column for column in COLUMNS if column not in bars.columns),
        ignored=bars.ignored,
        empty_days=int(empty.sum()),
        idle_days=int(idle.sum()),
        trouble=trouble,
    )
