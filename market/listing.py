"""One asset at an exchange: its terms, its book, its past, and the day that is on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.book import BookRules, Depth, OrderBook
from evobourse.market.book.impact import impact_price
from evobourse.market.book.order_events import Fills, Kind, OrderEvents, Reason, SelfTrade, Status
from evobourse.market.columns import GrowingColumn, price_history
from evobourse.market.crowd import AssetView
from evobourse.market.instruments import Instrument

NO_NUMBER = -1


@dataclass(frozen=True, eq=False)
class Batch:
    """Events that were processed together, and what came of them.

    Attributes
    ----------
    turn : int
        The turn of the day.
    events : OrderEvents
        In the order in which they were processed, m of them.
    number : NDArray[np.int64]
        Under which the book knows each event, shape [m]; `NO_NUMBER` without a book.
    filled : NDArray[np.int64]
        Lots that each event's order traded in this batch, shape [m].
    status, reason : NDArray[np.int8]
        Where each event stands after it, shape [m].
    fills : Fills
        The trades.
    """

    turn: int
    events: OrderEvents
    number: NDArray[np.int64]
    filled: NDArray[np.int64]
    status: NDArray[np.int8]
    reason: NDArray[np.int8]
    fills: Fills


@dataclass(frozen=True)
class Bar:
    """Prices and volume of a day, in ticks and lots; without trades, four times the reference."""

    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume: int
    trades: int


class Listing:
    """An asset's terms, book and days.

    Parameters
    ----------
    instrument : Instrument
        Its terms.
    history_ticks : NDArray[np.int64]
        Closes before day 0, shape [H], H >= 1, over 0; copied.
    self_trade : SelfTrade
        See :class:`~market.book.BookRules`.

    Attributes
    ----------
    reference_ticks : int
        Centre of today's price band.
    halted : bool
        Whether no order is let in.
    annulled : bool
        Whether today's trades are to be annulled.
    override_ticks : int
        Authored settlement price of today, 0 for none.
    batches : list of Batch
        What happened today.

    Raises
    ------
    MarketError
        If the history is no prices.
    """

    def __init__(
        self, instrument: Instrument, history_ticks: NDArray[np.int64], self_trade: SelfTrade
    ) -> None:
        self.instrument = instrument
        self._closes = price_history(history_ticks, f"history of {instrument.name!r}")
        self._volumes = GrowingColumn(np.zeros(len(self._closes.view()), np.int64))
        self._self_trade = self_trade
        self._asked = (0, 0)
        self.halted = False
        self.reference_ticks = int(self._closes.view()[-1])
        self.book = OrderBook(self._book_rules(), self.reference_ticks)
        self.open_day()

    @property
    def limits_ticks(self) -> tuple[int, int]:
        """Lowest and highest limit price of the day."""
        return self.instrument.price_band(self.reference_ticks)

    def open_day(self) -> None:
        """Begin a day without events."""
        self.batches: list[Batch] = []
        self.annulled = False
        self.override_ticks = 0

    def apply_limits(self) -> NDArray[np.int64]:
        """Let the book take today's price band, and return the resting orders outside it."""
        resting, (lowest, highest) = self.book.resting, self.limits_ticks
        outside = (resting.price_ticks < lowest) | (resting.price_ticks > highest)
        self.book.rules = self._book_rules()
        return resting.number[outside]

    def process(
        self, turn: int, events: OrderEvents, refused: NDArray[np.int8] | None = None
    ) -> Batch:
        """Send events through the book; see :meth:`market.book.book.OrderBook.process`."""
        fills, reports = self.book.process(events, refused)
        events = self._with_limits(events)
        own = slice(len(reports.number) - len(events), None)
        batch = Batch(
            turn,
            events,
            reports.number[own],
            reports.filled[own],
            reports.status[own],
            reports.reason[own],
            fills,
        )
        self.batches.append(batch)
        return batch

    def fill_at_impact(
        self,
        turn: int,
        events: OrderEvents,
        refused: NDArray[np.int8],
        impact_per_lot: float,
        dealer: int,
    ) -> Batch:
        """Fill market orders with the dealer at `book.impact.impact_price`, past the book."""
        market = (events.kind == Kind.MARKET) & (events.quantity > 0)
        reason = np.where(market, refused, np.where(refused > 0, refused, Reason.WRONG_PHASE))
        let_in = np.flatnonzero(reason == Reason.NONE)
        side, quantity = events.side[let_in], events.quantity[let_in]
        price_ticks = impact_price(
            side, quantity, self.book.last_ticks, impact_per_lot, self.limits_ticks
        )
        agent, none = events.agent[let_in], np.full(len(let_in), NO_NUMBER)
        fills = Fills(
            none,
            none,
            none,
            np.full(len(let_in), price_ticks),
            quantity,
            side,
            np.where(side > 0, agent, dealer),
            np.where(side > 0, dealer, agent),
        )
        filled = np.zeros(len(events), np.int64)
        filled[let_in] = quantity
        status = np.where(reason == Reason.NONE, Status.FILLED, Status.REJECTED)
        batch = Batch(
            turn,
            events,
            np.full(len(events), NO_NUMBER),
            filled,
            status.astype(np.int8),
            reason.astype(np.int8),
            fills,
        )
        self.batches.append(batch)
        if len(let_in):
            self.book.last_ticks = price_ticks
        return batch

    def fills_today(self) -> Fills:
        """Return today's trades so far."""
        return Fills.concatenate([batch.fills for batch in self.batches] or [no_fills()])

    def bar(self) -> Bar:
        """Return the day's prices and volume so far; of annulled trades nothing is left."""
        fills = self.fills_today()
        if self.annulled or len(fills) == 0:
            before = int(self._closes.view()[-1])
            return Bar(before, before, before, before, 0, 0)
        prices = fills.price_ticks
        return Bar(
            int(prices[0]),
            int(prices.max()),
            int(prices.min()),
            int(prices[-1]),
            int(fills.quantity.sum()),
            len(fills),
        )

    def vwap_ticks(self) -> int:
        """Return today's volume-weighted price to the nearest tick, 0 without trades."""
        fills = self.fills_today()
        volume = int(fills.quantity.sum())
        if volume == 0 or self.annulled:
            return 0
        value = sum(
            price * lots
            for price, lots in zip(fills.price_ticks.tolist(), fills.quantity.tolist(), strict=True)
        )
        return int((2 * value + volume) // (2 * volume))

    def close_day(self, settle_ticks: int) -> Bar:
        """End the day, and let the next one's price band stand around its price.

        Futures take the settlement price for their reference, equities the close; an authored
        settlement is both. The reference counts as the last price until something trades.
        """
        bar = self.bar()
        close_ticks = self.override_ticks or bar.close_ticks
        future = self.instrument.kind == "future"
        self.reference_ticks = settle_ticks if future else close_ticks
        self._closes.append(close_ticks)
        self._volumes.append(bar.volume)
        self.book.last_ticks = self.reference_ticks
        self._asked = self._lots_let_in()
        return Bar(
            bar.open_ticks,
            max(bar.high_ticks, close_ticks),
            min(bar.low_ticks, close_ticks),
            close_ticks,
            bar.volume,
            bar.trades,
        )

    def view(self, depth: Depth | None, start: int, stop: int) -> AssetView:
        """Return what the crowd of agents ``start`` to ``stop - 1`` may see."""
        return AssetView(
            self._closes.view(),
            self._volumes.view(),
            *self._asked,
            self.reference_ticks,
            *self.limits_ticks,
            self.book.last_ticks,
            depth,
            None if depth is None else self.book.resting.of_agents(start, stop),
            self.halted,
        )

    def _with_limits(self, events: OrderEvents) -> OrderEvents:
        """Return events whose market orders name the limit that they stand for, for the log."""
        market = events.kind == Kind.MARKET
        lowest, highest = self.limits_ticks
        limit = np.where(events.side > 0, highest, lowest)
        return events.priced(np.where(market, limit, events.price_ticks))

    def _lots_let_in(self) -> tuple[int, int]:
        bought, sold = 0, 0
        for batch in self.batches:
            entered = (batch.events.kind <= Kind.REPLACE) & (batch.status != Status.REJECTED)
            lots = np.where(entered, batch.events.quantity, 0)
            bought += int(lots[batch.events.side > 0].sum())
            sold += int(lots[batch.events.side < 0].sum())
        return bought, sold

    def _book_rules(self) -> BookRules:
        return BookRules(*self.limits_ticks, self._self_trade)


def no_fills() -> Fills:
    """Return no trades."""
    none = np.empty(0, np.int64)
    return Fills(none, none, none, none, none, np.empty(0, np.int8), none, none)
