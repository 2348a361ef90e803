"""Real daily price series by name or file: the data that a simulated market is compared with."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

import pandas as pd

from evobourse.market.errors import SeriesError
from evobourse.market.series.files import ENDINGS, read_series, series_from_frame
from evobourse.market.series.prices import PriceSeries
from evobourse.market.series.stock_splits import StockSplit, adjust_splits, suspect_splits
from evobourse.market.series.suspensions import SuspensionPolicy

__all__ = ["SERIES_NAMES", "PriceSeries", "SplitPolicy", "SuspensionPolicy", "load_series"]

SplitPolicy = Literal["refuse", "adjust", "accept"]


@dataclass(frozen=True)
class _Shipped:
    """Where a named series comes from, and the splits in it."""

    frame: Callable[[], pd.DataFrame]
    bars: bool = True
    splits: tuple[StockSplit, ...] = ()


def _arch(module: str, column: str | None = None) -> Callable[[], pd.DataFrame]:
    """Read a series of ``arch``; of a column of quotations, the days that have one."""

    def frame() -> pd.DataFrame:
        # Imported on use: arch pulls in statsmodels, which costs a second.
        held: pd.DataFrame = import_module(f"arch.data.{module}").load()
        if column is not None:
            held = held.rename(columns={column: "close"}).dropna()
        return held.reset_index()

    return frame


def _bokeh(ticker: str) -> Callable[[], pd.DataFrame]:
    """Read a stock of ``bokeh_sampledata``: prices and volume as they were traded."""

    def frame() -> pd.DataFrame:
        try:
            stocks = import_module("bokeh_sampledata.stocks")
        except ImportError as error:
            raise SeriesError(
                f"series {ticker.lower()!r} is in bokeh_sampledata, which is not installed; "
                "pip install -e '.[data]'"
            ) from error
        return pd.DataFrame(getattr(stocks, ticker))

    return frame


_SHIPPED = {
    "sp500": _Shipped(_arch("sp500")),
    "nasdaq": _Shipped(_arch("nasdaq")),
    "wti": _Shipped(_arch("wti", "DCOILWTICO"), bars=False),
    "vix": _Shipped(_arch("vix", "vix"), bars=False),
    "aapl": _Shipped(
        _bokeh("AAPL"), splits=(StockSplit("2000-06-21", 2), StockSplit("2005-02-28", 2))
    ),
    "fb": _Shipped(_bokeh("FB")),
    "goog": _Shipped(_bokeh("GOOG")),
    "ibm": _Shipped(_bokeh("IBM")),
    "msft": _Shipped(_bokeh("MSFT"), splits=(StockSplit("2003-02-18", 2),)),
}
SERIES_NAMES = tuple(_SHIPPED)


def load_series(
    source: str,
    close_only: bool = False,
    stock_splits: SplitPolicy = "refuse",
    suspended_days: SuspensionPolicy = "refuse",
) -> PriceSeries:
    """Load a daily price series.

    Parameters
    ----------
    source : str
        A name or the path of a file.

        From ``arch``: the indices ``sp500`` and ``nasdaq`` of 1999-2018; as closes alone, without
        the days that have none, the oil price ``wti`` of 1986-2019 and the volatility index
        ``vix`` of 2014-2019. From ``bokeh_sampledata``, adjusted for splits, not for dividends:
        ``aapl``, ``ibm`` and ``msft`` of 2000-2013, ``goog`` of 2004-2013, ``fb`` of 2012-2013.

        A ``.csv``, ``.txt`` or ``.parquet`` file has date, open, high, low, close and volume in any
        case and order, as Yahoo (one or two header lines), AlphaVantage, TradingView, Binance,
        MetaTrader, Stooq, Sina, AkShare (Chinese too) and Tushare spell them, and settle where
        there is one; other columns are ignored, adjusted closes among them. Dates are
        ``2001-01-31``, ``2001/1/31``, ``2001.01.31``, ``20010131``, ``Jan 31, 2001`` or epochs; a
        time of day is cut off, see `market.series.stamps.trading_days`. The last day may stand
        first.
    close_only : bool
        Take a source without open, high, low or volume, for uses that need closes alone: the close
        stands for a missing price, 0 for a missing volume, and ``absent`` says so.
    stock_splits : {"refuse", "adjust", "accept"}
        What to do about days in a file that look like a stock split which the days before were
        not adjusted for: refuse the file, adjust those days, or take them as real moves.
    suspended_days : {"refuse", "keep", "drop"}
        What to do about days in a file on which nothing was traded: refuse the file, keep them at
        the last close, or drop them; see `market.series.suspensions.no_trade_days`.

    Returns
    -------
    PriceSeries
        Called by the name, or after the file, without its folder and ending.

    Raises
    ------
    SeriesError
        If the source is unknown, missing or unreadable, lacks a column, holds a bad row or
        bars that are not daily, or a suspected split or suspension is to be refused.
    """
    shipped = _SHIPPED.get(source)
    if shipped is not None:
        if not shipped.bars and not close_only:
            whole = ", ".join(name for name, one in _SHIPPED.items() if one.bars)
            raise SeriesError(
                f"{source}: closes alone, without open, high, low and volume; where these are "
                f"needed take {whole} or a file"
            )
        return adjust_splits(
            series_from_frame(source, source, shipped.frame(), close_only, "keep"), shipped.splits
        )
    path = Path(source)
    if path.suffix.lower() not in ENDINGS:
        raise SeriesError(
            f"unknown series {source!r}: give {', '.join(SERIES_NAMES)} or the path of a "
            f"{', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} file"
        )
    return settle_splits(source, read_series(path, close_only, suspended_days), stock_splits)


def settle_splits(source: str, series: PriceSeries, stock_splits: SplitPolicy) -> PriceSeries:
    """Refuse, undo or accept what looks like unadjusted stock splits.

    Raises
    ------
    SeriesError
        If a suspected split is to be refused.
    """
    found = () if stock_splits == "accept" else suspect_splits(series)
    if stock_splits == "adjust" or not found:
        return adjust_splits(series, found)
    day = found[0].day
    row = int((series.dates.astype(str) == day).argmax())
    told = "at the usual turnover" if "volume" not in series.absent else "volume unknown"
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    raise SeriesError(
        f"{source}: row {row + 1} ({day}): close {series.close[row - 1]:g} -> "
        f"{series.close[row]:g}, {told}, looks like a {found[0].new}:{found[0].old} stock split "
        f"that earlier rows are not adjusted for{more}; set stock_splits to adjust to divide the "
        "earlier prices, or to accept if the price really moved"
    )
