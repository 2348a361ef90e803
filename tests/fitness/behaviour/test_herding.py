import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom, ortho_group
from sklearn.metrics import cohen_kappa_score

from evobourse.fitness.behaviour.herding import (
    _binomial_mean_deviation,
    conformity,
    effective_minds,
    lsv_herding,
)
from evobourse.fitness.errors import FitnessError


@pytest.mark.parametrize("n", [1, 2, 7, 40])
@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 0.77, 1.0])
def test_the_binomial_mean_deviation_is_its_sum(n, p):
    x = np.arange(n + 1)
    summed = (np.abs(x / n - p) * binom.pmf(x, n, p)).sum()
    assert _binomial_mean_deviation(np.array(n), np.array(p)) == pytest.approx(summed, abs=1e-14)


def test_independent_traders_do_not_herd(rng):
    mood = rng.uniform(0.3, 0.7, 200)  # the whole market's, which is no herding into one asset
    active = rng.integers(5, 60, (40, 200))
    buyers = rng.binomial(active, mood)
    found = lsv_herding(buyers, active - buyers)
    assert abs(found.mean) < 4 * found.standard_error
    assert found.standard_error < 0.002


def test_traders_of_one_side_herd_as_far_as_the_formula_says():
    # half the assets bought by all 100 traders, half sold by all: |1 - .5| less AF
    buyers = np.repeat([[100], [0]], 50, axis=0)
    found = lsv_herding(buyers, 100 - buyers)
    exact = 0.5 - (np.abs(np.arange(101) / 100 - 0.5) * binom.pmf(np.arange(101), 100, 0.5)).sum()
    assert found.mean == pytest.approx(exact, abs=1e-14)
    np.testing.assert_allclose(found.each, exact)


def test_a_single_asset_is_held_against_its_own_periods(rng):
    buyers = np.where(rng.random((1, 100)) < 0.5, 90, 10)
    found = lsv_herding(buyers, 100 - buyers, "periods")
    assert 0.3 < found.mean < 0.4
    with pytest.raises(FitnessError, match="own expectation"):
        lsv_herding(buyers, 100 - buyers)


def test_thin_asset_periods_do_not_count():
    found = lsv_herding([[4, 3], [0, 2]], [[0, 2], [4, 3]])
    assert np.isnan(found.each).tolist() == [[True, False], [True, False]]
    nothing = lsv_herding([[1, 0], [0, 1]], [[0, 1], [1, 0]])
    assert np.isnan([nothing.mean, nothing.standard_error]).all()
    with pytest.raises(FitnessError, match=r"\(2,\)"):
        lsv_herding([1, 2], [1, 2])


counts = arrays(np.int64, (3, 6), elements=st.integers(0, 40))


@given(counts, counts)
def test_herding_stays_in_its_bounds_and_knows_no_side(buyers, sellers):
    found = lsv_herding(buyers, sellers, least_traders=1)
    known = found.each[np.isfinite(found.each)]
    assert (np.abs(known) <= 1).all()
    mirrored = lsv_herding(sellers, buyers, least_traders=1)
    np.testing.assert_allclose(mirrored.each, found.each, atol=1e-12)


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_conformity_is_cohens_kappa_with_the_majority_of_the_others(lag, rng):
    sides = rng.choice([-2, -1, 0, 1, 2], (120, 7), p=[0.1, 0.2, 0.2, 0.2, 0.3])
    found = conformity(sides, lag)
    for i in range(7):
        others = np.sign(np.delete(np.sign(sides), i, axis=1).sum(axis=1))
        mine, theirs = np.sign(sides[lag:, i]), others[: 120 - lag]
        both = (mine != 0) & (theirs != 0)
        assert found[i] == pytest.approx(cohen_kappa_score(mine[both], theirs[both]))


def test_followers_contrarians_and_the_independent(rng):
    others = rng.choice([-1, 1], (401, 1)) * np.ones((401, 9), int)
    follower, contrarian = others[:-1, :1], -others[:-1, :1]
    alone = rng.choice([-1, 1], (400, 1))
    sides = np.concatenate([others[1:], follower, contrarian, alone], axis=1)
    found = conformity(sides, lag=1)
    assert found[9] == 1.0
    assert found[10] < -0.9  # -1 only if the majority is as often on either side
    assert abs(found[11]) < 0.2


def test_a_permanent_bull_among_bulls_conforms_to_nothing():
    assert np.isnan(conformity(np.ones((10, 3)))).all()
    assert np.isnan(conformity(np.zeros((10, 3)))).all()
    with pytest.raises(FitnessError, match="lag 10"):
        conformity(np.ones((10, 3)), 10)


def test_identical_minds_are_one_and_orthogonal_minds_are_all(rng):
    one = rng.standard_normal((1, 30))
    assert effective_minds(np.repeat(one, 12, axis=0)) == pytest.approx(1.0)
    assert effective_minds(np.concatenate([one, -one])) == pytest.approx(1.0)
    orthogonal = ortho_group.rvs(30, random_state=rng)
    for n in (1, 2, 12, 30):
        assert effective_minds(3.7 * orthogonal[:n]) == pytest.approx(n)
    groups = np.repeat(orthogonal[:4], 5, axis=0)
    assert effective_minds(groups) == pytest.approx(4)


def test_two_minds_at_an_angle_are_the_binary_entropy():
    # eigenvalues of [[1, c], [c, 1]] / 2 are (1 +- c) / 2
    for c in (0.1, 0.5, 0.99):
        minds = np.array([[1.0, 0.0], [c, np.sqrt(1 - c * c)]])
        q = (1 + c) / 2
        entropy = -q * np.log2(q) - (1 - q) * np.log2(1 - q)
        assert effective_minds(minds) == pytest.approx(2**entropy)


@given(
    arrays(np.float64, (5, 3), elements=st.floats(-1e3, 1e3, allow_subnormal=False)),
    st.floats(1e-3, 1e3),
)
def test_effective_minds_stay_between_one_and_the_rank(decisions, scale):
    if np.abs(decisions).max() < 1e-3:
        return
    found = effective_minds(decisions)
    assert 1 - 1e-9 <= found <= 3 + 1e-9
    assert effective_minds(scale * decisions) == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("decisions", [np.zeros((3, 4)), np.full((3, 4), np.nan), np.ones(4)])
def test_no_decisions_are_refused(decisions):
    with pytest.raises(FitnessError, match="minds, situations"):
        effective_minds(decisions)
