import numpy as np
import pytest
from scipy.stats import pearsonr

from evobourse.fitness.conditional.path import PATH_MEASURES, score_conditioned_paths
from evobourse.fitness.errors import FitnessError

RMSE, MAE, CORRELATION, BEST_LAG = range(len(PATH_MEASURES))


def walk(rng, seeds, days=251):
    return 100 * np.exp(0.01 * rng.standard_normal((seeds, days)).cumsum(axis=1))


@pytest.fixture
def real(train_returns):
    return 100 * np.exp(train_returns[:251].cumsum())


@pytest.fixture
def followers(real, rng):
    return real + rng.normal(0.0, 0.5, (40, len(real)))


def test_a_path_follows_itself_without_error(real, rng):
    score = score_conditioned_paths(np.stack([real] * 3), real, rng)
    itself = [0.0, 0.0, 1.0, 0.0]
    assert score.verdict == "ok"
    np.testing.assert_allclose(score.per_path, [itself] * 3, atol=1e-12)
    for measures in (score.mean, score.of_mean_path):
        np.testing.assert_allclose(measures, itself, atol=1e-12)
    for interval in (score.mean_interval, score.of_mean_path_interval):
        np.testing.assert_allclose(interval, [itself] * 2, atol=1e-12)


@pytest.mark.parametrize("lag", [-10, -2, 1, 3, 10])
def test_a_shifted_path_has_its_shift_as_best_lag(lag, train_returns, rng):
    prices = 100 * np.exp(train_returns[:300].cumsum())
    real, shifted = prices[20:280], prices[20 - lag : 280 - lag]
    score = score_conditioned_paths(shifted[None], real, rng)
    assert score.per_path[0, BEST_LAG] == lag
    assert score.per_path[0, CORRELATION] < 0.2
    if abs(lag) == 10:
        near = score_conditioned_paths(shifted[None], real, rng, max_lag_days=5)
        assert near.per_path[0, BEST_LAG] != lag


def test_measures_agree_with_direct_computations(real, followers, rng):
    score = score_conditioned_paths(followers, real, rng)
    mean_path = followers.mean(axis=0)
    for path, measures in [*zip(followers, score.per_path, strict=True), (mean_path, None)]:
        found = score.of_mean_path if measures is None else measures
        gap = path - real
        assert found[RMSE] == pytest.approx(np.linalg.norm(gap) / np.sqrt(len(real)))
        assert found[MAE] == pytest.approx(sum(abs(x) for x in gap) / len(real))
        moves = pearsonr(np.diff(np.log(path)), np.diff(np.log(real)))
        assert found[CORRELATION] == pytest.approx(moves.statistic)
    np.testing.assert_allclose(score.mean, score.per_path.mean(axis=0))
    assert score.of_mean_path[RMSE] < score.per_path[:, RMSE].min()
    assert score.of_mean_path[CORRELATION] > score.per_path[:, CORRELATION].max()


def test_the_unit_of_price_is_the_unit_of_error_alone(real, followers, rng):
    once = score_conditioned_paths(followers, real, rng).per_path
    twice = score_conditioned_paths(2 * followers, 2 * real, rng).per_path
    np.testing.assert_allclose(twice, once * [2, 2, 1, 1])


def test_intervals_are_those_of_the_mean_over_seeds(real, rng):
    noise = rng.uniform(0.2, 2.0, 40)[:, None] * rng.standard_normal((40, len(real)))
    score = score_conditioned_paths(real + noise, real, rng)
    for i in (RMSE, MAE, CORRELATION):
        low, high = score.mean_interval[:, i]
        standard_error = score.per_path[:, i].std(ddof=1) / np.sqrt(40)
        assert low < score.mean[i] < high
        assert high - low == pytest.approx(2 * 1.96 * standard_error, rel=0.15)


def test_intervals_are_the_same_from_the_same_seed(real, followers):
    first, second = (
        score_conditioned_paths(followers, real, np.random.default_rng(7)) for _ in range(2)
    )
    np.testing.assert_array_equal(first.mean_interval, second.mean_interval)
    np.testing.assert_array_equal(first.of_mean_path_interval, second.of_mean_path_interval)


def test_a_single_path_has_no_interval(real, followers, rng):
    score = score_conditioned_paths(followers[:1], real, rng)
    np.testing.assert_allclose(score.mean, score.of_mean_path)
    assert np.isnan(score.mean_interval).all()
    assert np.isnan(score.of_mean_path_interval).all()


def test_unrelated_paths_have_a_lag_no_more_often_than_chance(rng):
    score = score_conditioned_paths(walk(rng, 400), walk(rng, 1)[0], rng, resamples=10)
    named = np.isfinite(score.per_path[:, BEST_LAG])
    assert named.mean() == pytest.approx(0.05, abs=0.04)
    none = score_conditioned_paths(walk(rng, 400)[~named][:4], walk(rng, 1)[0], rng, resamples=10)
    assert np.isnan(none.mean_interval[:, BEST_LAG]).all()


def test_a_degenerate_path_leaves_no_number_to_quote(real, followers, rng):
    for value, fault in ((100.0, "constant price"), (np.nan, "non-finite"), (-1.0, "non-finite")):
        paths = followers.copy()
        paths[2] = value
        score = score_conditioned_paths(paths, real, rng)
        assert score.verdict.startswith(f"path 2: {fault}")
        assert np.isfinite(np.delete(score.per_path, 2, axis=0)[:, :BEST_LAG]).all()
        for measures in (
            score.per_path[2],
            score.mean,
            score.of_mean_path,
            *score.mean_interval,
            *score.of_mean_path_interval,
        ):
            np.testing.assert_array_equal(measures, [np.inf, np.inf, np.nan, np.nan])


@pytest.mark.parametrize(
    ("paths", "real", "lags", "message"),
    [
        (np.ones((2, 50)), np.ones(51), 10, r"\(2, 50\) beside real ones of \(51,\)"),
        (np.ones(50), np.ones(50), 10, r"\(50,\)"),
        (np.ones((0, 50)), np.ones(50), 10, r"\(0, 50\)"),
        (np.ones((2, 50)), np.ones(50), 10, "real prices: constant price"),
        (np.ones((2, 20)), np.arange(1, 21), 2, "real prices: 19 days, fewer than 30"),
        (np.ones((2, 50)), 50 + np.sin(np.arange(50)), 13, "max_lag_days=13: expected 0 to 12"),
        (np.ones((2, 50)), 50 + np.sin(np.arange(50)), -1, "max_lag_days=-1"),
    ],
)
def test_a_question_without_an_answer_is_refused(paths, real, lags, message, rng):
    with pytest.raises(FitnessError, match=message):
        score_conditioned_paths(paths, real, rng, max_lag_days=lags)
