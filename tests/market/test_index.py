"""The index: the value of a portfolio bought on the first day."""

import numpy as np
import pytest

from evobourse.market.errors import MarketError
from evobourse.market.index import index_levels


def test_an_index_is_the_value_of_a_portfolio_left_alone():
    prices = np.array([[100, 110, 90], [2000, 1000, 3000]])
    held = np.array([30.0, 2.0])  # worth 3000 and 4000 on the first day
    value = held @ prices
    levels = index_levels(prices, held * prices[:, 0], base=100.0)
    np.testing.assert_allclose(levels, 100.0 * value / value[0])


@pytest.mark.parametrize(
    ("prices", "weights", "complaint"),
    [
        ([[1, 2]], [1.0, 1.0], "weights of shape"),
        ([[1, 0]], [1.0], "price 0 of asset 0"),
        ([[1, 2]], [0.0], "some over 0"),
        ([[1, 2]], [np.nan], "some over 0"),
    ],
)
def test_nonsense_is_refused(prices, weights, complaint):
    with pytest.raises(MarketError, match=complaint):
        index_levels(np.array(prices), np.array(weights))
