"""Rebuilding books and prices from the order log of a recorded tape.

What accounts had turned away, the log says.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.market.book.book import MAX_TICKS, BookRules, OrderBook
from evobourse.market.book.impact import impact_price
from evobourse.market.book.order_events import (
    Fills,
    Kind,
    OrderEvents,
    Reason,
    SelfTrade,
    TimeInForce,
)
from evobourse.market.listing import NO_NUMBER
from evobourse.market.tape.recorded import RecordedTape

BOUNDS = ("reference_ticks", "lower_limit_ticks", "upper_limit_ticks")


@dataclass(frozen=True, eq=False)
class Replay:
    """What came of a log that was played again.

    Attributes
    ----------
    fills : pandas.DataFrame
        Trades with ``day`` and ``turn``, as the tape's table has them.
    book : OrderBook
        The book at the end.
    """

    fills: pd.DataFrame
    book: OrderBook


def replay_log(tape: RecordedTape, asset: int) -> Replay:
    """Play an asset's order log again.

    What depends on more than the book is taken from the log: that an account could not bear an
    order, and the limit that a market order stood for. All trades, and all that rests, come
    from the book itself; those of a turn of kind "impact" from its price rule.

    Parameters
    ----------
    tape : RecordedTape
        A tape of :class:`~market.journal.TapeJournal`, whole from its first day.
    asset : int
        Row of the asset.

    Returns
    -------
    Replay
        Trades and the book after the last whole day.
    """
    terms = tape.manifest.instruments[asset]
    session = terms["session"]
    orders, prices = tape.frame("orders"), tape.frame("prices")
    bounds = prices[prices["asset"] == asset].set_index("day")[list(BOUNDS)]
    rules = BookRules(1, MAX_TICKS - 1, SelfTrade(session["self_trade"]))
    book = OrderBook(rules, int(terms["initial_close_ticks"]))
    played = []
    for day, today in orders[orders["asset"] == asset].groupby("day"):
        reference, lowest, highest = (int(bound) for bound in bounds.loc[day].to_numpy())
        book.last_ticks = reference
        for turn, fills in replay_day(book, today, session, (lowest, highest)):
            played.append(pd.DataFrame({"day": day, "turn": turn, **vars(fills)}))
    return Replay(pd.concat(played, ignore_index=True), book)


def replay_day(
    book: OrderBook,
    today: pd.DataFrame,
    session: dict[str, Any],
    limits_ticks: tuple[int, int],
    absent: NDArray[np.int64] | None = None,
) -> list[tuple[int, Fills]]:
    """Play a day's log of one asset on its book.

    Parameters
    ----------
    book : OrderBook
        As the day began; it is changed.
    today : pandas.DataFrame
        The day's rows.
    session : dict
        Of the asset's terms in the manifest.
    limits_ticks : tuple of int
        Lowest and highest price of the day.
    absent : NDArray[np.int64], optional
        Agents all of whose orders are turned away; all others send what they sent.

    Returns
    -------
    list of (int, Fills)
        Turns with what traded in each.
    """
    played = []
    turn: Any
    # a rejected order keeps its number, so that what later rows aim at stays where it was
    gone = today["agent"].isin([] if absent is None else absent) & (today["kind"] <= Kind.REPLACE)
    today = today.assign(reason=today["reason"].mask(gone, int(Reason.HALTED)))
    for turn, rows in today.groupby("turn"):
        dealt = rows["number"] == NO_NUMBER
        if dealt.any():
            played.append((int(turn), _deal(rows[dealt], book, session, limits_ticks)))
        fills, _ = book.process(_events(rows[~dealt]), _turned_away(rows[~dealt]))
        played.append((int(turn), fills))
    return played


def _events(rows: pd.DataFrame) -> OrderEvents:
    """Return events of the log, market orders as the limit orders that they stand for."""
    market = rows["kind"] == Kind.MARKET
    wait = rows["time_in_force"].where(
        ~market | (rows["time_in_force"] == TimeInForce.FILL_OR_KILL),
        int(TimeInForce.IMMEDIATE_OR_CANCEL),
    )
    return OrderEvents.from_frame(
        rows.assign(kind=rows["kind"].where(~market, int(Kind.LIMIT)), time_in_force=wait)
    )


def _turned_away(rows: pd.DataFrame) -> NDArray[np.int8]:
    """Return the reasons that are not the book's own, or depend on the day's price limit."""
    reason = rows["reason"].to_numpy()
    known = (reason > Reason.END_OF_DAY) | (reason == Reason.BAD_PRICE)
    return np.where(known, reason, Reason.NONE).astype(np.int8)


def _deal(
    rows: pd.DataFrame, book: OrderBook, session: dict[str, Any], limits_ticks: tuple[int, int]
) -> Fills:
    """Fill what was let in at the price that it makes, as the exchange did past the book."""
    rows = rows[rows["reason"] == Reason.NONE]
    side, quantity, agent = (rows[name].to_numpy() for name in ("side", "quantity", "agent"))
    if len(rows):
        book.last_ticks = impact_price(
            side, quantity, book.last_ticks, session["impact_per_lot"], limits_ticks
        )
    none, dealer = np.full(len(rows), NO_NUMBER), session["agents"]
    price_ticks = np.full(len(rows), book.last_ticks)
    buyer, seller = np.where(side > 0, agent, dealer), np.where(side > 0, dealer, agent)
    return Fills(none, none, none, price_ticks, quantity, side, buyer, seller)
