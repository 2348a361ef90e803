"""The date column of a price file: days, times and zones, as providers write them."""

import shlex
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.market.errors import SeriesError

SECONDS = "datetime64[s]"
DAY_SECONDS = 86_400
NEWEST_SMALL_EPOCH = 200_000_000
"""Whole numbers that all lie under this (May 1976, in seconds) count rows or spreadsheet days."""
STAMP = (
    r"^(?:(?P<y>\d{4})(?P<s>[-/.年])(?P<m>\d{1,2})[-/.月](?P<d>\d{1,2})日?"
    r"|(?P<y2>\d{4})(?P<m2>\d{2})(?P<d2>\d{2}))"
    r"(?:(?P<t>[T, ]*)(?P<H>\d{1,2}):?(?P<M>\d{2})(?::?(?P<S>\d{2}))?(?:[.,]\d+)?"
    r"(?: *(?P<half>[AaPp])\.?[Mm]\.?)?)?"
    r" *(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?(?!\d)"
)
WORDED_DAYS = ("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d-%b-%Y", "%d %B %Y")
TIME = r"^(?P<H>\d{1,2}):?(?P<M>\d{2})(?::?(?P<S>\d{2}))?(?:\.\d+)?$"
EAST_MIDNIGHTS = frozenset(
    [60 * hour for hour in range(10, 24)] + [13 * 60 + 30, 14 * 60 + 30, 17 * 60 + 30]
    + [18 * 60 + 15, 18 * 60 + 30, 19 * 60 + 30, 20 * 60 + 30]
)  # fmt: skip
"""Minutes of the UTC day at which a day begins somewhere east of Greenwich."""
MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6
FULL_WEEKS_ROWS = 10


@dataclass(frozen=True, eq=False)
class Stamps:
    """The moments that a file gives its rows.

    Attributes
    ----------
    wall : NDArray[np.datetime64]
        Date and time as written, ``datetime64[s]`` of shape [T].
    offset_seconds : NDArray[np.int64] or None
        What the wall clock is ahead of UTC, shape [T]; None where the file names no zone.
    zone : str
        The zone's name, such as ``UTC``, ``+09:00`` or ``Asia/Tokyo``; empty where none is named.
    """

    wall: NDArray[np.datetime64]
    offset_seconds: NDArray[np.int64] | None = None
    zone: str = ""

    def __len__(self) -> int:
        return len(self.wall)

    def reversed(self) -> "Stamps":
        """Return the rows in the opposite order."""
        back = None if self.offset_seconds is None else self.offset_seconds[::-1]
        return Stamps(self.wall[::-1], back, self.zone)

    def days_in(self, zone: ZoneInfo) -> NDArray[np.datetime64]:
        """Return each row's calendar day in a zone; stamps without a zone are taken as UTC."""
        seconds = self.wall.astype(np.int64)
        if self.offset_seconds is not None:
            seconds = seconds - self.offset_seconds
        local = pd.to_datetime(seconds, unit="s", utc=True).tz_convert(zone).tz_localize(None)
        return local.to_numpy().astype("datetime64[D]")


def read_stamps(source: str, column: str, raw: pd.Series, times: pd.Series | None) -> Stamps:
    """Read a column of dates.

    Parameters
    ----------
    source, column : str
        What messages call the table and the column.
    raw : pandas.Series
        Dates, date-times or epochs in seconds, milli-, micro- or nanoseconds, also mixed as
        Binance's files are.
    times : pandas.Series or None
        Times of day in a column of their own; ignored unless all are times and no date has one.

    Raises
    ------
    SeriesError
        If a row holds no date.
    """
    if pd.api.types.is_datetime64_any_dtype(raw.dtype) and not raw.isna().any():
        return _from_datetimes(raw)
    text = raw.astype(str).str.strip()
    epochs = _epoch_seconds(text)
    if epochs is not None:
        return Stamps(epochs.astype(SECONDS), np.zeros(len(raw), np.int64), "UTC")
    stamps, bad = _from_text(text)
    if bad.any():
        row = int(np.argmax(bad))
        raise SeriesError(
            f"{source}: column {column}, row {row + 1}: "
            f"received {' '.join(str(raw.iloc[row]).split())[:40]!r}, "
            "expected a date such as 2001-01-31"
        )
    if times is None or (stamps.wall != stamps.wall.astype("datetime64[D]")).any():
        return stamps
    parts = times.astype(str).str.strip().str.zfill(6).str.extract(TIME)
    if parts["H"].isna().any():
        return stamps
    return Stamps(stamps.wall + _clock_seconds(parts), stamps.offset_seconds, stamps.zone)


