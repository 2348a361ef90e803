"""What a score must tell on shipped series: other years from a drift, a volume, a random walk."""

import numpy as np
import pytest

from evobourse.fitness.baselines.without_agents import gbm, redraw_days
from evobourse.fitness.distance import score_candidates
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.resolution import measure_resolution
from evobourse.fitness.target import make_target
from evobourse.market.series.named import load_series

DAYS = 250
FALL = -0.154
"""Mean log return of a year on all paths of an evolved market that the old score took for good."""


@pytest.fixture(scope="module", params=["sp500", "nasdaq"])
def years(request):
    """Twenty years of a series as a target of ten windows, and its days."""
    series = load_series(request.param)
    returns, volume = series.log_returns, series.volume[1:]
    rng = np.random.default_rng(1)
    return make_target(returns, DAYS, 10, rng, volume=volume), returns, volume


def drawn(returns, volume, scores, paths, rng):
    days = redraw_days(len(returns), scores * paths, DAYS, rng)
    return (x[days].reshape(scores, paths, DAYS) for x in (returns, volume))


def passed(returns, target, volume=None):
    scores = score_candidates(returns, target, volume)
    return float(np.mean([score.p_value > 0.05 for score in scores]))


def test_real_windows_of_five_other_years_pass_about_as_often_as_stated(years, rng):
    """Windows of one quarter of the days each, against the whole: 95 % are stated."""
    target, returns, volume = years
    for paths, least in ((1, 0.93), (4, 0.93), (10, 0.85)):
        held = target.redraw(paths, np.random.default_rng(2))
        shares = [
            passed(*reordered(drawn(r, v, 100, paths, rng), held))
            for r, v in zip(np.array_split(returns, 4), np.array_split(volume, 4), strict=True)
        ]
        assert np.mean(shares) > least


def reordered(pair, target):
    returns, volume = pair
    return returns, target, volume


def test_a_market_that_always_falls_is_rejected_by_its_drift(years, rng):
    """Real windows in all but where they end: each is bent to lose as much."""
    target, returns, volume = years
    target = target.redraw(32, np.random.default_rng(2))
    paths, traded = drawn(returns, volume, 50, 32, rng)
    assert passed(paths, target, traded) == 1.0
    falling = paths + (FALL - paths.sum(axis=-1, keepdims=True)) / DAYS
    found = score_candidates(falling, target, traded)
    assert all(score.p_value <= 0.05 for score in found)
    assert {score.worst.split()[0] for score in found} == {"drift"}


def test_a_market_whose_volume_falls_when_prices_move_is_rejected(years, rng):
    """Real prices with the volume of another day: as much as ever, in the reverse order."""
    target, returns, volume = years
    paths, traded = drawn(returns, volume, 50, 10, rng)
    ranks = np.argsort(np.argsort(np.abs(paths), axis=-1), axis=-1)
    against = np.take_along_axis(-np.sort(-traded, axis=-1), ranks, axis=-1)
    found = score_candidates(paths, target, against)
    assert all(score.p_value <= 0.05 for score in found)
    assert {score.worst.split()[0] for score in found} == {"volume_volatility"}


def test_random_walks_are_rejected_from_ten_windows_on(years, rng):
    target, returns, _ = years
    prices = target.without_volume()
    assert passed(gbm(returns, 1000, DAYS, rng).reshape(100, 10, DAYS), prices) < 0.03


def test_what_a_score_can_tell_is_measured_and_seeded(years):
    target, returns, _ = years
    one = measure_resolution(
        target.redraw(1, np.random.default_rng(3)), returns, np.random.default_rng(4)
    )
    again = measure_resolution(
        target.redraw(1, np.random.default_rng(3)), returns, np.random.default_rng(4)
    )
    assert one == again
    assert one.walk_passes > 0.5
    assert not one.tells
    assert one.windows_needed in (2, 4, 8)
    ten = measure_resolution(target, returns, np.random.default_rng(4))
    assert ten.walk_passes < 0.05
    assert ten.tells


def test_earlier_days_widen_what_is_real_and_move_no_mean(years, rng):
    _, returns, volume = years
    alone = make_target(returns[3000:], DAYS, 4, np.random.default_rng(1), volume=volume[3000:])
    known = make_target(
        returns, DAYS, 4, np.random.default_rng(1), volume=volume, earlier_days=3000
    )
    np.testing.assert_allclose(known.m_star, alone.m_star, rtol=1e-12)
    np.testing.assert_allclose(known.moment_sd, alone.moment_sd, rtol=1e-9)
    volatility = known.names.index("log_volatility")
    assert known.gap_sd[volatility] > 1.2 * alone.gap_sd[volatility]
    other = drawn(returns[:2000], volume[:2000], 200, 4, rng)
    paths, traded = other
    assert passed(paths, known, traded) > passed(paths, alone, traded) + 0.2


def test_paths_without_volume_need_a_target_without(years):
    target, returns, _ = years
    paths = returns[:2500].reshape(1, 10, DAYS)
    with pytest.raises(FitnessError, match="the paths have none"):
        score_candidates(paths, target)
    prices = target.without_volume()
    assert set(target.names) - set(prices.names) == {"volume_volatility"}
    assert prices.without_volume() is prices
    assert score_candidates(paths, prices)[0].j < prices.j95
