import numpy as np
import pytest

from evobourse.agents.errors import AgentError
from evobourse.agents.minds.stand_ins import RandomMinds
from evobourse.agents.observation import possible_views
from evobourse.agents.training.experience import Experience, read_experience
from evobourse.agents.training.rewards import RewardRules, read_ledger, reward_decisions
from evobourse.market.rules import MarketRules

RULES, REWARDS = MarketRules(fee_bps=5), RewardRules(0.9, 5.0)


@pytest.fixture(scope="module")
def tapes(population, trade):
    who = population([[1.0], [0.5]], activity=0.9, attention=2, switching=0.2)
    return trade([(who, 3), (who, 4)], RandomMinds())


@pytest.fixture(scope="module")
def found(tapes):
    views = possible_views(2)
    return [read_experience(tape, 2, views, RULES, REWARDS) for tape in tapes]


def test_every_decision_is_in_it_with_its_own_reward(tapes, found):
    views = possible_views(2).tolist()
    for tape, experience in zip(tapes, found, strict=True):
        rewards = reward_decisions(read_ledger(tape, RULES), REWARDS)
        counts, sums = np.zeros((2, len(views), 5)), np.zeros((2, len(views), 5))
        for row in tape.decisions.itertuples():
            where = row.persona, views.index(row.view), row.tendency + 2
            counts[where] += 1
            sums[where] += rewards[row.day, row.agent]
        np.testing.assert_array_equal(experience.counts, counts)
        np.testing.assert_allclose(experience.rewards, sums, atol=1e-15)
        total = (experience.mean_reward() * counts.sum(axis=(1, 2))).sum()
        assert total == pytest.approx(rewards.sum())


def test_advantages_are_each_decision_against_the_others_in_its_view(tapes, found):
    views = possible_views(2)
    both = found[0] + found[1]
    rewards = [reward_decisions(read_ledger(t, RULES), REWARDS).ravel() for t in tapes]
    reward = np.concatenate(rewards)
    persona, view, choice = (
        np.concatenate([t.decisions[name].to_numpy() for t in tapes])
        for name in ("persona", "view", "tendency")
    )
    expected = np.zeros((2, len(views), 5))
    for p in range(2):
        mine = np.flatnonzero(persona == p)
        scale = reward[mine].std() * len(mine)
        for i in mine:
            others = mine[(view[mine] == view[i]) & (mine != i)]
            if len(others):
                row = np.searchsorted(views, view[i])
                expected[p, row, choice[i] + 2] += (reward[i] - reward[others].mean()) / scale
    np.testing.assert_allclose(both.advantages(), expected, atol=1e-12)


def test_without_decisions_or_differences_there_is_no_advantage():
    nothing = np.zeros((1, 4, 5))
    assert not Experience(nothing.astype(int), nothing, nothing).advantages().any()
    equal = np.ones((1, 4, 5))
    assert not Experience(equal.astype(int), 2 * equal, 4 * equal).advantages().any()


def test_a_tape_of_prices_alone_is_refused(tapes):
    from dataclasses import replace

    with pytest.raises(AgentError, match="record the market in full"):
        read_experience(replace(tapes[0], decisions=None), 2, possible_views(2), RULES, REWARDS)
