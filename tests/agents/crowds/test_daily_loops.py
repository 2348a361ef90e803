"""The compiled loops of a crowd's day against plain numpy."""

import numpy as np
import pytest
from scipy.special import softmax

from evobourse.agents.crowds.daily_loops import (
    decide,
    encode_seen,
    hear,
    mean_by_persona,
    price_orders,
    reconsider,
)
from evobourse.agents.observation import (
    FIELD_NAMES,
    LEVELS,
    encode_view,
    private_codes,
    public_codes,
)

N = 500


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("threshold", [0.0, 0.7, 3.0])
def test_news_counts_where_it_is_unusual(threshold, rng):
    misread = rng.normal(size=N)
    heard = 0.4 + misread
    expected = np.where(heard >= threshold, 2, np.where(heard <= -threshold, 0, 1))
    np.testing.assert_array_equal(hear(0.4, misread, threshold), expected)


@pytest.mark.parametrize("private", range(len(FIELD_NAMES)))
def test_what_is_seen_is_encoded_as_a_view(private, rng):
    levels = np.array([rng.integers(n) for n in LEVELS])
    own = rng.integers(LEVELS[private], size=N)
    order = rng.random((N, len(FIELD_NAMES))).argsort(axis=1)
    sees = np.where(rng.random((N, 3)) < 0.3, -1, order[:, :3])
    visible = np.zeros((N, len(FIELD_NAMES)), bool)
    for a in range(3):
        shown = sees[:, a] >= 0
        visible[np.arange(N)[shown], sees[shown, a]] = True
    each = np.tile(levels, (N, 1))
    each[:, private] = own
    views = encode_seen(public_codes(levels), private, private_codes(private, own), sees)
    np.testing.assert_array_equal(views, encode_view(each, visible))


def test_who_reconsiders_follows_the_odds():
    persona = np.repeat([0, 1, 2], [6000, 3000, 1000])
    share, success = np.array([0.5, 0.3, 0.2]), np.array([0.1, -0.4, 0.8])
    uniform = np.array([np.tile([0.1, 0.9], 5000), (np.arange(10_000) + 0.5) / 10_000])
    before = persona.copy()
    reconsider(persona, share, success, uniform, 0.5, 1.5, 2.0)
    odds = share * np.exp(1.5 * 3 * (np.array([0.6, 0.3, 0.1]) - share) + 2.0 * success)
    moved = np.bincount(persona[::2]) / 5000
    np.testing.assert_array_equal(persona[1::2], before[1::2])
    np.testing.assert_allclose(moved, odds / odds.sum(), atol=1e-3)


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_tendencies_are_drawn_as_often_as_the_softmax_says(scale, rng):
    chance = softmax(scale * rng.normal(size=(2, 3, 5)), axis=2)
    n = 10_000
    uniform = (np.arange(n) + 0.5) / n
    drawn = decide(chance.cumsum(axis=2), np.full(n, 1), np.full(n, 2), uniform)
    count = np.bincount(drawn + 2, minlength=5)
    assert np.abs(count - n * chance[1, 2]).max() <= 1


def test_orders_reach_from_the_reference_to_the_reservation_price(rng):
    lean, tendency = rng.normal(0, 2, N), rng.integers(-2, 3, N)
    lean[:50] = 0.0
    size, uniform = rng.uniform(0, 9, N), rng.random(N)
    agent, side, price, quantity = price_orders(lean, tendency, size, uniform, 0.6, 0.01, 10_000)
    sends = np.flatnonzero((lean != 0) & (uniform < 0.6))
    np.testing.assert_array_equal(agent, sends)
    np.testing.assert_array_equal(side, np.sign(lean[sends]))
    np.testing.assert_array_equal(price, np.rint(10_000 * np.exp(0.01 * lean[sends])))
    wanted = np.maximum(np.rint(size[sends] * (1 + np.abs(tendency[sends]))), 1)
    np.testing.assert_array_equal(quantity, wanted)
    assert price_orders(-lean, tendency, size, uniform, 1.0, 9.9, 3)[2].min() == 1


def test_means_are_taken_over_the_agents_of_each_persona():
    means = mean_by_persona(np.array([0, 2, 2, 0, 2]), np.array([2, -1, 1, 0, 2]), 4)
    np.testing.assert_allclose(means, [1.0, 0.0, 2 / 3, 0.0])
