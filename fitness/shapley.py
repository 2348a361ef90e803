"""What each member of a group is worth for what the group does: Shapley values."""

from collections.abc import Callable
from math import factorial

import numpy as np

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray

MOST_EXACT = 10
"""Members whose coalitions, 1,024 then, are all measured."""

MOST_MEMBERS = 64


def shapley_values(
    members: int,
    worth: Callable[[int], FloatArray],
    rng: np.random.Generator,
    pairs: int = 16,
) -> tuple[FloatArray, FloatArray]:
    """Share out the worth of a group among its members.

    A member's value is what it adds to those before it, on average over all orders in which the
    members may come. Values add up to the worth of all less the worth of nobody, to rounding, and
    are linear: differences taken path by path give the values of each path.

    Parameters
    ----------
    members : int
        How many there are.
    worth : callable
        From a coalition, bit i of which says whether member i is there, to its worth: one number,
        or an array of any shape; asked once a coalition.
    rng : numpy.random.Generator
        Draws orders where there are more than `MOST_EXACT` members, and nothing else.
    pairs : int
        Orders drawn then, each with its reverse; at least 2.

    Returns
    -------
    values : float64 array, shape [members, ...]
        Exact up to `MOST_EXACT` members, else an unbiased estimate.
    errors : float64 array, shape [members, ...]
        Standard error of that estimate, by its pairs of orders; 0 where it is exact.

    Raises
    ------
    FitnessError
        There are no members or more than `MOST_MEMBERS`, or fewer than 2 pairs for an error.

    References
    ----------
    Shapley (1953), A value for n-person games, Contributions to the Theory of Games II, 307-317.
    Reversed orders: Mitchell, Cooper, Frank and Holmes (2022), Sampling permutations for Shapley
    value estimation, Journal of Machine Learning Research 23, arXiv:2104.12199.
    """
    if not 1 <= members <= MOST_MEMBERS:
        raise FitnessError(
            f"{members} members share a worth, expected 1 to {MOST_MEMBERS}: more coalitions than "
            "a sample can stand for; join members first"
        )
    if pairs < 2:
        raise FitnessError(f"pairs is {pairs}, expected 2 or more orders for an error")
    known: dict[int, FloatArray] = {}

    def asked(coalition: int) -> FloatArray:
        if coalition not in known:
            known[coalition] = np.asarray(worth(coalition), dtype=np.float64)
        return known[coalition]

    if members <= MOST_EXACT:
        whole = np.stack([asked(coalition) for coalition in range(2**members)])
        values: FloatArray = np.tensordot(_weights(members), whole, axes=1)
        return values, np.zeros_like(values)
    drawn = []
    for _ in range(pairs):
        order = rng.permutation(members)
        drawn.append((_added(order, asked) + _added(order[::-1], asked)) / 2)
    each = np.stack(drawn)
    return each.mean(axis=0), each.std(axis=0, ddof=1) / np.sqrt(pairs)


def _weights(members: int) -> FloatArray:
    """Return by how much each coalition counts in each member's value, float64[members, 2^n]."""
    coalitions = np.arange(2**members)
    inside = coalitions >> np.arange(members)[:, None] & 1
    size = inside.sum(axis=0)
    orders = np.array([float(factorial(n)) for n in range(members + 1)])
    joined = orders[np.maximum(size - 1, 0)] * orders[members - size]
    left = orders[size] * orders[np.maximum(members - size - 1, 0)]
    return np.asarray(np.where(inside, joined, -left) / orders[members])


def _added(order: np.ndarray, worth: Callable[[int], FloatArray]) -> FloatArray:
    """Return what each member adds to those before it in an order, [members, ...]."""
    coalition, before = 0, worth(0)
    added = np.empty((len(order), *before.shape))
    for member in order.tolist():
        coalition |= 1 << member
        after = worth(coalition)
        added[member] = after - before
        before = after
    return added
