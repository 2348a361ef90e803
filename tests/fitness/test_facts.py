import numpy as np
import pandas as pd
import pytest
from arch.data import sp500
from arch.univariate import GARCH, ConstantMean, Normal, StudentsT, ZeroMean
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import curve_fit
from scipy.signal import lfilter
from scipy.special import gammaln
from scipy.stats import kurtosis, rankdata

from evobourse.fitness import facts
from evobourse.fitness.errors import FitnessError

OF_RETURNS = (
    facts.mean_abs_acf,
    facts.excess_kurtosis,
    facts.skewness,
    facts.aggregational_gaussianity,
    facts.fano_factor,
    facts.volatility_clustering,
    facts.conditional_kurtosis,
    facts.decay_exponent,
    facts.acf_abs_month,
    facts.acf_abs_quarter,
    facts.leverage,
    facts.coarse_fine_asymmetry,
)
LAGS = np.arange(1, 11)


@pytest.fixture(scope="module")
def volume():
    return sp500.load()["Volume"]["1999-01-05":"2010-12-31"].to_numpy(dtype=float)


def assert_recovers(values, truth, bias=0.0):
    """The mean over paths is within four of its standard errors, and of a known bias, of truth."""
    standard_error = values.std(ddof=1) / np.sqrt(len(values))
    assert values.mean() == pytest.approx(truth, abs=4 * standard_error + bias)


def simulate(volatility, distribution, parameters, paths, days):
    model = ZeroMean(volatility=volatility, distribution=distribution)
    drawn = [model.simulate(parameters, days, burn=500)["data"] for _ in range(paths)]
    return 0.01 * np.array(drawn)


@pytest.mark.parametrize("phi", [0.0, 0.3, -0.5])
def test_mean_abs_acf_recovers_an_ar1(phi, rng):
    days = 20_000
    r = 0.01 * lfilter([1.0], [1.0, -phi], rng.standard_normal((50, days)))
    expected = np.abs(np.array(phi**LAGS, dtype=float))
    noise = np.sqrt(2 / np.pi / days)
    assert facts.mean_abs_acf(r).mean() >= expected.mean() - noise
    assert facts.mean_abs_acf(r).mean() == pytest.approx(expected.mean(), abs=1.5 * noise)
    if phi == 0.0:
        assert_recovers(facts.mean_abs_acf(r), noise, bias=0.02 * noise)


def test_kurtosis_recovers_student_t_and_thins_out_with_the_week(rng):
    r = 0.01 * rng.standard_t(10, size=(400, 5000))
    known = 6 / (10 - 4)
    assert_recovers(facts.excess_kurtosis(r), known, bias=0.01)
    assert_recovers(facts.aggregational_gaussianity(r), 0.8 * known, bias=0.01)


def test_skewness_recovers_a_gamma_and_changes_sign_with_it(rng):
    gains = 0.01 * rng.gamma(4.0, size=(200, 5000))
    assert_recovers(facts.skewness(gains), 2 / np.sqrt(4), bias=0.005)
    np.testing.assert_allclose(facts.skewness(-gains), -facts.skewness(gains), rtol=1e-9)


def test_fano_is_binomial_for_random_days_and_high_for_bursts(rng, train_returns):
    independent = 0.01 * rng.standard_normal((400, 1000))
    assert_recovers(facts.fano_factor(independent), 1 - 0.10, bias=0.001)
    shuffled = rng.permuted(np.tile(train_returns[:3000], (200, 1)), axis=1)
    assert_recovers(facts.fano_factor(shuffled), 1 - 0.10, bias=0.001)
    assert facts.fano_factor(train_returns[:3000]) > 3
    one_burst = 0.001 * rng.random(1000)
    one_burst[400:500] += 0.1
    counts = np.zeros(50)
    counts[20:25] = 20
    assert facts.fano_factor(one_burst) == pytest.approx(counts.var(ddof=1) / counts.mean())


