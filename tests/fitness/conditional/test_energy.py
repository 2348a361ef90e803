"""The energy score: computed in other ways, least for the truth, and what it can tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import energy_distance

from evobourse.fitness.baselines.without_agents import garch_t, garch_t_history, gbm
from evobourse.fitness.comparisons import diebold_mariano
from evobourse.fitness.conditional.energy import (
    FEATURES,
    LEAST_QUARTERS,
    MEMBERS,
    WINDOW_DAYS,
    QuarterScores,
    compare_scores,
    energy_scores,
    feature_spread,
    follow_scores,
    path_features,
    pool_quarters,
)
from evobourse.fitness.errors import FitnessError
from evobourse.market.series.named import load_series


def directly(points, came):
    """Compute the fair energy score of one ensemble pair by pair."""
    members = len(points)
    away = sum(np.sqrt(((x - came) ** 2).sum()) for x in points) / members
    apart = sum(
        np.sqrt(((points[i] - points[j]) ** 2).sum()) for i in range(members) for j in range(i)
    )
    return away - apart / (members * (members - 1))


def test_a_case_worked_by_hand():
    # distances to what came: 3, 4, 5; between members: 5, sqrt 34 - to (0, 0), (3, 0), (0, 4)
    points = np.array([[3.0, 0.0], [0.0, 4.0], [3.0, 4.0]])
    expected = (3 + 4 + 5) / 3 - (5 + 4 + 3) / 6
    assert energy_scores(points, np.zeros(2)) == pytest.approx(expected)


@given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_batched_scores_are_those_of_pairs_in_any_order_of_the_members(members, features, seed):
    rng = np.random.default_rng(seed)
    points, came = rng.normal(size=(3, members, features)), rng.normal(size=(3, features))
    found = energy_scores(points, came)
    assert found == pytest.approx([directly(p, c) for p, c in zip(points, came, strict=True)])
    turned = rng.permuted(np.arange(members))
    assert energy_scores(points[:, turned], came) == pytest.approx(found)


def test_of_one_feature_it_is_half_of_scipys_squared_energy_distance_less_the_bias():
    rng = np.random.default_rng(3)
    points, came = rng.normal(size=7), 0.4
    biased = energy_distance(points, [came]) ** 2 / 2
    apart = np.abs(points[:, None] - points).mean() / 2
    fair = biased + apart - apart * 7 / 6
    assert energy_scores(points[:, None], np.array([came])) == pytest.approx(fair)


def test_the_truth_scores_less_than_a_shifted_and_a_wider_law_whatever_the_members():
    rng = np.random.default_rng(0)
    came = rng.normal(size=(20_000, 2))

    def mean(points):
        return energy_scores(points, came).mean()

    of_two, of_ten = (rng.normal(size=(20_000, members, 2)) for members in (2, 10))
    truth = mean(of_ten)
    assert mean(of_two) == pytest.approx(truth, abs=0.02)  # fair: the ensemble's size is no part
    assert mean(of_ten + 0.5) > truth + 0.05
    assert mean(1.5 * of_ten) > truth + 0.03
    assert mean(0.5 * of_ten) > truth + 0.03


def test_features_of_a_path_are_what_their_names_say():
    returns = np.tile([0.01, 0.01, -0.03], 20) * np.linspace(1.0, 2.0, 60)
    found = dict(zip(FEATURES, path_features(returns), strict=True))
    assert found["log volatility"] == pytest.approx(
        np.log(np.sqrt(np.mean(returns**2) - np.mean(returns) ** 2))
    )
    prices = [1.0]
    for step in returns:
        prices.append(prices[-1] * np.exp(step))
    falls = [1 - later / max(prices[: at + 1]) for at, later in enumerate(prices)]
    assert found["maximum drawdown"] == pytest.approx(max(falls))
    assert found["end log return"] == pytest.approx(np.log(prices[-1]))
    size = np.abs(returns) - np.abs(returns).mean()
    memory = [(size[lag:] * size[:-lag]).sum() / (size**2).sum() for lag in range(1, 6)]
    assert found["ACF |r|, mean of lags 1-5"] == pytest.approx(np.mean(memory))


def test_a_unit_is_the_spread_over_all_real_windows():
    returns = load_series("sp500").log_returns[:300]
    windows = np.array([path_features(returns[at : at + 60]) for at in range(241)])
    assert feature_spread(returns, 60) == pytest.approx(windows.std(axis=0))
    with pytest.raises(FitnessError, match="more than 60"):
        feature_spread(returns[:60], 60)
    with pytest.raises(FitnessError, match="do not differ"):
        feature_spread(np.zeros(300), 60)


def test_a_degenerate_path_makes_its_past_infinite_and_a_degenerate_reality_is_refused():
    rng = np.random.default_rng(1)
    real, paths = 0.01 * rng.normal(size=(2, 60)), 0.01 * rng.normal(size=(2, 4, 60))
    assert np.isfinite(follow_scores(paths, real, np.ones(4))).all()
    paths[1, 2] = 0.0
    assert np.isfinite(follow_scores(paths, real, np.ones(4))).tolist() == [True, False]
    real[0] = 0.0
    with pytest.raises(FitnessError, match=r"pasts \[0\]"):
        follow_scores(paths, real, np.ones(4))


@pytest.mark.parametrize(
    ("ensemble", "outcome", "said"),
    [((3, 5, 2), (3, 4), "shape"), ((3, 1, 2), (3, 2), "1 paths"), ((4,), (), "shape")],
)
def test_shapes_that_do_not_fit_are_named(ensemble, outcome, said):
    with pytest.raises(FitnessError, match=said):
        energy_scores(np.zeros(ensemble), np.zeros(outcome))


def test_assets_are_averaged_quarter_by_quarter():
    long = QuarterScores(np.array([4, 5, 6]), np.array([1.0, 2.0, 3.0]))
    short = QuarterScores(np.array([5]), np.array([4.0]))
    assert pool_quarters([long]).tolist() == [1.0, 2.0, 3.0]
    assert pool_quarters([long, short]).tolist() == [1.0, 3.0, 3.0]
    assert pool_quarters([short, long]).tolist() == [1.0, 3.0, 3.0]
    # the same asset twice tells no more than once
    assert pool_quarters([long, long]).tolist() == [1.0, 2.0, 3.0]
    assert len(pool_quarters([])) == 0


def test_the_test_is_students_of_the_mean_difference():
    rng = np.random.default_rng(2)
    theirs = rng.exponential(size=32)
    gap = 0.1 * rng.normal(size=32) - 0.05
    statistic, p_value = diebold_mariano(theirs + gap, theirs)
    student = gap.mean() / (gap.std(ddof=1) / np.sqrt(32))
    assert statistic == pytest.approx(student)
    standing = compare_scores(theirs + gap, theirs)
    assert standing.p_value == p_value
    assert standing.skill == pytest.approx((theirs + gap).mean() / theirs.mean())
    assert (standing.quarters, standing.verdict) == (
        32,
        "better" if p_value < 0.05 else "undecided",
    )


def test_what_cannot_be_told_is_said_in_one_line():
    ours = np.linspace(1.0, 2.0, LEAST_QUARTERS)
    assert compare_scores(ours, ours).verdict == "the reference"
    few = compare_scores(ours[1:], ours[1:] + 0.1)
    assert few.verdict == "19 quarters, fewer than 20: it cannot be told"
    assert np.isnan(few.p_value)
    assert few.skill < 1
    assert compare_scores([], []).verdict == "no quarter to score: it cannot be told"
    broken = ours.copy()
    broken[3] = np.inf
    lost = compare_scores(broken, ours)
    assert (lost.score, lost.verdict) == (np.inf, "degenerate paths in 1 of 20 quarters")
    with pytest.raises(FitnessError, match="same quarters"):
        compare_scores(ours, ours[1:])


def test_who_knows_the_past_beats_who_does_not_and_a_walk_loses():
    """Quarters of a GARCH-t law, scored as real ones are."""
    rng = np.random.default_rng(12)
    train = load_series("sp500").log_returns[:2000]
    [series] = garch_t(train, 1, 2000 + 100 * WINDOW_DAYS, rng)
    starts = 2000 + WINDOW_DAYS * np.arange(100)
    real = np.stack([series[at : at + WINDOW_DAYS] for at in starts])
    spread, count = feature_spread(train), len(starts) * MEMBERS

    def score(paths):
        return follow_scores(paths.reshape(len(starts), MEMBERS, -1), real, spread)

    pasts = [series[:at] for at in starts]
    told = score(garch_t_history(train, pasts, WINDOW_DAYS, rng, MEMBERS))
    [endless] = garch_t(train, 1, count * WINDOW_DAYS, rng)
    untold = compare_scores(score(rng.permutation(endless.reshape(count, -1))), told)
    walk = compare_scores(score(gbm(train, count, WINDOW_DAYS, rng)), told)
    assert untold.verdict == walk.verdict == "worse"
    assert untold.skill > 1.05
    assert walk.skill > 1.05
    assert max(untold.p_value, walk.p_value) < 0.01
