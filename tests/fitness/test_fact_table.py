import numpy as np
import pytest
from arch.data import sp500
from scipy.stats import norm

from evobourse.fitness.baselines.without_agents import gbm
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.fact_table import (
    FACT_NAMES,
    compare_facts,
    max_drawdown,
    quantile_distance,
    spread_windows,
)
from evobourse.fitness.facts import excess_kurtosis, leverage, volume_volatility
from evobourse.fitness.moments import standardise


@pytest.fixture(scope="module")
def real(train_returns):
    return spread_windows(train_returns, 250, 60)


@pytest.fixture(scope="module")
def volume():
    traded = sp500.load()["Volume"]["1999-01-05":"2010-12-31"]
    return spread_windows(traded, 250, 60)


def by_name(rows):
    assert tuple(row.name for row in rows) == FACT_NAMES
    return {row.name: row for row in rows}


def test_rows_hold_the_means_and_the_band_of_the_real_windows(real, volume, train_returns, rng):
    simulated, traded = train_returns[:1000].reshape(4, 250), volume[:4]
    rows = by_name(compare_facts(simulated, real, rng, traded, volume))
    row, each, windows = rows["leverage"], leverage(simulated), leverage(real)
    assert row.simulated == pytest.approx(each.mean())
    assert row.real == pytest.approx(windows.mean())
    assert (row.low, row.high) == pytest.approx(tuple(np.quantile(windows, [0.025, 0.975])))
    assert row.coverage == np.mean((each >= row.low) & (each <= row.high))
    gap = each.mean() - windows.mean()
    assert row.standard_errors == pytest.approx(gap / (windows.std() / np.sqrt(4)))
    assert (row.defined, row.paths) == (4, 4)
    middle = np.quantile(each, [0.025, 0.975])
    assert (row.simulated_low, row.simulated_high) == pytest.approx(tuple(middle))
    assert rows["volume_volatility"].real == pytest.approx(volume_volatility(real, volume).mean())
    assert rows["excess_kurtosis"].real == pytest.approx(excess_kurtosis(real).mean())


def test_real_windows_lie_within_their_own_band(real, volume, rng):
    rows = by_name(compare_facts(real, real, rng, volume, volume))
    itself = rows["signature_mmd"]
    assert (itself.simulated, itself.coverage) == (pytest.approx(0.0, abs=1e-7), 1.0)
    undefined_on_some = {"acf_abs_month", "acf_abs_quarter", "decay_exponent"}
    for name in set(FACT_NAMES) - undefined_on_some - {"signature_mmd"}:
        assert rows[name].coverage == pytest.approx(0.95, abs=0.03), name
        assert rows[name].standard_errors == pytest.approx(0.0, abs=1e-9), name


def test_a_random_walk_has_its_facts_absent(real, volume, train_returns, rng):
    rows = by_name(compare_facts(gbm(train_returns, 60, 250, rng), real, rng, None, volume))
    absent = {
        "excess_kurtosis": 0.0,
        "skewness": 0.0,
        "aggregational_gaussianity": 0.0,
        "fano_factor": 0.9,
        "volatility_clustering": 0.0,
        "conditional_kurtosis": 0.0,
        "leverage": 0.0,
        "coarse_fine_asymmetry": 0.0,
    }
    for name, value in absent.items():
        assert rows[name].simulated == pytest.approx(value, abs=0.15), name
    for name in ("excess_kurtosis", "volatility_clustering", "fano_factor", "leverage"):
        assert abs(rows[name].standard_errors) > 5, name
    assert rows["leverage"].coverage < 0.6
    assert rows["quantile_distance"].standard_errors > 3


