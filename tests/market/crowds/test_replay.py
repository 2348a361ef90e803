import numpy as np
import pandas as pd
import pytest

from evobourse.market.book.book import BookRules, OrderBook
from evobourse.market.book.order_events import Kind, OrderEvents, Reason
from evobourse.market.crowd import ORDER_DTYPES, SPECIAL_DTYPES
from evobourse.market.crowds.noise_trader import NoiseFlow, NoiseTraders
from evobourse.market.crowds.replay import ReplayCrowd
from evobourse.market.errors import MarketError

FLOW = NoiseFlow(
    limit_orders=30.0,
    market_orders=8.0,
    cancel_share=0.2,
    replace_share=0.5,
    times_in_force=(1.0, 2.0, 0.0, 1.0, 0.0),
    post_only_share=0.1,
)


class Recorder(NoiseTraders):
    """Noise that writes down what it sends, in its own order, with the numbers it was given."""

    def matched(self, outcome):
        view, orders = self._view, outcome.orders
        columns = {name: getattr(orders, name) for name in ORDER_DTYPES}
        columns |= {name: orders.column(name) for name in SPECIAL_DTYPES}
        columns |= {"day": view.day, "turn": view.turn, "number": outcome.number}
        self.__dict__.setdefault("rows", []).append(pd.DataFrame(columns))


def trades_of(exchange):
    fills = exchange.listings[0].fills_today()
    return fills.buyer, fills.seller, fills.price_ticks, fills.quantity


def test_played_back_alone_the_same_orders_make_the_same_market(open_exchange):
    first = Recorder(FLOW, 10, np.random.default_rng(1))
    original = open_exchange([first], seed=3)
    made = [(original.play_day(), trades_of(original)) for _ in range(15)]
    record = pd.concat(first.rows, ignore_index=True)
    assert set(record["kind"]) == {Kind.LIMIT, Kind.MARKET, Kind.REPLACE, Kind.CANCEL}
    again = open_exchange([ReplayCrowd(record, n_agents=10)], seed=3)
    for outcome, trades in made:
        assert again.play_day().close_ticks == outcome.close_ticks
        for one, other in zip(trades, trades_of(again), strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(again.ledger.cash_cents, original.ledger.cash_cents)


def test_beside_others_a_record_finds_its_own_orders(open_exchange, watch):
    """Numbers are others than on record as soon as someone else sends orders too."""
    first = Recorder(FLOW, 10, np.random.default_rng(1))
    open_exchange([first], seed=3).run(15)
    record = pd.concat(first.rows, ignore_index=True)
    noise = NoiseTraders(FLOW, 10, np.random.default_rng(7))
    watched = watch(open_exchange([noise, ReplayCrowd(record)], seed=4), 15)
    own = (watched.column("agent") >= 10) & (watched.column("kind") <= Kind.CANCEL)
    assert own.sum() == len(record)
    cancels = own & (watched.column("kind") == Kind.CANCEL)
    assert cancels.sum() > 100
    rejected = watched.outcome("reason")[cancels] == Reason.UNKNOWN_ORDER
    assert rejected.mean() < 0.5  # gone by a trade that the record did not have, not unknown


def test_the_log_of_a_book_is_played_back(random_events, open_exchange):
    """One event a turn keeps the log's order: then the book itself is the oracle."""
    rng = np.random.default_rng(2)
    events = random_events(rng, 400, 985, 1015)
    own = events[np.flatnonzero((events.kind <= Kind.CANCEL) & (events.time_in_force != 2))]
    columns = {name: getattr(own, name) for name in OrderEvents.__dataclass_fields__}
    columns["target"] = np.searchsorted(np.flatnonzero(events.kind <= Kind.CANCEL), own.target)
    columns["time"] = np.arange(len(own))
    log = OrderEvents(**columns)
    crowd = ReplayCrowd.of_events(log, turns_a_day=len(own))
    exchange = open_exchange([crowd], ("continuous",) * len(own), short_sales="allowed")
    book = OrderBook(BookRules(*exchange.listings[0].limits_ticks), 1000)
    fills, _ = book.process(log)
    exchange.play_day()
    buyer, seller, price_ticks, quantity = trades_of(exchange)
    np.testing.assert_array_equal(price_ticks, fills.price_ticks)
    np.testing.assert_array_equal(quantity, fills.quantity)
    np.testing.assert_array_equal(buyer, fills.buyer)
    np.testing.assert_array_equal(seller, fills.seller)
    assert len(fills) > 30


def test_an_order_cancelled_in_its_own_turn_is_gone_after_it(open_exchange):
    record = pd.DataFrame(
        {
            "day": 0,
            "agent": 0,
            "side": 1,
            "price_ticks": [990, 991, 0],
            "quantity": [5, 5, 0],
            "kind": [Kind.LIMIT, Kind.LIMIT, Kind.CANCEL],
            "time_in_force": 1,
            "number": [10, 11, 12],
            "target": [0, 0, 10],
        }
    )
    exchange = open_exchange([ReplayCrowd(record)])
    exchange.play_day()
    assert exchange.listings[0].book.resting.price_ticks.tolist() == [991]


def test_a_fast_markets_orders_table_is_played_back(make_pair, open_exchange):
    from evobourse.market.daily_auction import simulate

    market, crowd = make_pair(2, fee_bps=0)
    [tape] = simulate([market], [crowd], 10)
    again = open_exchange([ReplayCrowd(tape.orders, n_agents=30)], ("call",))
    again.run(10)
    assert again.listings[0].bar().volume > 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"agent": None}, "no column 'agent'"),
        ({"side": [1.0]}, "column 'side' of the record is float64"),
        ({"kind": [Kind.CANCEL]}, "no columns 'number' and 'target'"),
    ],
)
def test_impossible_records_are_refused(columns, message):
    given = {"day": [0], "agent": [0], "side": [1], "price_ticks": [9], "quantity": [1]} | columns
    frame = pd.DataFrame({name: value for name, value in given.items() if value is not None})
    with pytest.raises(MarketError, match=message):
        ReplayCrowd(frame)
