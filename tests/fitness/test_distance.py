from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy.stats import f as f_distribution

from evobourse.fitness.baselines.without_agents import block_bootstrap, gbm
from evobourse.fitness.distance import (
    covered,
    make_target,
    score_candidates,
    score_groups,
    score_paths,
)
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import moments


def _groups(paths):
    return paths.reshape(-1, 4, 250)


def test_j_is_the_quadratic_form_of_the_mean_moments(target, train_returns):
    paths = train_returns[:1000].reshape(4, 250)
    score = score_paths(paths, target)
    gap = moments(paths, target.sigma_real).mean(axis=0) - target.m_star
    covariance = np.linalg.inv(target.weight)
    assert score.j == pytest.approx(gap @ np.linalg.solve(covariance, gap))
    assert score.ratio == pytest.approx(score.j / target.j95)
    assert score.per_path.shape == (4, 7)
    assert score.verdict == "ok"


def test_a_generation_scored_at_once_is_scored_as_one_by_one(target, train_returns, rng):
    groups = _groups(block_bootstrap(train_returns, 24, 250, rng))
    groups[2, 1] = 0.0
    for one, group in zip(score_candidates(groups, target), groups, strict=True):
        alone = score_paths(group, target)
        assert (one.j, one.ratio, one.p_value, one.verdict) == (
            *(alone.j, alone.ratio, alone.p_value),
            alone.verdict,
        )
        np.testing.assert_array_equal(one.per_path, alone.per_path)


def test_the_mean_j_of_the_real_resamples_is_the_number_of_moments(target):
    resamples = len(target.j_real)
    assert target.j_real.mean() == pytest.approx(7 * (resamples - 1) / resamples)


def test_five_percent_of_real_resamples_lie_above_j95(target, train_returns, rng):
    fresh = _groups(block_bootstrap(train_returns, 4 * 3000, 250, rng))
    rejected = np.mean([score_paths(group, target).ratio > 1 for group in fresh])
    assert rejected == pytest.approx(0.05, abs=0.02)


def test_weight_inverts_the_spread_of_the_statistic(target, train_returns, rng):
    fresh = _groups(block_bootstrap(train_returns, 4 * 3000, 250, rng))
    means = moments(fresh, target.sigma_real).mean(axis=1)
    root = np.linalg.cholesky(target.weight)
    np.testing.assert_allclose(root.T @ np.cov(means.T) @ root, np.eye(7), atol=0.2)
    np.testing.assert_allclose(means.mean(axis=0), target.m_star, atol=0.05)
    np.testing.assert_allclose(2 * means.std(axis=0), target.moment_sd, rtol=0.1)


def test_the_ceiling_passes_and_a_random_walk_does_not(target, train_returns, rng):
    ceiling = score_groups(_groups(block_bootstrap(train_returns, 64, 250, rng)), target, rng)
    walk = score_groups(_groups(gbm(train_returns, 64, 250, rng)), target, rng)
    assert ceiling.ratio < ceiling.ci_high < 1 < walk.ci_low < walk.ratio
    assert walk.mcr < 0.3 < 0.6 < ceiling.mcr
    assert ceiling.ci_low < ceiling.ratio
    assert ceiling.ratios.shape == (16,)
    assert ceiling.ratio == pytest.approx(ceiling.ratios.mean())
    assert ceiling.per_path.shape == (64, 7)


def test_the_p_value_is_the_share_of_real_resamples_as_far(target, train_returns, rng):
    assert np.quantile(target.j_real, 0.95) == pytest.approx(target.j95)
    fresh = _groups(block_bootstrap(train_returns, 4 * 1000, 250, rng))
    scores = [score_paths(group, target) for group in fresh]
    assert [score.p_value for score in scores[:50]] == pytest.approx(
        [np.mean(target.j_real >= score.j) for score in scores[:50]]
    )
    assert all((score.p_value <= 0.05) == (score.ratio >= 1) for score in scores)
    p_values = [score.p_value for score in scores]
    for level in (0.1, 0.5, 0.9):
        assert np.mean(np.array(p_values) <= level) == pytest.approx(level, abs=0.06)


def test_two_samples_of_one_law_are_rejected_as_seldom_as_promised():
    rng = np.random.default_rng(6)
    resampled, two_sample = [], []
    for _ in range(40):
        history = 0.01 * rng.standard_t(6, size=2500)
        target = make_target(history, 100, 25, rng, resamples=500)
        for group in 0.01 * rng.standard_t(6, size=(10, 25, 100)):
            score = score_paths(group, target)
            resampled.append(score.p_value <= 0.05)
            two_sample.append(score.p_two_sample <= 0.05)
    assert np.mean(resampled) > 0.4
    assert np.mean(two_sample) < 0.07


