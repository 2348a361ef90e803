"""What investors choose to hold: too few assets, or assets that pay like lottery tickets.

Knows portfolios over several assets and which assets look like a lottery.
Deliberately does not know prices of a single asset's market: with one asset there is no choice.
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import skew

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray


def under_diversification(holding_values: npt.ArrayLike) -> FloatArray:
    """Concentration of portfolios: the normalised Herfindahl index.

    Parameters
    ----------
    holding_values : array_like, shape [N, K]
        Value that each of N investors holds in each of K assets, 0 or more; K of 2 or more.

    Returns
    -------
    float64 array, shape [N]
        ``(sum w^2 - 1/K) / (1 - 1/K)``: 0 for equal weights, 1 for a single asset, NaN for who
        holds nothing.

    Raises
    ------
    FitnessError
        If there are fewer than two assets or a value is negative.

    References
    ----------
    Goetzmann and Kumar (2008), Equity portfolio diversification, Review of Finance 12(3),
    433-463, doi:10.1093/rof/rfn005: sum of squared deviations from the market's weights, equal
    weights standing for the market, scaled to 0..1. One of the biases of TwinMarket's investors
    (Yang et al. 2025, arXiv 2502.01506).
    """
    weights = _weights(holding_values)
    assets = weights.shape[1]
    return np.asarray(((weights**2).sum(axis=1) - 1 / assets) / (1 - 1 / assets))


def lottery_assets(prices: npt.ArrayLike, log_returns: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Find the assets that pay like a lottery: cheap, volatile and skewed on their own account.

    Parameters
    ----------
    prices : array_like, shape [K]
        Latest price of each asset.
    log_returns : array_like, shape [T, K]
        Daily log returns before the choice, T of 30 or more, K of 3 or more.

    Returns
    -------
    bool array, shape [K]
        True where the price is in the lower half of all assets', and both the idiosyncratic
        volatility and the idiosyncratic skewness in the upper half. The median belongs to neither.

    Raises
    ------
    FitnessError
        If shapes do not fit together or are too small.

    References
    ----------
    Kumar (2009), Who gambles in the stock market?, Journal of Finance 64(4), 1889-1933,
    doi:10.1111/j.1540-6261.2009.01483.x, section I.B. The one factor is the assets' mean return;
    his volatility is the residual of four factors, which a simulated market does not have.
    Skewness is the residual's after the factor and its square (Harvey and Siddique 2000,
    doi:10.1111/0022-1082.00247).
    """
    price, returns = (np.asarray(x, np.float64) for x in (prices, log_returns))
    if returns.ndim != 2 or price.shape != returns.shape[1:] or len(price) < 3 or len(returns) < 30:
        raise FitnessError(
            f"prices of shape {price.shape} and returns of {returns.shape}, expected [assets] and "
            "[days, assets], 3 assets and 30 days or more"
        )
    factor = returns.mean(axis=1)
    constant = np.ones_like(factor)
    volatility = _residual(returns, np.stack([constant, factor], axis=1)).std(axis=0)
    skewness = skew(_residual(returns, np.stack([constant, factor, factor**2], axis=1)), axis=0)
    return np.asarray(
        (price < np.median(price))
        & (volatility > np.median(volatility))
        & (skewness > np.median(skewness))
    )


def lottery_preference(
    holding_values: npt.ArrayLike, lottery: npt.ArrayLike, market_values: npt.ArrayLike
) -> FloatArray:
    """Weight of lottery-type assets in portfolios beyond their weight in the market.

    Parameters
    ----------
    holding_values : array_like, shape [N, K]
        Value that each investor holds in each asset.
    lottery : array_like of bool, shape [K]
        See `lottery_assets`.
    market_values : array_like, shape [K]
        Value of all shares of each asset.

    Returns
    -------
    float64 array, shape [N]
        Share in lottery-type assets less the market's share, -1 to 1; 0 for who holds the market,
        NaN for who holds nothing.

    Raises
    ------
    FitnessError
        If shapes do not fit together or a value is negative.

    References
    ----------
    Kumar (2009), doi:10.1111/j.1540-6261.2009.01483.x, section II: excess weight in lottery-type
    stocks, here a difference and not a ratio, so that no lottery in the market is no division by
    zero. One of the biases of TwinMarket's investors (Yang et al. 2025, arXiv 2502.01506).
    """
    chosen = np.asarray(lottery, np.bool_)
    weights, market = _weights(holding_values), _weights(np.asarray(market_values)[None])
    if not chosen.shape == weights.shape[1:] == market.shape[1:]:
        raise FitnessError(
            f"{weights.shape[1]} assets held, {chosen.shape} lottery flags, {market.shape[1]} "
            "market values: expected as many of each"
        )
    return np.asarray(weights[:, chosen].sum(axis=1) - market[0, chosen].sum())


def _weights(holding_values: npt.ArrayLike) -> FloatArray:
    values = np.asarray(holding_values, np.float64)
    if values.ndim != 2 or values.shape[1] < 2 or (values < 0).any():
        raise FitnessError(
            f"holdings of shape {values.shape}, expected [investors, assets] with two assets or "
            "more and no negative value"
        )
    total = values.sum(axis=1, keepdims=True)
    return np.asarray(values / np.where(total > 0, total, np.nan))


def _residual(returns: FloatArray, factors: FloatArray) -> FloatArray:
    loadings = np.linalg.lstsq(factors, returns, rcond=None)[0]
    return np.asarray(returns - factors @ loadings)