def test_clustering_recovers_a_log_volatility_autoregression(rng):
    phi, spread = 0.9, 0.5
    shocks = rng.standard_normal((50, 20_500)) * spread * np.sqrt(1 - phi**2)
    log_volatility = lfilter([1.0], [1.0, -phi], shocks)[:, 500:]
    r = 0.01 * np.exp(log_volatility) * rng.standard_normal(log_volatility.shape)
    # Taylor (1986), Modelling Financial Time Series, section 3.5
    known = np.expm1(spread**2 * phi**LAGS) / (np.pi / 2 * np.exp(spread**2) - 1)
    assert_recovers(facts.volatility_clustering(r), known.mean(), bias=0.002)


def test_conditional_kurtosis_recovers_the_shocks_of_a_garch(rng):
    student = simulate(GARCH(), StudentsT(seed=rng), [0.05, 0.1, 0.85, 10], 40, 4000)
    gaussian = simulate(GARCH(), Normal(seed=rng), [0.05, 0.1, 0.85], 40, 4000)
    assert_recovers(facts.conditional_kurtosis(student), 6 / (10 - 4), bias=0.03)
    assert_recovers(facts.conditional_kurtosis(gaussian), 0.0, bias=0.01)
    assert facts.excess_kurtosis(gaussian).mean() > 0.3


def test_decay_recovers_the_exponent_of_a_long_memory(rng):
    d, days = 0.35, 100_000
    k = np.arange(1, days)
    weights = np.exp(np.concatenate(([0.0], np.cumsum(np.log((k - 1 + d) / k)))))
    size = 2 * days
    shocks = np.fft.rfft(rng.standard_normal((4, size)))
    log_volatility = np.fft.irfft(shocks * np.fft.rfft(weights, size), size)[:, days:]
    r = 0.01 * np.exp(0.3 * log_volatility) * rng.standard_normal(log_volatility.shape)
    lags = np.arange(1, 101)
    rho = np.exp(gammaln(lags + d) - gammaln(lags + 1 - d))  # ARFIMA(0, d, 0), up to a factor
    beta = curve_fit(lambda lag, a, b: a * lag**-b, lags, rho)[0][1]
    assert beta == pytest.approx(1 - 2 * d, abs=0.03)
    assert facts.decay_exponent(r).mean() == pytest.approx(beta, abs=0.06)


def test_no_memory_has_no_decay(rng):
    r = 0.01 * rng.standard_normal((200, 500))
    assert np.isnan(facts.decay_exponent(r)).mean() > 0.94


def test_far_memory_needs_its_days_and_looks_at_its_own_lags(rng):
    echo = rng.standard_normal(50_000) ** 2
    sign = rng.choice([-1.0, 1.0], size=echo.shape)
    month, quarter = (sign * (echo + np.roll(echo, lag)) for lag in (25, 50))
    assert facts.acf_abs_month(month) == pytest.approx(0.5 / 11, abs=0.01)
    assert facts.acf_abs_quarter(quarter) == pytest.approx(0.5 / 11, abs=0.01)
    assert abs(facts.acf_abs_quarter(month)) < 0.01
    assert np.isfinite(facts.acf_abs_month(month[:500]))
    assert np.isnan(facts.acf_abs_month(month[:499]))
    assert np.isfinite(facts.acf_abs_quarter(month[:1000]))
    assert np.isnan(facts.acf_abs_quarter(month[:999]))


def test_leverage_recovers_a_volatility_that_jumps_after_losses(rng):
    shock = rng.standard_normal((50, 20_000))
    variance = np.where(np.roll(shock, 1, axis=1) < 0, 1.5, 0.5)
    r = 0.01 * np.sqrt(variance) * shock
    mean_volatility = (np.sqrt(1.5) + np.sqrt(0.5)) / 2
    squares_sd = np.sqrt(3 * (1.5**2 + 0.5**2) / 2 - 1)
    lag_one = -mean_volatility * np.sqrt(2 / np.pi) / 2 / squares_sd
    assert_recovers(facts.leverage(r), lag_one / 10, bias=2e-4)


