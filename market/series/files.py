"""Price files: CSV and Parquet as data providers and trading programs write them."""

import csv
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.market.errors import SeriesError
from evobourse.market.series.frequency import refuse_other_frequencies
from evobourse.market.series.prices import COLUMNS, PriceSeries
from evobourse.market.series.stamps import STAMP, Stamps, read_stamps, trading_days
from evobourse.market.series.suspensions import SuspensionPolicy, settle_suspensions

ENDINGS = (".csv", ".txt", ".parquet")
SPELLINGS = {
    "date": (
        *("date", "日期", "交易日期", "trade_date", "datetime", "timestamp", "时间", "交易时间"),
        *("trade_time", "time", "day", "open_time", "open time", "unix", "data", "index"),
    ),
    "open": ("open", "开盘", "开盘价", "開盤", "開盤價", "otwarcie"),
    "high": ("high", "最高", "最高价", "最高價", "najwyzszy"),
    "low": ("low", "最低", "最低价", "最低價", "najnizszy"),
    "close": ("close", "收盘", "收盘价", "收盤", "收盤價", "zamkniecie"),
    "volume": ("volume", "成交量", "vol", "wolumen"),
    "settle": ("settle", "settlement", "结算价", "动态结算价"),
}
"""In lower case, without ``<>``, units in brackets and leading numbers: Yahoo, AlphaVantage,
TradingView, Stooq, Sina, AkShare's Chinese frames, Tushare, Binance."""
TICK_VOLUME = ("tickvol", "tick_volume")
"""MetaTrader's count of price changes: its volume where it knows no traded one."""
TIMES_OF_DAY = ("time", "时间")
HEADERLESS = {
    "epochs": (r"-?\d{9,16}", ("time", "open", "high", "low", "close", "volume")),
    "metatrader": (
        r"\d{4}\.\d\d\.\d\d",
        ("date", "time", "open", "high", "low", "close", "volume"),
    ),
}
"""The first cell and the columns of files without a header: Binance's archive and Kraken's;
MetaTrader 4."""


@dataclass(frozen=True, eq=False)
class Bars:
    """What a file holds, in the order of time, before anything is asked of its days.

    Attributes
    ----------
    source : str
        What messages call the file.
    stamps : Stamps
        The moments of the rows, shape [T].
    columns : dict of str to NDArray[np.float64]
        ``open``, ``high``, ``low``, ``close``, ``volume`` and ``settle``, those that there are.
    spelled : dict of str to str
        The file's own names of the columns that were read, ``date`` among them.
    ignored : tuple of str
        The file's other columns.
    """

    source: str
    stamps: Stamps
    columns: dict[str, NDArray[np.float64]]
    spelled: dict[str, str]
    ignored: tuple[str, ...]


def read_series(
    path: Path, close_only: bool = False, suspended_days: SuspensionPolicy = "refuse"
) -> PriceSeries:
    """Read a file of daily prices; see `market.series.named.load_series` for what may stand in it.

    Parameters
    ----------
    path : pathlib.Path
        A ``.csv``, ``.txt`` or ``.parquet`` file.
    close_only : bool
        Take a file without open, high, low or volume.
    suspended_days : {"refuse", "keep", "drop"}
        What to do about days on which nothing was traded.

    Returns
    -------
    PriceSeries
        Named after the file, without its folder and ending.

    Raises
    ------
    SeriesError
        If the file is missing or unreadable, lacks a column, or holds a bad row.
    """
    return _daily(path.stem, read_bars(path, close_only), suspended_days)


def read_bars(path: Path, close_only: bool = False) -> Bars:
    """Read a file's bars, of any frequency.

    Raises
    ------
    SeriesError
        If the file is missing or unreadable, lacks a column, or a cell is no date or number.
    """
    if not path.is_file():
        raise SeriesError(f"{path}: no such file")
    parquet = path.suffix.lower() == ".parquet"
    try:
        frame = _read_parquet(path) if parquet else _read_csv(path)
    except UnicodeDecodeError as error:
        raise SeriesError(f"{path}: no UTF-8 text; save it as CSV in UTF-8") from error
    except (OSError, ValueError, csv.Error) as error:
        reason = str(error).strip().partition("\n")[0]
        kind = "parquet" if parquet else "csv"
        raise SeriesError(f"{path}: not readable as {kind}: {reason}") from error
    return _bars(str(path), frame, close_only)


