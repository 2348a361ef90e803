"""Disjoint training, validation and held-out stretches of one series, and windows in them."""

from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from evobourse.market.errors import SeriesError
from evobourse.market.series.prices import PriceSeries

SplitName = Literal["train", "validation", "heldout"]

LEAST_EMBARGO_DAYS = 100
"""Trading days between two stretches of an experiment, at least."""


@dataclass(frozen=True)
class Split:
    """A stretch of rows whose returns may be targets.

    Attributes
    ----------
    name : {"train", "validation", "heldout"}
        Which stretch it is.
    start, stop : int
        Half-open row range in the :class:`~market.series.PriceSeries`. Rows before ``start``
        may serve as history, never as targets.
    """

    name: SplitName
    start: int
    stop: int


@dataclass(frozen=True)
class Splits:
    """The three stretches of one series, the held-out one last in time.

    Attributes
    ----------
    train, validation, heldout : Split
        Pairwise disjoint, neighbours apart by at least the embargo.
    """

    train: Split
    validation: Split
    heldout: Split


@dataclass(frozen=True)
class SplitDates:
    """First and last day (ISO, inclusive) of each stretch, the embargo, and for which series.

    Attributes
    ----------
    train, validation, heldout : tuple of (str, str)
        As `make_splits` takes them.
    embargo_days : int
        Trading days that at least lie between two neighbours.
    series_sha256 : str or None
        Content hash of the only series that may be cut at these dates; None for any.
    """

    train: tuple[str, str]
    validation: tuple[str, str]
    heldout: tuple[str, str]
    embargo_days: int = LEAST_EMBARGO_DAYS
    series_sha256: str | None = None

    def cut(self, series: PriceSeries, window_days: int = 250) -> Splits:
        """Cut a series at these dates, as `make_splits` does.

        Raises
        ------
        SeriesError
            If the dates were frozen for another series, or do not fit this one.
        """
        if self.series_sha256 not in (None, series.content_hash):
            raise SeriesError(
                f"{series.name}: the splits are frozen for the series with sha256 "
                f"{self.series_sha256}, received one with {series.content_hash}; load the series "
                "that they were made for, or set series_sha256 to null for new splits"
            )
        stretches = (self.train, self.validation, self.heldout)
        return make_splits(series, *stretches, self.embargo_days, window_days)

    def freeze(self, series: PriceSeries) -> "SplitDates":
        """Bind these dates to a series, which they must fit."""
        self.cut(series, window_days=1)
        return replace(self, series_sha256=series.content_hash)

    def to_yaml(self) -> str:
        """Write the dates as YAML: a file for `read_split_dates`, a config's ``splits`` section."""
        plain = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }
        return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None)


