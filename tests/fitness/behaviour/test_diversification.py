import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evobourse.fitness.behaviour.diversification import (
    lottery_assets,
    lottery_preference,
    under_diversification,
)
from evobourse.fitness.errors import FitnessError


def test_concentration_is_zero_for_equal_weights_and_one_for_a_single_asset():
    held = np.array([[1.0, 1, 1, 1], [0, 5, 0, 0], [3, 1, 0, 0], [0, 0, 0, 0]])
    found = under_diversification(held)
    np.testing.assert_allclose(found[:3], [0, 1, (0.75**2 + 0.25**2 - 0.25) / 0.75])
    assert np.isnan(found[3])


@given(arrays(np.float64, (4, 5), elements=st.floats(0, 1e6)))
def test_concentration_stays_between_zero_and_one(held):
    found = under_diversification(held)
    known = found[np.isfinite(found)]
    assert (known >= -1e-12).all()
    assert (known <= 1 + 1e-12).all()


def test_the_cheap_volatile_and_skewed_asset_is_the_lottery(rng):
    days = 2000
    market = 0.01 * rng.standard_normal((days, 1))
    own = 0.01 * rng.standard_normal((days, 4))
    ticket = rng.exponential(0.03, (days, 2)) - 0.03  # skewed and volatile, mean zero
    returns = market + np.concatenate([ticket, own[:, 1:3], 3 * own[:, 3:]], axis=1)
    # cheap ticket, dear ticket, two calm ones, one volatile but not skewed
    found = lottery_assets([1.0, 90.0, 20.0, 30.0, 2.0], returns)
    np.testing.assert_array_equal(found, [True, False, False, False, False])


def test_holding_the_market_is_no_preference():
    market = np.array([60.0, 30.0, 10.0])
    lottery = np.array([False, False, True])
    held = np.stack([market, 7 * market, [0, 0, 4], [1, 1, 0], [0, 0, 0]])
    found = lottery_preference(held, lottery, market)
    np.testing.assert_allclose(found[:4], [0, 0, 0.9, -0.1], atol=1e-15)
    assert np.isnan(found[4])


def test_a_single_asset_is_no_choice():
    with pytest.raises(FitnessError, match="two assets"):
        under_diversification(np.ones((3, 1)))
    with pytest.raises(FitnessError, match="3 assets"):
        lottery_assets([1.0, 2.0], np.zeros((50, 2)))
    with pytest.raises(FitnessError, match="as many"):
        lottery_preference(np.ones((2, 3)), [True, False], np.ones(3))