def trading_days(source: str, stamps: Stamps) -> tuple[NDArray[np.datetime64], bool]:
    """Find the day that each bar belongs to.

    It is the written day, except where times at which a day begins east of Greenwich are written
    in UTC: these are the midnights of the next day, which the weekdays show (Sundays and no
    Fridays, or Saturdays and no Thursdays).

    Parameters
    ----------
    source : str
        What messages call the table.
    stamps : Stamps
        One a bar.

    Returns
    -------
    days : NDArray[np.datetime64]
        ``datetime64[D]`` of shape [T].
    shifted : bool
        Whether any was put to the day after the written one.

    Raises
    ------
    SeriesError
        If the weekdays say that dates are off by one and the file does not say by which zone.
    """
    days = stamps.wall.astype("datetime64[D]")
    minutes = (stamps.wall - days).astype("timedelta64[m]").astype(np.int64)
    late_in_day = minutes >= 10 * 60
    held = set(weekdays(days[late_in_day]).tolist())
    early = {SUNDAY} <= held and FRIDAY not in held
    early |= {SATURDAY, SUNDAY} <= held and FRIDAY - 1 not in held
    shifted = False
    if late_in_day.any():
        told = f"stamps such as {str(stamps.wall[np.argmax(late_in_day)]).replace('T', ' ')}"
        told += f" {stamps.zone}" if stamps.zone else ""
        in_utc = stamps.offset_seconds is not None and not stamps.offset_seconds.any()
        midnights = set(minutes[late_in_day].tolist()) <= EAST_MIDNIGHTS
        if early and in_utc and midnights:
            days = days + late_in_day.astype("timedelta64[D]")
            shifted = True
        elif early or (in_utc and midnights and not held & {FRIDAY, SATURDAY, SUNDAY}):
            mended = f"evobourse to-daily {shlex.quote(source)} daily.csv --zone Europe/Berlin"
            why = "fall on Sundays and never on Fridays" if early else "are too few to tell"
            raise SeriesError(
                f"{source}: {told} {why}, so midnights of another zone may give dates a day too "
                f"early; name the exchange's zone: {mended}"
            )
    held = set(weekdays(days).tolist())
    if len(days) >= FULL_WEEKS_ROWS and held == {1, 2, 3, FRIDAY, SATURDAY}:
        row = int(np.argmax(weekdays(days) == SATURDAY))
        raise SeriesError(
            f"{source}: row {row + 1} ({days[row]}) is a Saturday, and no row a Monday: dates are "
            "a day late; subtract a day, or name the exchange's zone if the file has times: "
            f"evobourse to-daily {shlex.quote(source)} daily.csv --zone America/New_York"
        )
    return days, shifted


def weekdays(days: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return 0 for a Monday to 6 for a Sunday of days ``datetime64[D]``, shape [T]."""
    # The first of January 1970 was a Thursday.
    return np.asarray((days.astype(np.int64) + 3) % 7)


def _from_datetimes(raw: pd.Series) -> Stamps:
    if not isinstance(raw.dtype, pd.DatetimeTZDtype):
        return Stamps(raw.to_numpy().astype(SECONDS))
    wall = raw.dt.tz_localize(None).to_numpy().astype(SECONDS)
    utc = raw.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype(SECONDS)
    return Stamps(wall, (wall - utc).astype(np.int64), str(raw.dtype.tz))


def _epoch_seconds(text: pd.Series) -> NDArray[np.int64] | None:
    """Return seconds since 1970 where a column holds whole numbers that are no dates."""
    if not text.str.fullmatch(r"-?\d{1,19}(?:\.0)?").all():
        return None
    numbers = text.str.removesuffix(".0").astype(np.int64).to_numpy()
    if text.str.fullmatch(r"(?:19|20)\d{6}(?:\d{4}|\d{6})?(?:\.0)?").all():
        return None  # 20010131, with hours and minutes too
    size = np.abs(numbers)
    if size.max() < NEWEST_SMALL_EPOCH:
        return None
    # A row's own size says its unit; the years around 1970 take the unit of the other rows.
    least = 1_000 if (size >= 10**11).any() else 1
    unit = np.select([size < 10**11, size < 10**14, size < 10**17], [least, 1_000, 10**6], 10**9)
    return np.asarray(numbers // unit)


def _from_text(text: pd.Series) -> tuple[Stamps, NDArray[np.bool_]]:
    """Return stamps, and which rows have none."""
    parts = text.str.extract(STAMP)
    years, months, days = (parts[one].fillna(parts[f"{one}2"]) for one in ("y", "m", "d"))
    written = years + "-" + months.str.zfill(2) + "-" + days.str.zfill(2)
    dates = pd.to_datetime(written, format="%Y-%m-%d", errors="coerce")
    for form in WORDED_DAYS:
        if dates.isna().all():
            dates = pd.to_datetime(text, format=form, errors="coerce")
    clock = _clock_seconds(parts)
    bad = dates.isna().to_numpy() | (clock >= np.timedelta64(DAY_SECONDS, "s"))
    wall: NDArray[np.datetime64] = (dates + clock).to_numpy().astype(SECONDS)
    named = parts["zone"]
    if bad.any() or named.isna().any():
        return Stamps(wall), bad
    clocks = named.replace({"Z": "+00:00", "UTC": "+00:00", "GMT": "+00:00"}).str.replace(":", "")
    ahead = clocks.str[1:3].astype(np.int64) * 3600 + clocks.str[3:5].astype(np.int64) * 60
    offsets = np.where(clocks.str[0] == "-", -ahead, ahead).astype(np.int64)
    zone = "/".join(f"{_clock(offset)}" for offset in np.unique(offsets))
    return Stamps(wall, offsets, "UTC" if not offsets.any() else zone), bad


def _clock_seconds(parts: pd.DataFrame) -> NDArray[np.timedelta64]:
    """Return the time of day in hours, minutes and seconds, 0 where there is none."""
    hours, minutes, seconds = (
        parts[one].fillna("0").astype(np.int64).to_numpy() for one in ("H", "M", "S")
    )
    if "half" in parts:
        half = parts["half"].str.lower()
        hours = np.where(half.notna(), hours % 12 + 12 * (half == "p").to_numpy(), hours)
    return np.asarray(hours * 3600 + minutes * 60 + seconds).astype("timedelta64[s]")


def _clock(offset_seconds: int) -> str:
    sign, shown = ("-" if offset_seconds < 0 else "+"), timedelta(seconds=abs(int(offset_seconds)))
    return f"{sign}{str(shown).zfill(8)[:5]}"