def test_leverage_is_in_a_gjr_garch_and_not_in_a_garch(rng):
    symmetric = simulate(GARCH(), Normal(seed=rng), [0.05, 0.1, 0.85], 40, 2000)
    gjr = simulate(GARCH(o=1), Normal(seed=rng), [0.05, 0.02, 0.16, 0.85], 40, 2000)
    assert_recovers(facts.leverage(symmetric), 0.0)
    assert facts.leverage(gjr).mean() < -0.04


def test_volume_volatility_recovers_the_rank_correlation_of_two_lognormals(rng):
    rho = 0.5
    size, other = rng.standard_normal((2, 100, 5000))
    r = 0.01 * np.exp(size) * rng.choice([-1.0, 1.0], size=size.shape)
    traded = np.exp(rho * size + np.sqrt(1 - rho**2) * other)
    spearman = 6 / np.pi * np.arcsin(rho / 2)
    assert_recovers(facts.volume_volatility(r, traded), spearman, bias=0.005)
    assert_recovers(facts.volume_volatility(r, np.exp(other)), 0.0)


def test_coarse_fine_asymmetry_is_times_arrow(rng, train_returns):
    shocks = rng.standard_normal((20, 5000))
    harch = np.zeros_like(shocks)
    for day in range(5, shocks.shape[1]):
        week = harch[:, day - 5 : day].sum(axis=1)
        harch[:, day] = np.sqrt(1 + 0.12 * week**2) * shocks[:, day]
    forward = facts.coarse_fine_asymmetry(0.01 * harch)
    assert forward.mean() > 5 * forward.std() / np.sqrt(len(forward))
    np.testing.assert_allclose(
        facts.coarse_fine_asymmetry(0.01 * harch[:, ::-1]), -forward, rtol=1e-6
    )
    assert_recovers(facts.coarse_fine_asymmetry(rng.standard_normal((200, 1000))), 0.0)
    assert facts.coarse_fine_asymmetry(train_returns) > 0.03


