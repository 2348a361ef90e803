"""The order book: what each kind of order does, and what holds whatever is sent."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.market.book.book import MAX_QUANTITY, BookRules, OrderBook
from evobourse.market.book.order_events import (
    Kind,
    OrderEvents,
    Phase,
    Reason,
    SelfTrade,
    Status,
    TimeInForce,
)
from evobourse.market.errors import MarketError

BUY, SELL = 1, -1
LOWEST, HIGHEST = 1, 40
SEEDS = st.integers(0, 10_000)


def new_book(self_trade=SelfTrade.CANCEL_RESTING):
    return OrderBook(BookRules(LOWEST, HIGHEST, self_trade), 20)


def limit(agent, side, price_ticks, quantity, **more):
    columns = {"agent": agent, "side": side, "price_ticks": price_ticks, "quantity": quantity}
    return OrderEvents.of(Kind.LIMIT, **columns, **more)


def market(agent, side, quantity, **more):
    return OrderEvents.of(Kind.MARKET, agent=agent, side=side, quantity=quantity, **more)


def cancel(agent, target, keep=0):
    return OrderEvents.of(Kind.CANCEL, agent=agent, target=target, quantity=keep)


def replace(agent, target, side, price_ticks, quantity, **more):
    columns = {"side": side, "price_ticks": price_ticks, "quantity": quantity}
    return OrderEvents.of(Kind.REPLACE, agent=agent, target=target, **columns, **more)


def send(book, *events):
    """Send events as one batch; return trades as (buy, sell, price, lots) and the reports."""
    fills, reports = book.process(OrderEvents.concatenate(events))
    columns = (fills.buy, fills.sell, fills.price_ticks, fills.quantity)
    return [tuple(map(int, row)) for row in zip(*columns, strict=True)], reports


def bids_and_asks(book):
    depth = book.depth()
    bids = zip(depth.bid_ticks.tolist(), depth.bid_quantity.tolist(), strict=True)
    asks = zip(depth.ask_ticks.tolist(), depth.ask_quantity.tolist(), strict=True)
    return list(bids), list(asks)


def test_trades_happen_at_the_makers_price_best_price_first_then_the_earliest():
    book = new_book()
    offers = [limit(1, SELL, 22, 5), limit(2, SELL, 21, 5), limit(3, SELL, 21, 5)]
    trades, reports = send(book, *offers, limit(4, BUY, 22, 12))
    assert trades == [(3, 1, 21, 5), (3, 2, 21, 5), (3, 0, 22, 2)]
    assert reports.resting.tolist() == [3, 0, 0, 0]
    assert bids_and_asks(book) == ([], [(22, 3)])
    assert book.last_ticks == 22


def test_a_limit_order_rests_with_what_it_could_not_trade():
    book = new_book()
    trades, reports = send(book, limit(1, SELL, 20, 5), limit(2, BUY, 21, 8))
    assert trades == [(1, 0, 20, 5)]
    assert (reports.status[1], reports.filled[1], reports.resting[1]) == (Status.RESTING, 5, 3)
    assert bids_and_asks(book) == ([(21, 3)], [])


@pytest.mark.parametrize(
    "order",
    [
        market(2, BUY, 8),
        limit(2, BUY, 22, 8, time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL),
    ],
)
def test_market_and_immediate_orders_never_rest(order):
    book = new_book()
    trades, reports = send(book, limit(1, SELL, 22, 5), order)
    assert trades == [(1, 0, 22, 5)]
    assert (reports.status[1], reports.cancelled[1]) == (Status.CANCELLED, 3)
    assert reports.reason[1] == Reason.NO_LIQUIDITY
    assert len(book.resting) == 0


@pytest.mark.parametrize(("wanted", "sold"), [(8, 8), (9, 0)])
def test_fill_or_kill_trades_all_or_nothing(wanted, sold):
    book = new_book()
    offers = [limit(1, SELL, 21, 5), limit(1, SELL, 22, 3), limit(1, SELL, 23, 9)]
    order = limit(2, BUY, 22, wanted, time_in_force=TimeInForce.FILL_OR_KILL)
    _, reports = send(book, *offers, order)
    assert reports.filled[3] == sold
    assert reports.rejected[3] == wanted - sold
    assert reports.reason[3] == (Reason.NONE if sold else Reason.NOT_FILLABLE)


@pytest.mark.parametrize(("price", "status"), [(21, Status.REJECTED), (20, Status.RESTING)])
def test_post_only_is_rejected_rather_than_take(price, status):
    book = new_book()
    trades, reports = send(book, limit(1, SELL, 21, 5), limit(2, BUY, price, 1, post_only=True))
    assert trades == []
    assert reports.status[1] == status


def test_a_reduced_order_keeps_its_place_and_a_replaced_one_goes_to_the_end():
    book = new_book()
    send(book, *(limit(agent, SELL, 21, 5) for agent in (1, 2, 3)))
    send(book, cancel(1, target=0, keep=2), replace(2, 1, SELL, 21, 5))
    trades, reports = send(book, market(4, BUY, 12))
    assert trades == [(5, 0, 21, 2), (5, 2, 21, 5), (5, 4, 21, 5)]
    assert (reports.submitted[0], reports.filled[0], reports.cancelled[0]) == (5, 2, 3)


def test_a_rejected_replacement_leaves_the_order_as_it_was():
    book = new_book()
    send(book, limit(1, BUY, 19, 5), limit(2, SELL, 21, 5))
    attempts = [
        replace(1, 0, BUY, 21, 5, post_only=True),
        replace(1, 0, BUY, HIGHEST + 1, 5),
        replace(1, 0, BUY, 20, 0),
        replace(2, 0, BUY, 20, 5),
        replace(1, 0, SELL, 20, 5),
    ]
    _, reports = send(book, *attempts)
    assert reports.reason[2:].tolist() == [
        Reason.WOULD_TAKE,
        Reason.BAD_PRICE,
        Reason.BAD_QUANTITY,
        Reason.UNKNOWN_ORDER,
        Reason.UNKNOWN_ORDER,
    ]
    assert bids_and_asks(book) == ([(19, 5)], [(21, 5)])


@pytest.mark.parametrize("target", [-1, 1, 2, 3, 99])
def test_only_what_rests_can_be_cancelled_and_only_by_its_owner(target):
    book = new_book()
    send(book, limit(1, BUY, 19, 5), limit(2, BUY, 19, 5))
    _, reports = send(book, cancel(1, target))
    assert (reports.status[2], reports.reason[2]) == (Status.REJECTED, Reason.UNKNOWN_ORDER)
    assert len(book.resting) == 2


@pytest.mark.parametrize(
    ("policy", "trades", "bids", "asks"),
    [
        (SelfTrade.CANCEL_RESTING, [(2, 1, 22, 5)], [(22, 1)], []),
        (SelfTrade.CANCEL_INCOMING, [], [], [(21, 5), (22, 5)]),
        (SelfTrade.ALLOW, [(2, 0, 21, 5), (2, 1, 22, 1)], [], [(22, 4)]),
    ],
)
def test_an_agent_meets_its_own_order_as_the_policy_says(policy, trades, bids, asks):
    book = new_book(policy)
    made, reports = send(book, limit(1, SELL, 21, 5), limit(2, SELL, 22, 5), limit(1, BUY, 22, 6))
    assert made == trades
    assert bids_and_asks(book) == (bids, asks)
    assert (Reason.SELF_TRADE in reports.reason) == (policy != SelfTrade.ALLOW)


def test_orders_end_with_the_day_at_their_time_or_never():
    book = new_book()
    kept = limit(1, BUY, 10, 1, time_in_force=TimeInForce.GOOD_TILL_CANCELLED)
    timed = limit(1, BUY, 11, 1, time_in_force=TimeInForce.GOOD_TILL_TIME, expires=50)
    send(book, kept, timed, limit(1, BUY, 12, 1))
    send(book, OrderEvents.of(Kind.END_DAY, time=49))
    assert bids_and_asks(book) == ([(11, 1), (10, 1)], [])
    late = limit(1, BUY, 9, 1, time_in_force=TimeInForce.GOOD_TILL_TIME, expires=50, time=50)
    _, reports = send(book, late)
    assert bids_and_asks(book) == ([(10, 1)], [])
    assert reports.reason.tolist() == [Reason.NONE, Reason.EXPIRED, Reason.EXPIRED]
    assert reports.status.tolist() == [Status.RESTING, Status.CANCELLED, Status.REJECTED]


def test_a_day_has_an_opening_call_continuous_trading_and_a_closing_call():
    book = new_book()
    phase = OrderEvents.of
    trades, _ = send(
        book,
        phase(Kind.CALL),
        limit(1, BUY, 24, 10),
        limit(2, SELL, 18, 6),
        limit(3, SELL, 19, 6),
        phase(Kind.UNCROSS),  # 10 lots at any price from 19 to 24; 20 is the reference
        limit(4, SELL, 19, 1),
        market(5, BUY, 2),
        phase(Kind.CALL),
        limit(6, BUY, 30, 3),
        market(7, SELL, 2),
        phase(Kind.UNCROSS),  # 3 lots at any price from 19 to 30; 19 was the last
        phase(Kind.END_DAY),
    )
    opening = [(1, 2, 20, 6), (1, 3, 20, 4)]
    continuous = [(6, 3, 19, 2)]
    closing = [(8, 9, 19, 2), (8, 5, 19, 1)]
    assert trades == opening + continuous + closing
    assert book.phase == Phase.CONTINUOUS
    assert len(book.resting) == 0


def test_orders_for_a_call_wait_for_it_or_are_rejected():
    book = new_book()
    immediate = limit(1, BUY, 20, 5, time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL)
    kill = limit(1, BUY, 20, 5, time_in_force=TimeInForce.FILL_OR_KILL)
    _, reports = send(
        book,
        OrderEvents.of(Kind.UNCROSS),
        OrderEvents.of(Kind.CALL),
        immediate,
        kill,
        limit(1, BUY, 20, 5, post_only=True),
    )
    wrong = Reason.WRONG_PHASE
    assert reports.reason.tolist() == [wrong, Reason.NONE, Reason.NONE, wrong, wrong]
    assert (book.phase, len(book.resting)) == (Phase.CALL, 1)
    trades, reports = send(book, limit(2, SELL, 20, 2), OrderEvents.of(Kind.UNCROSS))
    assert trades == [(2, 5, 20, 2)]
    assert (reports.filled[0], reports.cancelled[0]) == (2, 3)


def test_market_orders_in_a_call_take_any_price_allowed():
    book = OrderBook(BookRules(5, 2**22 - 1), 1000)
    send(book, OrderEvents.of(Kind.CALL), market(1, BUY, 4), market(2, SELL, 3))
    trades, _ = send(book, OrderEvents.of(Kind.UNCROSS))
    assert trades == [(1, 2, 1000, 3)]
    assert len(book.resting) == 0


def test_prices_and_quantities_that_make_no_sense_are_rejected():
    book = new_book()
    quantities = [0, -5, MAX_QUANTITY + 1, 1, 1, 1]
    prices = [20, 20, 20, LOWEST - 1, HIGHEST + 1, np.iinfo(np.int64).min]
    _, reports = book.process(limit(1, BUY, np.array(prices), np.array(quantities)))
    assert reports.reason.tolist() == [Reason.BAD_QUANTITY] * 3 + [Reason.BAD_PRICE] * 3
    assert len(book.resting) == 0


def test_depth_adds_up_lots_best_prices_first():
    book = new_book()
    prices, sides = np.array([18, 19, 19, 17, 22, 21, 22]), np.repeat([BUY, SELL], [4, 3])
    book.process(limit(np.arange(7), sides, prices, np.arange(1, 8)))
    assert bids_and_asks(book) == ([(19, 5), (18, 1), (17, 4)], [(21, 6), (22, 12)])
    top = book.depth(levels=1)
    assert (top.bid_ticks.tolist(), top.ask_quantity.tolist()) == ([19], [6])


@settings(deadline=None, max_examples=50)
@given(SEEDS, st.sampled_from(SelfTrade))
def test_every_lot_is_filled_resting_cancelled_or_rejected(random_events, seed, policy):
    events = random_events(np.random.default_rng(seed), 400, LOWEST - 1, HIGHEST + 1)
    book = new_book(policy)
    fills, reports = book.process(events)
    entering = events.kind <= Kind.REPLACE
    filled = np.zeros(len(events), np.int64)
    np.add.at(filled, fills.buy, fills.quantity)
    np.add.at(filled, fills.sell, fills.quantity)
    resting = np.zeros(len(events), np.int64)
    resting[book.resting.number] = book.resting.remaining
    assert (reports.submitted == np.where(entering, events.quantity, 0)).all()
    assert (reports.filled == filled).all()
    assert (reports.resting == resting).all()
    parts = reports.filled + reports.resting + reports.cancelled + reports.rejected
    assert (parts == reports.submitted).all()
    for lots, status in (
        (reports.resting, Status.RESTING),
        (reports.rejected, Status.REJECTED),
    ):
        assert (reports.status[lots > 0] == status).all()
    valid = reports.status != Status.REJECTED
    assert min(reports.cancelled.min(), reports.resting.min(), filled.min()) >= 0
    assert (reports.rejected[valid] == 0).all()


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.sampled_from(SelfTrade))
def test_after_every_event_the_book_is_uncrossed_and_priority_was_kept(random_events, seed, policy):
    events = random_events(np.random.default_rng(seed), 300, LOWEST, HIGHEST)
    book = new_book(policy)
    for row in range(len(events)):
        fills, _ = book.process(events[row : row + 1])
        held = book.resting
        if book.phase == Phase.CONTINUOUS:
            highest_bid = held.price_ticks[held.side > 0].max(initial=LOWEST - 1)
            lowest_ask = held.price_ticks[held.side < 0].min(initial=HIGHEST + 1)
            assert highest_bid < lowest_ask
        for buy, sell, price, aggressor in zip(
            fills.buy, fills.sell, fills.price_ticks, fills.aggressor, strict=True
        ):
            for maker, side in ((buy, BUY), (sell, SELL)):
                if aggressor == side:
                    continue
                limit_ticks = limit_of(events, maker)
                assert price == limit_ticks or aggressor == 0
                gain = side * (held.price_ticks - limit_ticks)
                ahead = (gain > 0) | ((gain == 0) & (held.number < maker))
                assert not (ahead & (held.side == side)).any()


def limit_of(events, number):
    """Return an order's limit, that of a market order being the end of the prices allowed."""
    if events.kind[number] == Kind.MARKET:
        return HIGHEST if events.side[number] > 0 else LOWEST
    return events.price_ticks[number]


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_a_call_trades_the_largest_volume_that_any_price_allows(random_events, seed):
    events = random_events(np.random.default_rng(seed), 200, LOWEST, HIGHEST)
    waiting = events[:199]
    frame = waiting.frame
    frame["kind"] = frame["kind"].where(frame["kind"] <= Kind.CANCEL, Kind.LIMIT)
    book = new_book()
    send(book, OrderEvents.of(Kind.CALL), OrderEvents.from_frame(frame))
    held = book.resting
    volumes = []
    for price in range(LOWEST, HIGHEST + 1):
        demand = held.remaining[(held.side > 0) & (held.price_ticks >= price)].sum()
        supply = held.remaining[(held.side < 0) & (held.price_ticks <= price)].sum()
        volumes.append(min(demand, supply))
    fills, _ = book.process(OrderEvents.of(Kind.UNCROSS, time=frame["time"].max()))
    assert fills.quantity.sum() == max(volumes)
    assert len(set(fills.price_ticks.tolist())) <= 1


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.lists(st.integers(0, 300), max_size=12))
def test_batches_change_nothing(random_events, seed, cuts):
    events = random_events(np.random.default_rng(seed), 300, LOWEST, HIGHEST)
    whole, pieces = new_book(), new_book()
    at_once = whole.process(events)[0]
    bounds = [0, *sorted(cuts), 300]
    parts = [pieces.process(events[a:b])[0] for a, b in pairwise(bounds)]
    for name, column in vars(at_once).items():
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert column.tobytes() == joined.tobytes()
    assert state_bytes(whole) == state_bytes(pieces)


