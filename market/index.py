"""An index over several assets: one level for a market of many books.

Knows: base weights and prices.
Does not know: where prices come from, or whether anyone trades the index.
"""

import numpy as np
from numpy.typing import NDArray

from evobourse.market.errors import MarketError


def index_levels(
    close_ticks: NDArray[np.int64],
    weights: NDArray[np.float64],
    base: float = 1000.0,
) -> NDArray[np.float64]:
    """Return a base-weighted index (Laspeyres), as most stock indices are computed.

    ``level[t] = base * sum_a w[a] p[a, t] / p[a, 0]``, weights scaled to sum to 1: the value of a
    portfolio that held each asset in proportion to its weight on the first day, and was left
    alone.

    Parameters
    ----------
    close_ticks : NDArray[np.int64]
        Prices, shape [A, T], over 0.
    weights : NDArray[np.float64]
        Share of each asset in the value of the first day, such as its capitalisation, shape
        [A], at least 0 and not all 0.
    base : float
        Level of the first day.

    Returns
    -------
    NDArray[np.float64]
        Levels, shape [T].

    Raises
    ------
    MarketError
        If shapes do not fit, a price is not over 0, or no weight is over 0.
    """
    prices, shares = np.asarray(close_ticks), np.asarray(weights, np.float64)
    if prices.ndim != 2 or shares.shape != (len(prices),) or prices.shape[1] == 0:
        raise MarketError(
            f"index of prices of shape {prices.shape} with weights of shape {shares.shape}, "
            "expected [A, T] and [A], T at least 1"
        )
    if prices.min() <= 0:
        asset, row = np.argwhere(prices <= 0)[0]
        raise MarketError(f"index: price {prices[asset, row]} of asset {asset}, expected over 0")
    if not (np.isfinite(shares) & (shares >= 0)).all() or shares.sum() == 0:
        raise MarketError(f"index weights are {shares.tolist()}, expected 0 or more, some over 0")
    return np.asarray(base * (shares / shares.sum()) @ (prices / prices[:, :1]))
