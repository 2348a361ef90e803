"""Events at an exchange: each does what it says, and whatever happens cash is conserved."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.market.book.order_events import Kind, Reason, TimeInForce
from evobourse.market.crowd import Crowd, Orders
from evobourse.market.errors import MarketError
from evobourse.market.events.kinds import (
    CancelTrades,
    ChangeTerms,
    Halt,
    News,
    Resume,
    Rumour,
    SettleAt,
    Windfall,
)
from evobourse.market.events.schedule import EventSchedule
from evobourse.market.events.values import Agents
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.session import SessionRules

GTC = TimeInForce.GOOD_TILL_CANCELLED
STOCK = Instrument("stock", tick_cents=3, lot_units=10, fee_bps=11, sell_tax_bps=7)
FUTURE = Instrument("future", "future", 2, 6, 0.1, fee_bps=5)


class Script(Crowd):
    """Sends what is written for a (day, turn): rows of agent, side, price, lots, asset[, kind]."""

    def __init__(self, n_agents, script):
        self.n_agents = n_agents
        self.script, self.views, self.turns, self.outcomes = script, {}, {}, []

    def observe(self, view):
        self.now = view.day, view.turn
        self.views[self.now] = view

    def orders(self):
        rows = self.script.get(self.now, [])
        rows = [(*row, Kind.LIMIT, 0)[:7] for row in rows]
        columns = np.array(rows, np.int64).reshape(-1, 7).T
        agent, side, price, lots, asset, kind, target = columns
        in_force = np.full(len(agent), GTC)
        return Orders(agent, side, price, lots, asset, kind, target, in_force)

    def matched(self, outcome):
        self.turns[self.now] = outcome

    def settled(self, outcome):
        self.outcomes.append(outcome)


class Noise(Crowd):
    """Random orders of every kind in every asset, by poor agents."""

    def __init__(self, n_agents, seed):
        self.n_agents, self._rng, self._numbers = n_agents, np.random.default_rng(seed), [0]

    def observe(self, view):
        self.view = view

    def orders(self):
        rng, count = self._rng, int(self._rng.integers(0, 3 * self.n_agents))
        asset = rng.integers(0, len(self.view.assets), count)
        last = np.array([item.last_ticks for item in self.view.assets])[asset]
        return Orders(
            agent=rng.integers(0, self.n_agents, count),
            side=rng.choice([-1, 1], count),
            price_ticks=np.rint(last * np.exp(rng.normal(0, 0.05, count))).astype(np.int64),
            quantity=rng.integers(0, 30, count),
            asset=asset,
            kind=rng.choice([Kind.LIMIT, Kind.MARKET, Kind.CANCEL], count, p=[0.8, 0.1, 0.1]),
            target=rng.choice(self._numbers, count),
            time_in_force=rng.choice([TimeInForce.DAY, GTC], count),
        )

    def matched(self, outcome):
        self._numbers = np.append(outcome.number[-50:], 0)


def make(crowds, events=(), cash=100_000_000, turns=("continuous",), position=None, rng=None):
    n = sum(crowd.n_agents for crowd in crowds)
    if position is None:
        position = np.column_stack([np.full(n, 100), np.zeros(n, int)])
    return Exchange(
        [STOCK, FUTURE],
        [np.array([1000]), np.array([2000])],
        crowds,
        np.full(n, cash) if np.isscalar(cash) else np.array(cash),
        np.array(position),
        np.random.default_rng(5),
        SessionRules(turns, impact_per_lot=1e-4),
        EventSchedule(events, rng),
    )


def balances(exchange):
    pools = exchange.ledger.pools
    return (
        exchange.ledger.cash_cents.tolist(),
        exchange.ledger.position.tolist(),
        pools.fees_cents,
        pools.taxes_cents,
    )


def test_a_halt_turns_orders_away_lets_cancels_pass_and_ends():
    crowd = Script(
        2,
        {
            (0, 0): [(0, 1, 990, 5, 0), (0, 1, 980, 7, 0)],
            (1, 0): [(1, -1, 980, 3, 0), (0, 1, 0, 0, 0, Kind.CANCEL, 0), (1, 1, 2000, 1, 1)],
            (2, 0): [(1, -1, 980, 3, 0)],
        },
    )
    exchange = make([crowd], [Halt(day=1, asset="stock"), Resume(day=2, asset="stock")])
    exchange.run(3)
    assert crowd.turns[1, 0].reason.tolist() == [Reason.HALTED, 0, 0]
    assert [crowd.views[day, 0].assets[0].halted for day in range(3)] == [False, True, False]
    assert crowd.views[1, 0].assets[0].resting.number.tolist() == [0, 1]
    assert crowd.views[2, 0].assets[0].resting.number.tolist() == [1]
    assert [outcome.volume[0] for outcome in crowd.outcomes] == [0, 0, 3]
    assert "halted" in crowd.views[1, 0].messages[0].text
    assert crowd.views[1, 0].messages[0].kind == "notice"


@pytest.mark.parametrize("clearing", ["call", "continuous"])
def test_a_halt_between_turns_stops_the_auction_and_forced_sales(clearing):
    script = {(0, turn): [(0, 1, 1000, 5, 0), (1, -1, 1000, 5, 0)] for turn in range(3)}
    crowd = Script(2, script)
    events = [Halt(day=0, turn=1, asset="stock"), Resume(day=0, turn=2, asset="stock")]
    exchange = make([crowd], events, turns=(clearing,) * 3)
    exchange.play_day()
    filled = [crowd.turns[0, turn].filled.sum() for turn in range(3)]
    assert filled == [10, 0, 10]


def test_a_narrower_limit_purges_what_rests_outside():
    crowd = Script(2, {(0, 0): [(0, 1, 850, 1, 0), (0, 1, 960, 1, 0), (1, -1, 1150, 1, 0)]})
    event = ChangeTerms(day=1, asset="stock", price_limit=0.05)
    exchange = make([crowd], [event])
    exchange.run(2)
    assert crowd.views[0, 0].assets[0].upper_limit_ticks == 1200
    view = crowd.views[1, 0].assets[0]
    assert (view.lower_limit_ticks, view.upper_limit_ticks) == (950, 1050)
    assert view.resting.price_ticks.tolist() == [960]


def test_a_margin_rise_leads_to_a_call_and_to_forced_liquidation_the_next_day():
    script = {
        (0, 0): [(0, 1, 2000, 100, 1), (1, -1, 2000, 100, 1)],
        (2, 0): [(2, 1, 1990, 100, 1)],
        (2, 1): [(0, 1, 2000, 1, 1)],
    }
    crowd = Script(3, script)
    value = 100 * 2000 * 12
    rise = ChangeTerms(
        day=1, asset="future", initial_margin_bps=4_000, maintenance_margin_bps=3_000
    )
    cash = [int(value * 0.25), value, value]
    exchange = make([crowd], [rise], cash, turns=("continuous", "continuous"))
    exchange.run(2)
    assert [outcome.margin_called.tolist() for outcome in crowd.outcomes] == [[], [0]]
    # 25 % less the fee bear 62.3 of 100 lots at 40 %: 38 go.
    assert exchange.ledger.queued[:, 1].tolist() == [-38, 0, 0]
    exchange.play_day()
    assert crowd.turns[2, 1].reason.tolist() == [Reason.MARGIN_CALL]
    assert exchange.ledger.position[:, 1].tolist() == [62, -100, 38]
    assert crowd.outcomes[2].margin_called.tolist() == []
    assert crowd.outcomes[2].volume[1] == 38


def test_forced_sales_queue_while_the_price_is_locked_and_complete_once_there_are_bids():
    script = {
        (0, 0): [(0, 1, 2000, 100, 1), (1, -1, 2000, 100, 1)],
        (4, 0): [(2, 1, 1610, 30, 1)],
        (5, 0): [(2, 1, 1600, 70, 1)],
    }
    crowd = Script(3, script)
    cut = ChangeTerms(day=1, asset="future", price_limit=0.02)
    falls = [SettleAt(day=day, asset="future", factor=0.9) for day in (1, 2)]
    halt = [Halt(day=3, asset="future"), Resume(day=4, asset="future")]
    cash = [400_000, 10_000_000, 10_000_000]
    events = [cut, *falls, *halt]
    exchange = make([crowd], events, cash, ("call",), np.zeros((3, 2), int))
    left = []
    for _ in range(7):
        exchange.play_day()
        left.append(int(exchange.ledger.position[0, 1]))
    # Called after the first fall, locked without a bid on day 2, halted on day 3.
    assert [len(outcome.margin_called) for outcome in crowd.outcomes] == [0, 1, 1, 1, 1, 0, 0]
    assert left == [100, 100, 100, 100, 70, 0, 0]
    assert exchange.ledger.cash_cents[0] == 0
    assert exchange.ledger.pools.bankruptcy_cents < 0


@pytest.mark.parametrize(
    ("authored", "settle_ticks"), [({"price_ticks": 2100}, 2100), ({"factor": 0.5}, 1005)]
)
def test_an_authored_settlement_makes_variation_margin_and_the_next_band(authored, settle_ticks):
    # VWAP (2000 * 10 + 2020 * 10) / 20 = 2010
    script = {
        (0, 0): [(0, 1, 2000, 10, 1), (1, -1, 2000, 10, 1)],
        (0, 1): [(0, 1, 2020, 10, 1), (1, -1, 2020, 10, 1)],
        (0, 2): [(0, 1, 1000, 3, 0), (1, -1, 1000, 3, 0)],
    }
    crowd = Script(2, script)
    exchange = make([crowd], [SettleAt(day=0, asset="future", **authored)], turns=("call",) * 3)
    cash = exchange.ledger.cash_cents.copy()
    exchange.play_day()
    ledger, lot = exchange.ledger, 12
    cash[0] -= 30 * 1000 * 3  # 3 lots of 10 shares at 1,000 ticks of 3 cents
    cash[1] += 30 * 1000 * 3 - 90_000 * 7 // 10_000
    bought = 10 * 2000 * lot, 10 * 2020 * lot
    for agent, side in ((0, 1), (1, -1)):
        cash[agent] += side * (20 * settle_ticks * lot - sum(bought))
        cash[agent] -= sum(value * 5 // 10_000 for value in bought) + 90_000 * 11 // 10_000
    np.testing.assert_array_equal(ledger.cash_cents, cash)
    outcome = crowd.outcomes[0]
    assert outcome.settle_ticks[1] == outcome.close_ticks[1] == settle_ticks
    assert outcome.settle_ticks[0] == 1000
    exchange.play_day()
    view = crowd.views[1, 0].assets[1]
    assert view.reference_ticks == view.close_ticks[-1] == settle_ticks
    band = settle_ticks - settle_ticks // 10, settle_ticks + settle_ticks // 10
    assert (view.lower_limit_ticks, view.upper_limit_ticks) == band
    applied = exchange.schedule.applied[0]
    assert applied[:4] == (0, 2, "settle_at", "future")
    assert json.loads(applied.detail) == {"price_ticks": settle_ticks, "instead_of_ticks": 2010}


def test_half_of_a_cancelled_day_is_half_of_the_settlement_before():
    crowd = Script(2, {(0, 0): [(0, 1, 2100, 9, 1), (1, -1, 2100, 9, 1)]})
    events = [SettleAt(day=0, asset="future", factor=0.5), CancelTrades(day=0, asset="future")]
    exchange = make([crowd], events)
    exchange.play_day()
    assert crowd.outcomes[0].settle_ticks[1] == 1000
    assert [entry.kind for entry in exchange.schedule.applied] == ["cancel_trades", "settle_at"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("changed", [False, True])
def test_cancelled_trades_leave_nothing_but_the_windfall(seed, changed):
    """Also where fees rise in the middle of the day."""
    crowd = Noise(12, seed)
    events = [
        *(CancelTrades(day=3, asset=name) for name in ("stock", "future")),
        Windfall(day=3, turn=1, agents=Agents(rows=(4,)), cash_cents=777),
    ]
    if changed:
        events += [ChangeTerms(day=3, turn=1, asset="stock", fee_bps=50, sell_tax_bps=0)]
        events += [ChangeTerms(day=3, turn=1, asset="future", fee_bps=0)]
    exchange = make([crowd], events, turns=("call", "continuous"), cash=4_000_000)
    exchange.run(3)
    before, closes = balances(exchange), [item._closes.view()[-1] for item in exchange.listings]
    outcome = exchange.play_day()
    traded = [json.loads(item.detail).get("lots", 0) for item in exchange.schedule.applied]
    assert max(traded) > 0
    before[0][4] += 777
    assert balances(exchange) == before
    assert outcome.volume.tolist() == [0, 0]
    np.testing.assert_array_equal(outcome.close_ticks, closes)


def test_a_windfall_goes_to_those_named_and_is_refused_where_it_is_not_covered():
    crowds = [Script(3, {}), Script(2, {})]
    events = [
        Windfall(day=0, agents=Agents(crowd=1), cash_cents=50, asset="stock", quantity=-100),
        Windfall(day=1, agents=Agents(rows=(0,)), cash_cents=-1_000),
        Windfall(day=2, agents=Agents(rows=(1, 0)), cash_cents=-1),
    ]
    exchange = make(crowds, events, cash=1_000)
    exchange.run(2)
    assert exchange.ledger.cash_cents.tolist() == [0, 1000, 1000, 1050, 1050]
    assert exchange.ledger.position[:, 0].tolist() == [100, 100, 100, 0, 0]
    assert exchange.ledger.pools.total_cents == 900
    with pytest.raises(MarketError, match=r"events\[2\] \(windfall, day 2, turn 0\).*agent 0"):
        exchange.play_day()


def test_help_that_does_not_cover_a_debt_is_taken():
    """A windfall is refused for what it takes, not for what was missing before."""
    crowd = Script(2, {(0, 0): [(0, 1, 2200, 100, 1), (1, -1, 2200, 100, 1)]})
    events = [
        SettleAt(day=0, asset="future", price_ticks=1400),
        Windfall(day=1, agents=Agents(rows=(0,)), cash_cents=1000),
    ]
    exchange = make([crowd], events, cash=650_000)
    exchange.play_day()
    debt = exchange.ledger.cash_cents[0]
    assert debt < -1000
    exchange.play_day()
    assert exchange.ledger.cash_cents[0] == debt + 1000


def test_news_reaches_all_and_a_rumour_the_share_that_was_drawn():
    crowds = [Script(10, {}), Script(30, {})]
    events = [
        News(day=1, text="mine flooded", source="wire"),
        Rumour(day=1, turn=1, agents=Agents(crowd=1, share=0.2), text="it is dry", is_true=False),
        Rumour(day=1, turn=1, agents=Agents(share=0.5), text="x"),
        Rumour(day=1, turn=1, agents=Agents(rows=(9, 10)), text="y"),
    ]
    heard = []
    for _ in range(2):
        rng = np.random.default_rng(3)
        exchange = make(crowds, events, turns=("call", "call"), rng=rng)
        exchange.run(2)
        heard.append([json.loads(item.detail).get("agents") for item in exchange.schedule.applied])
    assert heard[0] == heard[1]
    first, second, third = heard[0][1:]
    assert len(first) == 6
    assert set(first) <= set(range(10, 40))
    assert len(second) == 20
    assert third == [9, 10]
    (news,) = crowds[0].views[1, 0].messages
    assert (news.kind, news.text, news.source) == ("news", "mine flooded", "wire")
    said = crowds[1].views[1, 1].messages
    assert [item.kind for item in said] == ["rumour"] * 3
    assert [item.true for item in said] == [False, True, True]
    np.testing.assert_array_equal(said[0].agents + 10, first)
    assert said[2].agents.tolist() == [0]
    assert "it is dry" not in [item.text for item in crowds[0].views[1, 1].messages]


AGENTS = st.one_of(
    st.just(Agents()),
    st.builds(Agents, rows=st.sets(st.integers(0, 9), min_size=1).map(sorted).map(tuple)),
    st.builds(Agents, crowd=st.integers(0, 1), share=st.sampled_from([None, 0.3, 1.0])),
)
AT = {"day": st.integers(0, 5), "turn": st.integers(0, 2)}
NAME = st.sampled_from(["stock", "future"])
EVENTS = st.one_of(
    st.builds(News, text=st.text(max_size=5), **AT),
    st.builds(Rumour, text=st.just("so"), agents=AGENTS, is_true=st.booleans(), **AT),
    st.builds(
        Windfall, agents=AGENTS, cash_cents=st.integers(-2_000, 10**6).filter(bool), **AT
    ),
    st.builds(
        Windfall, agents=AGENTS, asset=st.just("stock"), quantity=st.integers(1, 50), **AT
    ),
    st.builds(Halt, asset=NAME, **AT),
    st.builds(Resume, asset=NAME, **AT),
    st.builds(
        ChangeTerms,
        asset=NAME,
        price_limit=st.sampled_from([None, 0.02, 0.3, 0.9]),
        fee_bps=st.integers(0, 200),
        sell_tax_bps=st.none() | st.integers(0, 200),
        initial_margin_bps=st.integers(3_000, 10_000),
        maintenance_margin_bps=st.none() | st.integers(1, 3_000),
        short_sales=st.sampled_from([None, "allowed", "forbidden", "uptick"]),
        **AT,
    ),
    st.builds(SettleAt, day=AT["day"], asset=NAME, factor=st.floats(0.3, 3)),
    st.builds(SettleAt, day=AT["day"], asset=NAME, price_ticks=st.integers(1, 5_000)),
    st.builds(CancelTrades, day=AT["day"], asset=NAME),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    events=st.lists(EVENTS, max_size=12),
    seed=st.integers(0, 2**32),
    turns=st.lists(
        st.sampled_from(["call", "continuous", "impact"]), min_size=3, max_size=3
    ).map(tuple),
)  # fmt: skip
def test_whatever_happens_cash_and_contracts_are_conserved(events, seed, turns):
    crowds = [Noise(6, seed), Noise(4, seed + 1)]
    rng = np.random.default_rng(seed)
    exchange = make(crowds, events, 300_000, turns, rng=np.random.default_rng(1))
    ledger = exchange.ledger
    ledger.cash_cents[:10] = rng.integers(0, 600_000, 10)
    cash, shares = ledger.cash_cents.sum(), ledger.position[:, 0].sum()
    covered = True
    while covered and exchange.day < 6:
        try:
            exchange.play_day()
        except MarketError as error:
            if "take no more" not in str(error):
                raise
            covered = False
        assert ledger.cash_cents.sum() + ledger.pools.total_cents == cash
        assert ledger.position[:, 1].sum() == 0
    if not covered:
        return
    given = [json.loads(item.detail) for item in exchange.schedule.applied]
    lots = sum(len(item["agents"]) * item["quantity"] for item in given if "quantity" in item)
    assert ledger.position[:, 0].sum() == shares + lots
    assert len(given) == len(events)
