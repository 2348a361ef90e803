import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import lfilter
from scipy.special import betaln
from scipy.stats import spearmanr
from statsmodels.tsa.stattools import acf as statsmodels_acf

from evobourse.fitness.baselines.without_agents import garch_t
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import (
    MOMENT_NAMES,
    ac1,
    acf,
    acf_abs,
    acf_abs_medium,
    acf_abs_short,
    displacement,
    drift,
    hill,
    leverage_abs,
    log_volatility,
    mean_abs,
    measured,
    moments,
    path_faults,
    standardise,
    volume_volatility,
)


@pytest.mark.parametrize("phi", [-0.3, 0.0, 0.5])
def test_ac1_recovers_the_coefficient_of_an_ar1(phi, rng):
    days, paths = 2000, 200
    r = 0.01 * lfilter([1.0], [1.0, -phi], rng.standard_normal((paths, days)))
    standard_error = np.sqrt((1 - phi**2) / days)
    assert abs(ac1(r).mean() - phi) < 4 * standard_error / np.sqrt(paths) + 2 / days
    assert ac1(r).std() == pytest.approx(standard_error, rel=0.2)


def test_hill_recovers_the_index_of_a_symmetric_pareto(rng):
    sign = rng.choice([-1.0, 1.0], size=(20, 50_000))
    r = 0.001 * sign * (1.0 + rng.pareto(3.0, size=sign.shape))
    tail_observations = 0.05 * sign.size
    assert hill(r).mean() == pytest.approx(3.0, abs=4 * 3.0 / np.sqrt(tail_observations))


def test_hill_of_student_t_is_near_its_freedom_and_far_below_gaussian(rng):
    student = hill(0.01 * rng.standard_t(3, size=(20, 50_000))).mean()
    gaussian = hill(0.01 * rng.standard_normal((20, 50_000))).mean()
    assert 2.6 < student < 3.2  # biased down by the second-order term of the tail
    assert gaussian > 5.0


def recovers(values, truth, bias=0.0):
    """Say whether a mean over paths is within four of its standard errors of a known answer."""
    standard_error = values.std(ddof=1) / np.sqrt(len(values))
    return abs(values.mean() - truth) < 4 * standard_error + bias


def test_hill_has_the_standard_error_of_a_pareto_tail(rng):
    r = 1e-3 * rng.choice([-1.0, 1.0], size=(400, 4000)) * (1.0 + rng.pareto(3.0, size=(400, 4000)))
    known = 3.0 / np.sqrt(0.05 * 4000)
    assert hill(r).std() == pytest.approx(known, rel=0.15)
    assert recovers(hill(r), 3.0, bias=3.0 / (0.05 * 4000))


@pytest.mark.parametrize("freedom", [5, 8, 30])
def test_mean_abs_recovers_student_t(freedom, rng):
    r = 0.01 * rng.standard_t(freedom, size=(200, 5000))
    log_mean = np.log(2 * np.sqrt(freedom) / (freedom - 1)) - betaln(freedom / 2, 0.5)
    known = np.exp(log_mean) / np.sqrt(freedom / (freedom - 2))
    assert recovers(mean_abs(r), known, bias=1e-3)


def test_memory_recovers_a_log_volatility_autoregression(rng):
    phi, spread = 0.95, 0.5
    shocks = rng.standard_normal((40, 20_500)) * spread * np.sqrt(1 - phi**2)
    log_volatility = lfilter([1.0], [1.0, -phi], shocks)[:, 500:]
    r = 0.01 * np.exp(log_volatility) * rng.standard_normal(log_volatility.shape)
    # Taylor (1986), Modelling Financial Time Series, section 3.5
    lags = np.arange(1, 12)
    known = np.expm1(spread**2 * phi**lags) / (np.pi / 2 * np.exp(spread**2) - 1)
    assert recovers(acf_abs_short(r), known[:2].mean(), bias=0.003)
    medium = (known[3:6].mean() + known[8:11].mean()) / 2
    assert recovers(acf_abs_medium(r), medium, bias=0.003)


def test_log_volatility_has_the_standard_error_of_a_gaussian(rng):
    found = log_volatility(0.02 * rng.standard_normal((2000, 500)), 0.01)
    assert recovers(found, np.log(2.0), bias=1 / 500)
    assert found.std() == pytest.approx(1 / np.sqrt(2 * 500), rel=0.1)