def series_from_frame(
    source: str,
    name: str,
    frame: pd.DataFrame,
    close_only: bool = False,
    suspended_days: SuspensionPolicy = "refuse",
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
    suspended_days : {"refuse", "keep", "drop"}
        What to do about days on which nothing was traded.

    Raises
    ------
    SeriesError
        If a column is missing or stands twice, a row is bad, or bars are not daily.
    """
    return _daily(name, _bars(source, frame, close_only), suspended_days)


def _bars(source: str, frame: pd.DataFrame, close_only: bool) -> Bars:
    held = _find_columns(source, frame, ("close",) if close_only else COLUMNS)
    spelled = dict(zip(frame.columns, map(_plain_name, frame.columns), strict=True))
    times = [column for column in frame.columns if spelled[column] in TIMES_OF_DAY]
    beside = frame[times[0]] if times and times[0] != held["date"] else None
    stamps = read_stamps(source, _shown(held["date"]), frame[held["date"]], beside)
    columns = {
        column: _parse_numbers(source, column, frame[held[column]], stamps)
        for column in (*COLUMNS, "settle")
        if column in held
    }
    ticks = [column for column in frame.columns if spelled[column] in TICK_VOLUME]
    if ticks and not columns.get("volume", np.zeros(1)).any():
        held["volume"] = ticks[0]
        columns["volume"] = _parse_numbers(source, "volume", frame[ticks[0]], stamps)
    if "settle" in columns:  # Sina's 0 is "none"
        columns["settle"] = np.where(columns["settle"] == 0, np.nan, columns["settle"])
    if len(stamps) > 1 and (np.diff(stamps.wall) < np.timedelta64(0, "s")).all():
        stamps = stamps.reversed()  # AlphaVantage and Tushare write the last day first
        columns = {name: values[::-1] for name, values in columns.items()}
    names = {column: _shown(name) for column, name in held.items()}
    ignored = tuple(_shown(name) for name in frame.columns if name not in held.values())
    return Bars(source, stamps, columns, names, ignored)


def _daily(name: str, bars: Bars, suspended_days: SuspensionPolicy) -> PriceSeries:
    days, _ = trading_days(bars.source, bars.stamps)
    refuse_other_frequencies(bars.source, days, bars.stamps.wall)
    days, given = settle_suspensions(bars.source, days, bars.columns, suspended_days)
    return daily_series(bars.source, name, days, given)


def daily_series(
    source: str, name: str, days: NDArray[np.datetime64], given: dict[str, NDArray[np.float64]]
) -> PriceSeries:
    """Make a series of columns, some of which may be absent.

    Raises
    ------
    SeriesError
        If a row is bad.
    """
    absent = tuple(column for column in COLUMNS if column not in given)
    if {"open", "high", "low"} & set(absent):  # half a bar is none
        absent = ("open", "high", "low", *(["volume"] if "volume" in absent else []))
    stand_in = dict.fromkeys(absent, given["close"])
    if "volume" in absent:
        stand_in["volume"] = np.zeros(len(days))
    try:
        return PriceSeries(name=name, dates=days, absent=absent, **(given | stand_in))
    except SeriesError as error:
        raise SeriesError(f"{source}{str(error).removeprefix(name)}") from error


def _read_csv(path: Path) -> pd.DataFrame:
    separator = _separator(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = list(islice(csv.reader(file, delimiter=separator), 3))
    if not head:
        raise ValueError("the file is empty")
    first, *others = head[2] if len(head) == 3 and head[2] else [""]
    two_levels = first.strip().lower() in SPELLINGS["date"] and not any(others)
    layout = _headerless(path, head[0])
    names = layout or (_one_ticker(path, head) if two_levels else head[0])
    frame = pd.read_csv(
        path,
        sep=separator,
        header=None,
        names=range(len(names)),
        skiprows=3 if two_levels else int(not layout),
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


def _separator(path: Path) -> str:
    """Return what stands between the columns: a comma, or the tabs of MetaTrader and Excel."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
    if "," in header:
        return ","
    if ";" in header:
        raise SeriesError(
            f"{path}: separated by semicolons; save it with commas and decimal points"
        )
    return "\t" if "\t" in header else ","


def _headerless(path: Path, first_row: Sequence[str]) -> list[str]:
    """Name the columns of a known file without a header; none for a file that has one."""
    for start, columns in HEADERLESS.values():
        more = len(first_row) - len(columns)
        if more >= 0 and re.fullmatch(start, first_row[0].strip()):
            return [*columns, *(f"column {len(columns) + 1 + n}" for n in range(more))]
    if first_row and re.match(STAMP, first_row[0].strip()):
        raise SeriesError(
            f"{path}: begins with data, {_shown(','.join(first_row))}; write a first line with the "
            "columns' names: date, open, high, low, close, volume in the file's own order"
        )
    return []


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
    spelled = [_plain_name(column) for column in frame.columns]
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


def _parse_numbers(source: str, column: str, raw: pd.Series, stamps: Stamps) -> NDArray[np.float64]:
    numbers = pd.to_numeric(raw, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(np.isnan(numbers) & raw.notna().to_numpy())
    if bad.size:
        row = int(bad[0])
        raise SeriesError(
            f"{source}: column {column}, row {row + 1} ({str(stamps.wall[row])[:10]}): "
            f"received {_shown(raw.iloc[row])!r}, expected a plain number such as 1234.5"
        )
    return numbers


def _shown(value: object) -> str:
    """Keep a message on one short line: a stray quote can make a cell of a whole file."""
    return " ".join(str(value).split())[:40]


def _plain_name(column: Hashable) -> str:
    """Strip a column's name: ``<DATE>``, ``1. open`` and ``开盘价(元)`` are written so."""
    name = re.sub(r"^<(.*)>$", r"\1", str(column).strip().lower())
    return re.sub(r"^\d+\. *| *[(\uff08][^()]*[)\uff09]$", "", name)
