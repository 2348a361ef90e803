"""The compiled loops of a crowd's day against plain numpy."""

import numpy as np
import pytest
from scipy.special import softmax

from evobourse.agents.crowds.daily_loops import (
    PARTS,
    Earshot,
    choice_steps,
    decide,
    draw_wealth,
    in_parts,
    learn,
    mood_codes,
    reconsider,
    see,
    standardise,
)
from evobourse.agents.crowds.elementary import normal_table
from evobourse.agents.crowds.order_law import OrderHabits, Spread, price_orders
from evobourse.agents.observation import (
    FIELD_NAMES,
    LEVELS,
    STRIDES,
    VIEWS,
    encode_view,
    public_codes,
    to_levels,
)
from evobourse.market.philox import Purpose, draw_words, philox

N, F = 500, len(FIELD_NAMES)
NEWS, CROWD = FIELD_NAMES.index("news"), FIELD_NAMES.index("crowd")
KEY = np.uint64(77)
NONE = np.zeros((4, 0), np.uint32)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def words(n=N, day=0, purpose=Purpose.DAY):
    return draw_words(n, day, 0, purpose, KEY)


def halves(row):
    return (row & np.uint32(PARTS - 1)).astype(int), (row >> np.uint32(16)).astype(int)


def test_what_is_public_is_encoded_by_its_level(rng):
    for values in rng.normal(0, 1, (200, F)):
        expected = (to_levels(values) + 1) * STRIDES
        np.testing.assert_array_equal(public_codes(values), expected)


@pytest.mark.parametrize("attention", range(1, F + 1))
@pytest.mark.parametrize("own_moods", [False, True])
def test_what_is_seen_is_encoded_as_a_view(attention, own_moods, rng):
    """Every rule of a morning in numpy: masks by 16 bits, news by table, moods, what is never."""
    levels = np.array([rng.integers(n) for n in LEVELS])
    sees = rng.random((N, F)).argsort(axis=1)[:, :attention]
    sees[rng.random(sees.shape) < 0.2] = F
    persona, never = rng.integers(0, 3, N), rng.random((3, F)) < 0.2
    hidden, told = rng.uniform(0, 0.5, F), rng.normal(0, 1, N)
    receptivity, threshold = np.array([0.0, 0.5, 1.0]), 0.7
    tone = np.array([0.3, -0.9, 0.0])
    moods = np.where(rng.random(N) < 0.3, np.nan, rng.normal(0, 0.1, N))
    day, more = words(), words(purpose=Purpose.DAY_MORE)
    views = see(
        sees.astype(np.int8),
        persona,
        never,
        hidden,
        (levels + 1) * STRIDES,
        mood_codes(moods if own_moods else np.zeros(0), int(STRIDES[CROWD])),
        Earshot(tone, 0.8, threshold, told, receptivity),
        int(STRIDES[NEWS]),
        normal_table(),
        day,
        more,
    )
    heard = tone[persona] + (0.8 * normal_table()[halves(day[0])[1]].astype(float))
    heard = heard + told * receptivity[persona]
    each = np.tile(levels, (N, 1))
    each[:, NEWS] = np.where(heard >= threshold, 2, np.where(heard <= -threshold, 0, 1))
    if own_moods:
        each[:, CROWD] = np.where(moods >= 0.05, 2, np.where(moods >= -0.05, 1, 0))
    drawn = np.stack([*halves(day[3]), *halves(more[0]), *halves(more[1])], axis=1)
    visible = np.zeros((N, F), bool)
    for a in range(attention):
        field = np.minimum(sees[:, a], F - 1)
        shown = (sees[:, a] < F) & ~never[persona, field]
        shown &= drawn[:, a] >= np.rint(PARTS * hidden)[field]
        visible[np.arange(N)[shown], field[shown]] = True
    if own_moods:
        visible[:, CROWD] &= ~np.isnan(moods)
    np.testing.assert_array_equal(views, encode_view(each, visible))


def test_who_reconsiders_follows_the_odds():
    persona = np.repeat([0, 1, 2], [6000, 3000, 1000])
    share, success = np.array([0.5, 0.3, 0.2]), np.array([0.1, -0.4, 0.8])
    pull = np.array([0.3, 0.0, -0.5])
    before, day = persona.copy(), words(10_000)
    reconsider(persona, share, success, pull, (0.5, 1.5, 2.0), day, 0, KEY)
    moves = halves(day[0])[0] < PARTS // 2
    herd = 1.5 * 3 * (np.array([0.6, 0.3, 0.1]) - share)
    odds = share * np.exp(herd + 2.0 * success + pull)
    np.testing.assert_array_equal(persona[~moves], before[~moves])
    zero, move = np.uint64(0), np.uint64(Purpose.MOVE)
    places = [int(philox(np.uint64(i), zero, zero, move, KEY)[0]) for i in range(10_000)]
    edges = np.cumsum(odds / odds.sum())[:-1]
    expected = np.searchsorted(edges, (np.array(places) + 0.5) / 2**32, side="right")
    np.testing.assert_array_equal(persona[moves], expected[moves])
    moved = np.bincount(persona[moves]) / moves.sum()
    np.testing.assert_allclose(moved, odds / odds.sum(), atol=0.02)


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_tendencies_are_drawn_as_often_as_the_softmax_says(scale, rng):
    chance = softmax(scale * rng.normal(size=(2, 3, 5)), axis=2)
    every = np.zeros((4, PARTS), np.uint32)
    every[1] = np.arange(PARTS)
    steps = choice_steps(chance.cumsum(axis=2))
    rows = np.full(VIEWS, -1, np.int16)
    rows[9] = 2
    drawn = decide(steps, np.full(PARTS, 1), rows, np.full(PARTS, 9), every)
    count = np.bincount(drawn + 2, minlength=5)
    assert np.abs(count - PARTS * chance[1, 2]).max() <= 1


