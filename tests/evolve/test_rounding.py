"""Numbers of a search that another processor's last bits do not change."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evobourse.evolve.rounding import (
    COVARIANCE_BITS,
    STEP,
    decompose,
    exponentials,
    logarithms,
    proposed,
    recorded,
)


def covariance(seed, size, samples):
    """Make a covariance of few samples beside a unit matrix: most eigenvalues are equal."""
    rows = np.random.default_rng(seed).normal(size=(samples, size))
    return 0.8 * np.eye(size) + 0.2 * rows.T @ rows / samples


def shaken(values, seed):
    """Change last bits, as another library of linear algebra would."""
    up = np.random.default_rng(seed).random(values.shape) < 0.5
    return np.where(up, np.nextafter(values, np.inf), np.nextafter(values, -np.inf))


@given(st.integers(0, 99), st.integers(2, 30), st.integers(1, 8))
def test_a_decomposition_is_one(seed, size, samples):
    matrix = covariance(seed, size, samples)
    values, vectors = decompose(matrix)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(size), atol=1e-12)
    rounding = size * 4 * np.abs(matrix).max() * 2.0**-COVARIANCE_BITS
    np.testing.assert_allclose(vectors * values @ vectors.T, matrix, atol=rounding)
    np.testing.assert_allclose(np.sort(values), np.linalg.eigvalsh(matrix), atol=rounding)


def test_last_bits_of_a_covariance_change_no_eigenvector():
    """LAPACK's vectors are others altogether where eigenvalues are equal."""
    matrix = covariance(1, 35, 8)
    twin = shaken(matrix, 2)
    twin = np.tril(twin) + np.tril(twin, -1).T
    assert (twin != matrix).any()
    for one, other in zip(decompose(matrix), decompose(twin), strict=True):
        np.testing.assert_array_equal(one, other)
    first, second = (np.linalg.eigh(m)[1] for m in (matrix, twin))
    assert np.abs(first - second).max() > 1e-6


def test_last_bits_of_a_proposal_and_of_a_score_change_nothing():
    rows = np.random.default_rng(3).normal(size=(16, 35))
    np.testing.assert_array_equal(proposed(rows), proposed(shaken(rows, 4)))
    assert np.abs(proposed(rows) - rows).max() <= STEP / 2
    scores = np.random.default_rng(5).lognormal(size=200)
    assert [recorded(x) for x in scores] == [recorded(x) for x in shaken(scores, 6)]
    assert recorded(math.pi) == pytest.approx(math.pi, rel=1e-7)


@given(st.floats(-700, 700))
def test_exponentials_and_logarithms_are_within_a_unit_of_the_c_librarys(x):
    [found] = exponentials(np.array([x]))
    assert abs(found - math.exp(x)) <= math.ulp(found)
    [back] = logarithms(np.array([found]))
    assert abs(back - math.log(found)) <= math.ulp(back)
