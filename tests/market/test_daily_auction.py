"""The daily round: conservation, the fate of every order, lock step, what a crowd sees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.market.accounts import Accounts, RejectReason
from evobourse.market.crowd import Crowd, Orders
from evobourse.market.daily_auction import Market, simulate
from evobourse.market.errors import MarketError
from evobourse.market.rules import MarketRules


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), fee_bps=st.sampled_from([0, 1, 250, 10_000]))
def test_cash_and_shares_are_conserved_and_every_order_has_a_fate(make_pair, seed, fee_bps):
    market, crowd = make_pair(seed, fee_bps=fee_bps)
    accounts = market.accounts
    cash, shares = accounts.cash_cents.sum(), accounts.shares.sum()
    for _ in range(10):
        crowd.observe(market.open_day())
        outcome, day = market.close_day(crowd.orders())
        assert accounts.cash_cents.sum() + accounts.fees_cents == cash
        assert accounts.shares.sum() == shares
        assert min(accounts.cash_cents.min(), accounts.shares.min()) >= 0

        orders, filled = outcome.orders, outcome.filled
        accepted = outcome.reason == RejectReason.ACCEPTED
        assert (filled[~accepted] == 0).all()
        assert (filled >= 0).all()
        assert (filled[accepted] <= orders.quantity[accepted]).all()
        assert filled[orders.side > 0].sum() == filled[orders.side < 0].sum() == day.volume[0]
        traded = filled > 0
        better = orders.side * (orders.price_ticks - day.close_ticks)
        assert (better[traded] >= 0).all()
        assert day.volume[0] > 0 or day.close_ticks[0] == day.reference_ticks[0]


def test_250_days_of_zero_intelligence(make_pair):
    market, crowd = make_pair(fee_bps=0)
    (tape,) = simulate([market], [crowd], 250)
    assert len(tape) == len(crowd.outcomes) == 250
    assert tape.volume.sum() > 0
    assert (tape.close_ticks >= 1).all()
    assert np.isclose(tape.log_returns().sum(), np.log(tape.close_ticks[-1] / 1000))
    assert np.abs(tape.log_returns()).max() <= -np.log(1 - 0.2) + 1e-9
    seen = {RejectReason(reason).name for reason in set(tape.orders["reason"])}
    assert seen == set(RejectReason.__members__)


def test_the_tape_lists_a_days_orders_by_arrival(make_pair):
    market, crowd = make_pair()
    (tape,) = simulate([market], [crowd], 40)
    for (day, side), group in tape.orders.groupby(["day", "side"]):
        accepted = group[group["reason"] == RejectReason.ACCEPTED]
        at_close = accepted[accepted["price_ticks"] == tape.close_ticks[day]]
        unfilled = (at_close["quantity"] - at_close["filled"]).to_numpy()
        # Once one order at the marginal price is cut, all that came later got nothing.
        if side and unfilled.any():
            assert (at_close["filled"].to_numpy()[np.argmax(unfilled > 0) + 1 :] == 0).all()


def test_same_seed_same_digest_and_another_seed_another(make_pair):
    digests = [simulate(*zip(make_pair(seed), strict=True), 30)[0].digest() for seed in (3, 3, 4)]
    assert digests[0] == digests[1] != digests[2]


def test_lock_step_changes_no_market(make_pair):
    together = simulate(*zip(*(make_pair(seed) for seed in (1, 2, 3)), strict=True), 20)
    alone = [simulate(*zip(make_pair(seed), strict=True), 20)[0] for seed in (1, 2, 3)]
    assert [tape.digest() for tape in together] == [tape.digest() for tape in alone]


def test_two_runs_of_ten_days_are_one_of_twenty(make_pair):
    market, crowd = make_pair()
    simulate([market], [crowd], 10)
    (resumed,) = simulate([market], [crowd], 10)
    assert resumed.digest() == simulate(*zip(make_pair(), strict=True), 20)[0].digest()


def test_all_crowds_observe_before_any_orders():
    calls = []

    class Listener(Crowd):
        n_agents = 1

        def __init__(self, name):
            self.name = name

        def observe(self, view):
            calls.append(f"observe {self.name}")

        def orders(self):
            calls.append(f"orders {self.name}")
            return Orders.empty()

        def settled(self, outcome):
            calls.append(f"settled {self.name}")

        def decisions(self):
            raise AssertionError("asked although only prices are recorded")

    days = []
    tapes = simulate([one_agent(), one_agent()], [Listener("a"), Listener("b")], 2, days.append)
    day = ["observe a", "observe b", "orders a", "orders b", "settled a", "settled b"]
    assert calls == day * 2
    assert days == [0, 1]
    assert tapes[0].orders is None
    assert tapes[0].close_ticks.tolist() == [100, 100]
    assert tapes[0].volume.tolist() == [0, 0]


def one_agent(history=(100,), record="prices"):
    accounts = Accounts(np.array([10_000]), np.array([10]))
    return Market(MarketRules(), np.array(history), accounts, np.random.default_rng(0), record)


def test_a_view_shows_the_past_and_keeps_it():
    market = one_agent(history=(98, 99))
    first = market.open_day()
    both_sides = Orders(*(np.array(column) for column in ([0, 0], [1, -1], [101, 101], [3, 2])))
    for _ in range(600):  # further than the first buffer reaches
        market.close_day(both_sides)
    later = market.open_day()
    (then,), (now,) = first.assets, later.assets
    assert then.close_ticks.tolist() == [98, 99]
    assert (first.day, then.buy_quantity, then.sell_quantity) == (0, 0, 0)
    assert now.close_ticks.tolist() == [98, 99] + [101] * 600
    assert now.volume.tolist() == [0, 0] + [2] * 600
    assert (later.day, now.buy_quantity, now.sell_quantity) == (600, 3, 2)
    for column in (now.close_ticks, now.volume, later.cash_cents, later.position):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1


@pytest.mark.parametrize(
    ("history", "complaint"),
    [([], "shape"), ([1.5], "float64"), ([5, 0], r"history_ticks\[1\] is 0")],
)
def test_bad_history_is_refused(history, complaint):
    with pytest.raises(MarketError, match=complaint):
        one_agent(history)


def test_crowds_must_fit_their_markets(make_pair):
    market, crowd = make_pair()
    with pytest.raises(MarketError, match="1 markets and 0 crowds"):
        simulate([market], [], 1)
    with pytest.raises(MarketError, match=r"crowds\[0\] has 30 agents, expected 1"):
        simulate([one_agent()], [crowd], 1)


@pytest.mark.parametrize(
    "decisions",
    [{"a": np.zeros(2), "b": np.zeros(3)}, {"day": np.zeros(2)}, {"c": np.zeros(2)}],
)
def test_decisions_that_do_not_fit_are_refused(decisions):
    market = one_agent(record="full")
    market.close_day(Orders.empty(), {"a": np.zeros(2), "b": np.zeros(2)})
    market.close_day(Orders.empty(), {})
    with pytest.raises(MarketError, match="decisions of day 2"):
        market.close_day(Orders.empty(), decisions)
