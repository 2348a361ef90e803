"""Personas with a society: what they see of each other, and that nothing else changes."""

import dataclasses

import numpy as np
import pytest

from evobourse.agents.crowds.offsets import ORDER_FRACTION
from evobourse.agents.crowds.persona_crowd import PersonaCrowd, history_ticks
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.observation import FIELD_NAMES, FIELDS, decode_view
from evobourse.agents.personas.social import Social
from evobourse.agents.styles import FIRST_STYLES as STYLES
from evobourse.market.daily_auction import Market, simulate
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.rules import MarketRules
from evobourse.market.session import SessionRules
from evobourse.market.tape.journal import TapeJournal, describe_instruments
from evobourse.market.tape.recorder import MemoryRecorder

CAST = tuple(map(tuple, np.eye(len(STYLES)).tolist()))
CROWD = FIELD_NAMES.index("crowd")
N = 80


def open_crowd(society, offsets, seed=1):
    [choices] = tabulate_choices([society], TeacherMinds(STYLES))
    return PersonaCrowd(society, choices, offsets, N, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def history(sp500):
    return history_ticks(sp500.close[:1000])


@pytest.fixture(scope="module")
def play(offsets, history):
    """Run a population in the fast daily market, a day at a time: the crowd, and what it saw."""

    def run(society, days=12, seed=1):
        crowd = open_crowd(society, offsets, seed)
        market = Market(
            MarketRules(fee_bps=5), history, crowd.accounts(), np.random.default_rng(9), "full"
        )
        peers = []
        for _ in range(days):
            [tape] = simulate([market], [crowd], 1)
            peers.append(None if crowd.life is None else crowd.life.feed.peers_mood)
        return crowd, tape, peers

    return run


@pytest.fixture(scope="module")
def recorded(offsets, history):
    """Run the second of two crowds at the exchange, the first a rule's, and return the tape."""

    def run(society, days=8, seed=1):
        from evobourse.market.crowds.noise_trader import NoiseFlow, NoiseTraders

        crowd = open_crowd(society, offsets, seed)
        noise = NoiseTraders(NoiseFlow(market_orders=5.0), 10, np.random.default_rng(8))
        accounts = crowd.accounts()
        shares = np.concatenate([np.full(10, 1_000), accounts.shares])
        exchange = Exchange(
            [Instrument("stock")],
            [history],
            [noise, crowd],
            np.concatenate([np.full(10, 10**9), accounts.cash_cents]),
            shares[:, None],
            np.random.default_rng(5),
            SessionRules(("call", "continuous", "call")),
        )
        sink = MemoryRecorder(describe_instruments(exchange))
        exchange.keep(TapeJournal(sink))
        mornings = []
        for _ in range(days):
            exchange.play_day()
            life = crowd.life
            mornings.append(life and (life.feed, life.links, life.likes.copy()))
        return sink.tape(), mornings

    return run


def test_where_nobody_sees_the_others_society_changes_no_byte(population, play):
    strangers = population(CAST, {"crowd": 1.0}, attention=4)
    friends = population(CAST, {"crowd": 1.0}, attention=4, social=Social())
    (_, alone, _), (_, together, _) = play(strangers), play(friends)
    np.testing.assert_array_equal(alone.close_ticks, together.close_ticks)
    assert alone.orders.equals(together.orders)
    assert alone.decisions.equals(together.decisions.drop(columns="mood"))
    assert together.decisions["mood"].nunique() > N


def test_the_crowd_field_is_the_mood_of_those_read_and_absent_where_nothing_is(population, play):
    society = population(
        CAST, {"crowd": 0.0}, attention=6, momentary_mask=0.3, social=Social(acquaintances=6)
    )
    _, tape, peers = play(society, days=30)
    levels = decode_view(tape.decisions["view"].to_numpy())[:, CROWD].reshape(-1, N)
    low, high = FIELDS[CROWD].edges
    shown = []
    for day, mood in enumerate(peers):
        nothing = np.isnan(mood)
        assert (levels[day, nothing] == -1).all()
        expected = np.where(mood < low, 0, np.where(mood < high, 1, 2))
        seen = levels[day] >= 0
        np.testing.assert_array_equal(levels[day, seen], expected[seen])
        shown.append((seen.sum(), (~nothing).sum()))
    assert (levels[0] == -1).all()  # nobody has traded: no links, no posts
    seen, could = np.array(shown).sum(axis=0)
    assert abs(seen / could - 0.7) < 0.05
    assert len(np.unique(levels)) == 4


def test_profiles_are_the_trades_of_the_tape(population, play):
    """Whatever the band, an agent's weights add up to its decayed lots, side by side."""
    society = population(CAST, social=Social(decay=0.4))
    crowd, tape, _ = play(society)
    orders = tape.orders
    usual = 100 * ORDER_FRACTION * crowd.wealth[orders["agent"].to_numpy()]
    age = len(tape) - 1 - orders["day"].to_numpy()
    weight = np.exp(-0.4 * age) * orders["filled"].to_numpy() / np.maximum(usual, 1.0)
    for column, side in ((slice(0, 3), 1), (slice(3, 6), -1)):
        own = (orders["side"] == side).to_numpy()
        expected = np.bincount(orders["agent"][own], weight[own], minlength=N)
        np.testing.assert_allclose(
            crowd.life.profiles.weights[:, column].sum(axis=1), expected, atol=1e-12
        )
    assert (crowd.life.profiles.weights.sum(axis=0) > 0).all()


def test_moods_follow_tendencies(population, play):
    society = population(CAST, social=Social(contagion=0.0, decay=0.5))
    crowd, tape, _ = play(society)
    tendency = tape.decisions["tendency"].to_numpy().reshape(-1, N) / 2
    mood = np.zeros(N)
    for day in tendency:
        mood = np.exp(-0.5) * mood + (1 - np.exp(-0.5)) * day
    np.testing.assert_allclose(crowd.life.mood, mood)


def test_one_seed_one_tape_and_settings_count(population, recorded):
    def digest(seed=1, **changed):
        society = population(CAST, {"crowd": 0.0}, social=Social(**changed))
        return recorded(society, days=4, seed=seed)[0].manifest.digest

    assert digest() == digest()
    assert len({digest(), digest(2), digest(link_threshold=0.6), digest(decay=2.0)}) == 4


def test_the_tape_holds_the_graph_of_the_market_s_agents(population, recorded):
    tape, mornings = recorded(population(CAST, social=Social(acquaintances=10, liking=1.0)))
    links, readings = tape.frame("links"), tape.frame("readings")
    given = np.zeros(N)
    for day, (feed, own, likes) in enumerate(mornings):
        today = links[links["day"] == day]
        np.testing.assert_array_equal(today["agent"], own.agent + 10)
        np.testing.assert_array_equal(today["other"], own.other + 10)
        np.testing.assert_array_equal(today["similarity"], own.similarity)
        read = readings[readings["day"] == day]
        assert len(read) == (feed.author >= 0).sum()
        liked = read.loc[read["liked"], "other"] - 10
        given = np.exp(-0.5) * given + np.bincount(liked, minlength=N)
        np.testing.assert_allclose(likes, given)
        pairs = set(zip(today["agent"], today["other"], strict=True))
        ends = zip(read[["agent", "other"]].min(axis=1), read[["agent", "other"]].max(axis=1),
                   strict=True)  # fmt: skip
        assert set(ends) <= pairs
    assert len(links) > 200
    assert readings["liked"].any()
    assert len(tape.frame("tellings")) == 0
    strangers, _ = recorded(population(CAST))
    assert len(strangers.frame("links")) == len(strangers.frame("readings")) == 0


def test_a_society_without_settings_is_the_one_before(population):
    society = population(CAST).society
    assert society.social is None
    assert dataclasses.replace(society, social=Social()).social.link_threshold == 0.2
