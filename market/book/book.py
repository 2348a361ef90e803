"""A limit order book for one asset: batches of events in, trades and reports out.

Orders are matched in `market.book.matching`.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.matching import FILL, QUEUE, SLOT, match_events
from evobourse.market.book.order_events import (
    Fills,
    Kind,
    OrderEvents,
    Phase,
    Reason,
    Reports,
    SelfTrade,
    Status,
    TimeInForce,
)
from evobourse.market.errors import MarketError

MAX_QUANTITY = 2**40
MAX_TICKS = 2**22
KEPT = ("agent", "side", "price_ticks", "remaining", "cancelled", "time_in_force", "expires")


@dataclass(frozen=True)
class BookRules:
    """What holds for every order of a book.

    Attributes
    ----------
    lowest_ticks, highest_ticks : int
        Limit prices allowed, both included, ``1 <= lowest < highest < 2**22``.
    self_trade : SelfTrade
        What happens when an agent's order meets another of its own in continuous trading. A
        call, in which no order is the incoming one, pairs them like any others.

    Raises
    ------
    MarketError
        If the prices allowed are no such range.
    """

    lowest_ticks: int = 1
    highest_ticks: int = 100_000
    self_trade: SelfTrade = SelfTrade.CANCEL_RESTING

    def __post_init__(self) -> None:
        if not 1 <= self.lowest_ticks < self.highest_ticks < MAX_TICKS:
            raise MarketError(
                f"lowest_ticks and highest_ticks are {self.lowest_ticks} and "
                f"{self.highest_ticks}, expected 1 <= lowest < highest < {MAX_TICKS}"
            )


@dataclass(frozen=True, eq=False)
class RestingOrders:
    """What a book holds, as parallel arrays by time priority.

    Attributes
    ----------
    number : NDArray[np.int64]
        Number of each order, shape [k].
    submitted : NDArray[np.int64]
        Lots entered, shape [k].
    agent, side, price_ticks : NDArray
        Owner, +1 or -1, and limit, shape [k].
    remaining, cancelled : NDArray[np.int64]
        Lots still in the book, and given up so far, shape [k].
    time_in_force, expires : NDArray
        As in :class:`~market.order_events.OrderEvents`, shape [k].
    """

    number: NDArray[np.int64]
    submitted: NDArray[np.int64]
    agent: NDArray[np.int64]
    side: NDArray[np.int8]
    price_ticks: NDArray[np.int64]
    remaining: NDArray[np.int64]
    cancelled: NDArray[np.int64]
    time_in_force: NDArray[np.int8]
    expires: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.number)

    def of_agents(self, start: int, stop: int) -> "RestingOrders":
        """Return the orders of agents ``start`` to ``stop - 1``, counted from 0 there."""
        rows = np.flatnonzero((self.agent >= start) & (self.agent < stop))
        columns = {column.name: getattr(self, column.name)[rows] for column in fields(self)}
        return RestingOrders(**{**columns, "agent": columns["agent"] - start})


@dataclass(frozen=True, eq=False)
class Depth:
    """Lots at each price, best price first.

    Attributes
    ----------
    bid_ticks, bid_quantity : NDArray[np.int64]
        Prices and lots of the buys, shape [b].
    ask_ticks, ask_quantity : NDArray[np.int64]
        Prices and lots of the sells, shape [a].
    """

    bid_ticks: NDArray[np.int64]
    bid_quantity: NDArray[np.int64]
    ask_ticks: NDArray[np.int64]
    ask_quantity: NDArray[np.int64]


class OrderBook:
    """A book in continuous trading, empty at first.

    A batch is a matter of speed alone: the same events make the same trades in one batch, in
    many or one by one, and so a log of the events replays to the same book.

    Parameters
    ----------
    rules : BookRules
        Prices allowed and the self-trade policy.
    reference_ticks : int
        Price that ties of a call are drawn to before the first trade.

    Attributes
    ----------
    resting : RestingOrders
        The orders in the book.
    phase : Phase
        Whether a call is on.
    last_ticks : int
        Price of the last trade, or the reference price.
    events_seen : int
        Number of the next event.

    Raises
    ------
    MarketError
        If the reference is not one of the prices allowed.
    """

    def __init__(self, rules: BookRules, reference_ticks: int) -> None:
        if not rules.lowest_ticks <= reference_ticks <= rules.highest_ticks:
            raise MarketError(
                f"reference_ticks is {reference_ticks}, "
                f"expected {rules.lowest_ticks} to {rules.highest_ticks}"
            )
        self.rules = rules
        self.resting = _none_resting()
        self.phase = Phase.CONTINUOUS
        self.last_ticks = reference_ticks
        self.events_seen = 0
        self._time = int(np.iinfo(np.int64).min)

    def process(
        self, events: OrderEvents, refused: NDArray[np.int8] | None = None
    ) -> tuple[Fills, Reports]:
        """Process a batch of events in their order.

        Parameters
        ----------
        events : OrderEvents
            The batch, m events.
        refused : NDArray[np.int8], optional
            :class:`~market.order_events.Reason` of events that an exchange turns away, 0 for the
            others, shape [m]. Those are numbered and reported like any others, as rejected.

        Returns
        -------
        fills : Fills
            The trades, as they happened.
        reports : Reports
            What became of the k orders that rested before, and of the m events.

        Raises
        ------
        MarketError
            If the batch begins before the last one ended; the book is then unchanged.
        """
        if len(events) and events.time[0] < self._time:
            raise MarketError(
                f"events.time[0] is {events.time[0]}, "
                f"expected at least {self._time}, the time of the book's last event"
            )
        number = np.concatenate(
            [self.resting.number, np.arange(self.events_seen, self.events_seen + len(events))]
        )
        submitted = np.concatenate(
            [self.resting.submitted, np.where(events.kind <= Kind.REPLACE, events.quantity, 0)]
        )
        slots, levels, expiring = self._lay_out(events)
        if refused is not None:
            reason = slots["reason"][len(self.resting) :]
            reason[:] = np.where(reason == Reason.NONE, refused, reason)
        fills = np.empty(len(number), FILL)
        phase, traded = match_events(
            events.kind,
            events.time,
            self._find(events.target),
            slots,
            np.full((2, levels), -1, QUEUE),
            np.array([-1, levels]),
            fills,
            expiring,
            int(self.phase),
            int(self.rules.self_trade),
            self.last_ticks,
        )
        remaining, cancelled = slots["remaining"].copy(), slots["cancelled"].copy()
        status, reason = slots["status"].copy(), slots["reason"].copy()
        rests = np.flatnonzero(status == Status.RESTING)
        kept = slots[rests]
        self.resting = RestingOrders(
            number[rests], submitted[rests], *(kept[name].copy() for name in KEPT)
        )
        self.phase = Phase(phase)
        self.events_seen += len(events)
        if len(events):
            self._time = int(events.time[-1])
        if traded:
            self.last_ticks = int(fills[traded - 1]["price_ticks"])
        rejected = np.where(status == Status.REJECTED, submitted, 0)
        filled = submitted - remaining - cancelled - rejected
        reports = Reports(number, submitted, filled, remaining, cancelled, rejected, status, reason)
        return _numbered(fills[:traded], number, slots["agent"]), reports

    def depth(self, levels: int | None = None) -> Depth:
        """Return the lots at the best prices of each side.

        Parameters
        ----------
        levels : int, optional
            Prices a side at most; all if left out.
        """
        columns = []
        for side in (1, -1):
            own = self.resting.side == side
            price_ticks, at = np.unique(self.resting.price_ticks[own], return_inverse=True)
            quantity = np.zeros_like(price_ticks)
            np.add.at(quantity, at, self.resting.remaining[own])
            columns += [price_ticks[::-side][:levels], quantity[::-side][:levels]]
        return Depth(*columns)

    def _lay_out(self, events: OrderEvents) -> tuple[NDArray[np.void], int, NDArray[np.int64]]:
        """Return the resting orders and the events as slots, their levels, who may expire."""
        resting, rules = self.resting, self.rules
        market = events.kind == Kind.MARKET
        far_end = np.where(events.side > 0, rules.highest_ticks, rules.lowest_ticks)
        limit = np.where(market, far_end, events.price_ticks)
        time_in_force = events.time_in_force.copy()
        time_in_force[market & (time_in_force != TimeInForce.FILL_OR_KILL)] = (
            TimeInForce.IMMEDIATE_OR_CANCEL
        )
        level, levels = _levels(np.concatenate([resting.price_ticks, limit]), rules)
        slots = np.zeros(len(level), SLOT)
        slots["level"] = level
        old, new = slots[: len(resting)], slots[len(resting) :]
        for name in KEPT:
            old[name] = getattr(resting, name)
        for name in ("agent", "side", "post_only", "expires"):
            new[name] = getattr(events, name)
        new["price_ticks"] = limit
        new["remaining"] = events.quantity
        new["time_in_force"] = time_in_force
        new["reason"] = _screen(events, limit, time_in_force, rules)
        timed = np.concatenate([resting.time_in_force, time_in_force])
        expiring = np.flatnonzero(timed == TimeInForce.GOOD_TILL_TIME)
        return slots, levels, expiring[np.argsort(slots["expires"][expiring], kind="stable")]

    def _find(self, target: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the slots of the orders meant by a batch's events, -1 for those long gone."""
        slot = np.searchsorted(self.resting.number, target)
        known = np.append(self.resting.number, -1)[slot] == target
        offset = len(self.resting) - self.events_seen
        in_batch = (target >= self.events_seen) & (target < self.events_seen + len(target))
        return np.where(in_batch, target + offset, np.where(known & (target >= 0), slot, -1))


