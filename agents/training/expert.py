"""The expert teacher: which signs paid, by a ridge regression on training years.

What it finds may well be chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.observation import FIELD_NAMES, HISTORY_DAYS, encode_view
from evobourse.agents.styles import signs_of
from evobourse.agents.training.examples import real_levels

HORIZON_DAYS = 10
HOLD_SHARE = 0.3
RIDGE = 1.0


def forward_returns(
    closes: NDArray[np.float64], horizon_days: int = HORIZON_DAYS
) -> NDArray[np.float64]:
    """Return what followed each day of `agents.training.examples.real_levels`.

    Parameters
    ----------
    closes
        float64[T], daily closes.
    horizon_days
        How far ahead.

    Returns
    -------
    NDArray
        float64[T - HISTORY_DAYS]: the log return from the day's close to that ``horizon_days``
        later, in standard deviations of the returns of the `HISTORY_DAYS` before; NaN where it
        ends after the last close.
    """
    log_prices = np.log(closes)
    returns = np.diff(log_prices)
    paid = np.full(len(closes) - HISTORY_DAYS, np.nan)
    for row, day in enumerate(range(HISTORY_DAYS, len(closes) - horizon_days)):
        sigma = returns[day - HISTORY_DAYS : day].std()
        move = log_prices[day + horizon_days] - log_prices[day]
        paid[row] = move / (sigma * horizon_days**0.5)
    return paid


def fit_policy(
    stretches: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> dict[str, float]:
    """Weigh the signs by the standardised returns that followed them, over all assets.

    A ridge regression without intercept (Hoerl and Kennard, 1970, Technometrics 12) of
    `forward_returns`, less each asset's mean, on the centred signs. Returns of ten days are nearly
    noise: the weights' size says little, so that they are scaled until `HOLD_SHARE` of the days
    score less than a half and are held.

    Parameters
    ----------
    stretches
        Closes float64[T] and volumes float64[T] of each asset, training years alone (with the
        history that they need).

    Returns
    -------
    dict
        Field name to weight, to three decimals: see `agents.styles.linear`.
    """
    from sklearn.linear_model import Ridge

    signs, paid = [], []
    for closes, volumes in stretches:
        levels = real_levels(closes, volumes)
        seen = signs_of(encode_view(levels, np.ones(levels.shape, bool)))
        followed = forward_returns(closes)
        known = np.isfinite(followed)
        signs.append(np.stack([seen[name] for name in FIELD_NAMES], axis=1)[known])
        paid.append(followed[known] - followed[known].mean())
    rows = np.concatenate(signs)
    weights = Ridge(alpha=RIDGE, fit_intercept=False).fit(rows, np.concatenate(paid)).coef_
    held = np.quantile(np.abs(rows @ weights), HOLD_SHARE)
    return {
        name: float(np.round(weight * 0.5 / held, 3))
        for name, weight in zip(FIELD_NAMES, weights, strict=True)
    }
