"""The loops of mechanisms by their meaning, venues with turns, and what does not go together."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evobourse.agents.crowds.asking import AskingCrowd
from evobourse.agents.crowds.deciding import value_lean, view_rows
from evobourse.agents.crowds.elementary import exponential
from evobourse.agents.crowds.mechanisms import (
    draw_quoters,
    follow_equity,
    misalign,
    perceive,
    quote,
    read_together,
    to_tick,
)
from evobourse.agents.crowds.observing import draw_news
from evobourse.agents.crowds.order_regimes import fit_regimes, measure_orders
from evobourse.agents.crowds.ordering import usual_lots
from evobourse.agents.crowds.own_numbers import NamingCrowd
from evobourse.agents.crowds.persona_crowd import LOTS_PER_WORTH, PersonaCrowd, history_ticks
from evobourse.agents.crowds.volatility import kept_a_day
from evobourse.agents.deliberation.crowd import DeliberateCrowd
from evobourse.agents.deliberation.settings import Deliberation
from evobourse.agents.errors import AgentError
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.personas.mechanisms import Mechanisms
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.session import SessionRules

KEY = np.uint64(5)
STYLES = ("momentum", "value", "contrarian")


@given(
    leans=st.lists(st.floats(-6, 6).filter(bool), min_size=1, max_size=30),
    half_spread=st.floats(0.01, 3),
    unit=st.floats(1e-6, 0.1),
    reference=st.integers(1, 20_000),
    seed=st.integers(0, 99),
)
def test_a_quote_lies_around_its_reservation_price_and_never_meets_itself(
    leans, half_spread, unit, reference, seed
):
    lean, n = np.array(leans), len(leans)
    both = np.random.default_rng(seed).random(n) < 0.5
    reservation = np.array([reference * exponential(unit * x) for x in lean])
    price = np.maximum(np.rint(reservation), 1).astype(np.int64)
    plain = np.arange(n), np.sign(lean).astype(np.int8), price, np.arange(1, n + 1)
    agent, side, limit, lots = quote(
        plain, np.abs(lean), reservation, both, half_spread, unit, reference
    )
    np.testing.assert_array_equal(agent, np.repeat(np.arange(n), 1 + both))
    np.testing.assert_array_equal(lots, agent + 1)
    single = ~both[agent]
    for column, given_ in zip((side, limit), plain[1:3], strict=True):
        np.testing.assert_array_equal(column[single], given_[~both])
    bid, ask = np.flatnonzero(~single)[::2], np.flatnonzero(~single)[1::2]
    assert (side[bid] == 1).all()
    assert (side[ask] == -1).all()
    assert (limit[bid] < limit[ask]).all()
    for rows, sign in ((bid, -1), (ask, 1)):
        wanted = [
            np.rint(reference * exponential(unit * (x + sign * half_spread))) for x in lean[both]
        ]
        least = 1 if sign < 0 else limit[bid] + 1
        np.testing.assert_array_equal(limit[rows], np.maximum(wanted, least))


@pytest.mark.parametrize("towards", [0.0, 9.0])
def test_what_is_within_a_few_ulp_of_a_half_is_rounded_as_the_exponential_itself(towards):
    near = np.nextafter(7.5, towards)
    assert to_tick(near, 0.0, 7.5) == 8


def test_who_quotes_depends_on_the_agent_alone():
    few, many = draw_quoters(100, 0.3, KEY), draw_quoters(5000, 0.3, KEY)
    np.testing.assert_array_equal(few, many[:100])
    assert many.mean() == pytest.approx(0.3, abs=0.03)
    assert draw_quoters(100, 1.0, KEY).all()
    assert (many <= draw_quoters(5000, 0.6, KEY)).all()  # more quote, and nobody stops
    assert draw_quoters(100, 0.0, KEY).size == 0


def test_a_personas_agents_misread_together_and_others_differently():
    spread = np.array([0.0, 1.0, 1.0, 3.0])
    shifts = np.array([read_together(0.4, spread, day, KEY) - 0.4 for day in range(4000)])
    assert (shifts[:, 0] == 0).all()
    np.testing.assert_allclose(shifts[:, 1:].std(axis=0), spread[1:], rtol=0.05)
    np.testing.assert_allclose(np.corrcoef(shifts[:, 1:].T), np.eye(3), atol=0.06)
    news = [draw_news(day, KEY) for day in range(4000)]
    assert abs(np.corrcoef(news, shifts[:, 1])[0, 1]) < 0.06


def test_a_perceived_value_begins_at_the_price_walks_with_news_and_follows_the_price():
    deaf = np.zeros(4)
    assert perceive(np.nan, 0.5, deaf, 0.01, 2.0, (2.0, 0.9)) == pytest.approx(2.0 + 0.01)
    told = np.array([4.0, 0.0, 0.0, 0.0])
    assert perceive(2.0, 0.5, told, 0.01, 2.0, (2.0, 0.9)) == pytest.approx(2.0 + 0.03)
    value, rates = 1.0, (1.0, kept_a_day(30.0))
    for _ in range(30):
        value = perceive(value, 0.0, deaf, 0.01, 2.0, rates)
    assert value == pytest.approx(1.5)


def test_misalignment_draws_to_who_leans_against_it_either_way():
    lean = np.array([1.0, 0.0, -0.5])
    for deviation in (-2.0, 2.0):
        np.testing.assert_allclose(misalign(0.5, lean, deviation), [2.0, 0.0, -1.0])


def test_lots_follow_equity_from_what_they_were():
    wealth = np.array([0.5, 1.0, 4.0])
    usual, shares = usual_lots(wealth), (100 * wealth).astype(np.int64)
    price, cash = 10_000, shares * 10_000
    for part in (0.3, 1.0):
        same = follow_equity(usual, part, LOTS_PER_WORTH, cash, shares, price)
        np.testing.assert_allclose(same, usual)
        twice = follow_equity(usual, part, LOTS_PER_WORTH, 2 * cash, 2 * shares, price)
        np.testing.assert_allclose(twice, (1 + part) * usual)
    debt = follow_equity(usual, 1.0, LOTS_PER_WORTH, -9 * cash, shares, price)
    assert (debt == 0).all()


def test_who_always_buys_below_value_and_sells_above_it_leans_by_one(population):
    teachers = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    people = population(teachers, attention=1, temperature=0.01)
    [choices] = tabulate_choices([people], TeacherMinds(STYLES))
    steps = np.rint(choices[..., :4] * 65_536).astype(np.int32)
    momentum, value = value_lean(steps, view_rows(1))
    assert momentum == pytest.approx(0.0, abs=1e-3)
    assert 0.8 < value <= 1.0
    [choices] = tabulate_choices(
        [population([[0.0, -1.0, 0.0]], attention=1)], TeacherMinds(STYLES)
    )
    [against] = value_lean(np.rint(choices[..., :4] * 65_536).astype(np.int32), view_rows(1))
    assert -1.0 <= against < -0.2


@pytest.fixture(scope="module")
def seat(population, offsets):
    def build(kind, mechanisms, law=None, **more):
        people = population(np.eye(3).tolist(), attention=2, mechanisms=Mechanisms(**mechanisms))
        [choices] = tabulate_choices([people], TeacherMinds(STYLES))
        return kind(people, choices, law or offsets, 60, np.random.default_rng(1), **more)

    return build


EVERYTHING = {
    "two_sided": 0.7,
    "half_spread": 0.05,
    "shared_reading": 1.0,
    "misalignment": 1.0,
    "value_news": 1.0,
    "equity_sized": 1.0,
    "loss_asymmetry": 0.5,
}


@pytest.mark.parametrize("turns", [("call", "continuous"), ("continuous", "call")])
def test_venues_with_turns_conserve_with_every_mechanism(turns, seat, sp500):
    crowd = seat(PersonaCrowd, EVERYTHING, turns=len(turns))
    endowed = crowd.accounts()
    exchange = Exchange(
        [Instrument("stock")],
        [history_ticks(sp500.close[:1000])],
        [crowd],
        endowed.cash_cents,
        endowed.shares[:, None],
        np.random.default_rng(2),
        SessionRules(turns),
    )
    volume = sum(int(exchange.play_day().volume[0]) for _ in range(30))
    ledger = exchange.ledger
    assert volume > 0
    assert ledger.cash_cents.sum() == endowed.cash_cents.sum()
    assert ledger.position.sum() == endowed.shares.sum()
    assert ledger.cash_cents[:60].min() >= 0
    assert ledger.position[:60].min() >= 0


def test_what_does_not_go_together_is_refused_in_one_line_that_names_both(seat, sp500, population):
    part = sp500.slice(0, 1500)
    measured = measure_orders(part.high, part.low, part.close, part.volume)
    long = fit_regimes(measured, 2, longest_days=3)
    with pytest.raises(AgentError, match=r"two_sided and orders.longest_days are both set"):
        seat(PersonaCrowd, {"two_sided": 0.5}, long)
    with pytest.raises(AgentError, match=r"named_numbers and mechanisms.two_sided are both set"):
        seat(NamingCrowd, {"two_sided": 0.5})
    thinker = SimpleNamespace(settings=Deliberation())
    people = population([[1.0]], mechanisms=Mechanisms(shared_reading=1.0))
    with pytest.raises(AgentError, match=r"deliberation and mechanisms.shared_reading are both"):
        DeliberateCrowd(people, thinker, long, 5, np.random.default_rng(1), 1)
    minds = SimpleNamespace(encoding=SimpleNamespace(numeric=True))
    for name, said in (
        ("value_news", "shows no perceived value"),
        ("misalignment", "no table says"),
    ):
        people = population([[1.0]], mechanisms=Mechanisms(**{name: 1.0}))
        with pytest.raises(AgentError, match=rf"mechanisms.{name}.*{said}"):
            AskingCrowd(
                people,
                minds,
                seat(PersonaCrowd, {}).generator._offsets,
                5,
                np.random.default_rng(1),
            )
