from dataclasses import replace

import numpy as np
import pytest

from evobourse.market.book.order_events import Kind, Reason, Status
from evobourse.market.crowds.market_maker import MakerRule, MarketMakers, quotes
from evobourse.market.crowds.noise_trader import NoiseFlow, NoiseTraders
from evobourse.market.errors import MarketError

RULE = MakerRule(risk_aversion=0.002, arrival_decay=0.3, lots=10, most_lots=20)


def test_quotes_are_those_of_the_papers_table():
    """Section 3.3: sigma 2, T = 1, k = 1.5, gamma 0.1; a spread of 1.49 at t = 0.

    The published tables print the mean spread over time; with T - t = 1 the formula gives
    0.4 + 20 ln(1 + 0.1 / 1.5) = 1.6908 and with T - t = 0, 1.2908: mean 1.49.
    """
    spreads = []
    for left in (1.0, 1e-12):
        rule = MakerRule(risk_aversion=0.1, arrival_decay=1.5, horizon_days=left)
        bid, ask = quotes(100.0, np.array([0.0]), 4.0, rule)
        assert bid + ask == pytest.approx(200.0)
        spreads.append(float((ask - bid)[0]))
    assert np.mean(spreads) == pytest.approx(1.49, abs=0.005)


def test_the_reservation_price_leans_against_the_inventory():
    rule = MakerRule(risk_aversion=0.1, arrival_decay=1.5)
    bid, ask = quotes(100.0, np.array([-3.0, 0.0, 5.0]), 4.0, rule)
    np.testing.assert_allclose((bid + ask) / 2, [101.2, 100.0, 98.0])


@pytest.fixture(scope="module")
def made(open_exchange, watch):
    makers = MarketMakers(RULE, np.full(2, 10**5))
    flow = NoiseFlow(limit_orders=2.0, market_orders=6.0, mean_lots=3.0)
    noise = NoiseTraders(flow, 20, np.random.default_rng(4))
    exchange = open_exchange([makers, noise])
    return watch(exchange, 40), exchange


def test_makers_enter_replace_and_never_take(made):
    watched, _ = made
    own = watched.column("agent") < 2
    kind, status = watched.column("kind"), watched.outcome("status")
    own &= kind <= Kind.CANCEL
    assert set(kind[own]) == {Kind.LIMIT, Kind.REPLACE, Kind.CANCEL}
    assert (status[own & (kind == Kind.REPLACE)] != Status.REJECTED).mean() > 0.5
    takers = np.concatenate(
        [
            np.where(batch.fills.aggressor > 0, batch.fills.buyer, batch.fills.seller)[
                batch.fills.aggressor != 0
            ]
            for batch in watched.batches
        ]
    )
    assert len(takers) > 50
    assert (takers >= 2).all()
    reasons = set(watched.outcome("reason")[own])
    assert reasons <= {Reason.NONE, Reason.UNKNOWN_ORDER, Reason.WOULD_TAKE, Reason.REPLACED}


def test_each_maker_has_at_most_one_quote_a_side_and_bounded_inventory(made):
    _, exchange = made
    for _ in range(10):
        exchange.play_day()
        resting = exchange.listings[0].book.resting.of_agents(0, 2)
        quotes_of = list(zip(resting.agent, resting.side, strict=True))
        assert len(quotes_of) == len(set(quotes_of))
        inventory = exchange.ledger.position[:2, 0] - 10**5
        assert (np.abs(inventory) <= RULE.most_lots).all()


def test_a_market_with_makers_trades_closer_to_its_value(open_exchange, watch):
    """The same noise with makers who hardly lean: spreads are theirs, and prices wander less."""
    moved = []
    for lots in (1, 200):
        makers = MarketMakers(replace(RULE, lots=lots, most_lots=10**5), np.full(2, 10**5))
        flow = NoiseFlow(limit_orders=2.0, market_orders=6.0, window_ticks=40)
        noise = NoiseTraders(flow, 20, np.random.default_rng(4))
        closes = watch(open_exchange([makers, noise]), 30).closes
        moved.append(np.abs(np.diff(closes)).mean())
    assert moved[1] < 0.7 * moved[0]


def test_without_trades_quotes_do_not_run_away(open_exchange):
    """A mid that followed the maker's own skewed quotes would."""
    makers = MarketMakers(replace(RULE, risk_aversion=0.05), np.full(1, 10**5 - 50))
    exchange = open_exchange([makers], ("continuous",) * 10, (980, 1000, 990, 1000))
    seen = set()
    for _ in range(5):
        exchange.play_day()
        resting = exchange.listings[0].book.resting
        seen.add(tuple(resting.price_ticks[np.argsort(resting.side)].tolist()))
    assert len(seen) <= 5
    assert all(abs(sum(prices) / len(prices) - 1000) < 100 for prices in seen)


@pytest.mark.parametrize(
    ("name", "value"), [("risk_aversion", 0.0), ("arrival_decay", np.inf), ("lots", -1)]
)
def test_impossible_rules_are_named(name, value):
    with pytest.raises(MarketError, match=f"{name} is {value}"):
        replace(RULE, **{name: value})


def test_a_quote_larger_than_the_inventory_is_refused():
    with pytest.raises(MarketError, match="at most most_lots 5"):
        MakerRule(lots=10, most_lots=5)
