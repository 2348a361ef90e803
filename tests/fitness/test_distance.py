from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from evobourse.fitness.baselines.without_agents import block_bootstrap, gbm
from evobourse.fitness.distance import (
    covered,
    make_target,
    score_candidates,
    score_groups,
    score_paths,
)
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import measured, moments
from evobourse.fitness.target import target_of_windows


def _groups(paths):
    return paths.reshape(-1, 4, 250)


def test_j_is_the_sum_of_squared_gaps_in_their_standard_deviations(target, train_returns):
    paths = train_returns[:1000].reshape(4, 250)
    score = score_paths(paths, target)
    every = moments(np.lib.stride_tricks.sliding_window_view(train_returns, 250), target.sigma_real)
    gap = moments(paths, target.sigma_real).mean(axis=0) - every.mean(axis=0)
    off = gap / target.gaps.std(axis=0)
    assert score.j == pytest.approx(sum(off**2))
    assert score.ratio == pytest.approx(score.j / target.j95)
    worst = int(np.abs(off).argmax())
    assert score.worst == f"{target.names[worst]} {off[worst]:+.1f} sd"
    assert score.per_path.shape == (4, 10)
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


def test_the_resamples_of_real_years_are_scored_as_paths_are(target):
    squares = (target.gaps / target.gaps.std(axis=0)) ** 2
    np.testing.assert_allclose(np.sort(squares.sum(axis=1)), target.j_real)
    assert target.j_real.mean() == pytest.approx(10.0, rel=0.05)
    assert np.quantile(target.j_real, 0.95) == pytest.approx(target.j95)
    np.testing.assert_allclose(np.sort(squares.max(axis=1)), target.worst_real)
    p_values = np.array([target.p_value(one) for one in squares])
    for level in (0.05, 0.5, 0.9):
        assert np.mean(p_values <= level) == pytest.approx(level, abs=0.005)


def test_paths_of_the_same_years_make_no_more_years(train_returns):
    """Both means are of four stretches: their distance does not shrink with more paths."""
    few, many = (make_target(train_returns, 250, n, np.random.default_rng(0)) for n in (12, 96))
    shrunk = many.gap_sd / few.gap_sd
    assert 1 > shrunk.max() > shrunk.mean() > 0.7 > shrunk.min() > 0.5 > np.sqrt(12 / 96)


def test_the_ceiling_passes_and_a_random_walk_does_not(target, train_returns, rng):
    ceiling = score_groups(_groups(block_bootstrap(train_returns, 64, 250, rng)), target, rng)
    walk = score_groups(_groups(gbm(train_returns, 64, 250, rng)), target, rng)
    assert ceiling.ratio < ceiling.ci_high < walk.ci_low < walk.ratio
    assert walk.p_value < 0.01 < 0.2 < ceiling.p_value
    assert walk.mcr < 0.3 < 0.5 < ceiling.mcr
    assert ceiling.ci_low < ceiling.ratio
    assert ceiling.ratios.shape == (16,)
    assert ceiling.ratio == pytest.approx(ceiling.ratios.mean())
    assert ceiling.per_path.shape == (64, 10)


def test_one_moment_that_is_impossible_cannot_hide_among_good_ones(target):
    good = np.full(10, 0.2)
    assert target.p_value(good) > 0.5
    good[7] = 2.0 * target.worst_real[-1]
    assert good.sum() < target.j_real[-1]
    assert target.p_value(good) <= 0.001


def test_coverage_is_counted_moment_by_moment(target, train_returns, rng):
    real = score_groups(_groups(block_bootstrap(train_returns, 800, 250, rng)), target, rng)
    np.testing.assert_allclose(real.coverage, 0.95, atol=0.03)
    assert real.mcr < real.coverage.min()
    inside = covered(real.per_path, target)
    assert inside.shape == (800, 10)
    assert real.mcr == np.mean([row.all() for row in inside])
    walk = score_groups(_groups(gbm(train_returns, 400, 250, rng)), target, rng)
    assert walk.coverage[0] > 0.75 > 0.5 > walk.coverage[2]
    assert not covered(np.full(10, np.nan), target).any()


def test_a_dead_market_scores_infinity_and_says_why(target, train_returns, rng):
    group = train_returns[:1000].reshape(4, 250).copy()
    group[2] = 0.0
    score = score_paths(group, target)
    assert score.j == score.ratio == np.inf
    assert score.verdict == "path 2: constant price"
    assert (score.p_value, score.worst) == (0.0, "")
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
    assert target(1).gaps.tobytes() == target(1).gaps.tobytes()
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


def test_a_moment_that_never_varies_is_refused(train_returns, rng):
    period = train_returns[:60]
    with pytest.raises(FitnessError, match="is the same in all of its windows"):
        target_of_windows(
            np.tile(moments(period, 0.01), (100, 1)), measured(60, False), 0.01, 60, 4, 600, rng
        )
