"""Daily returns and volume of whatever can be scored: a series, a tape, many paths in files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from evobourse.experiments.errors import ConfigError
from evobourse.fitness.moments import FloatArray
from evobourse.market.series.named import SplitPolicy, SuspensionPolicy, load_series
from evobourse.market.series.splits import slice_between
from evobourse.market.tape.daily_tape import Tape, is_tape, read_closes


@dataclass(frozen=True, eq=False)
class Daily:
    """Daily log returns and volume of anything that has closes, one path of them or many.

    Attributes
    ----------
    name : str
        What the output calls it.
    span : str
        Its first and last day, as in ``1999-01-04 to 2018-12-31``.
    log_returns, volume : float64 arrays, shape [T]
        Close to close, and the units traded on the day that a return ends on; of several paths
        one after the other.
    lengths : tuple of int
        Days of each path; empty for a single one.
    simulated : bool
        Whether it is a tape, whose zero volume means that nobody traded and not that nobody
        counted.
    """

    name: str
    span: str
    log_returns: FloatArray
    volume: FloatArray
    simulated: bool = False
    lengths: tuple[int, ...] = ()

    def paths(self) -> list[tuple[FloatArray, FloatArray]]:
        """Return the log returns and the volume of each path."""
        if not self.lengths:
            return [(self.log_returns, self.volume)]
        ends = np.cumsum(self.lengths)[:-1]
        return list(zip(np.split(self.log_returns, ends), np.split(self.volume, ends), strict=True))


def read_daily(
    source: str | Path | Tape,
    split: str | None = None,
    stock_splits: SplitPolicy = "refuse",
    suspended_days: SuspensionPolicy = "refuse",
) -> Daily:
    """Read daily returns and volume.

    Parameters
    ----------
    source
        A name or file that `market.series.named.load_series` knows, with date and close (open,
        high, low and volume too, if there are any), or a tape, its folder or ``prices.parquet``.
        Many paths are a folder of such files and tapes, or a table with a column ``path``, whose
        rows are in order of time and have a ``close`` and perhaps a ``volume``.
    split
        First and last day, ``FROM:TO`` in ISO dates; the whole series by default.
    stock_splits
        What to do about days that look like unadjusted stock splits.
    suspended_days
        What to do about days on which nothing was traded.

    Raises
    ------
    ConfigError
        The split is no pair of dates, or was asked of a tape, which has none.
    MarketError
        The source cannot be read; the message says why.
    """
    if isinstance(source, Tape) or is_tape(Path(source)):
        name = "simulated" if isinstance(source, Tape) else str(source)
        if split is not None:
            raise ConfigError(f"{name}: a tape has no dates; --split is for --against a series")
        if isinstance(source, Tape):
            log_returns, volume = source.log_returns(), source.volume
        else:
            close_ticks, volume = read_closes(Path(source))
            log_returns = np.diff(np.log(close_ticks))
        span = f"tape of {len(volume)} days"
        return Daily(name, span, log_returns, volume.astype(np.float64), True)
    if (folder := Path(source)).is_dir() or _has_paths(folder):
        if split is not None:
            raise ConfigError(f"{source}: many paths have no dates; --split is for --against")
        return _read_many(folder, stock_splits, suspended_days)
    series = load_series(str(source), True, stock_splits, suspended_days)
    if split is not None:
        first, colon, last = split.partition(":")
        if not colon:
            raise ConfigError(f"--split {split}: expected FROM:TO, as in 1999-01-04:2010-12-31")
        series = slice_between(series, first, last)
    span = f"{series.dates[0]} to {series.dates[-1]}"
    return Daily(series.name, span, series.log_returns, series.volume[1:])


def _has_paths(file: Path) -> bool:
    """Say whether a table has a column that tells paths apart."""
    if not file.is_file() or file.suffix.lower() not in (".csv", ".parquet"):
        return False
    return "path" in _columns(file)


def _columns(file: Path) -> list[str]:
    try:
        if file.suffix.lower() == ".parquet":
            return list(pq.read_schema(file).names)
        return list(pd.read_csv(file, nrows=0).columns)
    except (OSError, ValueError):  # the reader of series says what is wrong
        return []


def _read_many(place: Path, stock_splits: SplitPolicy, suspended_days: SuspensionPolicy) -> Daily:
    """Read a folder of price files and tapes, or a table with a row a path and day."""
    if place.is_dir():
        found = sorted(
            one for one in place.iterdir() if one.suffix in (".csv", ".parquet") or is_tape(one)
        )
        each = [read_daily(one, None, stock_splits, suspended_days) for one in found]
    else:
        each = _read_table(place)
    if not each:
        raise ConfigError(f"{place}: holds no price file and no tape; give one a path")
    lengths = tuple(length for one in each for length in one.lengths or (len(one.log_returns),))
    return Daily(
        str(place),
        f"{len(lengths)} paths of {min(lengths)} to {max(lengths)} days",
        np.concatenate([one.log_returns for one in each]),
        np.concatenate([one.volume for one in each]),
        all(one.simulated for one in each),
        lengths,
    )


def _read_table(file: Path) -> list[Daily]:
    """Read a table with the columns ``path``, ``close`` and perhaps ``volume``."""
    table = pd.read_parquet(file) if file.suffix.lower() == ".parquet" else pd.read_csv(file)
    if "close" not in table:
        raise ConfigError(f"{file}: columns {', '.join(table.columns)}; expected path and close")
    numbers = table[["close", *(["volume"] if "volume" in table else [])]]
    numbers = numbers.apply(pd.to_numeric, errors="coerce")
    bad = ~np.isfinite(numbers).all(axis=1) | (numbers["close"] <= 0)
    if "volume" in numbers:
        bad |= numbers["volume"] < 0
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ConfigError(
            f"{file}: row {row + 1} of path {table['path'].iloc[row]} has no close above 0, or no "
            "volume of 0 or more; mend it or leave the path out"
        )
    paths = []
    for name, rows in numbers.groupby(table["path"], sort=False):
        log_returns = np.diff(np.log(rows["close"].to_numpy(np.float64)))
        volume = np.zeros(len(rows)) if "volume" not in rows else rows["volume"].to_numpy(float)
        paths.append(Daily(str(name), "", log_returns, volume[1:]))
    return paths
