"""Agents, and fate itself, that do anything at all: orders of every kind, every rule changed."""

import numpy as np

from evobourse.market.book.order_events import Kind, TimeInForce
from evobourse.market.crowd import Crowd, Message, Orders
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.session import SessionRules

INSTRUMENTS = (
    Instrument("next day", fee_bps=7, sell_tax_bps=10, sell_next_day=True, price_limit=0.1),
    Instrument("short", tick_cents=5, fee_bps=3, short_sales="allowed", price_limit=0.3),
    Instrument("uptick", lot_units=10, sell_tax_bps=25, short_sales="uptick", price_limit=0.3),
    Instrument("future", "future", tick_cents=3, lot_units=5, fee_bps=2, price_limit=0.25),
    Instrument("future 2", "future", tick_cents=1, price_limit=0.4, initial_margin_bps=800,
               maintenance_margin_bps=500),
)  # fmt: skip
TURNS = (
    ("call",),
    ("continuous",),
    ("call", "continuous", "call"),
    ("continuous", "call", "continuous"),
    ("impact", "continuous"),
)


class Anything(Crowd):
    """Random orders of every kind for every asset, many of them bad; some are withdrawn."""

    def __init__(self, n_agents, rng):
        self.n_agents, self._rng = n_agents, rng
        self._sent = []

    def observe(self, view):
        self.view = view

    def orders(self):
        rng, count, assets = self._rng, int(self._rng.integers(0, 40)), len(self.view.assets)
        asset = rng.integers(0, assets, count)
        reference = np.array([one.last_ticks for one in self.view.assets])[asset]
        kind = rng.choice([0, 0, 0, 0, 1, 2, 3], count)
        columns = {
            "agent": rng.integers(0, self.n_agents, count),
            "side": rng.choice([-1, 1], count),
            "price_ticks": np.rint(reference * np.exp(rng.normal(0, 0.08, count))).astype(int),
            "quantity": rng.choice([0, 1, 2, 5, 30, 200], count, p=[0.1, 0.3, 0.2, 0.2, 0.1, 0.1]),
            "asset": asset,
            "kind": kind,
            "target": np.full(count, -1),
            "time_in_force": rng.choice(list(TimeInForce), count, p=[0.3, 0.4, 0.1, 0.15, 0.05]),
            "post_only": rng.random(count) < 0.1,
            "expires": np.full(count, self.view.day + 3),
        }
        for row in np.flatnonzero(kind >= Kind.REPLACE):
            resting = self.view.assets[asset[row]].resting
            if resting is not None and len(resting):
                chosen = rng.integers(len(resting))
                columns["target"][row] = resting.number[chosen]
                columns["agent"][row] = resting.agent[chosen]
                columns["side"][row] = resting.side[chosen]
        columns["quantity"][kind == Kind.CANCEL] = 0
        return Orders(**columns)

    def matched(self, outcome):
        rows = np.flatnonzero((outcome.number >= 0) & (self._rng.random(len(outcome.orders)) < 0.1))
        none = np.zeros(len(rows), int)
        orders = outcome.orders
        return Orders(
            orders.agent[rows], none + 1, none, none, orders.column("asset")[rows],
            none + Kind.CANCEL, outcome.number[rows],
        )  # fmt: skip


class Fate:
    """Random shocks and changes of rules."""

    applied = ()

    def __init__(self, rng, rate):
        self._rng, self._rate, self.granted = rng, rate, np.zeros(len(INSTRUMENTS), int)

    def before_turn(self, exchange):
        rng = self._rng
        if rng.random() > self._rate:
            return
        exchange.send(Message("news", "something happened"))
        agent, asset = rng.integers(exchange.n_agents), int(rng.integers(len(INSTRUMENTS)))
        ledger = exchange.ledger
        if rng.random() < 0.5 and ledger.cash_cents[agent] > 0:
            low = -int(ledger.cash_cents[agent])
            exchange.grant(int(agent), int(rng.integers(low, 50_000)))
        if INSTRUMENTS[asset].kind == "equity" and ledger.position[agent, asset] >= 0:
            lots = int(rng.integers(0, 20))
            exchange.grant(int(agent), 0, asset, lots)
            self.granted[asset] += lots
        exchange.halt(asset, bool(rng.random() < 0.4))
        rate = int(rng.integers(300, 3000))
        exchange.change_terms(
            asset,
            initial_margin_bps=rate + 200,
            maintenance_margin_bps=rate,
            price_limit=float(rng.uniform(0.02, 0.4)),
            fee_bps=int(rng.integers(0, 30)),
        )

    def before_settlement(self, exchange):
        rng, asset = self._rng, int(self._rng.integers(len(INSTRUMENTS)))
        if rng.random() < self._rate / 3:
            exchange.cancel_trades(asset)
        if rng.random() < self._rate / 3:
            before = exchange.listings[asset].reference_ticks
            exchange.override_settlement(asset, max(1, int(before * rng.uniform(0.5, 2.0))))


def make_anything(seed, turns=("call", "continuous", "call"), rate=0.0, n_agents=24, **options):
    """Return an exchange of two such crowds, and its fate."""
    rng, *streams = np.random.default_rng(seed).spawn(4)
    crowds = [Anything(n_agents // 2, stream) for stream in streams[:2]]
    assets = len(INSTRUMENTS)
    position = rng.integers(0, 60, (n_agents, assets))
    position[:, 3:] = 0
    exchange = Exchange(
        INSTRUMENTS,
        [np.array([price]) for price in (1000, 700, 90, 400, 2500)],
        crowds,
        rng.integers(0, 300_000, n_agents),
        position,
        rng,
        SessionRules(turns, impact_per_lot=1e-4),
        fate := Fate(streams[2], rate),
        **options,
    )
    return exchange, fate
