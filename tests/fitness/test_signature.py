"""Signatures against the sum that defines them, and their discrepancy against known laws."""

import itertools
from collections import Counter
from math import factorial, prod

import numpy as np
import pytest

from evobourse.fitness.baselines.without_agents import block_bootstrap, gbm
from evobourse.fitness.signature import LEVELS, price_signature, signature, signature_mmd


def words(d, levels):
    return [w for k in range(1, levels + 1) for w in itertools.product(range(d), repeat=k)]


def by_definition(steps, word):
    """Sum over i1 <= ... <= ik, where an index met m times has the simplex volume 1 / m!."""
    total = 0.0
    for days in itertools.combinations_with_replacement(range(len(steps)), len(word)):
        volume = prod(factorial(m) for m in Counter(days).values())
        total += prod(steps[day][letter] for day, letter in zip(days, word, strict=True)) / volume
    return total


@pytest.mark.parametrize(("days", "d", "levels"), [(6, 2, 4), (5, 3, 3), (1, 2, 4), (9, 1, 4)])
def test_every_word_is_its_iterated_sum(days, d, levels, rng):
    steps = rng.standard_normal((days, d))
    expected = [by_definition(steps, word) for word in words(d, levels)]
    np.testing.assert_allclose(signature(steps, levels), expected, rtol=1e-10, atol=1e-12)


def test_a_straight_line_has_the_exponential_and_halves_multiply(rng):
    once = signature(np.array([[0.3, -0.7]]))
    np.testing.assert_allclose(signature(np.tile([[0.03, -0.07]], (10, 1))), once, rtol=1e-12)
    there_and_back = rng.standard_normal((8, 2))
    closed = np.concatenate((there_and_back, -there_and_back[::-1]))
    np.testing.assert_allclose(signature(closed), 0.0, atol=1e-10)


def test_products_of_two_words_are_sums_over_their_shuffles(rng):
    steps = rng.standard_normal((50, 2)) / 7
    value = dict(zip(words(2, LEVELS), signature(steps), strict=True))
    for left, right in itertools.product(words(2, 2), repeat=2):
        places = itertools.combinations(range(len(left) + len(right)), len(left))
        shuffled = 0.0
        for place in places:
            ours, theirs = iter(left), iter(right)
            merged = [next(ours if i in place else theirs) for i in range(len(left) + len(right))]
            shuffled += value[tuple(merged)]
        assert value[left] * value[right] == pytest.approx(shuffled, abs=1e-10)


def test_a_random_walks_words_have_brownian_motions_means(rng):
    found = price_signature(rng.standard_normal((2000, 250)))
    mean = dict(zip(words(2, LEVELS), found.mean(axis=0), strict=True))
    error = dict(zip(words(2, LEVELS), found.std(axis=0) / np.sqrt(2000), strict=True))
    # E S(time, B) = exp(t + BB / 2), Fawcett (2003), in Stratonovich's sense; here times k!
    known = {(0,): 1.0, (1,): 0.0, (1, 1): 1.0, (0, 1): 0.0, (0, 0, 0, 0): 1.0}
    known |= {(0, 1, 1): 1.5, (1, 1, 0): 1.5, (1, 0, 1): 0.0, (1, 1, 1, 1): 3.0}
    for word, value in known.items():
        assert mean[word] == pytest.approx(value, abs=4 * error[word] + 0.01), word


def test_scale_and_a_batch_do_not_matter_and_a_dead_path_has_none(train_returns):
    batch = train_returns[:1000].reshape(4, 250)
    np.testing.assert_allclose(price_signature(3 * batch), price_signature(batch), rtol=1e-9)
    np.testing.assert_allclose(price_signature(batch)[2], price_signature(batch[2]), rtol=1e-9)
    assert np.isnan(price_signature(np.zeros((2, 250)))).all()
    assert np.isnan(price_signature(np.full(20, 0.01))).all()


def test_the_discrepancy_is_the_kernels_double_sums(rng):
    real, found = rng.standard_normal((30, 30)), rng.standard_normal((7, 30))
    real[:, 4] = found[:, 4] = 1.0
    mmd = signature_mmd(found, real, rng, resamples=50)
    mean, spread = real.mean(axis=0), real.std(axis=0)
    keep = [i for i in range(30) if i != 4]
    x, y = (((z - mean) / np.where(spread > 0, spread, 1))[:, keep] for z in (found, real))
    pairs = [np.linalg.norm(a - b) for a, b in itertools.combinations(y, 2)]

    def k(a, b):
        return np.mean(
            [np.exp(-np.sum((p - q) ** 2) / (2 * np.median(pairs) ** 2)) for p in a for q in b]
        )

    assert mmd.value == pytest.approx(np.sqrt(k(x, x) - 2 * k(x, y) + k(y, y)))
    assert signature_mmd(real, real, rng).value == pytest.approx(0.0, abs=1e-7)


def test_real_windows_are_near_and_runaway_paths_far(train_returns, rng):
    real = price_signature(np.lib.stride_tricks.sliding_window_view(train_returns, 250)[::20])
    drawn = [
        signature_mmd(price_signature(block_bootstrap(train_returns, 20, 250, rng)), real, rng)
        for _ in range(60)
    ]
    above = np.mean([mmd.value > np.quantile(mmd.real, 0.95) for mmd in drawn])
    assert above < 0.2
    trend = price_signature(gbm(train_returns, 20, 250, rng) + 0.004)
    away = signature_mmd(trend, real, rng)
    assert away.value > 2 * np.quantile(away.real, 0.95)
    dead = np.full((3, 30), np.nan)
    for found, windows in ((dead, real), (real, real[:1]), (real, real[[0, 0]]), (real, dead)):
        nothing = signature_mmd(found, windows, rng)
        assert np.isnan(nothing.value)
        assert np.isnan(nothing.real).all()
