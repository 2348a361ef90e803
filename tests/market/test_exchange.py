"""The exchange: equal to the fast market where both apply, and conserving whatever happens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.market.book.order_events import Reason
from evobourse.market.crowd import Crowd, Orders
from evobourse.market.errors import MarketError
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.session import SessionRules
from tests.market.anything import INSTRUMENTS, TURNS, make_anything


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
        np.random.default_rng(0),
    )
    exchange._arrival = [twin_market.key]
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


def short_of_cash(exchange):
    """Return who has less cash than positions and resting orders may take."""
    holds = exchange.ledger.holds([listing.book.resting for listing in exchange.listings])
    return exchange.ledger.cash_cents < holds.cash_cents + holds.margin_cents


class Auditor:
    """Checks the accounts after each turn and each day, by arithmetic of its own."""

    def __init__(self):
        self.started = False
        self.short = None
        self.seen = dict.fromkeys(("trades", "called", "annulled"), 0)

    def begin(self, exchange):
        ledger = exchange.ledger
        self.cash = ledger.cash_cents.sum()
        self.lots = ledger.position.sum(axis=0)
        self.short = short_of_cash(exchange)
        self.started = True

    def turn_over(self, exchange, messages, depth):
        ledger = exchange.ledger
        assert ledger.cash_cents.sum() + ledger.pools.total_cents == self.cash
        np.testing.assert_array_equal(ledger.position.sum(axis=0), self.lots + self.granted())
        for asset, item in enumerate(INSTRUMENTS):
            owners = ledger.position[:-1, asset] if ledger.dealer else ledger.position[:, asset]
            if item.kind == "equity" and item.short_sales == "forbidden":
                assert owners.min() >= 0
            book = exchange.listings[asset].book
            bids = book.resting.price_ticks[book.resting.side > 0]
            asks = book.resting.price_ticks[book.resting.side < 0]
            assert max(bids, default=0) < min(asks, default=2**30), "the book is crossed"
        # Nobody can trade himself into debt: only marks, rules and fate take away what is free.
        short = short_of_cash(exchange)[: exchange.n_agents]
        newly = np.flatnonzero(short & ~self.before)
        assert newly.size == 0, (newly, exchange.day, exchange.turn)
        self.seen["trades"] += sum(len(b.fills) for one in exchange.listings for b in one.batches)

    def day_over(self, exchange, outcome, bars, limits_ticks):
        ledger = exchange.ledger
        assert ledger.cash_cents.sum() + ledger.pools.total_cents == self.cash
        for agent in range(exchange.n_agents):
            required = 0
            for asset, listing in enumerate(exchange.listings):
                item, lots = listing.instrument, int(ledger.position[agent, asset])
                value = abs(lots) * int(outcome.settle_ticks[asset]) * item.lot_tick_cents
                margin = -(-value * item.maintenance_margin_bps // 10_000)
                if item.kind == "future":
                    required += margin
                elif lots < 0:
                    required += value + margin
            queued = ledger.queued[agent].any()
            assert (ledger.cash_cents[agent] < required) == bool(queued)
            assert queued == (agent in outcome.margin_called)
        assert (np.abs(ledger.queued) <= np.abs(ledger.position)).all()
        self.seen["called"] += len(outcome.margin_called)
        self.seen["annulled"] += sum(one.annulled for one in exchange.listings)


def audited(seed, turns, rate, days):
    auditor = Auditor()
    exchange, fate = make_anything(seed, turns, rate, journal=auditor)
    auditor.begin(exchange)
    auditor.granted = lambda: fate.granted
    auditor.before = short_of_cash(exchange)[: exchange.n_agents]
    withdraw = exchange._withdraw_what_no_longer_holds

    def then_look():
        withdraw()
        auditor.before = short_of_cash(exchange)[: exchange.n_agents]

    exchange._withdraw_what_no_longer_holds = then_look
    exchange.run(days)
    return exchange, auditor


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), turns=st.sampled_from(TURNS), rate=st.sampled_from([0.0, 0.3]))
def test_whatever_is_done_cash_lots_and_margins_add_up(seed, turns, rate):
    audited(seed, turns, rate, 8)


def test_long_runs_see_trades_margin_calls_and_annulled_days():
    for turns in TURNS:
        _, auditor = audited(7, turns, 0.5, 40)
        assert min(auditor.seen.values()) > 0, (turns, auditor.seen)


class Scripted(Crowd):
    """Sends given orders, one batch a turn, and remembers what became of them."""

    def __init__(self, n_agents, *batches):
        self.n_agents, self.batches = n_agents, list(batches)
        self.views, self.turns, self.days = [], [], []

    def observe(self, view):
        self.views.append(view)

    def orders(self):
        rows = self.batches.pop(0) if self.batches else []
        columns = np.array(rows, np.int64).reshape(-1, 4).T
        return Orders(*columns)

    def matched(self, outcome):
        self.turns.append(outcome)

    def settled(self, outcome):
        self.days.append(outcome)


class Author:
    """Settles the only asset at given prices, 0 for the traded one."""

    applied = ()

    def __init__(self, *settle_ticks):
        self.settle_ticks = settle_ticks

    def before_turn(self, exchange):
        pass

    def before_settlement(self, exchange):
        if self.settle_ticks[exchange.day]:
            exchange.override_settlement(0, self.settle_ticks[exchange.day])


def futures(crowd, cash, schedule=None, turns=("call",), **terms):
    terms = {"initial_margin_bps": 2000, "maintenance_margin_bps": 1500, **terms}
    position = np.zeros((len(cash), 1), int)
    return Exchange(
        [Instrument("future", "future", **terms)],
        [np.array([1000])],
        [crowd],
        np.array(cash),
        position,
        np.random.default_rng(0),
        SessionRules(turns),
        schedule,
    )


def test_a_loss_beyond_the_margin_is_closed_out_through_the_book_and_borne_by_the_pool():
    opening = [(0, 1, 1000, 10), (1, -1, 1000, 10)]
    rescue = [(2, 1, 600, 4)]  # on the day after, someone takes but four of the ten lots
    more = [(2, 1, 600, 50)]
    crowd = Scripted(3, opening, rescue, more)
    exchange = futures(crowd, [3000, 50_000, 50_000], Author(700, 0, 0))
    exchange.play_day()
    ledger = exchange.ledger
    assert crowd.days[0].margin_called.tolist() == [0]
    # Ten lots bought at 1000 and marked at 700: 3000 lost of 3000, so that all ten must go.
    assert ledger.cash_cents.tolist() == [0, 53_000, 50_000]
    assert ledger.queued[:, 0].tolist() == [-10, 0, 0]
    exchange.play_day()
    # Four were sold at the only bid, 600; marked there, the other six lost 100 each as well.
    assert ledger.position[:, 0].tolist() == [6, -10, 4]
    assert ledger.cash_cents[0] == -1000
    assert ledger.queued[:, 0].tolist() == [-6, 0, 0]
    exchange.play_day()
    assert ledger.position[:, 0].tolist() == [0, -10, 10]
    assert ledger.pools.bankruptcy_cents == -1000
    assert ledger.cash_cents.tolist() == [0, 54_000, 50_000]


def test_those_called_cannot_open_positions_and_others_keep_what_rests():
    opening = [(0, 1, 1000, 10), (1, -1, 1000, 10)]
    crowd = Scripted(3, opening, [(0, 1, 750, 1), (2, 1, 690, 2)])
    exchange = futures(crowd, [3000, 50_000, 50_000], Author(750, 0), ("continuous",))
    exchange.run(2)
    assert crowd.turns[1].reason.tolist() == [Reason.MARGIN_CALL, Reason.END_OF_DAY]
    assert exchange.ledger.queued[0, 0] == -7  # nobody bid before its orders came


@pytest.mark.parametrize(
    ("rows", "reasons"),
    [
        ([(0, 1, 1000, 10)], [Reason.NONE]),
        ([(0, 1, 1000, 11)], [Reason.NO_CASH]),
        ([(0, 1, 1000, 6), (0, 1, 1000, 5)], [Reason.NONE, Reason.NO_CASH]),
        ([(0, -1, 1000, 5)], [Reason.NONE]),
        ([(0, -1, 1000, 6)], [Reason.NO_HOLDINGS]),
        ([(0, 1, 801, 1), (0, 1, 799, 1)], [Reason.NONE, Reason.BAD_PRICE]),
        ([(0, 1, 1000, 0), (0, 1, 1000, 2**50)], [Reason.BAD_QUANTITY, Reason.BAD_QUANTITY]),
    ],
)
def test_orders_beyond_cash_or_holdings_are_turned_away_with_a_reason(rows, reasons):
    class InOrder(np.random.Generator):
        def permutation(self, count):
            return np.arange(count)

    crowd = Scripted(1, rows)
    exchange = Exchange(
        [Instrument("stock")],
        [np.array([1000])],
        [crowd],
        np.array([10_000]),
        np.array([[5]]),
        InOrder(np.random.PCG64(0)),
    )
    exchange.play_day()
    received = [Reason(r) for r in crowd.turns[0].reason]
    assert [r for r in received if r != Reason.END_OF_DAY] == [r for r in reasons if r]


def test_what_was_bought_today_is_sold_tomorrow():
    crowd = Scripted(2, [(0, 1, 10, 5), (1, -1, 10, 5)], [(0, -1, 10, 1)], [(0, -1, 10, 1)])
    exchange = Exchange(
        [Instrument("stock", sell_next_day=True)],
        [np.array([10])],
        [crowd],
        np.array([1000, 0]),
        np.array([[0], [5]]),
        np.random.default_rng(0),
        SessionRules(("continuous", "continuous")),
    )
    exchange.run(2)
    assert crowd.turns[1].reason.tolist() == [Reason.NO_HOLDINGS]
    assert crowd.turns[2].reason.tolist() == [Reason.NONE]


def test_settlement_is_the_volume_weighted_price():
    first = [(0, 1, 1010, 3), (1, -1, 1010, 3)]
    then = [(0, 1, 1000, 2), (1, -1, 1000, 2)]
    crowd = Scripted(2, first, then)
    exchange = futures(crowd, [10_000, 10_000], turns=("continuous", "continuous"))
    day = exchange.play_day()
    assert (day.settle_ticks, day.close_ticks, day.volume) == (1006, 1000, 5)
    assert exchange.ledger.cash_cents.tolist() == [10_000 - 3 * 4 + 2 * 6, 10_000]
    view = crowd.views[0].assets[0]
    exchange.play_day()
    now = crowd.views[-1].assets[0]
    assert (now.reference_ticks, now.lower_limit_ticks, now.upper_limit_ticks) == (1006, 805, 1207)
    assert view.close_ticks.tolist() == [1000]


def test_same_seed_same_accounts_and_another_seed_others():
    final = []
    for seed in (1, 1, 2):
        exchange, _ = make_anything(seed, rate=0.2)
        exchange.run(15)
        final.append(exchange.ledger.cash_cents.tolist())
    assert final[0] == final[1] != final[2]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"agent": [9]}, r"orders.agent\[0\] of Foreign is 9, expected 0 to 1"),
        ({"asset": np.array([1])}, r"orders.asset\[0\] of Foreign is 1, expected 0 to 0"),
        ({"kind": np.array([5])}, "LIMIT, MARKET, REPLACE or CANCEL"),
    ],
)
def test_orders_for_nobody_or_nothing_are_refused(change, complaint):
    class Foreign(Crowd):
        n_agents = 2

        def observe(self, view):
            pass

        def orders(self):
            columns = {"agent": [0], "side": [1], "price_ticks": [1000], "quantity": [1]} | change
            return Orders(**{name: np.asarray(column) for name, column in columns.items()})

    with pytest.raises(MarketError, match=complaint):
        futures(Foreign(), [10, 10]).play_day()


def test_terms_that_cannot_change_and_endowments_that_do_not_fit_are_refused():
    exchange = futures(Scripted(1), [10])
    with pytest.raises(MarketError, match="cannot change 'tick_cents'"):
        exchange.change_terms(0, tick_cents=2)
    with pytest.raises(MarketError, match="expected 1 to"):
        exchange.override_settlement(0, 0)
    with pytest.raises(MarketError, match="futures positions arise from trades alone"):
        exchange.grant(0, 0, 0, 5)
    with pytest.raises(MarketError, match="expected 1: the crowds have"):
        futures(Scripted(1), [10, 10])
    with pytest.raises(MarketError, match="no asset 'x'"):
        exchange.asset("x")


def test_a_crowd_that_sends_nothing_leaves_the_others_arrival_as_it_was():
    def fates(*late):
        day = [(agent, side, 1000, 1) for agent in range(12) for side in (1, -1)]
        crowd, guest = Scripted(12, *[day] * 6), Scripted(1, [], [], *late)
        exchange = Exchange(
            [Instrument("stock")],
            [np.array([1000])],
            [crowd, guest],
            np.full(13, 10**6),
            np.full((13, 1), 10),
            np.random.default_rng(5),
            SessionRules(("continuous",)),
        )
        exchange.run(6)
        return [turn.reason.tolist() for turn in crowd.turns]

    # An order beside the market on the third day trades with nobody, and changes no day.
    assert fates() == fates([(0, 1, 801, 1)])
    assert len({tuple(fate) for fate in fates()}) > 1