def read_split_dates(path: Path) -> SplitDates:
    """Read what `SplitDates.to_yaml` wrote.

    Raises
    ------
    SeriesError
        If the file is missing, no YAML, or holds other keys or values.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise SeriesError(f"{path}: no readable YAML ({' '.join(str(error).split())})") from error
    keys = [field.name for field in fields(SplitDates)]
    if not isinstance(raw, dict) or set(raw) != set(keys):
        listed = ", ".join(map(str, raw)) if isinstance(raw, dict) else repr(raw)
        raise SeriesError(f"{path}: received {listed}; expected the keys {', '.join(keys)}")
    for key in keys[:3]:
        days = raw[key]
        if not isinstance(days, list) or len(days) != 2:
            raise SeriesError(f"{path}: {key} is {days!r}, expected its first and last day")
        raw[key] = (str(days[0]), str(days[1]))  # YAML reads a day without quotes as a date
    embargo, frozen_for = raw["embargo_days"], raw["series_sha256"]
    if type(embargo) is not int or embargo < 0:
        raise SeriesError(f"{path}: embargo_days is {embargo!r}, expected 0 or more days")
    if not (frozen_for is None or isinstance(frozen_for, str)):
        raise SeriesError(f"{path}: series_sha256 is {frozen_for!r}, expected a hash or null")
    return SplitDates(**raw)


def make_splits(
    series: PriceSeries,
    train: tuple[str, str],
    validation: tuple[str, str],
    heldout: tuple[str, str],
    embargo_days: int = LEAST_EMBARGO_DAYS,
    window_days: int = 250,
) -> Splits:
    """Cut a series into three stretches with an embargo between neighbours.

    Parameters
    ----------
    series : PriceSeries
        The series to cut.
    train, validation, heldout : tuple of (str, str)
        First and last date of each stretch, ISO, both inclusive.
    embargo_days : int
        Least number of trading days that lie between two neighbours and belong to neither, so
        that volatility's memory carries nothing across (the embargo of López de Prado, 2018,
        Advances in Financial Machine Learning, section 7.4.2). Configs keep `LEAST_EMBARGO_DAYS`.
    window_days : int
        Length in trading days of the windows to be drawn.

    Returns
    -------
    Splits
        Row ranges of the three stretches.

    Raises
    ------
    SeriesError
        If a date is malformed or outside the series, the stretches overlap, the held-out one is
        not the last, two are closer than the embargo, or one holds fewer than
        ``window_days + 1`` rows.
    """
    cut = Splits(
        Split("train", *_rows_between(series, "train", train)),
        Split("validation", *_rows_between(series, "validation", validation)),
        Split("heldout", *_rows_between(series, "heldout", heldout)),
    )
    seen = sorted((cut.train, cut.validation), key=lambda split: split.start)
    ordered = (*seen, cut.heldout)
    for split in ordered:
        if split.stop - split.start < window_days + 1:
            raise SeriesError(
                f"{series.name}: {split.name} holds {split.stop - split.start} trading days, "
                f"expected at least {window_days + 1} (window_days + 1); widen its dates"
            )
    for earlier, later in pairwise(ordered):
        gap_days = later.start - earlier.stop
        if gap_days < 0:
            raise SeriesError(
                f"{series.name}: {later.name} starts on {series.dates[later.start]}, before "
                f"{earlier.name} ends on {series.dates[earlier.stop - 1]}; "
                "let neither overlap, and heldout come last"
            )
        if gap_days < embargo_days:
            raise SeriesError(
                f"{series.name}: {gap_days} trading days lie between {earlier.name} and "
                f"{later.name}, expected at least {embargo_days} (embargo_days); move them apart"
            )
    return cut


def window_starts(
    split: Split,
    window_days: int,
    count: int,
    rng: np.random.Generator,
    min_history_days: int = 0,
) -> NDArray[np.int64]:
    """Draw first rows of windows uniformly, with replacement.

    Parameters
    ----------
    split : Split
        The stretch that holds every window whole.
    window_days : int
        Rows in a window.
    count : int
        Windows to draw.
    rng : numpy.random.Generator
        Source of the draw.
    min_history_days : int
        Least number of rows of the series before a window; at least 1 where the return of a
        window's first row is used.

    Returns
    -------
    NDArray[np.int64]
        Rows ``s``, shape [count], with ``[s, s + window_days)`` inside the split and
        ``s >= min_history_days``.

    Raises
    ------
    SeriesError
        If no row qualifies.
    """
    first = max(split.start, min_history_days)
    last = split.stop - window_days
    if last < first:
        raise SeriesError(
            f"{split.name} (rows {split.start}:{split.stop}) has no room for a window of "
            f"{window_days} days after {min_history_days} days of history; shorten one of them"
        )
    return rng.integers(first, last, size=count, dtype=np.int64, endpoint=True)


def quarter_starts(
    series: PriceSeries, split: Split, window_days: int, min_history_days: int = 0
) -> NDArray[np.int64]:
    """Return first rows of disjoint windows, one a calendar quarter at most.

    Series of one calendar have them on the same days, wherever they begin and end.

    Parameters
    ----------
    series : PriceSeries
        Whose dates they are.
    split : Split
        The stretch that holds every window whole.
    window_days : int
        Rows in a window.
    min_history_days : int
        Least number of rows of the series before a window.

    Returns
    -------
    NDArray[np.int64]
        Rows, shape [windows]: the first trading day of a quarter, or where the last window is not
        over, the day after it; none in a quarter that has begun before the split.
    """
    quarters = quarters_of(series.dates)
    starts: list[int] = []
    free = max(split.start, min_history_days)
    for row in (np.flatnonzero(np.diff(quarters)) + 1).tolist():
        start = max(row, free) if starts else row
        if start < free or start + window_days > split.stop or quarters[start] != quarters[row]:
            continue
        starts.append(start)
        free = start + window_days
    return np.array(starts, dtype=np.int64)


def quarters_of(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the calendar quarter of each date, counted from 1970, in the dates' shape."""
    return dates.astype("datetime64[M]").astype(np.int64) // 3


def slice_between(series: PriceSeries, first_day: str, last_day: str) -> PriceSeries:
    """Cut one stretch out of a series.

    Parameters
    ----------
    series : PriceSeries
        The series to cut.
    first_day, last_day : str
        ISO dates, both inclusive.

    Returns
    -------
    PriceSeries
        The rows between them, under the same name.

    Raises
    ------
    SeriesError
        If a date is malformed or outside the series, or fewer than 2 rows remain.
    """
    return series.slice(*_rows_between(series, "split", (first_day, last_day)))


def _rows_between(series: PriceSeries, name: str, days: tuple[str, str]) -> tuple[int, int]:
    first, last = (_parse_day(series, name, day) for day in days)
    if first > last:
        raise SeriesError(f"{series.name}: {name} starts on {first}, after its end, {last}")
    start = int(np.searchsorted(series.dates, first, side="left"))
    stop = int(np.searchsorted(series.dates, last, side="right"))
    return start, stop


def _parse_day(series: PriceSeries, name: str, day: str) -> np.datetime64:
    try:
        parsed = np.datetime64(date.fromisoformat(day), "D")
    except (TypeError, ValueError) as error:
        raise SeriesError(
            f"{series.name}: {name} received {day!r}, expected a date such as '2001-01-31'"
        ) from error
    if not series.dates[0] <= parsed <= series.dates[-1]:
        raise SeriesError(
            f"{series.name}: {name} names {day}, outside the series, "
            f"which runs from {series.dates[0]} to {series.dates[-1]}"
        )
    return parsed
