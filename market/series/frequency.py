"""How often a file has a bar, and days made of bars within the day."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.market.errors import SeriesError

DAY_SECONDS = 86_400
NAMED_STEPS = (
    ("weekly", 5.0, 9.0),
    ("monthly", 27.0, 32.0),
    ("quarterly", 85.0, 95.0),
    ("yearly", 360.0, 370.0),
)
"""Names of frequencies by the median calendar days between two bars."""
FEW_STEPS = 5
LONG_WEEKEND_DAYS = 4
SHORT_DAY = 0.9
"""Days: less than any day between two changes of clocks."""
STRETCH_STEPS = 21


@dataclass(frozen=True)
class Frequency:
    """How often bars come.

    Attributes
    ----------
    name : str
        ``daily``, ``weekly``, ``monthly``, ``quarterly``, ``yearly``, ``intraday``, or
        ``irregular`` for any other distance.
    step_days : float
        Median calendar days from a bar to the next.
    """

    name: str
    step_days: float

    def __str__(self) -> str:
        minutes = round(self.step_days * 24 * 60)
        if self.name == "intraday":
            return f"intraday, a bar every {minutes} minutes"
        return self.name if self.name == "daily" else f"{self.name}, a bar every {self._days}"

    @property
    def _days(self) -> str:
        return f"{self.step_days:g} days"


def measure_frequency(
    days: NDArray[np.datetime64], moments: NDArray[np.datetime64] | None = None
) -> Frequency:
    """Measure how often bars come, from the distances between them.

    Parameters
    ----------
    days : NDArray[np.datetime64]
        Each bar's day, ``datetime64[D]`` of shape [T], in any order.
    moments : NDArray[np.datetime64] or None
        Each bar's moment, ``datetime64[s]`` of shape [T], where the source has times.

    Returns
    -------
    Frequency
        Intraday where most bars come less than a day apart, whatever days a zone makes of them
        (Sydney's morning is UTC's evening before). Daily where most bars follow on the next
        calendar day; up to five distances, too few to measure, may be as long as a weekend.
    """
    apart = np.unique(days)
    if moments is not None and len(apart):
        steps = np.diff(np.unique(moments)).astype(np.int64) / DAY_SECONDS
        if len(steps) and np.median(steps) < SHORT_DAY:
            return Frequency("intraday", float(np.median(steps)))
    steps = np.diff(apart).astype(np.int64)
    if not len(steps):
        return Frequency("daily", 1.0)
    middle = float(np.median(steps))
    if middle < 2 or (len(steps) <= FEW_STEPS and middle <= LONG_WEEKEND_DAYS):
        return Frequency("daily", middle)
    names = [name for name, low, high in NAMED_STEPS if low <= middle <= high]
    return Frequency(names[0] if names else "irregular", middle)


def refuse_other_frequencies(
    source: str, days: NDArray[np.datetime64], moments: NDArray[np.datetime64] | None = None
) -> None:
    """Refuse bars that are not daily, throughout.

    Raises
    ------
    SeriesError
        If bars are intraday, weekly, monthly or of another distance, all or a stretch of them.
    """
    found = measure_frequency(days, moments)
    if found.name == "intraday":
        raise SeriesError(
            f"{source}: {found}, expected one a day; make days of them: "
            f"evobourse to-daily {shlex.quote(source)} daily.csv"
        )
    coarse = "days cannot be made of longer bars; export daily ones (interval 1d)"
    if found.name != "daily":
        raise SeriesError(f"{source}: {found}, expected one a trading day; {coarse}")
    steps = pd.Series(np.diff(np.unique(days)).astype(np.int64))
    usual = steps.rolling(STRETCH_STEPS).median()
    if (usual > LONG_WEEKEND_DAYS).any():
        last = int(np.argmax((usual > LONG_WEEKEND_DAYS).to_numpy()))
        first = np.unique(days)[last + 1 - STRETCH_STEPS]
        raise SeriesError(
            f"{source}: daily, but from {first} on {STRETCH_STEPS} bars come every "
            f"{usual[last]:g} days; {coarse}, or cut these rows off"
        )


def join_days(
    days: NDArray[np.datetime64], columns: dict[str, NDArray[np.float64]]
) -> tuple[NDArray[np.datetime64], dict[str, NDArray[np.float64]]]:
    """Make one bar a day of bars in the order of time.

    Parameters
    ----------
    days : NDArray[np.datetime64]
        Each bar's day, shape [T], not descending.
    columns : dict of str to NDArray[np.float64]
        ``open``, ``high``, ``low``, ``close``, ``volume`` and ``settle``, those that there are.

    Returns
    -------
    days, columns
        First open, highest high, lowest low, last close and settle, summed volume of each day.
    """
    starts = np.flatnonzero(np.concatenate(([True], days[1:] != days[:-1])))
    ends = np.append(starts[1:], len(days)) - 1
    joined = {}
    for name, values in columns.items():
        if name in ("high", "low", "volume"):
            sums = {"high": np.maximum, "low": np.minimum, "volume": np.add}[name]
            joined[name] = sums.reduceat(values, starts)
        else:
            joined[name] = values[starts if name == "open" else ends]
    return days[starts], joined