def _screen(
    events: OrderEvents,
    price_ticks: NDArray[np.int64],
    time_in_force: NDArray[np.int8],
    rules: BookRules,
) -> NDArray[np.int8]:
    """Return why an event makes no sense whatever the book holds, NONE if it does."""
    entering = events.kind <= Kind.REPLACE
    least = np.where(entering, 1, 0)
    bad_quantity = (events.quantity < least) | (events.quantity > MAX_QUANTITY)
    bad_price = (price_ticks < rules.lowest_ticks) | (price_ticks > rules.highest_ticks)
    expired = (time_in_force == TimeInForce.GOOD_TILL_TIME) & (events.expires <= events.time)
    reason = np.zeros(len(events), np.int8)
    reason[entering & expired] = Reason.EXPIRED
    reason[entering & bad_price] = Reason.BAD_PRICE
    reason[(events.kind <= Kind.CANCEL) & bad_quantity] = Reason.BAD_QUANTITY
    return reason


def _levels(price_ticks: NDArray[np.int64], rules: BookRules) -> tuple[NDArray[np.int64], int]:
    """Return the level of each price, counted from 0 over the range in use, and their number.

    The two ends of the prices allowed, where market orders wait for a call, have the first and
    the last level to themselves, so that they do not stretch the range in use.
    """
    inside = price_ticks[(price_ticks > rules.lowest_ticks) & (price_ticks < rules.highest_ticks)]
    lowest = int(inside.min(initial=rules.highest_ticks))
    highest = int(inside.max(initial=lowest))
    return np.clip(price_ticks - lowest + 1, 0, highest - lowest + 2), highest - lowest + 3


def _none_resting() -> RestingOrders:
    none, none_small = np.empty(0, np.int64), np.empty(0, np.int8)
    return RestingOrders(none, none, none, none_small, none, none, none, none_small, none)


def _numbered(
    fills: NDArray[np.void], number: NDArray[np.int64], agent: NDArray[np.int64]
) -> Fills:
    """Return trades with the numbers and agents of orders for their slots."""
    return Fills(
        number[fills["event"]],
        number[fills["buy"]],
        number[fills["sell"]],
        fills["price_ticks"].copy(),
        fills["quantity"].copy(),
        fills["aggressor"].copy(),
        agent[fills["buy"]],
        agent[fills["sell"]],
    )
