"""News with dates, from a CSV file: what was known before the open of which trading day."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.market.errors import MarketError
from evobourse.market.series.prices import PriceSeries

COLUMNS = ("date", "text")
RELEASED = ("overnight", "session")


@dataclass(frozen=True)
class DatedNews:
    """A fact, and the first trading day before whose open it was known.

    Attributes
    ----------
    day
        Row of that day in the series.
    text
        One sentence.
    overnight
        Whether it came out after the close before, so that no earlier close could hold it.
    """

    day: int
    text: str
    overnight: bool = True


def load_news(path: Path, series: PriceSeries) -> tuple[DatedNews, ...]:
    """Read dated news, in the order of their days.

    Parameters
    ----------
    path : pathlib.Path
        A CSV file with a header: ``date`` (ISO), ``text``, and, where it is known, ``released``,
        ``overnight`` or ``session`` (while the market traded on the day before). Other columns are
        ignored. A day may have several rows, and rows may stand in any order.
    series : market.series.prices.PriceSeries
        Whose trading days the dates are.

    Raises
    ------
    MarketError
        The file cannot be read, lacks a column or rows, a row has no such date, no text, a text of
        several lines, or another ``released``, or its date is no trading day of the series.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return tuple(sorted(_rows(file, path, series), key=lambda fact: fact.day))
    except (OSError, UnicodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise MarketError(f"{path}: cannot be read ({reason}); name a CSV file, UTF-8") from error


def _rows(file: Iterable[str], path: Path, series: PriceSeries) -> list[DatedNews]:
    rows = csv.DictReader(file)
    spelled = [(name or "").strip().lower() for name in rows.fieldnames or ()]
    if lacking := [name for name in COLUMNS if name not in spelled]:
        raise MarketError(
            f"{path}: no column {lacking[0]!r} among {', '.join(spelled) or 'none'}; begin with a "
            f"line of names, {','.join(COLUMNS)}"
        )
    rows.fieldnames = spelled
    found = [_fact(row, f"{path}: line {rows.line_num}", series) for row in rows]
    if not found:
        raise MarketError(f"{path}: holds no news; write a line a fact, {','.join(COLUMNS)}")
    return found


def _fact(row: dict[str, Any], where: str, series: PriceSeries) -> DatedNews:
    stamp, text, released = ((row.get(name) or "").strip() for name in ("date", "text", "released"))
    if None in row:
        raise MarketError(f"{where}: has more cells than names; put a text with commas in quotes")
    try:
        day = date.fromisoformat(stamp)
    except ValueError as error:
        raise MarketError(f"{where}: date is {stamp!r}, expected one as 2001-01-31") from error
    if not text:
        raise MarketError(f"{where}: text is empty; write the fact in one sentence, or drop it")
    if len(text.splitlines()) > 1:
        raise MarketError(f"{where}: text has a line break; write the fact in one line")
    if released not in ("", *RELEASED):
        raise MarketError(
            f"{where}: released is {released!r}, expected {' or '.join(RELEASED)}, or nothing"
        )
    return DatedNews(trading_day(day, series, f"{where}: date"), text, released != "session")


def trading_day(day: date, series: PriceSeries, what: str) -> int:
    """Return the row of a trading day.

    Parameters
    ----------
    day : datetime.date
        The day.
    series : market.series.prices.PriceSeries
        Whose days are meant.
    what : str
        What a complaint begins with.

    Raises
    ------
    MarketError
        The series has no such day.
    """
    dates: NDArray[np.datetime64] = series.dates
    row = int(np.searchsorted(dates, np.datetime64(day)))
    if not dates[0] <= np.datetime64(day) <= dates[-1]:
        raise MarketError(
            f"{what} {day} lies outside {series.name}, {dates[0]} to {dates[-1]}; drop it, or give "
            "a series that reaches there"
        )
    if dates[row] != np.datetime64(day):
        raise MarketError(
            f"{what} {day} is no trading day of {series.name}; write the next one, {dates[row]}, "
            "before whose open it was known"
        )
    return row
