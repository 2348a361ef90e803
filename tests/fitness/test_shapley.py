"""Shapley values: against the definition over all orders, and what they always obey."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.shapley import MOST_EXACT, MOST_MEMBERS, shapley_values


def by_definition(members, worth):
    """Average what a member adds over every order, one by one."""
    total = np.zeros((members, *np.shape(worth[0])))
    orders = list(permutations(range(members)))
    for order in orders:
        seen = 0
        for member in order:
            total[member] += worth[seen | 1 << member] - worth[seen]
            seen |= 1 << member
    return total / len(orders)


@given(arrays(np.float64, (2**4, 3), elements=st.floats(-100, 100)))
def test_all_coalitions_give_the_mean_over_all_orders(worth):
    values, errors = shapley_values(4, lambda c: worth[c], np.random.default_rng(0))
    np.testing.assert_allclose(values, by_definition(4, worth), atol=1e-10)
    np.testing.assert_allclose(values.sum(axis=0), worth[-1] - worth[0], atol=1e-10)
    assert not errors.any()


def test_the_glove_game():
    # one left glove and two right ones: a pair is worth 1 (Shapley and Shubik 1969)
    def pairs(coalition):
        return float(bool(coalition & 1) and bool(coalition & 6))

    values, _ = shapley_values(3, pairs, np.random.default_rng(0))
    np.testing.assert_allclose(values, [2 / 3, 1 / 6, 1 / 6])


def test_a_sample_is_unbiased_and_says_its_error():
    members = MOST_EXACT + 2
    rng = np.random.default_rng(1)
    alone, strength = rng.normal(size=members), rng.normal(size=(members, members))

    def worth(coalition):
        there = np.array([coalition >> m & 1 for m in range(members)], float)
        return there @ alone + there @ strength @ there * there.sum()

    exact = exact_values(members, worth)
    drawn = [shapley_values(members, worth, np.random.default_rng(s), pairs=8) for s in range(200)]
    values, errors = (np.array(part) for part in zip(*drawn, strict=True))
    spread = values.std(axis=0, ddof=1)
    assert (np.abs(values.mean(axis=0) - exact) < 4 * spread / np.sqrt(200)).all()
    # the stated error is that of one sample
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)), spread, rtol=0.25)
    # and what is shared out is the whole, in every sample
    np.testing.assert_allclose(values.sum(axis=1), worth(2**members - 1), rtol=1e-12)


def exact_values(members, worth):
    """Sum over all coalitions without a member, weighted as in the textbook."""
    from math import comb

    every = np.array([worth(c) for c in range(2**members)])
    size = np.array([c.bit_count() for c in range(2**members)])
    found = np.zeros(members)
    for member in range(members):
        without = np.array([c for c in range(2**members) if not c >> member & 1])
        weight = 1 / (members * np.array([comb(members - 1, s) for s in size[without]]))
        found[member] = weight @ (every[without | 1 << member] - every[without])
    return found


def test_each_coalition_is_asked_once():
    asked = []
    shapley_values(3, lambda c: asked.append(c) or 0.0, np.random.default_rng(0))
    assert sorted(asked) == list(range(8))


@pytest.mark.parametrize("members", [0, MOST_MEMBERS + 1])
def test_too_many_or_none_are_refused(members):
    with pytest.raises(FitnessError, match=f"{members} members share a worth, expected 1 to"):
        shapley_values(members, lambda c: 0.0, np.random.default_rng(0))


def test_one_pair_of_orders_says_no_error():
    with pytest.raises(FitnessError, match="pairs is 1, expected 2 or more"):
        shapley_values(2, lambda c: 0.0, np.random.default_rng(0), pairs=1)
