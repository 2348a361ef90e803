"""What investors measure of a market's moves, against sums over the whole path."""

import numpy as np
import pytest

from evobourse.agents.crowds.volatility import LONG_RUN_DAYS, UNMEASURED, Volatility


@pytest.fixture
def closes():
    steps = np.random.default_rng(2).normal(0, 0.01, 1300)
    return np.rint(10_000 * np.exp(steps.cumsum())).astype(np.int64)


@pytest.mark.parametrize("asymmetry", [0.0, 0.7])
@pytest.mark.parametrize("half_life", [2.0, 30.0])
def test_recent_days_weigh_by_their_age_and_sign_and_the_long_run_stays(
    half_life, asymmetry, closes
):
    found, log_path = UNMEASURED, np.log(closes)
    for end in range(1000, 1301):
        found = found.follow(closes[:end], log_path[:end], half_life, asymmetry)
    before = np.diff(log_path[:1000])[-LONG_RUN_DAYS:]
    assert found.long_run == pytest.approx(np.sqrt((before**2).mean()), rel=1e-12)
    moves = np.diff(log_path[1000 - LONG_RUN_DAYS - 1 :])
    squares = moves**2 * (1 - asymmetry * np.sign(moves))
    weights = 0.5 ** (np.arange(len(squares))[::-1] / half_life)
    assert found.recent == pytest.approx(np.sqrt(squares @ weights / weights.sum()), rel=1e-6)


def test_a_still_market_keeps_a_little_and_a_mixture_lies_between():
    flat = np.full(400, 10_000)
    still = UNMEASURED.follow(flat, np.log(flat), 10.0, 0.5)
    assert still.long_run == 0
    assert 0 < still.recent == still.follow(flat, np.log(flat), 10.0, 0.5).recent < 1e-4
    assert Volatility(0.02, 0.04**2).mixed(0.25) == pytest.approx(0.025)
