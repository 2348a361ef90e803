import numpy as np
import pytest
from arch import arch_model

from evobourse.fitness.baselines.without_agents import (
    block_bootstrap,
    garch_t,
    garch_t_history,
    gbm,
    gbm_history,
    gjr_garch_t,
)
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.facts import leverage

BASELINES = {
    "gbm": lambda r, rng: gbm(r, 3, 100, rng),
    "gbm_history": lambda r, rng: gbm_history([r[:300], r[:900], r], 100, rng),
    "gbm_history, members": lambda r, rng: gbm_history([r], 100, rng, members=3),
    "garch_t": lambda r, rng: garch_t(r, 3, 100, rng),
    "gjr_garch_t": lambda r, rng: gjr_garch_t(r, 3, 100, rng),
    "garch_t_history": lambda r, rng: garch_t_history(r, [r[:300], r[:300], r], 100, rng),
    "garch_t_history, members": lambda r, rng: garch_t_history(r, [r], 100, rng, members=3),
    "block_bootstrap": lambda r, rng: block_bootstrap(r, 3, 100, rng),
}


@pytest.mark.parametrize("name", BASELINES)
def test_seed_decides_every_byte_and_paths_differ(name, train_returns):
    first, second, other = (
        BASELINES[name](train_returns, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first.shape == (3, 100)
    assert first.dtype == np.float64
    assert first.tobytes() == second.tobytes() != other.tobytes()
    assert len(np.unique(first[:, -1])) == 3  # also from equal histories


@pytest.mark.parametrize("name", BASELINES)
def test_degenerate_returns_are_refused(name, rng):
    with pytest.raises(FitnessError, match="constant price"):
        BASELINES[name](np.zeros(1000), rng)


def test_gbm_has_the_training_mean_and_volatility(train_returns, rng):
    paths = gbm(train_returns, 400, 1000, rng)
    sd = train_returns.std()
    assert paths.std() == pytest.approx(sd, rel=0.01)
    assert paths.mean() == pytest.approx(train_returns.mean(), abs=4 * sd / np.sqrt(paths.size))


def test_gbm_history_has_the_last_years_volatility_and_no_drift(train_returns, rng):
    history = np.concatenate([10 * train_returns[:500], train_returns[:250] + 0.01])
    paths = gbm_history([history] * 400, 1000, rng)
    sd = train_returns[:250].std()
    assert paths.std() == pytest.approx(sd, rel=0.01)
    assert abs(paths.mean()) < 4 * sd / np.sqrt(paths.size)


@pytest.fixture(scope="module")
def garch_sample():
    """A known GARCH(1,1)-t: omega 0.05, alpha 0.08, beta 0.87, nu 6; variance 1 (percent)."""
    shocks = np.random.default_rng(8).standard_t(6, size=8000) * np.sqrt(4 / 6)
    variance, returns = 1.0, np.empty(8000)
    for day, shock in enumerate(shocks):
        returns[day] = np.sqrt(variance) * shock
        variance = 0.05 + 0.08 * returns[day] ** 2 + 0.87 * variance
    return returns / 100


def test_garch_t_simulates_what_it_was_fitted_on(garch_sample, rng):
    again = garch_t(garch_sample, 4, 8000, rng)
    fit = arch_model(100 * again.ravel(), dist="t", rescale=False).fit(disp="off")
    assert again.std() == pytest.approx(0.01, rel=0.1)
    assert fit.params["alpha[1]"] == pytest.approx(0.08, abs=0.02)
    assert fit.params["beta[1]"] == pytest.approx(0.87, abs=0.04)
    assert fit.params["nu"] == pytest.approx(6, abs=1.2)


def test_gjr_garch_t_recovers_a_market_in_which_losses_weigh_more(rng):
    """A known GJR-GARCH(1,1,1)-t: omega 0.05, alpha 0.02, gamma 0.14, beta 0.86, nu 6."""
    shocks = np.random.default_rng(4).standard_t(6, size=8000) * np.sqrt(4 / 6)
    variance, returns = 1.0, np.empty(8000)
    for day, shock in enumerate(shocks):
        returns[day] = np.sqrt(variance) * shock
        weight = 0.02 + 0.14 * (shock < 0)
        variance = 0.05 + weight * returns[day] ** 2 + 0.86 * variance
    again = gjr_garch_t(returns / 100, 4, 8000, rng)
    fit = arch_model(100 * again.ravel(), o=1, dist="t", rescale=False).fit(disp="off")
    assert again.std() == pytest.approx(0.01, rel=0.1)
    known = {"alpha[1]": 0.02, "gamma[1]": 0.14, "beta[1]": 0.86, "nu": 6.0}
    for name, value in known.items():
        # twice four standard errors: the sample and the fit on its simulation both err
        error = fit.std_err[name] * np.sqrt(1 + 4)
        assert fit.params[name] == pytest.approx(value, abs=4 * error), name
    assert leverage(again).mean() < -0.02


def test_garch_t_history_starts_from_today_and_reverts_to_its_own_variance(garch_sample, rng):
    quiet, storm = 0.5 * garch_sample[:2000], 0.5 * garch_sample[:2000].copy()
    storm[-20:] *= 6.0
    calm, stormy = (
        garch_t_history(garch_sample, [history] * 300, 200, rng) for history in (quiet, storm)
    )
    assert stormy[:, :5].std() > 2 * calm[:, :5].std()
    assert calm[:, -50:].std() == pytest.approx(quiet[-750:].std(), rel=0.12)
    assert stormy[:, -50:].std() == pytest.approx(storm[-750:].std(), rel=0.12)


def test_garch_survives_a_fit_without_a_finite_variance(rng):
    variance, returns = 1.0, np.empty(1500)
    for day, shock in enumerate(np.random.default_rng(3).standard_normal(1500)):
        returns[day] = np.sqrt(variance) * shock
        variance = 0.01 + 0.15 * returns[day] ** 2 + 0.85 * variance
    assert np.isfinite(garch_t(returns / 100, 2, 250, rng)).all()


def test_block_bootstrap_draws_whole_real_windows(train_returns, rng):
    windows = {w.tobytes() for w in np.lib.stride_tricks.sliding_window_view(train_returns, 250)}
    assert all(path.tobytes() in windows for path in block_bootstrap(train_returns, 50, 250, rng))


def test_block_bootstrap_glues_short_blocks_and_short_series(rng):
    series = np.random.default_rng(0).standard_normal(40)
    path = block_bootstrap(series, 1, 100, rng)[0]
    np.testing.assert_array_equal(path, np.tile(series, 3)[:100])
    place = {value: day for day, value in enumerate(series)}
    days = np.array([place[value] for value in block_bootstrap(series, 1, 100, rng, 7)[0]])
    joints = np.flatnonzero(np.diff(days) != 1) + 1
    assert set(joints % 7) == {0}
    with pytest.raises(FitnessError, match="block_days=0"):
        block_bootstrap(series, 1, 100, rng, 0)


@pytest.mark.parametrize("law", [gbm_history, lambda *a: garch_t_history(a[0][0], *a)])
def test_members_of_a_history_lie_side_by_side(law, train_returns, rng):
    calm, wild = train_returns[:900] / 10, train_returns[:900] * 3
    paths = law([calm, wild], 60, rng, 5)
    assert paths.shape == (10, 60)
    spread = paths.std(axis=1)
    assert spread[:5].max() < spread[5:].min()