def test_gaussian_noise_has_no_memory_and_the_known_mean_abs(rng):
    r = 0.01 * rng.standard_normal((100, 2000))
    assert mean_abs(r).mean() == pytest.approx(np.sqrt(2 / np.pi), abs=3e-3)
    assert np.abs(acf_abs(r, 20).mean(axis=0)).max() < 4 / np.sqrt(r.size) + 1 / 2000
    assert log_volatility(r, 0.02).mean() == pytest.approx(np.log(0.5), abs=0.01)


def test_garch_remembers_its_volatility(train_returns, rng):
    simulated = moments(garch_t(train_returns, 10, 2000, rng), train_returns.std()).mean(axis=0)
    assert simulated[MOMENT_NAMES.index("acf_abs_short")] > 0.1
    assert simulated[MOMENT_NAMES.index("acf_abs_medium")] > 0.1
    assert simulated[MOMENT_NAMES.index("hill")] < 4.0


@pytest.mark.parametrize("days", [30, 250, 999, 1000, 3018])
def test_every_moment_equals_an_independent_computation(train_returns, days):
    r = train_returns[:days]
    z = (r - np.mean(r)) / np.std(r)
    of_abs = statsmodels_acf(np.abs(z), nlags=11, fft=True)
    ordered = sorted(np.abs(z), reverse=True)
    k = days * (10 if days < 1000 else 5) // 100
    excess = [np.log(x) - np.log(ordered[k]) for x in ordered[:k]]
    expected = [
        statsmodels_acf(z, nlags=1, fft=False)[1],
        k / sum(excess),
        sum(abs(x) for x in z) / days,
        (of_abs[1] + of_abs[2]) / 2,
        (of_abs[4:7].mean() + of_abs[9:12].mean()) / 2,
        np.log(np.std(r)) - np.log(0.01),
        abs(np.log(np.exp(r).prod())) / np.std(r) / np.sqrt(days),
        np.log(np.exp(r).prod()) / np.std(r) / np.sqrt(days),
        np.mean([z[:-k] @ (np.abs(z) - np.abs(z).mean())[k:] for k in range(1, 11)])
        / days
        / np.std(np.abs(z)),
    ]
    if days >= 250:
        far = statsmodels_acf(np.abs(z), nlags=50, fft=True)
        expected.append(far[20:51].mean())
    np.testing.assert_allclose(moments(r, 0.01), expected, rtol=1e-9)
    np.testing.assert_allclose(acf_abs(r, 11), of_abs[1:], rtol=1e-9)
    np.testing.assert_allclose(acf(r, (0, 3)), statsmodels_acf(r, nlags=3)[[0, 3]], rtol=1e-9)


def test_a_batch_equals_its_paths_one_by_one(train_returns):
    batch = train_returns[:3000].reshape(2, 5, 300)
    batch_moments = moments(batch, 0.01)
    assert batch_moments.shape == (2, 5, 10)
    for index in np.ndindex(2, 5):
        np.testing.assert_allclose(batch_moments[index], moments(batch[index], 0.01), rtol=1e-12)


def test_scale_and_drift_move_only_the_volatility(train_returns):
    plain = moments(train_returns, 0.01)
    moved = moments(3.0 * train_returns + 0.002, 0.01)
    np.testing.assert_allclose(moved[:5], plain[:5], rtol=1e-9)
    assert moved[5] - plain[5] == pytest.approx(np.log(3.0))


def _day(value, days=250):
    path = 0.01 * np.random.default_rng(0).standard_normal(days)
    path[7] = value
    return path


DEGENERATE = {
    "constant price": np.zeros(250),
    "constant return": np.full(250, 0.001),
    "non-finite return": _day(np.nan),
    "log return beyond 100": _day(1e300),
    "29 days, fewer than 30": 0.01 * np.random.default_rng(0).standard_normal(29),
    "price hardly ever moves": np.tile([0.01, -0.01] + [0.0] * 48, 5),
    "returns of one size only": np.tile([0.01, -0.01], 125),
}


@pytest.mark.parametrize(("moves", "days"), [(1, 250), (25, 250), (50, 1000)])
def test_a_price_that_moves_on_no_more_days_than_the_tail_has_is_hardly_moving(moves, days, rng):
    path = np.zeros(days)
    path[:moves] = 0.01 * rng.random(moves)
    assert str(path_faults(path)) == "price hardly ever moves"
    path[moves] = 0.005
    assert str(path_faults(path)) == ("" if moves > 1 else "price hardly ever moves")


