"""The exchange: equal to the fast market where both apply, and conserving whatever happens."""

import numpy as np
import pytest

from market.crowd import Crowd, Orders
from market.daily_auction import Market
from market.exchange import Exchange, SessionRules
from market.instruments import Instrument
from market.ledger import Ledger
from market.order_events import Kind, Reason, TimeInForce

from market.accounts import Accounts
from market.rules import MarketRules


@pytest.mark.parametrize("seed", range(5))
def test_one_call_a_day_is_the_fast_market(make_pair, seed):
    market, crowd = make_pair(seed, fee_bps=0)
    twin_market, twin = make_pair(seed, fee_bps=0)
    accounts = twin_market.accounts
    exchange = Exchange(
        [Instrument("stock", tick_cents=5)],
        [np.array([990, 1000])],
        [twin],
        accounts.cash_cents,
        accounts.shares[:, None],
        twin_market._rng,
    )
    for _ in range(60):
        crowd.observe(market.open_day())
        turn, day = market.close_day(crowd.orders())
        crowd.settled(day)
        outcome = exchange.play_day()
        assert outcome.close_ticks == day.close_ticks
        assert outcome.settle_ticks == day.settle_ticks
        assert outcome.volume == day.volume
        np.testing.assert_array_equal(twin.turns[-1].filled, turn.filled)
        np.testing.assert_array_equal(exchange.ledger.cash_cents, market.accounts.cash_cents)
        np.testing.assert_array_equal(exchange.ledger.position[:, 0], market.accounts.shares)
    assert sum(o.volume[0] for o in twin.outcomes) > 0
