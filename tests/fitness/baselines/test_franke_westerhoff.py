from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kurtosis

from evobourse.fitness.baselines.franke_westerhoff import (
    BURN_IN_DAYS,
    PUBLISHED,
    FrankeWesterhoff,
    franke_westerhoff,
)
from evobourse.fitness.distance import score_paths
from evobourse.fitness.moments import ac1, acf_abs, hill, path_faults
from evobourse.market.errors import MarketError

PAPERS_DAYS = 6750


@pytest.fixture(scope="module")
def long_paths():
    return franke_westerhoff(PUBLISHED, 100, PAPERS_DAYS, np.random.default_rng(1))


def test_seed_decides_every_byte_and_paths_differ():
    first, second, other = (
        franke_westerhoff(PUBLISHED, 3, 100, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first.shape == (3, 100)
    assert first.dtype == np.float64
    assert first.tobytes() == second.tobytes() != other.tobytes()
    assert len(np.unique(first[:, -1])) == 3


def test_the_papers_equations_written_out_give_the_same_returns():
    market = FrankeWesterhoff(0.9, 2.2, -0.2, 1.1, 30.0, 0.6, 3.0, 0.02, 0.7)
    days = BURN_IN_DAYS + 50
    noise_f, noise_c = np.random.default_rng(4).standard_normal((days, 2)).T
    p, n_f, n_c, a = np.zeros(days + 1), np.zeros(days + 1), np.zeros(days + 1), np.zeros(days)
    n_f[0] = 0.5
    for t in range(days):
        n_c[t] = 1.0 - n_f[t]
        d_f = market.phi * (0.0 - p[t]) + market.sigma_f * noise_f[t]
        d_c = market.chi * (p[t] - p[t - 1] if t else 0.0) + market.sigma_c * noise_c[t]
        a[t] = market.alpha_n * (n_f[t] - n_c[t]) + market.alpha_0 + market.alpha_p * p[t] ** 2
        p[t + 1] = p[t] + market.mu * (n_f[t] * d_f + n_c[t] * d_c)
        n_f[t + 1] = 1.0 / (1.0 + np.exp(-market.beta * a[t]))
    ours = franke_westerhoff(market, 1, 50, np.random.default_rng(4))
    np.testing.assert_allclose(ours[0], np.diff(p)[-50:], rtol=1e-9, atol=1e-14)


def test_published_market_is_as_volatile_as_a_stock_index(long_paths):
    assert long_paths.std() == pytest.approx(0.01, rel=0.1)


def test_returns_are_unpredictable(long_paths):
    assert abs(ac1(long_paths).mean()) < 0.02


def test_tails_are_fat(long_paths):
    assert (kurtosis(long_paths, axis=1) > 0.5).all()
    normal = np.random.default_rng(0).standard_normal(long_paths.shape)
    assert 3.0 < hill(long_paths).mean() < 4.5 < hill(normal).min()


def test_volatility_clusters_and_its_memory_fades_slowly(long_paths):
    memory = acf_abs(long_paths, 100).mean(axis=0)
    assert memory[0] > 0.12
    assert memory[0] > memory[24] > memory[99] > 0.02


def test_without_louder_chartists_there_is_no_stochastic_volatility():
    alike = replace(PUBLISHED, sigma_c=PUBLISHED.sigma_f, chi=0.0, phi=0.0, alpha_p=0.0)
    paths = franke_westerhoff(alike, 50, PAPERS_DAYS, np.random.default_rng(1))
    assert abs(acf_abs(paths, 10).mean()) < 0.01
    assert abs(kurtosis(paths, axis=1).mean()) < 0.05


@pytest.mark.parametrize(
    ("name", "value"), [("phi", np.nan), ("alpha_0", np.inf), ("sigma_c", -1.0), ("mu", -0.01)]
)
def test_impossible_parameters_are_named(name, value):
    with pytest.raises(MarketError, match=f"{name}={value}"):
        replace(PUBLISHED, **{name: value})


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"phi": 1000.0}, "non-finite return"),
        ({"sigma_f": 0.0, "sigma_c": 0.0}, "constant price"),
        ({"mu": 0.0}, "constant price"),
        ({"sigma_f": 1e9, "sigma_c": 1e9}, "log return beyond"),
    ],
)
def test_a_broken_market_has_a_verdict_and_an_infinite_score(target, rng, changes, fault):
    paths = franke_westerhoff(replace(PUBLISHED, **changes), target.paths, 250, rng)
    assert all(found.startswith(fault) for found in path_faults(paths))
    scored = score_paths(paths, target)
    assert scored.ratio == np.inf
    assert fault in scored.verdict


def test_students_noise_has_variance_one_and_heavier_tails():
    # Without feedback the return is mu times noise alone.
    still = {"phi": 0.0, "chi": 0.0, "alpha_n": 0.0, "alpha_p": 0.0, "alpha_0": 50.0}
    paths = {
        nu: franke_westerhoff(
            FrankeWesterhoff(**still, nu=nu), 4, 50_000, np.random.default_rng(5), burn_in_days=10
        )
        / (PUBLISHED.mu * PUBLISHED.sigma_f)
        for nu in (5.0, np.inf)
    }
    for values in paths.values():
        assert values.var() == pytest.approx(1.0, rel=0.03)
    assert (np.abs(paths[5.0]) > 5).mean() > 20 * (np.abs(paths[np.inf]) > 5).mean()
    assert (np.abs(paths[5.0]) > 5).mean() == pytest.approx(0.00135, rel=0.35)


def test_degrees_of_freedom_without_a_variance_are_refused():
    with pytest.raises(MarketError, match=r"nu=2\.0: use a number over 2"):
        FrankeWesterhoff(nu=2.0)