@pytest.mark.parametrize("fault", DEGENERATE)
def test_a_degenerate_path_has_nan_moments_and_a_named_fault(fault):
    path = DEGENERATE[fault]
    assert str(path_faults(path)) == fault
    assert np.isnan(moments(path, 0.01)).all()
    assert np.isnan(standardise(path)).all()
    assert np.isnan(acf_abs(path, 5)).all()


def test_a_degenerate_path_leaves_its_neighbours_alone(train_returns):
    batch = np.stack([np.zeros(250), train_returns[:250], np.full(250, np.inf)])
    assert path_faults(batch).tolist() == ["constant price", "", "non-finite return"]
    np.testing.assert_array_equal(moments(batch, 0.01)[1], moments(train_returns[:250], 0.01))


@given(arrays(np.float64, (2, 40), elements=st.floats(width=64)))
def test_any_float_gives_finite_moments_or_a_fault(paths):
    sound = path_faults(paths) == ""
    assert (np.isfinite(moments(paths, 0.01)).all(axis=-1) == sound).all()


def test_short_and_medium_memory_look_at_their_own_lags():
    echo = np.random.default_rng(1).standard_normal(20_000) ** 2
    r = np.where(np.arange(20_000) % 2, 1.0, -1.0) * (echo + np.roll(echo, 5))
    assert acf_abs_medium(r) == pytest.approx(0.5 / 6, abs=0.02)
    assert abs(acf_abs_short(r)) < 0.02


def test_displacement_tells_walks_from_drifts_and_returns():
    r = np.random.default_rng(2).standard_normal((400, 250))
    walk = displacement(r).mean()
    assert walk == pytest.approx(np.sqrt(2 / np.pi), abs=0.08)
    assert displacement(r + 0.2).mean() == pytest.approx(0.2 * np.sqrt(250), rel=0.05)
    assert displacement(np.diff(r, axis=1)).mean() < 0.1
    assert displacement(-1e-3 * r[0]) == pytest.approx(displacement(r[0]))


@pytest.mark.parametrize("days", [30, 250, 1000, 9000])
def test_a_path_has_the_same_bits_by_itself_and_among_others(days, rng):
    r = 0.01 * rng.standard_t(3, size=(8, 4, days))
    r[3, 2] = 0.0
    together = moments(r, 0.01)
    alone = [[moments(path, 0.01) for path in group] for group in r]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, [moments(group, 0.01) for group in r])
    assert np.isnan(together[3, 2]).all()
    assert np.isfinite(together).all(axis=-1).sum() == 31


def test_the_moment_of_volume_is_spearmans_and_stands_last(train_returns, rng):
    paths = train_returns[:500].reshape(2, 250)
    volume = np.exp(rng.standard_normal((2, 250))) * (1 + 50 * np.abs(paths))
    found = moments(paths, 0.01, volume)
    assert measured(250, True) == MOMENT_NAMES
    np.testing.assert_array_equal(found[:, :-1], moments(paths, 0.01))
    for path, traded, values in zip(paths, volume, found, strict=True):
        expected = spearmanr(np.abs(path - path.mean()), traded).statistic
        assert values[-1] == pytest.approx(expected)
    assert volume_volatility(paths, np.full_like(paths, 3.0)).tolist() == [0.0, 0.0]
    with pytest.raises(FitnessError, match=r"volume of shape \(250,\)"):
        moments(paths, 0.01, volume[0])
    with pytest.raises(FitnessError, match="no finite number of 0 or more"):
        moments(paths, 0.01, -volume)


def test_short_paths_have_no_long_memory():
    assert set(measured(250, False)) - set(measured(249, False)) == {"acf_abs_long"}


def test_losses_that_stir_the_market_are_seen_as_leverage(rng):
    shocks = rng.standard_normal((20, 2000))
    returns, sd = np.zeros_like(shocks), np.ones(20)
    for day in range(2000):
        returns[:, day] = sd * shocks[:, day]
        sd = 0.9 * sd + 0.1 + 0.15 * (returns[:, day] < -1)
    assert leverage_abs(returns).max() < 0
    assert leverage_abs(-returns).min() > 0
    np.testing.assert_allclose(drift(-returns), -drift(returns))
