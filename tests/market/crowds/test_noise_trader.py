from dataclasses import replace

import numpy as np
import pytest

from evobourse.market.book.order_events import Kind, Reason, Status, TimeInForce
from evobourse.market.crowds.noise_trader import NoiseFlow, NoiseTraders
from evobourse.market.errors import MarketError

EVERYTHING = NoiseFlow(
    limit_orders=40.0,
    market_orders=10.0,
    cancel_share=0.2,
    replace_share=0.4,
    window_ticks=15,
    mean_lots=3.0,
    times_in_force=(2.0, 3.0, 2.0, 1.0, 1.0),
    post_only_share=0.2,
    life=2,
)


@pytest.fixture(scope="module")
def everything(open_exchange, watch):
    crowd = NoiseTraders(EVERYTHING, 30, np.random.default_rng(1))
    exchange = open_exchange([crowd])
    return watch(exchange, 30), exchange


def test_every_kind_of_order_is_sent_and_some_of_each_does_something(everything):
    watched, _ = everything
    kind, status = watched.column("kind"), watched.outcome("status")
    entering = kind <= Kind.REPLACE
    for wanted in (Kind.LIMIT, Kind.MARKET, Kind.REPLACE):
        assert ((kind == wanted) & (watched.outcome("filled") > 0)).any()
    assert ((kind == Kind.CANCEL) & (status == Status.DONE)).any()
    assert set(watched.column("time_in_force")[entering]) == set(TimeInForce)
    reasons = set(watched.outcome("reason"))
    assert {Reason.NONE, Reason.WOULD_TAKE, Reason.NOT_FILLABLE, Reason.NO_LIQUIDITY} <= reasons
    assert Reason.WRONG_PHASE not in reasons
    assert Reason.BAD_PRICE not in reasons


def test_the_rates_are_those_asked_for(everything):
    watched, _ = everything
    kind, turns = watched.column("kind"), 4 * 30
    for wanted, rate in ((Kind.LIMIT, 40.0), (Kind.MARKET, 10.0)):
        count = int((kind == wanted).sum())
        assert abs(count - rate * turns) < 5 * np.sqrt(rate * turns)
    cancels = (kind == Kind.CANCEL).sum()
    replaced = (kind == Kind.REPLACE).sum() / (cancels + (kind == Kind.REPLACE).sum())
    assert replaced == pytest.approx(0.4, abs=0.03)
    lots = watched.column("quantity")[kind == Kind.LIMIT]
    assert lots.mean() == pytest.approx(3.0, rel=0.05)


def test_orders_for_a_time_rest_until_then_and_no_longer(everything):
    """In the exchange's own time: an order of turn t that lives 2 turns is gone in turn t + 2."""
    _, exchange = everything
    exchange.play_day()
    resting = exchange.listings[0].book.resting
    timed = resting.time_in_force == TimeInForce.GOOD_TILL_TIME
    last_time = 4 * exchange.day - 1
    assert timed.any()
    assert (resting.expires[timed] > last_time).all()
    assert (resting.expires[timed] <= last_time + 2).all()


def test_at_impact_there_are_market_orders_alone(open_exchange, watch):
    crowd = NoiseTraders(EVERYTHING, 5, np.random.default_rng(1))
    watched = watch(open_exchange([crowd], ("impact",), impact=1e-3), 20)
    kind = watched.column("kind")
    assert set(kind) == {Kind.MARKET, Kind.END_DAY}
    assert (watched.outcome("reason")[kind == Kind.MARKET] == Reason.NONE).all()
    assert len(set(watched.closes)) > 3


def test_limit_prices_are_uniform_from_the_other_sides_best(open_exchange, watch):
    flow = replace(EVERYTHING, market_orders=0.0, cancel_share=0.0, times_in_force=(0, 0, 0, 1, 0))
    crowd = NoiseTraders(replace(flow, post_only_share=0.0), 5, np.random.default_rng(2))
    watched = watch(open_exchange([crowd], ("continuous",)), 200)
    kind, side = watched.column("kind") == Kind.LIMIT, watched.column("side")
    reference = np.array([1000, *watched.closes])[watched.column("time")]
    away = (side * (reference + side - watched.column("price_ticks")))[kind]
    counts = np.bincount(away, minlength=16)[1:16]
    assert counts.sum() == kind.sum()
    assert counts.min() > 0.75 * counts.mean()


@pytest.mark.parametrize(
    "changes",
    [{"limit_orders": -1.0}, {"cancel_share": 1.5}, {"mean_lots": 0.5}, {"market_orders": np.nan}],
)
def test_impossible_flows_are_named(changes):
    [(name, value)] = changes.items()
    with pytest.raises(MarketError, match=f"{name} is {value}"):
        NoiseFlow(**changes)


@pytest.mark.parametrize("weights", [(1.0,), (0.0,) * 5, (1.0, 0.0, 0.0, 0.0, -1.0)])
def test_impossible_times_in_force_are_named(weights):
    with pytest.raises(MarketError, match="5 weights of 0 or more"):
        NoiseFlow(times_in_force=weights)
