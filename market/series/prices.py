"""A real daily price series as a checked, read-only table."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.market.errors import SeriesError

PRICE_COLUMNS = ("open", "high", "low", "close")
COLUMNS = (*PRICE_COLUMNS, "volume")
ROUNDING = 1e-6
"""Share of a price by which adjusted or single-precision opens and closes may leave the range."""


@dataclass(frozen=True, eq=False)
class PriceSeries:
    """Daily bars of one asset, checked when made and read-only after.

    Attributes
    ----------
    name : str
        What reports call the asset; no part of the content hash.
    dates : NDArray[np.datetime64]
        Trading days, ``datetime64[D]`` of shape [T], strictly increasing, T >= 2.
    open, high, low, close : NDArray[np.float64]
        Prices in currency units, shape [T], finite and over 0, ``high >= low``; open and close
        between them, but for rounding.
    volume : NDArray[np.float64]
        Traded units, shape [T], finite and at least 0.
    settle : NDArray[np.float64] or None
        Settlement prices of a future, shape [T], over 0 or NaN on a day without one. None where
        no day has one.
    absent : tuple of str
        Columns that the source lacks: ``open``, ``high`` and ``low`` are then the close, and
        ``volume`` is 0.

    Raises
    ------
    SeriesError
        If a row breaks one of these rules; names the column, the row (the first is 1) and date.
    """

    name: str
    dates: NDArray[np.datetime64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    settle: NDArray[np.float64] | None = None
    absent: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.settle is not None:  # one bit pattern for NaN, so that equal series hash alike
            settle = np.where(np.isnan(self.settle), np.nan, self.settle)
            object.__setattr__(self, "settle", None if np.isnan(settle).all() else settle)
        object.__setattr__(self, "dates", _read_only(self.dates, "datetime64[D]"))
        for column in self.columns:
            object.__setattr__(self, column, _read_only(getattr(self, column), "float64"))
        fault = _first_fault(self)
        if fault:
            raise SeriesError(f"{self.name}: {fault}")

    def __len__(self) -> int:
        return len(self.dates)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the numeric columns: prices, volume, and settle where there is one."""
        return COLUMNS if self.settle is None else (*COLUMNS, "settle")

    @property
    def log_returns(self) -> NDArray[np.float64]:
        """Close-to-close log returns, shape [T-1]; entry ``t`` leads to row ``t + 1``."""
        return np.diff(np.log(self.close))

    @property
    def content_hash(self) -> str:
        """SHA-256 hex digest of dates and columns, the same on every platform and for any name."""
        digest = hashlib.sha256(self.dates.astype("<i8").tobytes())
        for column in self.columns:
            digest.update(getattr(self, column).astype("<f8").tobytes())
        if self.absent:
            digest.update(",".join(self.absent).encode())
        return digest.hexdigest()

    @property
    def frame(self) -> pd.DataFrame:
        """What the source had, ``date`` first; written to CSV or Parquet it loads to this hash."""
        held = [column for column in self.columns if column not in self.absent]
        return pd.DataFrame({"date": self.dates, **{name: getattr(self, name) for name in held}})

    def slice(self, start: int, stop: int) -> "PriceSeries":
        """Return rows ``start`` to ``stop - 1`` as a series of the same name.

        Parameters
        ----------
        start, stop : int
            Half-open row range, ``0 <= start`` and ``start + 2 <= stop <= T``.

        Raises
        ------
        SeriesError
            If the range leaves the series or holds fewer than 2 rows.
        """
        if not 0 <= start <= stop <= len(self):
            raise SeriesError(f"{self.name}: rows {start}:{stop} leave the series of {len(self)}")
        rows = slice(start, stop)
        columns = {column: getattr(self, column)[rows] for column in self.columns}
        return replace(self, dates=self.dates[rows], **columns)


def _read_only(values: NDArray[np.generic], dtype: str) -> NDArray[np.generic]:
    owned = np.array(values, dtype=dtype)
    owned.setflags(write=False)
    return owned


def _first_fault(series: PriceSeries) -> str | None:
    lengths = {column: getattr(series, column).shape for column in ("dates", *series.columns)}
    if len(set(lengths.values())) != 1 or series.dates.ndim != 1:
        return f"columns differ in shape: {lengths}"
    if len(series) < 2:
        return f"received {len(series)} rows, expected at least 2"

    def at(column: str, bad: NDArray[np.bool_], complaint: str) -> str:
        row = int(np.argmax(bad))
        received = getattr(series, column)[row]
        return f"column {column}, row {row + 1} ({series.dates[row]}): {received} {complaint}"

    for column in sorted(PRICE_COLUMNS):  # the close first: the others may be its stand-ins
        bad = ~(np.isfinite(getattr(series, column)) & (getattr(series, column) > 0))
        if bad.any():
            return at(column, bad, "is no finite price over 0; drop or mend the row")
    bad = ~(np.isfinite(series.volume) & (series.volume >= 0))
    if bad.any():
        return at("volume", bad, "is no finite volume of 0 or more; write 0 where unknown")
    if series.settle is not None:
        bad = (series.settle <= 0) | np.isinf(series.settle)
        if bad.any():
            return at("settle", bad, "is no finite price over 0; leave it empty where unknown")
    bad = series.high < series.low
    if bad.any():
        return at("high", bad, f"is under the low, {series.low[np.argmax(bad)]}; mend the row")
    for column in ("open", "close"):
        price = getattr(series, column)
        bad = (price > series.high * (1 + ROUNDING)) | (price < series.low * (1 - ROUNDING))
        if bad.any():
            low, high = (side[np.argmax(bad)] for side in (series.low, series.high))
            return at(column, bad, f"lies outside [low, high], [{low}, {high}]; mend the row")
    steps = np.diff(series.dates)
    bad = np.concatenate(([False], steps <= np.timedelta64(0, "D")))
    if (steps < np.timedelta64(0, "D")).all():
        return at("dates", bad, "comes after a later day, as every row does; turn the file round")
    if bad.any():
        before = series.dates[int(np.argmax(bad)) - 1]
        return at("dates", bad, f"does not come after {before}; sort the rows, drop duplicates")
    return None