def state_bytes(book):
    columns = [column.tobytes() for column in vars(book.resting).values()]
    return columns, book.phase, book.last_ticks, book.events_seen


def test_a_recorded_order_log_replays_to_the_same_book_and_prices(random_events, tmp_path):
    events = random_events(np.random.default_rng(5), 5000, LOWEST - 1, HIGHEST + 1)
    recorded, replayed = new_book(), new_book()
    fills = recorded.process(events)[0]
    events.frame.to_parquet(tmp_path / "events.parquet")
    log = OrderEvents.from_frame(pd.read_parquet(tmp_path / "events.parquet"))
    again = replayed.process(log)[0]
    assert [c.tobytes() for c in vars(fills).values()] == [
        c.tobytes() for c in vars(again).values()
    ]
    assert state_bytes(recorded) == state_bytes(replayed)
    assert len(fills) > 1000


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"kind": 7}, r"events.kind\[0\] is 7, expected a Kind"),
        ({"side": [1, 0]}, r"events.side\[1\] is 0, expected \+1"),
        ({"side": 1, "time_in_force": 5}, r"events.time_in_force\[0\] is 5"),
        ({"side": 1, "time": [4, 3]}, r"events.time\[1\] is 3, expected no earlier"),
        ({"side": 1, "price_ticks": 1.5}, "events.price_ticks is float64"),
        ({"side": 1, "post_only": 1}, "events.post_only is int64"),
        ({"side": 1, "kind": 256}, r"events.kind\[0\] is 256, expected int8"),
        ({"sied": 1}, "no 'sied'"),
    ],
)
def test_events_that_are_none_are_refused(columns, complaint):
    with pytest.raises(MarketError, match=complaint):
        OrderEvents.of(**{"kind": Kind.LIMIT, **columns})


def test_a_batch_from_the_past_is_refused_and_changes_nothing():
    book = new_book()
    send(book, limit(1, BUY, 19, 1, time=7))
    before = state_bytes(book)
    with pytest.raises(MarketError, match=r"events.time\[0\] is 6, expected at least 7"):
        send(book, limit(1, BUY, 19, 1, time=6))
    assert state_bytes(book) == before


@pytest.mark.parametrize(("lowest", "highest"), [(0, 9), (9, 9), (1, 2**22)])
def test_prices_allowed_must_be_a_range(lowest, highest):
    with pytest.raises(MarketError, match="expected 1 <= lowest < highest"):
        BookRules(lowest, highest)


def test_the_reference_must_be_a_price_allowed():
    with pytest.raises(MarketError, match="reference_ticks is 41"):
        OrderBook(BookRules(LOWEST, HIGHEST), 41)
