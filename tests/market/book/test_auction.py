"""The auction against a brute force over every price, and its fills against priority."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.market.book.auction import clear_by_counting, clear_call_auction
from evobourse.market.philox import arrival_times

ORDER = st.tuples(st.sampled_from([1, -1]), st.integers(1, 12), st.integers(1, 6))
BOOKS = st.lists(ORDER, min_size=1, max_size=14)


def as_arrays(book, seed=0):
    side, price, quantity = (np.array(column) for column in zip(*book, strict=True))
    arrival = np.random.default_rng(seed).permutation(len(book))
    return side.astype(np.int8), price.astype(np.int64), quantity.astype(np.int64), arrival


def best_price_by_trying_all(book, reference):
    """Score every tick from the rule's words alone; return (price, volume)."""

    def score(price):
        demand = sum(q for s, p, q in book if s > 0 and p >= price)
        supply = sum(q for s, p, q in book if s < 0 and p <= price)
        return min(demand, supply), -abs(demand - supply), -abs(price - reference), price

    price = max(range(14), key=score)
    volume = score(price)[0]
    return (price, volume) if volume else (0, 0)


@settings(deadline=None)  # the first call compiles
@given(BOOKS, st.integers(0, 13))
def test_price_and_volume_are_those_of_the_brute_force(book, reference):
    price, filled = clear_call_auction(*as_arrays(book), reference)
    expected_price, expected_volume = best_price_by_trying_all(book, reference)
    side = as_arrays(book)[0]
    assert price == expected_price
    assert filled[side > 0].sum() == filled[side < 0].sum() == expected_volume


@settings(deadline=None)  # the first call compiles
@given(BOOKS, st.integers(0, 13), st.integers(0, 99))
def test_fills_respect_limits_and_price_time_priority(book, reference, seed):
    side, limit, quantity, arrival = as_arrays(book, seed)
    price, filled = clear_call_auction(side, limit, quantity, arrival, reference)
    assert (filled >= 0).all()
    assert (filled <= quantity).all()
    assert (limit[(side > 0) & (filled > 0)] >= price).all()
    assert (limit[(side < 0) & (filled > 0)] <= price).all()
    for first in range(len(book)):
        for second in range(len(book)):
            advantage = side[first] * (limit[first] - limit[second])
            ahead = advantage > 0 or (advantage == 0 and arrival[first] < arrival[second])
            if side[first] == side[second] and ahead and filled[second] > 0:
                assert filled[first] == quantity[first]


@settings(deadline=None)  # the first call compiles
@given(BOOKS, st.integers(0, 13), st.randoms(use_true_random=False))
def test_row_order_does_not_matter(book, reference, random):
    side, limit, quantity, arrival = as_arrays(book)
    rows = np.array(random.sample(range(len(book)), len(book)))
    price, filled = clear_call_auction(side, limit, quantity, arrival, reference)
    again = clear_call_auction(side[rows], limit[rows], quantity[rows], arrival[rows], reference)
    assert again[0] == price
    assert (again[1] == filled[rows]).all()


@pytest.mark.parametrize(
    ("book", "reference", "price"),
    [
        ([(1, 10, 5), (-1, 4, 5)], 7, 7),  # a tie over 4..10 goes to the reference itself
        ([(1, 10, 5), (-1, 4, 5)], 99, 10),  # or to the limit nearest to it
        ([(1, 10, 5), (1, 6, 1), (-1, 4, 5)], 5, 7),  # least imbalance between two limits
        ([(1, 8, 5), (1, 6, 3), (-1, 6, 5), (-1, 8, 3)], 7, 7),
        ([(1, 3, 5), (-1, 4, 5)], 3, 0),  # nothing crosses
        ([(1, 8, 5)], 8, 0),
    ],
)
def test_ties(book, reference, price):
    assert clear_call_auction(*as_arrays(book), reference)[0] == price


def test_an_empty_book_does_not_trade():
    nothing = np.empty(0, np.int64)
    price, filled = clear_call_auction(nothing.astype(np.int8), nothing, nothing, nothing, 5)
    assert price == 0
    assert filled.shape == (0,)


@settings(deadline=None)  # the first call compiles
@given(
    st.lists(
        st.tuples(st.sampled_from([1, -1]), st.integers(1, 12), st.integers(0, 6)), max_size=30
    ),
    st.integers(0, 13),
    st.sampled_from([1, 7, 5_000]),
    st.integers(0, 99),
)
def test_counting_clears_as_sorting_does(book, reference, apart, seed):
    """Near limits are counted, far ones sorted; an order of nothing counts as none."""
    rows = np.array(book, np.int64).reshape(-1, 3)
    side, price, quantity = rows[:, 0].astype(np.int8), rows[:, 1] * apart, rows[:, 2]
    agent = np.random.default_rng(seed).permutation(len(rows))
    day, key = 5, np.uint64(seed)
    arrival = np.argsort(np.argsort(arrival_times(agent, day, 0, key)))
    counted = clear_by_counting(agent, side, price, quantity, day, key, reference * apart)
    sorted_ = clear_call_auction(side, price, quantity, arrival, reference * apart)
    assert counted[0] == sorted_[0]
    np.testing.assert_array_equal(counted[1], sorted_[1])