@pytest.mark.parametrize("days", [250, 1000, 3018])
def test_every_fact_equals_an_independent_computation(train_returns, volume, days):
    r, traded = pd.Series(train_returns[-days:]), pd.Series(volume[-days:])
    z = (r - r.mean()) / r.std(ddof=0)

    def acf(x, lag):
        x = x - x.mean()
        return sum(x.iloc[t] * x.iloc[t + lag] for t in range(days - lag)) / (x**2).sum()

    def kurt(x):
        x = x - x.mean()
        return (x**4).mean() / (x**2).mean() ** 2 - 3

    of_size = [acf(z.abs(), lag) for lag in range(1, 56)]
    week = z.rolling(5).sum().dropna()
    large = z.abs() > np.percentile(z.abs(), 90)
    monthly = pd.Series([large.iloc[i : i + 20].sum() for i in range(0, days - 19, 20)])
    fit = ConstantMean(r * 100, volatility=GARCH()).fit(disp="off", show_warning=False)
    coarse, fine = week.abs(), z.abs().rolling(5).sum().dropna()
    later = [((z**2 - 1).shift(-lag) * z).sum() / days / (z**2).std(ddof=0) for lag in LAGS]
    lags = np.arange(1, min(days // 10, 100) + 1)
    power = curve_fit(lambda lag, a, b: a * lag**-b, lags, [acf(z.abs(), k) for k in lags])[0][1]
    expected = {
        facts.mean_abs_acf: np.mean([abs(acf(z, lag)) for lag in LAGS]),
        facts.excess_kurtosis: kurt(r),
        facts.skewness: ((r - r.mean()) ** 3).mean() / r.std(ddof=0) ** 3,
        facts.aggregational_gaussianity: kurt(r) - kurt(week),
        facts.fano_factor: monthly.var() / monthly.mean(),
        facts.volatility_clustering: np.mean(of_size[:10]),
        facts.acf_abs_month: np.mean(of_size[19:30]) if days >= 500 else np.nan,
        facts.acf_abs_quarter: np.mean(of_size[44:55]) if days >= 1000 else np.nan,
        facts.leverage: np.mean(later),
        facts.coarse_fine_asymmetry: coarse.corr(fine.shift(-5)) - fine.corr(coarse.shift(-5)),
    }
    for fact, value in expected.items():
        np.testing.assert_allclose(fact(r), value, rtol=1e-8, err_msg=fact.__name__)
    assert facts.decay_exponent(r) == pytest.approx(power, abs=1e-3)
    ranks = np.corrcoef(rankdata(z.abs()), rankdata(traded))[0, 1]
    assert facts.volume_volatility(r, traded) == pytest.approx(ranks)
    residuals = (fit.resid / fit.conditional_volatility).to_numpy()
    assert facts.conditional_kurtosis(r) == pytest.approx(kurtosis(residuals), rel=0.1)


@pytest.mark.parametrize("fact", OF_RETURNS, ids=lambda fact: fact.__name__)
def test_scale_drift_and_batch_do_not_matter(fact, train_returns):
    batch = train_returns[:3000].reshape(2, 3, 500)
    single = np.array([[fact(path) for path in row] for row in batch])
    np.testing.assert_allclose(fact(batch), single, rtol=1e-9)
    np.testing.assert_allclose(fact(0.1 * batch + 0.003), single, rtol=1e-3, atol=1e-6)


def _one_trade(days=250):
    path = np.zeros(days)
    path[100] = 0.01
    return path


DEAD = {
    "a constant price": np.zeros(250),
    "a gap": np.concatenate((0.01 * np.random.default_rng(0).standard_normal(249), [np.nan])),
    "one trade": _one_trade(),
    "20 days": 0.01 * np.random.default_rng(0).standard_normal(20),
    "an infinite price": np.concatenate((0.01 * np.random.default_rng(0).random(249), [np.inf])),
}


@pytest.mark.parametrize("case", DEAD)
def test_a_degenerate_path_has_no_fact(case):
    path = DEAD[case]
    for fact in OF_RETURNS:
        assert np.isnan(fact(path)), fact.__name__
    assert np.isnan(facts.volume_volatility(path, np.arange(len(path))))


def test_a_short_path_has_the_facts_that_it_is_long_enough_for(rng):
    path = 0.01 * rng.standard_normal(99)
    undefined = {fact.__name__ for fact in OF_RETURNS if np.isnan(fact(path))}
    needs_more = {"fano_factor", "conditional_kurtosis", "acf_abs_month", "acf_abs_quarter"}
    assert undefined - {"decay_exponent"} == needs_more


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf, -1.0])
def test_a_volume_that_says_nothing_has_no_correlation(value, rng):
    traded = np.full(250, value)
    traded[:20] = 7.0 if value != 0.0 else 0.0
    assert np.isnan(facts.volume_volatility(0.01 * rng.standard_normal(250), traded))


def test_volume_of_other_days_is_refused(rng):
    with pytest.raises(FitnessError, match=r"volume of shape \(249,\), expected \(250,\)"):
        facts.volume_volatility(rng.standard_normal(250), np.ones(249))


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        arrays(np.float64, (1, 120), elements=st.floats(width=64)),
        arrays(np.float64, (1, 120), elements=st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0])),
        arrays(np.float64, (1, 120), elements=st.floats(-1e-11, 1e-11)),
    )
)
def test_any_path_gives_numbers_or_nan_without_a_warning(paths):
    for fact in OF_RETURNS:
        assert not np.isinf(fact(paths)).any(), fact.__name__
