"""Days on which nothing was traded: finding them, and keeping or dropping them."""

import shlex
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evobourse.market.errors import SeriesError
from evobourse.market.series.prices import PRICE_COLUMNS

SuspensionPolicy = Literal["refuse", "keep", "drop"]
Columns = dict[str, NDArray[np.float64]]

LEAST_RUN = 5
"""Unchanged closes in a row that are no chance, where no volume tells."""


def empty_days(columns: Columns) -> NDArray[np.bool_]:
    """Find rows without any price: each is missing or 0, and so is the volume.

    Parameters
    ----------
    columns : dict of str to NDArray[np.float64]
        Columns of a file, each of shape [T].
    """
    held = [columns[name] for name in (*PRICE_COLUMNS, "volume") if name in columns]
    return np.asarray(np.all([np.isnan(values) | (values == 0) for values in held], axis=0))


def no_trade_days(columns: Columns) -> NDArray[np.bool_]:
    """Find rows on which nothing was traded: empty ones, and bars that repeat the close before.

    Where a file knows volumes, a row with a volume of 0 and one price, the last close. Where it
    does not, the same in a run of at least five rows, since a close may be unchanged by chance.
    A price that never changes is no suspension.

    Parameters
    ----------
    columns : dict of str to NDArray[np.float64]
        Columns of a file, each of shape [T], with ``close``.
    """
    empty = empty_days(columns)
    columns = _filled(columns, empty)
    close = columns["close"]
    if (close == close[:1]).all():
        return empty
    idle = np.concatenate(([False], close[1:] == close[:-1]))
    for name in ("open", "high", "low"):
        if name in columns:
            idle &= columns[name] == close
    volume = columns.get("volume", np.zeros(len(close)))
    if volume.any():
        return np.asarray(empty | (idle & (volume == 0)))
    edges = np.diff(np.concatenate(([False], idle, [False])).astype(np.int8))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    for start, stop in zip(starts, stops, strict=True):
        idle[start:stop] = stop - start >= LEAST_RUN
    return np.asarray(empty | idle)


def settle_suspensions(
    source: str, days: NDArray[np.datetime64], columns: Columns, policy: SuspensionPolicy
) -> tuple[NDArray[np.datetime64], Columns]:
    """Refuse, keep or drop the days on which nothing was traded.

    Parameters
    ----------
    source : str
        What messages call the table.
    days : NDArray[np.datetime64]
        Shape [T].
    columns : dict of str to NDArray[np.float64]
        Each of shape [T].
    policy : {"refuse", "keep", "drop"}
        ``keep`` gives a day without prices the close before and a volume of 0.

    Raises
    ------
    SeriesError
        If such days are to be refused, or the first row has no price to keep.
    """
    empty, idle = empty_days(columns), no_trade_days(columns)
    if not idle.any():
        return days, columns
    row = int(np.argmax(idle))
    if policy == "refuse":
        place = f"column close, row {row + 1} ({days[row]}): {columns['close'][row]}"
        more = int(idle.sum()) - 1
        what = "is no price over 0" if empty[row] else "repeats the close before, without volume"
        raise SeriesError(
            f"{source}: {place} {what}, as on a day of suspension ({more} more); set "
            "suspended_days to drop, or to keep for a day at the last close, or leave them out: "
            f"evobourse to-daily {shlex.quote(source)} daily.csv --suspended-days drop"
        )
    if policy == "drop":
        return days[~idle], {name: values[~idle] for name, values in columns.items()}
    if empty[0]:
        raise SeriesError(
            f"{source}: row 1 ({days[0]}) has no price and none before it to keep; set "
            "suspended_days to drop"
        )
    return days, _filled(columns, empty)


def _filled(columns: Columns, empty: NDArray[np.bool_]) -> Columns:
    """Give empty rows the last close; leading ones stay as they are."""
    last = np.maximum.accumulate(np.where(empty, 0, np.arange(len(empty))))
    before = columns["close"][last]
    return {
        name: np.where(
            empty, before if name in PRICE_COLUMNS else 0.0 if name == "volume" else np.nan, values
        )
        for name, values in columns.items()
    }
