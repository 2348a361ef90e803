"""Fits that end at the same digits wherever last bits let their optimizers stop."""

import numpy as np
import pytest

from evobourse.fitness.baselines.garch_fit import PERCENT, _loss, fit_garch_t
from evobourse.fitness.baselines.optimum import settled
from evobourse.fitness.baselines.stochastic_volatility import fit_stochastic_volatility


def quartic(x):
    """Have the minimum at (1/3, -2)."""
    a, b = x[0] - 1 / 3, x[1] + 2
    return a * a + 0.3 * a * b + 5 * b * b + a**4 + 7


def test_a_minimum_is_found_to_its_digits_from_anywhere_near():
    rng = np.random.default_rng(0)
    for start in np.array([1 / 3, -2]) + rng.normal(0, 0.05, (20, 2)):
        assert settled(quartic, start, [1, 1], [True, True]).tolist() == [0.33333, -2.0]
    assert settled(quartic, [0.5, -2.0], [1, 1], [False, True])[0] == 0.5  # at a bound


def test_where_no_minimum_is_near_what_was_found_stays_coarsely():
    assert settled(lambda x: x[0], [1.23456], [1], [True]).tolist() == [1.23]
    assert settled(lambda x: -(x[0] ** 2), [1.23456], [1], [True]).tolist() == [1.23]


@pytest.fixture(scope="module")
def returns():
    """Returns of a GARCH(1,1) with Student shocks and leverage."""
    rng = np.random.default_rng(3)
    variance, path = 1.0, []
    for shock in rng.standard_t(8, 2500) * np.sqrt(6 / 8):
        path.append(0.03 + np.sqrt(variance) * shock)
        loading = 0.03 + 0.1 * (path[-1] < 0.03)
        variance = 0.02 + loading * (path[-1] - 0.03) ** 2 + 0.9 * variance
    return np.array(path) / PERCENT


@pytest.mark.parametrize("asymmetric", [0, 1])
def test_a_fit_does_not_move_with_last_bits(returns, asymmetric):
    rng = np.random.default_rng(0)
    first, *others = (
        fit_garch_t(returns * (1 + e * rng.choice([-1, 1], len(returns))), asymmetric)
        for e in (0, 2e-16, 2e-16, 4e-16)
    )
    for other in others:
        assert (other.mu, other.loadings, other.nu) == (first.mu, first.loadings, first.nu)


def test_the_fit_is_archs_and_no_worse(returns):
    from arch.univariate import GARCH, ConstantMean, StudentsT

    model = ConstantMean(
        returns * PERCENT, volatility=GARCH(o=1), distribution=StudentsT(), rescale=False
    )
    result = model.fit(disp="off", show_warning=False)
    ours = fit_garch_t(returns, 1)
    np.testing.assert_allclose(ours.parameters(ours.variance), result.params, rtol=0.02, atol=1e-3)
    assert model.fix(ours.parameters(ours.variance)).loglikelihood > result.loglikelihood - 0.01
    parameters = result.params.to_numpy()
    early = returns[:75] * PERCENT - returns.mean() * PERCENT
    weights = 0.94 ** np.arange(75)
    before = float(early**2 @ weights / weights.sum())
    mine = -len(returns) * _loss(returns * PERCENT, before, *parameters)
    assert mine == pytest.approx(result.loglikelihood, abs=0.05)


def test_a_volatility_does_not_move_with_last_bits(returns):
    first, second = (
        fit_stochastic_volatility(returns * (1 + e * np.tile([-1, 1], len(returns) // 2)))
        for e in (0, 4e-16)
    )
    assert first.persistence == second.persistence
    assert first.sigma == second.sigma
