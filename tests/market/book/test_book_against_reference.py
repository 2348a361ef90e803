"""The compiled book against a slow one written from the rules' words alone."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.market.book.book import BookRules, OrderBook
from evobourse.market.book.order_events import (
    EVENT_DTYPES,
    Kind,
    OrderEvents,
    Phase,
    Reason,
    SelfTrade,
    Status,
    TimeInForce,
)

LOWEST, HIGHEST, REFERENCE = 3, 30, 15
ENTERING = (Kind.LIMIT, Kind.MARKET, Kind.REPLACE)


@dataclass
class SlowOrder:
    number: int
    agent: int
    side: int
    price: int
    quantity: int
    time_in_force: TimeInForce
    expires: int
    filled: int = 0
    cancelled: int = 0
    status: Status = Status.RESTING
    reason: Reason = Reason.NONE

    @property
    def left(self):
        return self.quantity - self.filled - self.cancelled

    def give_up(self, quantity, reason):
        self.cancelled += quantity
        if self.left == 0:
            self.status, self.reason = Status.CANCELLED, reason


class SlowBook:
    """One list of waiting orders, sorted anew for every order that comes in."""

    def __init__(self, self_trade):
        self.self_trade = self_trade
        self.waiting, self.trades, self.fates = [], [], []
        self.in_call, self.last = False, REFERENCE

    def process(self, event):
        number = len(self.fates)
        for order in self.waiting:
            if order.time_in_force == TimeInForce.GOOD_TILL_TIME and order.expires <= event["time"]:
                order.give_up(order.left, Reason.EXPIRED)
        self.forget_the_finished()
        target = next(
            (o for o in self.waiting if (o.number, o.agent) == (event["target"], event["agent"])),
            None,
        )
        if event["kind"] in ENTERING:
            self.fates.append(self.enter(number, event, target))
        else:
            reason = self.request(number, event, target)
            status = Status.DONE if reason == Reason.NONE else Status.REJECTED
            self.fates.append(SlowOrder(number, 0, 0, 0, 0, None, 0, status=status, reason=reason))
        self.forget_the_finished()

    def forget_the_finished(self):
        self.waiting = [order for order in self.waiting if order.status == Status.RESTING]

    def enter(self, number, event, target):
        price, time_in_force = event["price_ticks"], TimeInForce(event["time_in_force"])
        if event["kind"] == Kind.MARKET:
            price = HIGHEST if event["side"] > 0 else LOWEST
            if time_in_force != TimeInForce.FILL_OR_KILL:
                time_in_force = TimeInForce.IMMEDIATE_OR_CANCEL
        order = SlowOrder(
            number,
            event["agent"],
            event["side"],
            price,
            event["quantity"],
            time_in_force,
            event["expires"],
        )
        order.reason = self.why_not(order, event, target)
        if order.reason != Reason.NONE:
            order.status = Status.REJECTED
            return order
        if event["kind"] == Kind.REPLACE:
            target.give_up(target.left, Reason.REPLACED)
            self.forget_the_finished()
        if not self.in_call:
            self.match(order)
        if order.status == Status.RESTING:
            if self.in_call or time_in_force < TimeInForce.IMMEDIATE_OR_CANCEL:
                self.waiting.append(order)
            else:
                order.give_up(order.left, Reason.NO_LIQUIDITY)
        return order

    def why_not(self, order, event, target):
        kill = order.time_in_force == TimeInForce.FILL_OR_KILL
        if order.quantity < 1:
            return Reason.BAD_QUANTITY
        if not LOWEST <= order.price <= HIGHEST:
            return Reason.BAD_PRICE
        if order.time_in_force == TimeInForce.GOOD_TILL_TIME and order.expires <= event["time"]:
            return Reason.EXPIRED
        if event["kind"] == Kind.REPLACE and (target is None or target.side != order.side):
            return Reason.UNKNOWN_ORDER
        if self.in_call:
            return Reason.WRONG_PHASE if event["post_only"] or kill else Reason.NONE
        if event["post_only"] and self.counterparties(order):
            return Reason.WOULD_TAKE
        if kill:
            available = 0
            for maker in self.counterparties(order):
                if maker.agent != order.agent or self.self_trade == SelfTrade.ALLOW:
                    available += maker.left
                elif self.self_trade == SelfTrade.CANCEL_INCOMING and available < order.quantity:
                    return Reason.NOT_FILLABLE
            if available < order.quantity:
                return Reason.NOT_FILLABLE
        return Reason.NONE

    def counterparties(self, order):
        """List who the order may trade with, first who it trades with first."""
        found = [
            maker
            for maker in self.waiting
            if maker.side == -order.side and order.side * (order.price - maker.price) >= 0
        ]
        return sorted(found, key=lambda maker: (order.side * maker.price, maker.number))

    def match(self, order):
        for maker in self.counterparties(order):
            if order.status != Status.RESTING:
                return
            if maker.agent == order.agent and self.self_trade == SelfTrade.CANCEL_RESTING:
                maker.give_up(maker.left, Reason.SELF_TRADE)
            elif maker.agent == order.agent and self.self_trade == SelfTrade.CANCEL_INCOMING:
                order.give_up(order.left, Reason.SELF_TRADE)
            else:
                buy, sell = (order, maker) if order.side > 0 else (maker, order)
                quantity = min(order.left, maker.left)
                self.trade(order.number, buy, sell, maker.price, quantity, order.side)

    def trade(self, event, buy, sell, price, quantity, aggressor):
        numbers, agents = (buy.number, sell.number), (buy.agent, sell.agent)
        self.trades.append((event, *numbers, price, quantity, aggressor, *agents))
        self.last = price
        for order in (buy, sell):
            order.filled += quantity
            if order.left == 0:
                order.status = Status.FILLED

    def request(self, number, event, target):
        if event["kind"] == Kind.CANCEL:
            if event["quantity"] < 0:
                return Reason.BAD_QUANTITY
            if target is None:
                return Reason.UNKNOWN_ORDER
            target.give_up(max(0, target.left - event["quantity"]), Reason.OWNER)
        elif event["kind"] == Kind.CALL:
            self.in_call = True
        elif event["kind"] == Kind.UNCROSS:
            if not self.in_call:
                return Reason.WRONG_PHASE
            self.uncross(number)
            self.in_call = False
        elif event["kind"] == Kind.END_DAY:
            for order in self.waiting:
                if order.time_in_force == TimeInForce.DAY:
                    order.give_up(order.left, Reason.END_OF_DAY)
        return Reason.NONE

    def uncross(self, number):
        def executable(price):
            demand = sum(o.left for o in self.waiting if o.side > 0 and o.price >= price)
            supply = sum(o.left for o in self.waiting if o.side < 0 and o.price <= price)
            return min(demand, supply), -abs(demand - supply), -abs(price - self.last)

        price = max(range(LOWEST, HIGHEST + 1), key=executable)
        volume = executable(price)[0]
        buys = sorted((o for o in self.waiting if o.side > 0), key=lambda o: (-o.price, o.number))
        sells = sorted((o for o in self.waiting if o.side < 0), key=lambda o: (o.price, o.number))
        while volume > 0:
            quantity = min(volume, buys[0].left, sells[0].left)
            self.trade(number, buys[0], sells[0], price, quantity, 0)
            volume -= quantity
            buys = [order for order in buys if order.left > 0]
            sells = [order for order in sells if order.left > 0]
        for order in self.waiting:
            if order.left > 0 and order.time_in_force == TimeInForce.IMMEDIATE_OR_CANCEL:
                order.give_up(order.left, Reason.NO_LIQUIDITY)


def assert_alike(events, self_trade, batch_sizes):
    """Send the events to both books; compare every trade, every fate and what rests."""
    rules = BookRules(LOWEST, HIGHEST, self_trade)
    slow, book = SlowBook(self_trade), OrderBook(rules, REFERENCE)
    trades, fates = [], {}
    start = 0
    for size in batch_sizes:
        fills, reports = book.process(events[start : start + size])
        trades += rows_of(fills)
        fates.update((row[0], row[1:]) for row in rows_of(reports))
        start += size
    for row in events.frame.to_dict("records"):
        slow.process(row)
    assert start == len(events)
    assert trades == slow.trades
    assert fates == {order.number: fate_of(order) for order in slow.fates}
    resting = [(o.number, o.agent, o.side, o.price, o.left) for o in slow.waiting]
    held = book.resting
    assert resting == list(
        zip(held.number, held.agent, held.side, held.price_ticks, held.remaining, strict=True)
    )
    assert book.phase == (Phase.CALL if slow.in_call else Phase.CONTINUOUS)
    assert book.last_ticks == slow.last
    return slow


def rows_of(columns):
    """Return parallel arrays as a list of tuples."""
    return list(zip(*(column.tolist() for column in vars(columns).values()), strict=True))


def fate_of(order):
    lots = order.quantity
    if order.status == Status.REJECTED:
        return lots, 0, 0, 0, lots, order.status, order.reason
    return lots, order.filled, order.left, order.cancelled, 0, order.status, order.reason


@pytest.mark.parametrize("self_trade", SelfTrade)
def test_forty_thousand_random_events_have_the_same_trades_and_fates(random_events, self_trade):
    rng = np.random.default_rng(100 + self_trade)
    events = random_events(rng, 40_000, LOWEST - 1, HIGHEST + 1)
    cuts = np.sort(rng.integers(0, len(events) + 1, 300))
    slow = assert_alike(events, self_trade, np.diff(cuts, prepend=0, append=len(events)))
    assert {order.status for order in slow.fates} >= set(Status) - {Status.PENDING}
    # Each kind of ending has to come up for the comparison to mean anything.
    of_the_book = {reason for reason in Reason if reason <= Reason.END_OF_DAY}
    unseen = of_the_book - {order.reason for order in slow.fates}
    assert unseen == (set() if self_trade != SelfTrade.ALLOW else {Reason.SELF_TRADE})
    assert sum(trade[5] == 0 for trade in slow.trades) > 1000


EVENT = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([*Kind, *[Kind.LIMIT] * 6, *[Kind.REPLACE] * 2]),
        "wait": st.integers(0, 2),
        "agent": st.integers(0, 2),
        "side": st.sampled_from([1, -1]),
        "price_ticks": st.integers(LOWEST - 1, LOWEST + 6) | st.integers(LOWEST, HIGHEST + 1),
        "quantity": st.integers(-1, 6),
        "target": st.integers(-1, 30),
        "time_in_force": st.sampled_from([*TimeInForce, *[TimeInForce.GOOD_TILL_CANCELLED] * 4]),
        "post_only": st.sampled_from([False, False, False, True]),
        "expires": st.integers(0, 40),
    }
)


@settings(deadline=None, max_examples=200)
@given(st.lists(EVENT, max_size=30), st.sampled_from(SelfTrade), st.integers(1, 30))
def test_any_events_have_the_same_trades_and_fates(rows, self_trade, batch_size):
    frame = pd.DataFrame(rows, columns=[*EVENT_DTYPES, "wait"])
    frame["time"] = frame["wait"].cumsum()
    events = OrderEvents.from_frame(frame.astype(EVENT_DTYPES))
    whole, rest = divmod(len(events), batch_size)
    assert_alike(events, self_trade, [batch_size] * whole + [rest])
