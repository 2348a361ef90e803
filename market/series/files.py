"""Price files: CSV and Parquet as yfinance, AkShare, Sina and others write them."""

import csv
from collections.abc import Hashable
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.market.errors import SeriesError
from evobourse.market.series.prices import COLUMNS, PriceSeries

ENDINGS = (".csv", ".parquet")
SPELLINGS = {
    "date": ("date", "日期", "交易日期", "trade_date", "datetime", "时间", "time", "index"),
    "open": ("open", "开盘", "开盘价"),
    "high": ("high", "最高", "最高价"),
    "low": ("low", "最低", "最低价"),
    "close": ("close", "收盘", "收盘价"),
    "volume": ("volume", "成交量", "vol"),
    "settle": ("settle", "settlement", "结算价", "动态结算价"),
}
"""In lower case: yfinance and Sina, then AkShare's Chinese frames, then Tushare."""
DAY_PATTERN = r"^(\d{4})(?:[-/](\d{1,2})[-/](\d{1,2})|(\d{2})(\d{2}))(?!\d)"


def read_series(path: Path, close_only: bool = False) -> PriceSeries:
    """Read a file of daily prices; see `market.series.named.load_series` for what may stand in it.

    Parameters
    ----------
    path : pathlib.Path
        A ``.csv`` or ``.parquet`` file.
    close_only : bool
        Take a file without open, high, low or volume.

    Returns
    -------
    PriceSeries
        Named after the file, without its folder and ending.

    Raises
    ------
    SeriesError
        If the file is missing or unreadable, lacks a column, or holds a bad row.
    """
    if not path.is_file():
        raise SeriesError(f"{path}: no such file")
    try:
        frame = _read_csv(path) if path.suffix.lower() == ".csv" else _read_parquet(path)
    except UnicodeDecodeError as error:
        raise SeriesError(f"{path}: no UTF-8 text; save it as CSV in UTF-8") from error
    except (OSError, ValueError, csv.Error) as error:
        reason = str(error).strip().partition("\n")[0]
        raise SeriesError(f"{path}: not readable as {path.suffix[1:]}: {reason}") from error
    return series_from_frame(str(path), path.stem, frame, close_only)


def series_from_frame(
    source: str, name: str, frame: pd.DataFrame, close_only: bool = False
) -> PriceSeries:
    """Make a series of a table with any of the spellings of columns.

    Parameters
    ----------
    source : str
        What error messages call the table.
    name : str
        What the series is called.
    frame : pandas.DataFrame
        One row a day; other columns are ignored.
    close_only : bool
        Take a table without open, high, low or volume.

    Raises
    ------
    SeriesError
        If a column is missing or stands twice, or a row is bad.
    """
    held = _find_columns(source, frame, ("close",) if close_only else COLUMNS)
    dates = _parse_dates(source, str(held["date"]), frame[held["date"]])
    given = {
        column: _parse_numbers(source, column, frame[held[column]], dates)
        for column in (*COLUMNS, "settle")
        if column in held
    }
    absent = tuple(column for column in COLUMNS if column not in given)
    if {"open", "high", "low"} & set(absent):  # half a bar is none
        absent = ("open", "high", "low", *(["volume"] if "volume" in absent else []))
    stand_in = dict.fromkeys(absent, given["close"])
    if "volume" in absent:
        stand_in["volume"] = np.zeros(len(dates))
    if "settle" in given:
        given["settle"] = np.where(given["settle"] == 0, np.nan, given["settle"])  # Sina's "none"
    try:
        return PriceSeries(name=name, dates=dates, absent=absent, **(given | stand_in))
    except SeriesError as error:
        raise SeriesError(f"{source}{str(error).removeprefix(name)}") from error


