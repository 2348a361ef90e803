"""An exchange of one asset for whatever crowds a test brings."""

import numpy as np
import pytest

from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.session import SessionRules

TURNS = ("call", "continuous", "continuous", "call")


@pytest.fixture(scope="session")
def open_exchange():
    """Open an exchange: crowds, and everything that differs from a share at 1,000 ticks."""

    def open_(crowds, turns=TURNS, history=(990, 1000), seed=0, impact=1e-5, **terms):
        agents = sum(crowd.n_agents for crowd in crowds)
        future = terms.get("kind") == "future"
        return Exchange(
            [Instrument("asset", **terms)],
            [np.array(history)],
            crowds,
            np.full(agents, 10**9),
            np.full((agents, 1), 0 if future else 10**5),
            np.random.default_rng(seed),
            SessionRules(turns, impact_per_lot=impact),
        )

    return open_


class Spy:
    """Keep every batch of events of an exchange, day by day."""

    def __init__(self, exchange, days):
        self.batches, self.closes, self.volume = [], [], []
        for _ in range(days):
            outcome = exchange.play_day()
            self.batches += exchange.listings[0].batches
            self.closes.append(int(outcome.close_ticks[0]))
            self.volume.append(int(outcome.volume[0]))

    def column(self, name):
        return np.concatenate([getattr(batch.events, name) for batch in self.batches])

    def outcome(self, name):
        return np.concatenate([getattr(batch, name) for batch in self.batches])


@pytest.fixture(scope="session")
def watch():
    """Play days and keep what happened."""
    return Spy