def test_a_fact_without_data_is_named_and_never_inside(real, train_returns, rng):
    paths = gbm(train_returns, 4, 250, rng)
    paths[1] = 0.0
    rows = by_name(compare_facts(paths, real, rng))
    assert rows["leverage"].defined == 3
    assert rows["leverage"].coverage <= 3 / 4
    assert np.isnan(rows["volume_volatility"].real)
    assert np.isnan(rows["volume_volatility"].coverage)
    assert rows["acf_abs_month"].defined == 0
    assert rows["signature_mmd"].coverage == 0.0
    dead = by_name(compare_facts(np.zeros((2, 250)), real, rng))
    assert dead["leverage"].coverage == dead["signature_mmd"].coverage == 0.0
    assert np.isnan(dead["leverage"].simulated)
    assert np.isnan(dead["leverage"].standard_errors)


def test_the_quantile_distance_is_the_mean_gap_of_sorted_returns(train_returns, rng):
    q = norm.ppf((np.arange(250) + 0.5) / 250)
    path = train_returns[:250]
    by_hand = np.abs(np.sort(standardise(path)) - q).mean()
    assert quantile_distance(path, q) == pytest.approx(by_hand)
    assert quantile_distance(0.1 * path + 1.0, q) == pytest.approx(by_hand)
    assert quantile_distance(path, np.sort(standardise(path))) == pytest.approx(0.0, abs=1e-12)
    # Laplace against Gauss: the integral of the absolute difference of their quantiles
    p = (np.arange(100_000) + 0.5) / 100_000
    laplace = -np.sign(p - 0.5) * np.log1p(-2 * np.abs(p - 0.5)) / np.sqrt(2)
    known = np.abs(laplace - norm.ppf(p)).mean()
    drawn = rng.laplace(size=(20, 20_000))
    assert quantile_distance(drawn, norm.ppf(p)).mean() == pytest.approx(known, abs=0.01)
    assert np.isnan(quantile_distance(np.zeros(250), q))


def test_the_drawdown_counts_from_the_highest_price_before():
    steps = np.interp(np.arange(121), [0, 30, 60, 90, 120], np.log([100, 120, 90, 150, 75]))
    path = np.diff(steps + 1e-4 * np.sin(np.arange(121)))
    assert max_drawdown(path) == pytest.approx(0.5, abs=1e-3)
    assert max_drawdown(-path) == pytest.approx(1 - (1 / 150) / (1 / 90), abs=1e-3)
    falling = np.full(60, -0.01) + 1e-3 * np.sin(np.arange(60))
    assert max_drawdown(falling) == pytest.approx(-np.expm1(falling.sum()))
    assert np.isnan(max_drawdown(np.zeros(60)))


def test_the_drawdown_recovers_brownian_motions(rng):
    days = 4000
    walks = 1e-5 * rng.standard_normal((400, days))  # so small that a share is a log price
    found = max_drawdown(walks) / (1e-5 * np.sqrt(days))
    # Magdon-Ismail, Atiya, Pratap and Abu-Mostafa (2004), J. Appl. Probab. 41(1), 147-161
    error = found.std() / np.sqrt(len(found))
    unseen_between_days = 2 * 0.5826 / np.sqrt(days)  # Broadie, Glasserman and Kou (1997)
    known = np.sqrt(np.pi / 2) - unseen_between_days
    assert found.mean() == pytest.approx(known, abs=4 * error + 0.01)


def test_windows_are_spread_over_the_whole_series():
    windows = spread_windows(np.arange(100), 30, 8)
    assert windows[:, 0].tolist() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert windows[-1, -1] == 99
    assert len(spread_windows(np.arange(32), 30, 100)) == 3
    with pytest.raises(FitnessError, match="29 days, expected a window of 30"):
        spread_windows(np.arange(29), 30, 2)


def test_paths_and_windows_of_different_length_are_refused(real, rng):
    with pytest.raises(FitnessError, match="as many days"):
        compare_facts(np.zeros((2, 100)), real, rng)
    with pytest.raises(FitnessError, match="no real window"):
        compare_facts(real, np.zeros_like(real), rng)