def _read_csv(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = list(islice(csv.reader(file), 3))
    if not head:
        raise ValueError("the file is empty")
    separators = {";": "semicolons", "\t": "tabs"}
    for sign, word in separators.items():
        if len(head[0]) == 1 and sign in head[0][0]:
            raise SeriesError(
                f"{path}: separated by {word}; save it with commas and decimal points"
            )
    first, *others = head[2] if len(head) == 3 and head[2] else [""]
    two_levels = first.strip().lower() in SPELLINGS["date"] and not any(others)
    names = _one_ticker(path, head) if two_levels else head[0]
    frame = pd.read_csv(
        path,
        header=None,
        names=range(len(names)),
        skiprows=3 if two_levels else 1,
        encoding="utf-8-sig",
        low_memory=False,
    )
    if not isinstance(frame.index, pd.RangeIndex):
        fields = len(names) + frame.index.nlevels
        raise SeriesError(
            f"{path}: {fields} fields in a row under {len(names)} columns; write numbers without "
            "thousands separators, lines without a comma at the end"
        )
    frame.columns = pd.Index([names[0] or "index", *names[1:]])  # pandas leaves an index unnamed
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    if frame.columns.nlevels == 2:
        levels = [["", *map(str, frame.columns.get_level_values(level))] for level in (0, 1)]
        frame.columns = pd.Index(_one_ticker(path, levels)[1:])
    return frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()


def _one_ticker(path: Path, levels: list[list[str]]) -> list[str]:
    """Return the names of the columns under a header of two levels, as yfinance writes it."""
    fields, tickers = levels[0][1:], levels[1][1:]
    if "close" not in [field.strip().lower() for field in fields]:
        fields, tickers = tickers, fields
    if len(set(tickers)) > 1:
        held = ", ".join(sorted({_shown(ticker) for ticker in tickers}))
        raise SeriesError(f"{path}: holds {held}; save one a file")
    return ["date", *fields]


def _find_columns(source: str, frame: pd.DataFrame, needed: tuple[str, ...]) -> dict[str, Hashable]:
    spelled = [str(column).strip().lower() for column in frame.columns]
    held: dict[str, Hashable] = {}
    for column, spellings in SPELLINGS.items():
        places = [
            place for spelling in spellings for place, s in enumerate(spelled) if s == spelling
        ]
        if column == "date":  # a file may have a time or an index beside its date
            places = [place for place in places if spelled[place] == spelled[places[0]]]
        if len(places) > 1:
            twice = " and ".join(repr(_shown(frame.columns[place])) for place in places)
            raise SeriesError(f"{source}: columns {twice} all hold the {column}; keep one")
        if places:
            held[column] = frame.columns[places[0]]
    missing = [column for column in ("date", *needed) if column not in held]
    if missing:
        listed = ", ".join(map(_shown, frame.columns))
        raise SeriesError(f"{source}: missing column {', '.join(missing)}; found {listed}")
    return held


def _parse_dates(source: str, column: str, raw: pd.Series) -> NDArray[np.datetime64]:
    if isinstance(raw.dtype, pd.DatetimeTZDtype):
        raw = raw.dt.tz_localize(None)  # the exchange's own calendar day, not UTC's
    # The day stands first, whatever time or zone a provider wrote behind it.
    parts = raw.astype(str).str.strip().str.extract(DAY_PATTERN)
    month, day = parts[1].fillna(parts[3]), parts[2].fillna(parts[4])
    text = parts[0] + "-" + month.str.zfill(2) + "-" + day.str.zfill(2)
    days = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
    dates = days.to_numpy().astype("datetime64[D]")
    bad = np.flatnonzero(np.isnat(dates))
    if bad.size:
        row = int(bad[0])
        raise SeriesError(
            f"{source}: column {_shown(column)}, row {row + 1}: "
            f"received {_shown(raw.iloc[row])!r}, expected a date such as 2001-01-31"
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
            f"received {_shown(raw.iloc[row])!r}, expected a plain number such as 1234.5"
        )
    return numbers


def _shown(value: object) -> str:
    """Keep a message on one short line: a stray quote can make a cell of a whole file."""
    return " ".join(str(value).split())[:40]
