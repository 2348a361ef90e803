"""Responsiveness on markets whose lambda is known: Kyle's, and markets that are not linear."""

import numpy as np
import pytest
import statsmodels.api as sm

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.responsiveness import fit_kyle, measure_response

SIGMA_V, SIGMA_U = 0.2, 500.0
KYLE_LAMBDA = SIGMA_V / (2 * SIGMA_U)  # Kyle (1985), theorem 1
PAIRS, DAYS = 12, 250


def kyle_pairs(rng, answer=lambda flow: KYLE_LAMBDA * flow, noise=0.0, pairs=PAIRS):
    """Days of Kyle's market with and without a buyer of a share of each day's volume.

    An insider trades (v - p) / (2 lambda), noise traders sigma_u z; the price moves by lambda
    times their flow. The buyer adds its own; both runs share v and z.
    """
    shape = (pairs, DAYS)
    value, uninformed = SIGMA_V * rng.standard_normal(shape), SIGMA_U * rng.standard_normal(shape)
    others = value / (2 * KYLE_LAMBDA) + uninformed
    flow = rng.uniform(0.0, 0.1, (pairs, 1)) * np.abs(others)
    returns = 0.01 * KYLE_LAMBDA * others
    moved = returns + answer(flow) + noise * rng.standard_normal(shape)
    start = np.zeros((pairs, 1))
    paths = [np.exp(np.cumsum(np.hstack([start, r]), axis=1)) for r in (moved, returns)]
    return *paths, flow


def test_lambda_is_kyles_to_rounding_where_runs_are_pairs(rng):
    found = measure_response(*kyle_pairs(rng), rng)
    for fit in (found.all_flows, found.small_flows):
        assert fit.slope == pytest.approx(KYLE_LAMBDA, rel=1e-9)
        assert fit.intercept == pytest.approx(0, abs=1e-12)
        assert fit.r_squared == pytest.approx(1)
    np.testing.assert_allclose(found.bin_impact, KYLE_LAMBDA * found.bin_flow, rtol=1e-9)


def test_the_interval_holds_lambda_as_often_as_it_says_and_linearity_is_kept(rng):
    fits = []
    for _ in range(150):
        _, _, flow = kyle_pairs(rng, pairs=6)
        shock = 0.02 * rng.standard_normal((6, DAYS + 4))
        errors = sum(0.7**k * shock[:, 4 - k : DAYS + 4 - k] for k in range(5))  # correlated
        fits.append(fit_kyle(KYLE_LAMBDA * flow + errors, flow))
    covered = np.mean([f.low <= KYLE_LAMBDA <= f.high for f in fits])
    assert 0.87 <= covered <= 0.99
    assert np.mean([f.linearity_p < 0.05 for f in fits]) <= 0.13
    slopes = np.array([f.slope for f in fits])
    assert slopes.mean() == pytest.approx(KYLE_LAMBDA, abs=4 * slopes.std() / np.sqrt(150))


def test_standard_errors_are_newey_and_wests_for_a_single_path(rng):
    flow = rng.standard_normal((1, 200))
    impact = 0.3 * flow + np.cumsum(0.1 * rng.standard_normal((1, 200)), axis=1) / 5
    found = fit_kyle(impact, flow)
    x = sm.add_constant(flow[0])
    inverse = np.linalg.inv(x.T @ x)
    u = impact[0] - x @ (inverse @ x.T @ impact[0])
    moments = x * u[:, None]
    meat = moments.T @ moments
    for lag in range(1, 6):
        cross = moments[lag:].T @ moments[:-lag]
        meat += (1 - lag / 6) * (cross + cross.T)
    by_hand = np.sqrt(200 / 198 * (inverse @ meat @ inverse)[1, 1])  # two parameters of 200 days
    assert found.standard_error == pytest.approx(by_hand)


def test_a_root_is_no_line_though_small_flows_are_steeper(rng):
    pairs = kyle_pairs(rng, lambda flow: 0.001 * np.sqrt(flow), noise=0.001)
    found = measure_response(*pairs, rng)
    assert found.all_flows.linearity_p < 1e-6
    assert found.small_flows.slope > 1.5 * found.all_flows.slope
    assert (np.diff(found.bin_impact) > 0).all()
    slopes = np.diff(found.bin_impact) / np.diff(found.bin_flow)
    assert slopes[0] > slopes[-1]


def test_a_deaf_market_has_no_lambda(rng):
    found = measure_response(*kyle_pairs(rng, lambda flow: 0 * flow, noise=0.001), rng)
    assert found.all_flows.low < 0 < found.all_flows.high
    assert found.all_flows.linearity_p > 0.001
    assert found.response_low[-1] < 0 < found.response_high[-1]


def test_the_response_is_the_mean_gap_and_pairs_alone_make_its_interval(rng):
    pairs = kyle_pairs(rng, noise=0.001)
    found = measure_response(*pairs, rng)
    gap = np.log(pairs[0]) - np.log(pairs[1])
    np.testing.assert_allclose(found.response, gap[:, 1:].mean(axis=0))
    width = found.response_high - found.response_low
    error = gap[:, 1:].std(axis=0, ddof=1) / np.sqrt(PAIRS)
    assert np.median(width / error) == pytest.approx(2 * 1.96, rel=0.2)
    again = measure_response(*pairs, np.random.default_rng(5))
    same = measure_response(*pairs, np.random.default_rng(5))
    np.testing.assert_array_equal(again.response_low, same.response_low)
    single = measure_response(*(x[:1] for x in pairs), rng)
    assert np.isnan(single.response_low).all()


def test_a_small_half_without_a_slope_is_left_out(rng):
    with_buyer, without, flow = kyle_pairs(rng)
    stepped = np.where(flow > np.median(flow), 2.0, 1.0)
    assert measure_response(with_buyer, without, stepped, rng).small_flows is None
    few = np.where(np.arange(DAYS) < 40, flow[:1], 0.0)
    found = measure_response(with_buyer[:1], without[:1], few, rng)
    assert (found.all_flows.days, found.small_flows) == (40, None)


def test_the_unit_of_flow_is_the_unit_of_lambda_alone(rng):
    pairs = kyle_pairs(rng, noise=0.001)
    shares = measure_response(*pairs, rng).all_flows
    lots = measure_response(*pairs[:2], pairs[2] / 100, rng).all_flows
    assert lots.slope == pytest.approx(100 * shares.slope)
    assert lots.standard_error == pytest.approx(100 * shares.standard_error)
    assert lots.linearity_p == pytest.approx(shares.linearity_p, rel=1e-6)


def test_what_is_no_pair_is_refused(rng):
    with_buyer, without, flow = kyle_pairs(rng)
    cases = [
        ((with_buyer[:3], without, flow), "expected .pairs, days"),
        ((with_buyer, without, flow[:, :9]), "one a day"),
        ((with_buyer * 2, without, flow), "pair 0 starts at 2.0 with and 1.0 without"),
        ((with_buyer, 0 * without, flow), "not over 0"),
        ((with_buyer, without, 0 * flow), "0 days with 0 different flows"),
        ((with_buyer, without, np.ones_like(flow)), "with 1 different flows"),
    ]
    for arguments, message in cases:
        with pytest.raises(FitnessError, match=message):
            measure_response(*arguments, rng)
