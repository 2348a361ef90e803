"""A market of zero-intelligence traders: random sides, limits and quantities, many of them bad."""

import numpy as np
import pytest

from evobourse.market.accounts import Accounts
from evobourse.market.book.order_events import Kind, OrderEvents, TimeInForce
from evobourse.market.crowd import Crowd, Orders
from evobourse.market.daily_auction import Market
from evobourse.market.rules import MarketRules


class ZeroIntelligence(Crowd):
    """Random orders around the last close, in the spirit of Gode and Sunder (1993)."""

    def __init__(self, n_agents, seed):
        self.n_agents = n_agents
        self.outcomes, self.turns = [], []
        self._rng = np.random.default_rng(seed)

    def observe(self, view):
        self.view = view

    def orders(self):
        rng, count = self._rng, self._rng.integers(0, 2 * self.n_agents)
        reference = self.view.assets[0].close_ticks[-1]
        self.given = Orders(
            agent=rng.integers(0, self.n_agents, count),
            side=rng.choice([-1, 1], count),
            price_ticks=np.rint(reference * np.exp(rng.normal(0, 0.08, count))).astype(np.int64),
            quantity=rng.integers(-1, 40, count),
        )
        return self.given

    def decisions(self):
        count = len(self.given)
        return {
            "tendency": np.linspace(0, 1, count),
            "style": np.array(["noise", "naïf"])[np.arange(count) % 2],
        }

    def matched(self, outcome):
        self.turns.append(outcome)

    def settled(self, outcome):
        self.outcomes.append(outcome)


def make_pair(seed=0, record="full", fee_bps=7, n_agents=30):
    rng = np.random.default_rng(seed)
    accounts = Accounts(rng.integers(0, 500_000, n_agents), rng.integers(0, 100, n_agents))
    rules = MarketRules(tick_cents=5, fee_bps=fee_bps)
    market = Market(rules, np.array([990, 1000]), accounts, rng, record)
    return market, ZeroIntelligence(n_agents, seed + 1)


@pytest.fixture(name="make_pair", scope="session")
def make_pair_fixture():
    return make_pair


def draw_events(rng, count, lowest_ticks, highest_ticks):
    """Draw events of all kinds, most cancels and replacements by the owner of a recent order."""
    kinds = rng.choice(list(Kind), count, p=[0.42, 0.08, 0.14, 0.31, 0.01, 0.03, 0.01])
    time = np.cumsum(rng.integers(0, 3, count))
    events = {
        "time": time,
        "agent": rng.integers(0, 6, count),
        "side": rng.choice([1, -1], count),
        "price_ticks": rng.integers(lowest_ticks, highest_ticks + 1, count),
        "quantity": rng.integers(0, 12, count),
        "target": np.arange(count) - rng.geometric(0.03, count),
        "time_in_force": rng.choice(list(TimeInForce), count, p=[0.2, 0.5, 0.15, 0.08, 0.07]),
        "post_only": rng.random(count) < 0.1,
        "expires": time + rng.integers(0, 60, count),
    }
    changes = (kinds == Kind.CANCEL) | (kinds == Kind.REPLACE)
    for row in np.flatnonzero(changes & (events["target"] >= 0) & (rng.random(count) < 0.95)):
        events["agent"][row] = events["agent"][events["target"][row]]
        events["side"][row] = events["side"][events["target"][row]]
    events["quantity"][(kinds == Kind.CANCEL) & (rng.random(count) < 0.7)] = 0
    return OrderEvents.of(kinds, **events)


@pytest.fixture(name="random_events", scope="session")
def random_events_fixture():
    return draw_events
