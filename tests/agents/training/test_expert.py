import numpy as np
import pandas as pd
import pytest

from evobourse.agents.observation import FIELD_NAMES, HISTORY_DAYS, LEVELS
from evobourse.agents.styles import EXPERT
from evobourse.agents.training.examples import real_levels
from evobourse.agents.training.expert import (
    HOLD_SHARE,
    HORIZON_DAYS,
    RIDGE,
    fit_policy,
    forward_returns,
)


@pytest.fixture(scope="module")
def two_assets(sp500):
    from evobourse.market.series.named import load_series

    ibm = load_series("ibm")
    return [(sp500.close[:900], sp500.volume[:900]), (ibm.close[:700], ibm.volume[:700])]


def test_forward_returns_are_pandas_own(sp500):
    closes = sp500.close[:700]
    log_prices = pd.Series(np.log(closes))
    ahead = log_prices.shift(-HORIZON_DAYS) - log_prices
    sigma = log_prices.diff().rolling(HISTORY_DAYS).std(ddof=0)
    expected = (ahead / (sigma * HORIZON_DAYS**0.5)).to_numpy()[HISTORY_DAYS:]
    found = forward_returns(closes)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert np.isnan(found).sum() == HORIZON_DAYS


@pytest.mark.parametrize("days", [600, 900])
def test_the_expert_sees_no_day_after_those_that_it_is_given(days, sp500):
    known = fit_policy([(sp500.close[:days], sp500.volume[:days])])
    moved = sp500.close.copy()
    moved[days:] *= np.exp(np.random.default_rng(0).normal(0, 0.2, len(moved) - days))
    assert fit_policy([(moved[:days], sp500.volume[:days])]) == known
    assert fit_policy([(moved[: days + 50], sp500.volume[: days + 50])]) != known


def test_the_expert_is_the_ridge_regression_of_the_textbook(two_assets):
    weights = fit_policy(two_assets)
    middle = (np.array(LEVELS) - 1) / 2
    rows, paid = [], []
    for closes, volumes in two_assets:
        followed = forward_returns(closes)[:-HORIZON_DAYS]
        rows.append((real_levels(closes, volumes) - middle)[:-HORIZON_DAYS])
        paid.append(followed - followed.mean())
    x, y = np.concatenate(rows), np.concatenate(paid)
    solved = np.linalg.solve(x.T @ x + RIDGE * np.eye(len(FIELD_NAMES)), x.T @ y)
    solved *= 0.5 / np.quantile(np.abs(x @ solved), HOLD_SHARE)
    np.testing.assert_allclose(list(weights.values()), solved, atol=6e-4)
    assert tuple(weights) == FIELD_NAMES == tuple(EXPERT)
