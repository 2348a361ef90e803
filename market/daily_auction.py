"""The fast market: one asset, one call auction a day; and many such markets run in lock step.

`market.exchange` can do more, and plays the same day to the same prices four times slower.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.market.accounts import Accounts, RejectReason
from evobourse.market.book.auction import clear_call_auction
from evobourse.market.columns import GrowingColumn, price_history, read_only_view
from evobourse.market.crowd import AssetView, Crowd, DayOutcome, MarketView, Orders, TurnOutcome
from evobourse.market.errors import MarketError
from evobourse.market.philox import arrival_times, draw_key
from evobourse.market.rules import MarketRules
from evobourse.market.tape.daily_tape import Tape

Rows = dict[str, NDArray[Any]]
"""Columns of equal length."""


@dataclass(frozen=True, eq=False)
class PlayedDays:
    """Days of a market that were played in one go, T of them.

    Attributes
    ----------
    close_ticks, volume : NDArray[np.int64]
        Shape [T].
    asked : tuple of int
        Lots bought and sold by the orders let in on the last day.
    orders, decisions : list of Rows
        The record, see `market.tape.daily_tape.Tape`; empty where prices alone are kept.
    """

    close_ticks: NDArray[np.int64]
    volume: NDArray[np.int64]
    asked: tuple[int, int]
    orders: list[Rows]
    decisions: list[Rows]


class Market:
    """One asset traded by one crowd in a daily call auction.

    Parameters
    ----------
    rules : MarketRules
        Tick, price limit, fee.
    history_ticks : NDArray[np.int64]
        Closes before day 0 in ticks, shape [H], H >= 1, over 0; copied.
    accounts : Accounts
        Balances before day 0. The market owns them from now on and changes them in place.
    rng : numpy.random.Generator
        Gives the `key` by which the order of arrival of each day is drawn, and nothing else.
    record : {"prices", "full"}
        Whether the tape keeps orders and decisions too.

    Raises
    ------
    MarketError
        If the history is empty, not of integers or not positive.
    """

    def __init__(
        self,
        rules: MarketRules,
        history_ticks: NDArray[np.int64],
        accounts: Accounts,
        rng: np.random.Generator,
        record: Literal["prices", "full"] = "prices",
    ) -> None:
        self.rules = rules
        self.accounts = accounts
        self.record = record
        self.day = 0
        self.key = draw_key(rng)
        self._closes = price_history(history_ticks)
        self._history_days = len(self._closes.view())
        self._volumes = GrowingColumn(np.zeros(self._history_days, np.int64))
        self._buy_quantity = 0
        self._sell_quantity = 0
        self._order_rows: list[Rows] = []
        self._decision_rows: list[Rows] = []

    @property
    def last_close_ticks(self) -> int:
        """The last close, of the history before day 0."""
        return int(self._closes.view()[-1])

    def open_day(self) -> MarketView:
        """Return what the crowd may see before it orders; changes nothing."""
        closes = self._closes.view()
        reference_ticks = int(closes[-1])
        asset = AssetView(
            closes,
            self._volumes.view(),
            self._buy_quantity,
            self._sell_quantity,
            reference_ticks,
            *self.rules.price_band(reference_ticks),
            last_ticks=reference_ticks,
        )
        return MarketView(
            day=self.day,
            turn=0,
            clearing="call",
            assets=(asset,),
            cash_cents=read_only_view(self.accounts.cash_cents),
            position=read_only_view(self.accounts.shares)[:, None],
            time=self.day,
        )

    def close_day(
        self, orders: Orders, decisions: Mapping[str, NDArray[Any]] | None = None
    ) -> tuple[TurnOutcome, DayOutcome]:
        """Screen the orders in a random order of arrival, clear, settle and record them.

        If nothing trades, the close stays at the reference and the volume is 0.

        Parameters
        ----------
        orders : Orders
            All orders of the day.
        decisions : Mapping[str, NDArray], optional
            Columns of equal length to record beside them, the same names every day.

        Returns
        -------
        TurnOutcome, DayOutcome
            Each order's fate, and what the day came to.

        Raises
        ------
        MarketError
            If an order names an unknown agent or is no limit order for the day, or the decision
            columns do not fit together.
        """
        if not orders.plain:
            raise MarketError(
                "orders of another asset, kind or time in force came to a daily call auction; "
                "send limit orders for the day, or use market.exchange.Exchange"
            )
        reference_ticks = int(self._closes.view()[-1])
        times = arrival_times(orders.agent, self.day, 0, self.key)
        sequence = np.argsort(times, kind="stable")
        arrival = np.empty_like(sequence)
        arrival[sequence] = np.arange(len(orders))
        reason = self.accounts.screen(orders, sequence, self.rules, reference_ticks)
        accepted = np.flatnonzero(reason == RejectReason.ACCEPTED)
        side, quantity = orders.side[accepted], orders.quantity[accepted]
        price_ticks, accepted_filled = clear_call_auction(
            side, orders.price_ticks[accepted], quantity, arrival[accepted], reference_ticks
        )
        filled = np.zeros(len(orders), np.int64)
        filled[accepted] = accepted_filled
        self.accounts.settle(orders, filled, price_ticks, self.rules)

        turn = TurnOutcome(orders, filled, reason, np.full(len(orders), -1))
        close_ticks, volume = price_ticks or reference_ticks, int(filled.sum()) // 2
        close = np.array([close_ticks])
        outcome = DayOutcome(
            self.day, np.array([reference_ticks]), close, close, np.array([volume])
        )
        self._buy_quantity = int(quantity[side > 0].sum())
        self._sell_quantity = int(quantity[side < 0].sum())
        self._closes.append(close_ticks)
        self._volumes.append(volume)
        if self.record == "full":
            self._keep_orders(turn, sequence)
            self._keep_decisions(decisions or {})
        self.day += 1
        return turn, outcome

    def take_over(self, days: PlayedDays) -> None:
        """Take over days that were played elsewhere, on these accounts and by this key."""
        self._closes.extend(days.close_ticks)
        self._volumes.extend(days.volume)
        self._buy_quantity, self._sell_quantity = days.asked
        self._order_rows += days.orders
        self._decision_rows += days.decisions
        self.day += len(days.close_ticks)

    def tape(self) -> Tape:
        """Return the record of the days closed so far."""
        closes = self._closes.view()[self._history_days :].copy()
        return Tape(
            initial_close_ticks=int(self._closes.view()[self._history_days - 1]),
            day=np.arange(self.day, dtype=np.int64),
            open_ticks=closes,
            high_ticks=closes,
            low_ticks=closes,
            close_ticks=closes,
            settle_ticks=closes,
            volume=self._volumes.view()[self._history_days :].copy(),
            accounts=self.accounts.copy(),
            orders=_stack(self._order_rows),
            decisions=_stack(self._decision_rows),
        )

    def _keep_orders(self, outcome: TurnOutcome, sequence: NDArray[np.int64]) -> None:
        orders = outcome.orders
        columns: dict[str, NDArray[Any]] = {
            "day": np.full(len(orders), self.day, np.int64),
            "agent": orders.agent,
            "side": orders.side,
            "price_ticks": orders.price_ticks,
            "quantity": orders.quantity,
            "reason": outcome.reason,
            "filled": outcome.filled,
        }
        self._order_rows.append({name: column[sequence] for name, column in columns.items()})

    def _keep_decisions(self, decisions: Mapping[str, NDArray[Any]]) -> None:
        if not decisions:
            return
        columns = {name: np.array(column) for name, column in decisions.items()}
        shapes = {name: column.shape for name, column in columns.items()}
        if "day" in columns or len(set(shapes.values())) != 1:
            raise MarketError(
                f"decisions of day {self.day} have columns of shapes {shapes}, "
                "expected one common length and no column named 'day'"
            )
        first = self._decision_rows[0].keys() - {"day"} if self._decision_rows else columns.keys()
        if columns.keys() != first:
            raise MarketError(
                f"decisions of day {self.day} have columns {sorted(columns)}, "
                f"expected {sorted(first)} as on the first day"
            )
        length = len(next(iter(columns.values())))
        self._decision_rows.append({"day": np.full(length, self.day, np.int64), **columns})


def simulate(
    markets: Sequence[Market],
    crowds: Sequence[Crowd],
    days: int,
    on_day: Callable[[int], None] | None = None,
) -> list[Tape]:
    """Run markets in lock step, one day of all of them at a time.

    Every crowd observes before any crowd orders. A crowd of models can thus queue its questions
    in ``observe``, and the first ``orders()`` of the day answers the questions of all markets
    in one batch, which is what makes many small markets as cheap as one large one.

    Parameters
    ----------
    markets : Sequence[Market]
        Markets, independent of each other.
    crowds : Sequence[Crowd]
        The crowd of each market, in the same order.
    days : int
        Days to run, on top of those already run.
    on_day : callable, optional
        Called after each day with its number in this run, from 0.

    Returns
    -------
    list of Tape
        The tape of each market.

    Raises
    ------
    MarketError
        If the sequences differ in length, or a crowd has more or fewer agents than accounts.
    """
    if len(markets) != len(crowds):
        raise MarketError(f"received {len(markets)} markets and {len(crowds)} crowds")
    for row, (market, crowd) in enumerate(zip(markets, crowds, strict=True)):
        if crowd.n_agents != len(market.accounts):
            raise MarketError(
                f"crowds[{row}] has {crowd.n_agents} agents, "
                f"expected {len(market.accounts)} as markets[{row}] has accounts"
            )
    for day in range(days):
        for market, crowd in zip(markets, crowds, strict=True):
            crowd.observe(market.open_day())
        submitted = [crowd.orders() for crowd in crowds]
        for market, crowd, orders in zip(markets, crowds, submitted, strict=True):
            decisions = crowd.decisions() if market.record == "full" else None
            turn, outcome = market.close_day(orders, decisions)
            crowd.matched(turn)
            crowd.settled(outcome)
        if on_day is not None:
            on_day(day)
    return [market.tape() for market in markets]


def _stack(rows: list[Rows]) -> pd.DataFrame | None:
    if not rows:
        return None
    return pd.DataFrame({name: np.concatenate([row[name] for row in rows]) for name in rows[0]})