def test_what_is_certain_always_happens():
    for k in range(5):
        steps = choice_steps(np.eye(5)[None, None, k].cumsum(axis=2))
        zeros, rows = np.zeros(2, np.int64), np.zeros(VIEWS, np.int16)
        ends = np.array([[0, 0], [0, PARTS - 1], [0, 0], [0, 0]], np.uint32)
        assert decide(steps, zeros, rows, zeros, ends).tolist() == [k - 2] * 2


@pytest.mark.parametrize("sized", [False, True])
def test_orders_reach_from_the_reference_to_the_reservation_price(sized, rng):
    persona, tendency = rng.integers(0, 2, N), rng.integers(-2, 3, N)
    habits = OrderHabits(
        np.array([in_parts(0.6), in_parts(0.9)]),
        np.array([0.8, 0.0]),
        np.array([0.5, 0.0]),
        np.array([1.0, 2.0]),
    )
    spread = Spread(
        np.array([in_parts(0.25)]),
        np.array([[-1.0, 0.2], [0.5, -0.3]]) * [1, sized],
        np.array([[0.6, 0.1, 0.4], [1.1, 0.0, 0.7]]) * [1, sized, sized],
        sized,
    )
    lots, day, more = rng.uniform(0, 9, N), words(), words(purpose=Purpose.DAY_MORE)
    found = price_orders(
        *(persona, tendency, lots, habits, spread, (0.01, 0.7), 10_000, normal_table(), day, more)
    )
    agent, side, price, quantity, urgency, reservation = found
    (component, one), (two, _) = halves(day[2]), halves(more[2])
    z = normal_table()[np.stack([one, two])].astype(float)
    at = (component >= PARTS // 4).astype(int)
    offset = spread.means[at, 0] + spread.factors[at, 0] * z[0]
    lean = habits.pull[persona] * tendency + habits.spread[persona] * 0.7 * offset
    sends = np.flatnonzero((lean != 0) & (halves(day[1])[1] < habits.active[persona]))
    np.testing.assert_array_equal(agent, sends)
    assert (persona[sends] == 0).all()  # the others lean to neither side
    np.testing.assert_array_equal(side, np.sign(lean[sends]))
    np.testing.assert_allclose(urgency, np.abs(lean[sends]))
    np.testing.assert_allclose(reservation, 10_000 * np.exp(0.01 * lean[sends]))
    np.testing.assert_array_equal(price, np.rint(reservation))
    log_size = spread.means[at, 1] + spread.factors[at, 1] * z[0] + spread.factors[at, 2] * z[1]
    wanted = lots * np.exp(log_size) * (1 + np.abs(tendency))
    np.testing.assert_array_equal(quantity, np.maximum(np.rint(wanted[sends]), 1))


def test_a_price_is_at_least_a_tick():
    habits = OrderHabits(np.array([PARTS]), np.array([50.0]), np.zeros(1), np.ones(1))
    spread = Spread(np.zeros(0, np.int64), np.zeros((1, 2)), np.zeros((1, 3)), False)
    sells = np.zeros(N, np.int64), np.full(N, -2), np.ones(N)
    day = words()
    found = price_orders(*sells, habits, spread, (9.9, 1.0), 3, normal_table(), day, NONE)
    assert found[2].tolist() == [1] * N


def test_success_is_the_discounted_mean_of_what_tendencies_paid():
    success = np.array([1.0, 1.0, 1.0, 1.0])
    learn(success, np.array([0, 2, 2, 0, 2]), np.array([2, -1, 1, 0, 2]), 3.0, 0.9)
    np.testing.assert_allclose(success, 0.9 + 0.1 * 3.0 * np.array([1.0, 0.0, 2 / 3, 0.0]))
    assert [standardise(m, 0.01) for m in (0.02, -1.0, 1.0)] == [2.0, -5.0, 5.0]


@pytest.mark.parametrize("tail", [1.2, 3.0])
def test_wealth_is_pareto_one_on_average_and_nobodys_a_tenth(tail):
    n = 20_000
    wealth = draw_wealth(words(n, purpose=Purpose.WEALTH), tail, np.ones(n))
    assert wealth.max() <= n / 10
    if tail == 3.0:
        assert wealth.mean() == pytest.approx(1.0)
        assert np.quantile(wealth, 0.9) / wealth.min() == pytest.approx(10 ** (1 / 3), rel=0.03)
    few = draw_wealth(words(20, purpose=Purpose.WEALTH), 1.01, np.ones(20))
    assert few.max() <= 2.0
