"""Pooled scores against what they promise, and Holm's correction against its own procedure."""

import numpy as np
import pytest
from arch.data import nasdaq, sp500
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.fitness.baselines.without_agents import gbm
from evobourse.fitness.comparisons import holm, pool_scores
from evobourse.fitness.distance import make_target, score_groups, score_paths
from evobourse.fitness.errors import FitnessError


@pytest.fixture(scope="module")
def assets():
    closes = {"sp500": sp500.load()["Close"], "nasdaq": nasdaq.load()["Close"]}
    return {name: np.diff(np.log(close.to_numpy())) for name, close in closes.items()}


@pytest.fixture(scope="module")
def targets(assets):
    return {
        name: make_target(returns, 250, 4, np.random.default_rng(3), split=name)
        for name, returns in assets.items()
    }


def pooled(assets, targets, starts):
    return pool_scores(
        {
            name: (
                score_paths(np.stack([r[s : s + 250] for s in starts]), targets[name]),
                targets[name],
            )
            for name, r in assets.items()
        }
    )


def test_one_asset_pooled_is_itself(assets, targets):
    target = targets["sp500"]
    score = score_paths(assets["sp500"][:1000].reshape(4, 250), target)
    alone = pool_scores({"sp500": (score, target)})
    assert alone.ratio == pytest.approx(score.ratio)
    assert alone.p_value == pytest.approx(min(1.0, 2 * score.p_value))
    twice = pool_scores({"a": (score, target), "b": (score, target)})
    assert (twice.ratio, twice.p_value) == pytest.approx((alone.ratio, alone.p_value))
    assert twice.mcr == alone.mcr


def test_same_days_of_two_indices_are_rejected_as_seldom_as_promised(assets, targets, rng):
    days = len(assets["sp500"])
    found = [pooled(assets, targets, rng.integers(days - 250, size=4)) for _ in range(300)]
    assert np.mean([score.p_value <= 0.05 for score in found]) < 0.075


def test_two_assets_tell_a_random_walk_apart(assets, targets, rng):
    walks = {
        name: (score_paths(gbm(returns, 4, 250, rng), targets[name]), targets[name])
        for name, returns in assets.items()
    }
    score = pool_scores(walks)
    assert score.mcr < 0.5
    assert score.p_value < 0.05
    ratios = [s.ratio for s, _ in walks.values()]
    assert score.ratio == pytest.approx(np.sqrt(ratios[0] * ratios[1]))


def test_one_dead_path_of_one_asset_leaves_no_number(assets, targets):
    paths = assets["nasdaq"][:1000].reshape(4, 250).copy()
    paths[3] = 0.0
    score = pool_scores(
        {
            "sp500": (
                score_paths(assets["sp500"][:1000].reshape(4, 250), targets["sp500"]),
                targets["sp500"],
            ),
            "nasdaq": (score_paths(paths, targets["nasdaq"]), targets["nasdaq"]),
        }
    )
    assert (score.ratio, score.p_value) == (np.inf, 0.0)
    assert score.verdict == "nasdaq: path 3: constant price"
    with pytest.raises(FitnessError, match="no score to pool"):
        pool_scores({})


def test_groups_are_pooled_group_by_group(assets, targets, rng):
    scores = {
        name: (
            score_groups(gbm(r, 12, 250, rng).reshape(3, 4, 250), targets[name], rng),
            targets[name],
        )
        for name, r in assets.items()
    }
    by_group = np.array([score.ratios for score, _ in scores.values()])
    np.testing.assert_allclose(pool_scores(scores).ratios, np.sqrt(by_group[0] * by_group[1]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), max_size=12))
def test_holm_is_his_step_down_procedure(p_values):
    adjusted = holm(p_values)
    known = sorted((p, i) for i, p in enumerate(p_values) if p == p)
    largest = 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        assert adjusted[i] == pytest.approx(largest)
    assert np.isnan(adjusted).sum() == len(p_values) - len(known)
