"""Elementary functions against numpy in long doubles, and scipy."""

import numpy as np
from scipy.special import ndtri

from evobourse.agents.crowds.elementary import (
    exponential,
    logarithm,
    logarithms,
    normal_quantile,
    normal_table,
)


def ulps(found, exact):
    found = np.array(found)
    return float(np.max(np.abs((found - exact) / np.spacing(np.abs(found)))))


def test_the_exponential_is_within_two_ulp_and_stops_at_its_ends():
    x = np.random.default_rng(0).normal(0, 3, 20_000)
    x[:5_000] = np.random.default_rng(1).uniform(-700, 700, 5_000)
    found = [exponential(value) for value in x]
    assert ulps(found, np.exp(x.astype(np.longdouble))) < 2
    assert exponential(0.0) == 1.0
    assert exponential(1e9) == exponential(709.0) < np.inf
    assert exponential(-1e9) == exponential(-708.0) > 0


def test_the_logarithm_is_within_an_ulp():
    x = np.exp(np.random.default_rng(0).uniform(-300, 300, 20_000))
    assert ulps([logarithm(value) for value in x], np.log(x.astype(np.longdouble))) < 1
    near = 1 + np.random.default_rng(1).normal(0, 1e-3, 5_000)
    assert ulps([logarithm(value) for value in near], np.log(near.astype(np.longdouble))) < 1
    prices = np.arange(1, 20_000)
    np.testing.assert_allclose(logarithms(prices), np.log(prices), rtol=1e-15)


def test_the_quantile_is_the_normals():
    p = np.random.default_rng(0).random(20_000)
    p[:250] = 0.7 * 10.0 ** -np.arange(1, 251)
    found = np.array([normal_quantile(value) for value in p])
    np.testing.assert_allclose(found, ndtri(p), rtol=2e-15)
    assert normal_quantile(0.5) == 0.0


def test_the_table_holds_the_middles_of_equal_parts():
    table, middles = normal_table(), (np.arange(65_536) + 0.5) / 65_536
    np.testing.assert_array_equal(table, ndtri(middles).astype(np.float32))
    np.testing.assert_array_equal(table, -table[::-1])
    assert 0.9999 < table.astype(float).var() < 1
    assert not table.flags.writeable
