"""The fast GARCH(1,1) against arch's, and against samples whose shocks are known."""

import numpy as np
import pytest
from arch.univariate import GARCH, Normal, ZeroMean
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import check_grad
from scipy.stats import kurtosis

from evobourse.fitness.garch_filter import _loss, _variances, garch_residuals
from evobourse.fitness.moments import standardise


def log_likelihood(z, residuals):
    variances = (z / residuals) ** 2
    return -0.5 * np.sum(np.log(2 * np.pi * variances) + residuals**2)


@pytest.mark.parametrize("days", [250, 1000])
def test_it_climbs_as_high_as_arch_and_leaves_the_same_residuals(train_returns, days):
    windows = np.lib.stride_tricks.sliding_window_view(train_returns, days)[::400]
    for z in standardise(windows):
        theirs = ZeroMean(z, volatility=GARCH(), rescale=False).fit(disp="off", show_warning=False)
        ours = garch_residuals(z)
        assert log_likelihood(z, ours) > theirs.loglikelihood - 0.5
        if log_likelihood(z, ours) < theirs.loglikelihood + 0.05:
            assert kurtosis(ours) == pytest.approx(kurtosis(theirs.std_resid), abs=0.05)


def test_its_variances_are_archs(train_returns):
    [z] = standardise(train_returns[None, :500])
    weights = 0.94 ** np.arange(75)
    before = float(z[:75] ** 2 @ weights / weights.sum())
    theirs = ZeroMean(z, volatility=GARCH(), rescale=False).fix([0.05, 0.1, 0.85])
    ours = _variances(z**2, before, 0.05, 0.1, 0.85)
    np.testing.assert_allclose(np.sqrt(ours), theirs.conditional_volatility, rtol=1e-9)
    of = _loss(z**2, before, 0.05, 0.1, 0.85)[0]
    assert -500 * (of + 0.5 * np.log(2 * np.pi)) == pytest.approx(theirs.loglikelihood)


def test_its_gradient_is_the_slope(train_returns):
    squares = 1e4 * train_returns[:300] ** 2
    error = check_grad(
        lambda x: _loss(squares, 1.0, *x)[0],
        lambda x: np.array(_loss(squares, 1.0, *x)[1:]),
        np.array([0.1, 0.08, 0.87]),
    )
    assert error < 1e-5


def test_residuals_of_a_known_garch_are_its_shocks(rng):
    simulated = ZeroMean(volatility=GARCH(), distribution=Normal(seed=rng)).simulate(
        [0.05, 0.1, 0.85], 8000, burn=500
    )
    shocks = (simulated["data"] / simulated["volatility"]).to_numpy()
    found = garch_residuals(simulated["data"].to_numpy())
    assert np.corrcoef(found, shocks)[0, 1] > 0.999
    assert found.var() == pytest.approx(1.0, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(
        arrays(np.float64, 120, elements=st.floats(-5, 5)),
        arrays(np.float64, 120, elements=st.sampled_from([-1.0, 0.0, 1.0])),
    )
)
def test_any_series_with_a_variance_has_residuals_or_nan_without_a_warning(values):
    if values.std() > 1e-6:
        found = garch_residuals((values - values.mean()) / values.std())
        assert np.isfinite(found).all() or np.isnan(found).all()
