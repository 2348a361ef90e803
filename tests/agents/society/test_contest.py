"""Contests: conserved to the cent, ranked as a plain book-keeper would, nothing without one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evobourse.agents.crowds.daily_loops import choice_steps
from evobourse.agents.crowds.persona_crowd import PersonaCrowd, history_ticks
from evobourse.agents.errors import AgentError
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.personas.persona import Persona
from evobourse.agents.personas.social import Contest, Social
from evobourse.agents.society.contest import Rivalry, recombine, transfers
from evobourse.agents.styles import STYLES, teach
from evobourse.market.daily_auction import Market, simulate
from evobourse.market.rules import MarketRules

ALL = tuple(map(tuple, np.eye(len(STYLES)).tolist()))


@pytest.fixture
def play(population, sp500, offsets):
    """Play a market in the fast daily auction with a contest; return crowd, market, tape."""

    def run(contest, days=40, agents=120, seed=3, minds=None, mixtures=ALL, **society):
        people = population(mixtures, social=Social(contest=contest), wealth_tail=2.0, **society)
        minds = minds or TeacherMinds(STYLES)
        [choices] = tabulate_choices([people], minds)
        of_crowd, of_market = np.random.default_rng(seed).spawn(2)
        crowd = PersonaCrowd(
            people,
            choices,
            offsets,
            agents,
            of_crowd,
            styles=STYLES,
            tabulate=lambda after: tabulate_choices([after], minds)[0],
        )
        rules = MarketRules(fee_bps=5)
        history = history_ticks(sp500.close[:1000])
        market = Market(rules, history, crowd.accounts(), of_market, "full")

        def pay(day):
            due = crowd.take_transfers()
            assert due.sum() == 0
            market.accounts.cash_cents += due
            assert (market.accounts.cash_cents >= 0).all()

        [tape] = simulate([market], [crowd], days, pay)
        return crowd, market, tape

    return run


@given(st.integers(1, 60), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_transfers_sum_to_zero_and_never_take_more_than_there_is(n, part, seed):
    rng = np.random.default_rng(seed)
    cash = rng.integers(0, 10**9, n)
    side = rng.integers(0, 3, n)
    due = transfers(cash, cash + rng.integers(0, 10**9, n), side == 0, side == 1, part)
    assert due.sum() == 0
    assert (cash + due >= 0).all()
    assert (due[side == 0] <= 0).all()
    assert (due[side == 1] >= 0).all()
    assert not due[side == 2].any()
    if (side == 1).any():
        np.testing.assert_array_equal(-due[side == 0], np.floor(part * cash[side == 0]))


@pytest.mark.parametrize("flow", ["capital", "voice", "none"])
def test_cash_shares_and_voice_are_conserved(flow, play):
    crowd, market, _ = play(Contest(every=5, flow=flow, part=0.3))
    assert len(crowd.rivalry.rounds) == 8
    total = market.accounts.cash_cents.sum() + market.accounts.fees_cents
    fresh, _, _ = play(Contest(every=1_000))
    begun = fresh.accounts()
    assert total == begun.cash_cents.sum()
    assert market.accounts.shares.sum() == begun.shares.sum()
    assert crowd.life.voice.sum() == pytest.approx(crowd.n_agents)
    assert (crowd.life.voice != 1).any() == (flow == "voice")
    assert any(r.moved_cents for r in crowd.rivalry.rounds) == (flow == "capital")


def test_a_contest_that_never_comes_changes_nothing(play):
    _, _, without = play(None)
    _, _, never = play(Contest(every=1_000))
    _, _, capital = play(Contest(every=10))
    assert never.digest() == without.digest() != capital.digest()
    _, _, again = play(Contest(every=10))
    assert again.digest() == capital.digest()


def test_profits_are_those_of_a_plain_book_keeper(play):
    crowd, _, tape = play(Contest(every=20, flow="none", replaced=0), days=20, switching=0.0)
    [ranking] = crowd.rivalry.rounds
    shares = crowd.accounts().shares.astype(float)
    orders, decisions = tape.orders, tape.decisions
    of_agent = decisions.query("day == 0").set_index("agent")["persona"]
    filled = orders.assign(lots=orders["side"] * orders["filled"])
    net = filled.pivot_table(index="agent", columns="day", values="lots", aggfunc="sum")
    profit = dict.fromkeys(range(len(STYLES)), 0.0)
    equity = dict.fromkeys(range(len(STYLES)), 0.0)
    first = tape.close_ticks[0]
    for agent, held in enumerate(shares):
        moves = net.loc[agent].fillna(0.0).to_dict() if agent in net.index else {}
        held += moves.get(0, 0.0)  # counting begins at the first close
        cost, won = held * first, 0.0
        for day in range(1, 20):
            change, close = moves.get(day, 0.0), tape.close_ticks[day]
            if change > 0:
                cost += change * close
            elif change < 0:
                won += -change * (close - cost / held)
                cost += change * cost / held
            held += change
        profit[of_agent[agent]] += won
    assert sum(profit.values()) != 0
    cash, owned = _after_first_day(tape, shares)
    for agent in range(len(shares)):
        equity[of_agent[agent]] += cash[agent] + owned[agent] * first
    for p, name in enumerate(f"p{n}" for n in range(len(STYLES))):
        if ranking.scores[name] is not None:
            assert ranking.scores[name] == pytest.approx(profit[p] / equity[p], rel=1e-9, abs=1e-12)
    ranked = [n for n in ranking.scores if ranking.scores[n] is not None]
    ranked.sort(key=lambda name: -ranking.scores[name])
    assert list(ranking.winners) == ranked[:2]
    assert list(ranking.losers) == ranked[:-3:-1]


def _after_first_day(tape, shares):
    """Cash and shares of every agent at the first close, from the orders filled and fees."""
    cash, held = 10_000.0 * shares, shares.copy()
    first = tape.orders.query("day == 0 and filled > 0")
    price = tape.close_ticks[0]
    for row in first.itertuples():
        value = row.filled * price
        cash[row.agent] -= row.side * value + -(-value * 5 // 10_000)
        held[row.agent] += row.side * row.filled
    return cash, held


def test_the_faithful_win_over_the_random(population):
    views = np.array([5, 77, 300, 411])
    personas = population(ALL).personas
    rivalry = Rivalry(Contest(by="fidelity"), personas, STYLES, np.random.default_rng(0))
    persona = np.repeat(np.arange(len(STYLES)), len(views))
    seen = np.tile(views, len(STYLES))
    tendency = np.concatenate([teach(style, views) - 2 for style in STYLES])
    tendency[persona == 3] *= -1
    rivalry.end_day(persona, tendency, seen, np.ones_like(seen), np.ones_like(seen), 1)
    scores, winners, losers = rivalry.rank(persona)
    assert (np.delete(scores, 3) == 1.0).all()
    assert scores[3] == pytest.approx(1 - np.abs(2 * (teach(STYLES[3], views) - 2)).mean() / 4)
    assert losers[0] == 3
    assert 3 not in winners


def test_the_bare_model_has_no_style_to_be_faithful_to(population):
    personas = population([[0.0] * len(STYLES), ALL[0]]).personas
    rivalry = Rivalry(Contest(by="fidelity"), personas, STYLES, np.random.default_rng(0))
    one = np.ones(2, np.int64)
    rivalry.end_day(np.array([0, 1]), one, one, one, one, 1)
    assert np.isnan(rivalry.rank(np.array([0, 1]))[0]).tolist() == [True, False]


@given(st.integers(0, 2**32 - 1))
def test_a_child_lies_between_its_parents_and_takes_the_place_of_the_worst(seed):
    rng = np.random.default_rng(seed)
    worst, first, second = (
        Persona(name, "", (tuple(rng.normal(size=4)),), float(rng.uniform(0.3, 3)), 1.0, base)
        for name, base in (("w", None), ("a", "other"), ("b", None))
    )
    child = recombine(worst, first, second, rng)
    low, high = (np.array(f([first.mixture, second.mixture], axis=0)) for f in (np.min, np.max))
    assert (np.array(child.mixture) >= low - 1e-12).all()
    assert (np.array(child.mixture) <= high + 1e-12).all()
    heats = sorted([first.temperature, second.temperature])
    assert heats[0] - 1e-12 <= child.temperature <= heats[1] + 1e-12
    assert (child.name, child.share, child.base) == ("w", 1.0, "other")


def test_replaced_personas_decide_with_their_own_minds_answers(play, fresh_engine):
    mixtures = tuple(map(tuple, np.eye(3).tolist()))  # of the real model's three adapters
    contest = Contest(every=2, replaced=1, winners=1)
    society = {"attention": 1, "switching": 0.3}
    crowd, _, _ = play(contest, 5, 40, minds=fresh_engine(), mixtures=mixtures, **society)
    replaced = {name for one in crowd.rivalry.rounds for name in one.replaced}
    assert len(crowd.rivalry.rounds) == 2
    assert replaced
    changed = [p for p in crowd.population.personas if p.name in replaced]
    assert all(p.profile.startswith("Recombined of ") for p in changed)
    [choices] = tabulate_choices([crowd.population], fresh_engine())  # asked alone: the same bits
    np.testing.assert_array_equal(crowd.decider.steps, choice_steps(choices))


@pytest.mark.parametrize(
    ("given_", "complaint"),
    [
        ({"every": 0}, "every is 0, expected 1 to 10,000"),
        ({"part": 1.5}, "part is 1.5, expected 0 to 1"),
        ({"replaced": -1}, "replaced is -1, expected 0 to 10,000"),
    ],
)
def test_bad_contests_are_refused(given_, complaint):
    with pytest.raises(AgentError, match=complaint):
        Contest(**given_)


def test_without_minds_at_hand_nobody_is_replaced(population, offsets):
    people = population(ALL, social=Social(contest=Contest()))
    [choices] = tabulate_choices([people], TeacherMinds(STYLES))
    rng = np.random.default_rng(0)
    with pytest.raises(AgentError, match="set it to 0, or use a scenario"):
        PersonaCrowd(people, choices, offsets, 20, rng)
    none = replace(people.society, social=Social(contest=Contest(by="fidelity", replaced=0)))
    with pytest.raises(AgentError, match="fidelity, which a scenario alone can measure"):
        PersonaCrowd(replace(people, society=none), choices, offsets, 20, rng)
