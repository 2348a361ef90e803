import numpy as np
import pytest

from evobourse.market.book.order_events import TimeInForce
from evobourse.market.crowd import Orders
from evobourse.market.crowds.noise_trader import NoiseFlow, NoiseTraders
from evobourse.market.crowds.strategy import StrategyCrowd
from evobourse.market.crowds.withdrawal import withdraw
from evobourse.market.errors import MarketError


def one(side, price_ticks, lots, **special):
    columns = {name: np.array([value]) for name, value in special.items()}
    return Orders(
        np.array([0]), np.array([side]), np.array([price_ticks]), np.array([lots]), **columns
    )


def noise(seed=1):
    return NoiseTraders(
        NoiseFlow(limit_orders=40.0, market_orders=15.0), 20, np.random.default_rng(seed)
    )


def test_a_plain_function_trades_by_what_it_sees(open_exchange):
    seen = []

    def buy_below_the_reference(view):
        asset = view.assets[0]
        seen.append((view.day, view.turn, view.time))
        if view.clearing == "continuous" and asset.last_ticks < asset.reference_ticks:
            return one(1, asset.upper_limit_ticks, 5)
        return None

    exchange = open_exchange([StrategyCrowd(buy_below_the_reference), noise()])
    exchange.run(10)
    assert seen == [(day, turn, 4 * day + turn) for day in range(10) for turn in range(4)]
    assert exchange.ledger.position[0, 0] > 10**5


class Listener:
    """Rests far from the market, is told so, takes the order back, and hears of each day."""

    def __init__(self):
        self.outcomes, self.days = [], []

    def __call__(self, view):
        return one(1, 900, 1, time_in_force=TimeInForce.GOOD_TILL_CANCELLED)

    def matched(self, outcome):
        self.outcomes.append(outcome)
        return withdraw(outcome)

    def settled(self, outcome):
        self.days.append(outcome.day)


def test_an_object_with_more_methods_hears_the_rest(open_exchange):
    listener = Listener()
    exchange = open_exchange([StrategyCrowd(listener), noise()])
    exchange.run(3)
    assert len(listener.outcomes) == 12
    assert listener.days == [0, 1, 2]
    assert not (exchange.listings[0].book.resting.agent == 0).any()


def test_what_a_strategy_returns_must_be_orders(open_exchange):
    exchange = open_exchange([StrategyCrowd(lambda view: [1, 2, 3])])
    with pytest.raises(MarketError, match="<lambda> returned list on day 0, turn 0"):
        exchange.play_day()
    listener = Listener()
    listener.matched = lambda outcome: "thanks"
    with pytest.raises(MarketError, match=r"Listener\.matched returned str"):
        open_exchange([StrategyCrowd(listener)]).play_day()


@pytest.mark.parametrize(("decide", "agents"), [("buy", 1), (lambda view: None, 0)])
def test_impossible_strategies_are_refused(decide, agents):
    with pytest.raises(MarketError, match="expected a callable"):
        StrategyCrowd(decide, agents)
