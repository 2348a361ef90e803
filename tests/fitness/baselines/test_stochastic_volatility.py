import numpy as np
import pytest

from evobourse.fitness.baselines.stochastic_volatility import (
    StochasticVolatility,
    fit_stochastic_volatility,
    stochastic_volatility,
)
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.facts import excess_kurtosis


def draw(law, days, seed):
    rng = np.random.default_rng(seed)
    returns, h = np.empty(days), 0.0
    for day in range(days):
        h = law.persistence * h + law.sigma * rng.standard_normal()
        returns[day] = law.mu + np.exp((law.log_variance + h) / 2) * rng.standard_normal()
    return returns


def test_the_fit_finds_the_law_that_made_the_returns():
    law = StochasticVolatility(0.0003, -9.5, 0.95, 0.25)
    found = [fit_stochastic_volatility(draw(law, 8000, seed)) for seed in range(3)]
    assert np.mean([f.persistence for f in found]) == pytest.approx(0.95, abs=0.02)
    assert np.mean([f.sigma for f in found]) == pytest.approx(0.25, abs=0.05)
    assert np.mean([f.log_variance for f in found]) == pytest.approx(-9.5, abs=0.15)


def test_paths_have_the_stationary_variance_and_kurtosis_of_the_fitted_law(train_returns):
    law = fit_stochastic_volatility(train_returns)
    paths = stochastic_volatility(train_returns, 4000, 60, np.random.default_rng(1))
    spread = law.sigma**2 / (1 - law.persistence**2)  # variance of h
    expected = np.exp(law.log_variance + spread / 2)
    # Every column is stationary: the first day as the last.
    for day in (0, 59):
        assert paths[:, day].var() == pytest.approx(expected, rel=0.2)
    assert excess_kurtosis(paths.reshape(1, -1))[0] == pytest.approx(
        3 * (np.exp(spread) - 1), rel=0.5
    )


def test_one_stream_one_set_of_paths(train_returns):
    first, second = (
        stochastic_volatility(train_returns, 2, 40, np.random.default_rng(3)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("returns", [np.zeros(100), np.full(100, np.nan), np.ones((3, 50))])
def test_degenerate_returns_are_refused(returns):
    with pytest.raises(FitnessError, match="training returns"):
        fit_stochastic_volatility(returns)
