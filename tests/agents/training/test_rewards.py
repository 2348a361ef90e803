import numpy as np
import pytest

from evobourse.agents.errors import AgentError
from evobourse.agents.minds.stand_ins import RandomMinds
from evobourse.agents.training.rewards import RewardRules, read_ledger, reward_decisions
from evobourse.market.rules import MarketRules

RULES = MarketRules(fee_bps=5)
DAYS, AGENTS = 20, 80


@pytest.fixture(scope="module")
def tape(population, trade):
    [tape] = trade([(population([[1.0], [0.5]], activity=0.9), 3)], RandomMinds())
    assert tape.volume.sum() > 0
    return tape


@pytest.fixture(scope="module")
def ledger(tape):
    return read_ledger(tape, RULES)


@pytest.fixture(scope="module")
def bought(tape):
    """Shares that every agent bought, summed up order by order: int64[T, n]."""
    table = np.zeros((DAYS, AGENTS), np.int64)
    for order in tape.orders.itertuples():
        table[order.day, order.agent] += order.side * order.filled
    return table


def test_an_account_is_what_it_began_with_and_what_it_gained_by_trading(tape, ledger, bought):
    first, last = tape.initial_close_ticks, tape.close_ticks[-1]
    shares = tape.accounts.shares - bought.sum(axis=0)
    cash = shares * first  # the crowd's endowment: as much in cash as in shares
    np.testing.assert_allclose(ledger.wealth, 2 * shares * first, rtol=1e-12)
    still = cash + shares * last
    ended = tape.accounts.cash_cents + tape.accounts.shares * last
    gained = (ledger.profits * ledger.wealth).sum(axis=0)
    np.testing.assert_allclose(gained, ended - still, rtol=1e-9, atol=1e-6)


def test_what_one_gains_others_lose_but_for_the_fees(tape, ledger):
    daily = (ledger.profits * ledger.wealth).sum(axis=1)
    np.testing.assert_allclose(daily, -ledger.fees.sum(axis=1), atol=1e-3)
    assert ledger.fees.sum() == tape.accounts.fees_cents > 0


def test_undiscounted_rewards_add_up_to_the_profit(ledger):
    rewards = reward_decisions(ledger, RewardRules(1.0, 0.0))
    np.testing.assert_allclose(rewards.sum(axis=0), ledger.profits.sum(axis=0), atol=1e-12)


@pytest.mark.parametrize("risk", [0.0, 40.0])
def test_a_reward_is_the_utility_with_the_trade_less_that_without(tape, ledger, bought, risk):
    rewards = reward_decisions(ledger, RewardRules(0.9, risk))
    prices = tape.close_ticks.astype(float)

    def utility(trades, wealth, day):
        held, total = trades[: day + 1].sum(), 0.0
        for later in range(day + 1, DAYS):
            gain = held * (prices[later] - prices[later - 1]) / wealth
            total += 0.9 ** (later - day - 1) * (gain - risk / 2 * gain**2)
            held += trades[later]
        return total

    traded = np.argwhere(bought != 0)
    rng = np.random.default_rng(0)
    for day, agent in traded[rng.permutation(len(traded))[:40]]:
        trades, wealth = bought[:, agent].astype(float), ledger.wealth[agent]
        without = np.where(np.arange(DAYS) == day, 0.0, trades)
        difference = utility(trades, wealth, day) - utility(without, wealth, day)
        value = abs(bought[day, agent]) * tape.close_ticks[day]
        fee = -(-value * 5 // 10_000)
        expected = difference - fee / wealth
        assert rewards[day, agent] == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert not rewards[bought == 0].any()


def test_prices_alone_and_strange_rules_are_refused(tape):
    from dataclasses import replace

    with pytest.raises(AgentError, match="record the market in full"):
        read_ledger(replace(tape, orders=None), RULES)
    with pytest.raises(AgentError, match="discount is 0"):
        RewardRules(discount=0.0)
    with pytest.raises(AgentError, match="risk_aversion -1"):
        RewardRules(risk_aversion=-1.0)
