"""Who moved the price on a day: the day's orders again, without those of one group of agents."""

from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from evobourse.market.book.auction import clear_call_auction
from evobourse.market.book.book import MAX_TICKS, BookRules, OrderBook
from evobourse.market.book.order_events import Kind, Reason, SelfTrade
from evobourse.market.errors import MarketError
from evobourse.market.tape.daily_tape import read_closes
from evobourse.market.tape.recorded import MANIFEST_FILE, RecordedTape, read_tape
from evobourse.market.tape.replay import BOUNDS, replay_day

NOBODY = -1
"""Group of agents of whom the tape records no decisions, such as market makers."""

COLUMNS = ["day", "group", "net_lots", "price_ticks", "without_ticks"]


def find_movers(folder: Path, column: str = "persona") -> pd.DataFrame:
    """Measure how far the close of each day of a tape rests on each group's orders.

    The day is cleared again with a group's orders left out and all other orders as they were sent,
    from the same morning; nobody answers to what is gone, and accounts are not asked. Effects of
    groups need not add up to the move: two groups may each have been enough for it, or neither.

    Parameters
    ----------
    folder : pathlib.Path
        A tape's, of either kind, with its orders and decisions; of several assets the first.
    column : str
        Of the decisions, which names an agent's group on each day.

    Returns
    -------
    pandas.DataFrame
        One row a day and group that sent orders then: ``day``; ``group``, or `NOBODY`;
        ``net_lots``, bid less offered in orders let in; ``price_ticks``, what the day's orders come
        to, which is the close unless a scenario wrote another; ``without_ticks``, what they come to
        without the group's; ``log_move``, of the close from the last; ``log_effect``, of
        ``price_ticks`` from ``without_ticks``.

    Raises
    ------
    MarketError
        The tape has no orders or no such column, or is damaged.
    """
    closes, _ = read_closes(folder)
    if (folder / MANIFEST_FILE).is_file():
        tape = read_tape(folder)
        group_of = _groups(tape.frame("decisions"), column, folder)
        found = _book_days(tape, closes, group_of)
    else:
        missing = [n for n in ("orders", "decisions") if not (folder / f"{n}.parquet").is_file()]
        if missing:
            raise MarketError(f"{folder}: no {missing[0]}.parquet; record the market in full")
        group_of = _groups(pq.read_table(folder / "decisions.parquet").to_pandas(), column, folder)
        found = _auction_days(
            pq.read_table(folder / "orders.parquet").to_pandas(), closes, group_of
        )
    rows = pd.DataFrame(found, columns=COLUMNS)
    rows["log_move"] = np.log(closes[1:] / closes[:-1])[rows["day"].to_numpy(np.int64)]
    rows["log_effect"] = np.log(rows["price_ticks"] / rows["without_ticks"])
    return rows


def _groups(decisions: pd.DataFrame, column: str, folder: Path) -> pd.Series:
    """Return the group of each day and agent."""
    if not {"agent", column} <= set(decisions.columns):
        raise MarketError(f"{folder}: decisions have no columns agent and {column}")
    first = decisions.drop_duplicates(["day", "agent"])
    return first.set_index(["day", "agent"])[column]


def _with_group(orders: pd.DataFrame, group_of: pd.Series) -> pd.DataFrame:
    at = pd.MultiIndex.from_frame(orders[["day", "agent"]])
    return orders.assign(group=group_of.reindex(at, fill_value=NOBODY).to_numpy())


def _auction_days(
    orders: pd.DataFrame, closes: np.ndarray, group_of: pd.Series
) -> list[tuple[int, int, int, int, int]]:
    """Clear each day's call auction again."""
    found = []
    day: Any
    group: Any
    let_in = _with_group(orders[orders["reason"] == 0], group_of)
    for day, today in let_in.groupby("day"):
        last = int(closes[day])
        whole = _clear(today, last)
        for group, own in today.groupby("group"):
            without = _clear(today[today["group"] != group], last)
            found.append((int(day), int(group), _net_lots(own), whole, without))
    return found


def _clear(orders: pd.DataFrame, last: int) -> int:
    price, _ = clear_call_auction(
        orders["side"].to_numpy(np.int8),
        orders["price_ticks"].to_numpy(np.int64),
        orders["quantity"].to_numpy(np.int64),
        np.arange(len(orders)),  # who is filled first decides no price
        last,
    )
    return price or last


def _net_lots(orders: pd.DataFrame) -> int:
    return int((orders["side"].astype(np.int64) * orders["quantity"]).sum())


def _book_days(
    tape: RecordedTape, closes: np.ndarray, group_of: pd.Series
) -> list[tuple[int, int, int, int, int]]:
    """Play each day's log again on the book as it was that morning."""
    terms = tape.manifest.instruments[0]
    session = terms["session"]
    prices = tape.frame("prices").query("asset == 0").set_index("day")[list(BOUNDS)]
    rules = BookRules(1, MAX_TICKS - 1, SelfTrade(session["self_trade"]))
    book = OrderBook(rules, int(terms["initial_close_ticks"]))
    orders = _with_group(tape.frame("orders").query("asset == 0"), group_of)
    found = []
    day: Any
    group: Any
    for day, today in orders.groupby("day"):
        reference, lowest, highest = (int(bound) for bound in prices.loc[day].to_numpy())
        book.last_ticks = reference
        sent = today[(today["kind"] <= Kind.REPLACE) & (today["reason"] <= Reason.END_OF_DAY)]
        morning = copy(book)  # a book replaces its arrays, and changes none in place
        again = partial(
            _play,
            today=today,
            session=session,
            limits_ticks=(lowest, highest),
            last=int(closes[day]),
        )
        whole = again(book)
        for group, own in sent.groupby("group"):
            without = again(copy(morning), absent=own["agent"].unique())
            found.append((int(day), int(group), _net_lots(own), whole, without))
    return found


def _play(
    book: OrderBook,
    today: pd.DataFrame,
    session: dict[str, Any],
    limits_ticks: tuple[int, int],
    last: int,
    absent: np.ndarray | None = None,
) -> int:
    """Play a day's log on its morning's book; return the last price, that of before if none."""
    played = replay_day(book, today, session, limits_ticks, absent)
    return book.last_ticks if any(len(fills.quantity) for _, fills in played) else last