def test_the_two_sample_p_is_hotellings(target, train_returns):
    score = score_paths(train_returns[:1000].reshape(4, 250), target)
    held = len(train_returns) // 250
    statistic = 4 * held / (4 + held) * (score.j / 4)
    by_f = f_distribution.sf(statistic * (held - 7) / (7 * (held - 1)), 7, held - 7)
    assert target.history_windows == held == 12
    assert score.p_two_sample == pytest.approx(by_f)


def test_a_history_of_fewer_windows_than_moments_cannot_judge(train_returns, rng):
    group = train_returns[1000:1250].reshape(1, 250)
    for windows, known in ((7, False), (8, True)):
        target = make_target(train_returns[: 250 * windows], 250, 1, rng, resamples=200)
        assert np.isfinite(score_paths(group, target).p_two_sample) == known


def test_coverage_is_counted_moment_by_moment(target, train_returns, rng):
    real = score_groups(_groups(block_bootstrap(train_returns, 800, 250, rng)), target, rng)
    np.testing.assert_allclose(real.coverage, 0.95, atol=0.03)
    assert real.mcr < real.coverage.min()
    inside = covered(real.per_path, target)
    assert inside.shape == (800, 7)
    assert real.mcr == np.mean([row.all() for row in inside])
    walk = score_groups(_groups(gbm(train_returns, 400, 250, rng)), target, rng)
    assert walk.coverage[0] > 0.75 > 0.5 > walk.coverage[2]
    assert not covered(np.full(7, np.nan), target).any()


def test_a_dead_market_scores_infinity_and_says_why(target, train_returns, rng):
    group = train_returns[:1000].reshape(4, 250).copy()
    group[2] = 0.0
    score = score_paths(group, target)
    assert score.j == score.ratio == np.inf
    assert score.verdict == "path 2: constant price"
    assert score.p_value == score.p_two_sample == 0.0
    assert np.isnan(score.moments).all()
    split = score_groups(np.stack([train_returns[:1000].reshape(4, 250), group]), target, rng)
    assert split.ratio == split.ci_low == split.ci_high == np.inf
    assert split.verdict == "group 1, path 2: constant price"
    assert np.isfinite(split.ratios[0])
    assert split.mcr <= 7 / 8


def test_same_seed_same_bytes(train_returns):
    def target(seed):
        return make_target(train_returns, 250, 4, np.random.default_rng(seed), resamples=200)

    assert target(1).content_hash == target(1).content_hash != target(2).content_hash
    assert target(1).weight.tobytes() == target(1).weight.tobytes()
    paths = _groups(gbm(train_returns, 64, 250, np.random.default_rng(3)))
    first, second = (
        score_groups(paths, target(1), np.random.default_rng(5), resamples=200) for _ in range(2)
    )
    assert (first.ratio, first.ci_low, first.ci_high) == (
        second.ratio,
        second.ci_low,
        second.ci_high,
    )


def test_target_is_frozen(target):
    with pytest.raises(FrozenInstanceError):
        target.j95 = 1.0


@pytest.mark.parametrize("shape", [(3, 250), (4, 249), (250,), (1, 4, 250)])
def test_another_statistic_than_the_targets_is_refused(target, shape):
    with pytest.raises(FitnessError, match=r"expected \(4, 250\)"):
        score_paths(np.zeros(shape), target)


def test_one_group_has_no_interval(target, rng):
    with pytest.raises(FitnessError, match="at least two groups"):
        score_groups(np.zeros((1, 4, 250)), target, rng)


@pytest.mark.parametrize(
    ("days", "arguments", "message"),
    [
        (499, {}, "two windows of 250 days"),
        (600, {"window_days": 20}, "window_days=20"),
        (600, {"paths": 0}, "paths=0"),
        (600, {"resamples": 5}, "resamples=5"),
    ],
)
def test_a_target_that_cannot_be_made_is_refused(train_returns, rng, days, arguments, message):
    with pytest.raises(FitnessError, match=message):
        make_target(train_returns[:days], **({"window_days": 250, "paths": 4} | arguments), rng=rng)


def test_a_gap_in_the_real_series_is_located(train_returns, rng):
    series = train_returns.copy()
    series[700] = np.nan
    with pytest.raises(FitnessError, match="from day 451: non-finite"):
        make_target(series, 250, 4, rng)


def test_a_split_whose_windows_are_all_alike_is_refused(train_returns, rng):
    with pytest.raises(FitnessError, match="no inverse"):
        make_target(np.tile(train_returns[:60], 10), 60, 4, rng)
