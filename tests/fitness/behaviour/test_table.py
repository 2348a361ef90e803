"""Behaviour read off a real market's tape, against the live market and simple accounts of it."""

import dataclasses

import numpy as np
import pytest

from evobourse.fitness.behaviour.portfolios import hold_value, rebuild_portfolios
from evobourse.fitness.behaviour.table import describe_behaviour
from evobourse.fitness.errors import FitnessError
from evobourse.market.accounts import Accounts
from evobourse.market.crowd import Crowd, Orders
from evobourse.market.daily_auction import Market, simulate
from evobourse.market.rules import MarketRules

RULES = MarketRules(tick_cents=5, fee_bps=7)
GROUPS = ("herd", "value", "noise")


class Watched(Crowd):
    """Three kinds of traders, and a record of the live accounts at every opening."""

    def __init__(self, n_agents, seed):
        self.n_agents, self.days = n_agents, []
        self._rng = np.random.default_rng(seed)
        self._group = np.arange(n_agents) % 3

    def observe(self, view):
        self.view = view
        self.days.append((view.cash_cents.copy(), view.position[:, 0].copy()))

    def orders(self):
        rng, n, [asset] = self._rng, self.n_agents, self.view.assets
        closes = asset.close_ticks
        with_trend = np.sign(asset.buy_quantity - asset.sell_quantity)
        cheap = np.sign(1000 - closes[-1])
        lean = np.choose(self._group, [with_trend, cheap, 0]) + rng.choice([-1, 0, 1], n)
        self._tendency = np.where(lean == 0, rng.choice([-1, 1], n), np.sign(lean))
        limits = closes[-1] * np.exp(0.01 * self._tendency + 0.02 * rng.standard_normal(n))
        return Orders(
            np.arange(n), self._tendency, np.rint(limits).astype(int), rng.integers(1, 20, n)
        )

    def decisions(self):
        return {
            "agent": np.arange(self.n_agents),
            "persona": self._group,
            "tendency": self._tendency,
        }


@pytest.fixture(scope="module")
def watched():
    crowd, rng = Watched(60, 1), np.random.default_rng(2)
    accounts = Accounts(rng.integers(0, 9_000_000, 60), rng.integers(0, 500, 60))
    market = Market(RULES, np.array([990, 1000]), accounts, rng, "full")
    [tape] = simulate([market], [crowd], 120)
    return crowd, tape


def test_balances_are_those_of_the_live_market_on_every_day(watched):
    crowd, tape = watched
    found = rebuild_portfolios(tape, RULES)
    assert tape.volume.sum() > 1000
    for day, (cash, shares) in enumerate(crowd.days):
        np.testing.assert_array_equal(found.cash_cents[day], cash)
        np.testing.assert_array_equal(found.shares[day], shares)
    np.testing.assert_array_equal(found.shares[-1], tape.accounts.shares)
    assert found.fees_cents.sum() == tape.accounts.fees_cents > 0
    assert found.traded_shares.sum() == 2 * tape.volume.sum()
    np.testing.assert_array_equal(
        hold_value(found)[3], crowd.days[3][1] * tape.close_ticks[3] * 5.0
    )


def test_gains_add_up_to_the_change_of_wealth(watched):
    found = rebuild_portfolios(watched[1], RULES)
    change = np.diff(found.wealth_cents, axis=0)
    by_price = found.shares[:-1] * np.diff(found.price_cents)[:, None]
    np.testing.assert_array_equal(change, by_price - found.fees_cents)
    whole = found.gain_cents.sum()
    assert whole == by_price[1:].sum() - found.fees_cents[:-1].sum()


def test_each_group_is_what_it_was_made_to_be(watched):
    herd, value, noise, everyone = describe_behaviour(watched[1], RULES, GROUPS).groups
    assert (herd.name, everyone.name) == ("herd", "everyone")
    assert herd.investors == value.investors == noise.investors == 20
    assert herd.conformity > 0.2 > value.conformity
    assert abs(noise.conformity) < 0.1
    assert value.disposition > 3 * value.disposition_error  # sells what has risen over 1,000
    assert min(herd.profit, noise.profit) < everyone.profit < value.profit
    assert everyone.excess == 0
    for row in (herd, value, noise, everyone):
        assert 0 < row.turnover < 250
        assert 0 <= row.max_drawdown <= 1


def test_the_crowds_measures_know_the_common_cause(watched):
    found = describe_behaviour(watched[1], RULES, GROUPS)
    assert found.herding_intended > 0.03
    assert 1 <= found.minds_by_day <= 3
    assert found.minds_by_day < found.investors_by_day <= 60
    assert -1 <= found.volume_volatility <= 1


def test_a_group_without_members_has_no_numbers(watched):
    *_, empty, everyone = describe_behaviour(watched[1], RULES, (*GROUPS, "nobody")).groups
    assert (empty.investors, empty.profit) == (0, 0)
    assert np.isnan([empty.disposition, empty.turnover, empty.conformity]).all()
    assert np.isfinite(everyone.turnover)


def test_a_tape_that_cannot_tell_is_refused(watched):
    tape = watched[1]
    with pytest.raises(FitnessError, match="no orders"):
        rebuild_portfolios(dataclasses.replace(tape, orders=None), RULES)
    with pytest.raises(FitnessError, match="cents of fees at 0 basis points"):
        rebuild_portfolios(tape, MarketRules(tick_cents=5))
    with pytest.raises(FitnessError, match="no decisions with 'persona'"):
        describe_behaviour(dataclasses.replace(tape, decisions=None), RULES, GROUPS)
    with pytest.raises(FitnessError, match="one for each of 60 agents"):
        describe_behaviour(dataclasses.replace(tape, decisions=tape.decisions[:-1]), RULES, GROUPS)
