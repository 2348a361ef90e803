"""Real daily price series: the data that a simulated market is compared with.

Knows: how to load one from a name or a file, and what makes one unusable.
Does not know: splits, ticks, currencies, adjusted prices, or anything simulated.
"""

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from market.errors import SeriesError

PRICE_COLUMNS = ("open", "high", "low", "close")
COLUMNS = (*PRICE_COLUMNS, "volume")
DATE_COLUMNS = ("date", "index")
ACCEPTED = '"sp500" or the path of a .csv or .parquet file'


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
        Prices in currency units, shape [T], finite and over 0, ``high >= low``.
    volume : NDArray[np.float64]
        Traded units, shape [T], finite and at least 0.

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "dates", _read_only(self.dates, "datetime64[D]"))
        for column in COLUMNS:
            object.__setattr__(self, column, _read_only(getattr(self, column), "float64"))
        fault = _first_fault(self)
        if fault:
            raise SeriesError(f"{self.name}: {fault}")

    def __len__(self) -> int:
        return len(self.dates)

    @property
    def log_returns(self) -> NDArray[np.float64]:
        """Close-to-close log returns, shape [T-1]; entry ``t`` leads to row ``t + 1``."""
        return np.diff(np.log(self.close))

    @property
    def content_hash(self) -> str:
        """SHA-256 hex digest of dates and columns, the same on every platform and for any name."""
        digest = hashlib.sha256(self.dates.astype("<i8").tobytes())
        for column in COLUMNS:
            digest.update(getattr(self, column).astype("<f8").tobytes())
        return digest.hexdigest()

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
        columns = {column: getattr(self, column)[rows] for column in COLUMNS}
        return replace(self, dates=self.dates[rows], **columns)


def load_series(source: str, close_only: bool = False) -> PriceSeries:
    """Load a daily price series.

    Parameters
    ----------
    source : str
        ``"sp500"`` for the S&P 500 index of 1999-2018 that ships with ``arch`` (unadjusted close),
        or the path of a ``.csv`` or ``.parquet`` file with the columns Date (or index), Open,
        High, Low, Close and Volume in any case and order; other columns are ignored. Dates are
        ISO (``2001-01-31``; a time of day is cut off).
    close_only : bool
        Take a file without open, high, low or volume, for uses that need closes alone: the close
        stands for a missing price, 0 for a missing volume.

    Returns
    -------
    PriceSeries
        Named ``sp500`` or after the file, without its folder and ending.

    Raises
    ------
    SeriesError
        If the source is unknown, missing or unreadable, lacks a column, or holds a bad row.
    """
    if source == "sp500":
        # Imported on use: arch pulls in statsmodels, which costs a second.
        from arch.data import sp500

        return _from_frame(source, sp500.load(), close_only)
    path = Path(source)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise SeriesError(f"unknown series {source!r}: give {ACCEPTED}")
    if not path.is_file():
        raise SeriesError(f"{source}: no such file; give {ACCEPTED}")
    try:
        frame = pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise SeriesError(f"{source}: not readable as {path.suffix[1:]}: {reason}") from error
    return replace(_from_frame(source, frame, close_only), name=path.stem)


def _read_only(values: NDArray[np.generic], dtype: str) -> NDArray[np.generic]:
    owned = np.array(values, dtype=dtype)
    owned.setflags(write=False)
    return owned


def _from_frame(source: str, frame: pd.DataFrame, close_only: bool) -> PriceSeries:
    if isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.reset_index()
    found: dict[str, Hashable] = {}
    for column in frame.columns:
        if found.setdefault(str(column).strip().lower(), column) != column:
            raise SeriesError(f"{source}: column {column!r} stands twice; drop one")
    date_column = next((name for name in DATE_COLUMNS if name in found), None)
    missing = [name for name in (("close",) if close_only else COLUMNS) if name not in found]
    if date_column is None:
        missing.insert(0, "date")
    if date_column is None or missing:
        listed = ", ".join(str(column) for column in frame.columns)
        raise SeriesError(f"{source}: missing column {', '.join(missing)}; found {listed}")
    dates = _parse_dates(source, date_column, frame[found[date_column]])
    given = {
        name: _parse_numbers(source, name, frame[found[name]], dates)
        for name in COLUMNS
        if name in found
    }
    stand_in = dict.fromkeys(PRICE_COLUMNS, given["close"]) | {"volume": np.zeros(len(dates))}
    return PriceSeries(name=source, dates=dates, **(stand_in | given))


def _parse_dates(source: str, column: str, raw: pd.Series) -> NDArray[np.datetime64]:
    if isinstance(raw.dtype, pd.DatetimeTZDtype):
        raw = raw.dt.tz_localize(None)  # the exchange's own calendar day, not UTC's
    # The first ten characters are the day, whatever time or zone a provider wrote behind it.
    text = raw.astype(str).str.slice(0, 10)
    days = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
    dates = days.to_numpy().astype("datetime64[D]")
    bad = np.flatnonzero(np.isnat(dates))
    if bad.size:
        row = int(bad[0])
        raise SeriesError(
            f"{source}: column {column}, row {row + 1}: received {raw.iloc[row]!r}, "
            "expected a date such as 2001-01-31"
        )
    return dates


def _parse_numbers(
    source: str, column: str, raw: pd.Series, dates: NDArray[np.datetime64]
) -> NDArray[np.float64]:
    numbers = pd.to_numeric(raw, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(np.isnan(numbers) & raw.notna().to_numpy())
    if bad.size:
        row = int(bad[0])
        raise SeriesError(
            f"{source}: column {column}, row {row + 1} ({dates[row]}): "
            f"received {raw.iloc[row]!r}, expected a plain number"
        )
    return numbers


def _first_fault(series: PriceSeries) -> str | None:
    lengths = {column: getattr(series, column).shape for column in ("dates", *COLUMNS)}
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
    bad = series.high < series.low
    if bad.any():
        return at("high", bad, f"is under the low, {series.low[np.argmax(bad)]}; mend the row")
    bad = np.concatenate(([False], np.diff(series.dates) <= np.timedelta64(0, "D")))
    if bad.any():
        before = series.dates[int(np.argmax(bad)) - 1]
        return at("dates", bad, f"does not come after {before}; sort the rows, drop duplicates")
    return None
