"""How investors trade and what it brings them: disposition, turnover, profit, downside risk."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray

TRADING_DAYS = 250
"""Days of a year, for annual figures."""

GAIN_KINDS: tuple[str, ...] = ("realised_gain", "paper_gain", "realised_loss", "paper_loss")


@dataclass(frozen=True, eq=False)
class Disposition:
    """Readiness to sell winners rather than losers.

    Parameters
    ----------
    pgr, plr : float64 array, shape [...]
        Proportion of gains and of losses realised, 0 to 1; NaN where there was none to realise.
    effect : float64 array, shape [...]
        ``PGR - PLR``, -1 to 1; above 0 winners are sold sooner.
    standard_error : float64 array, shape [...]
        Of `effect`, as if all counts were independent, as in Odean (1998).
    """

    pgr: FloatArray
    plr: FloatArray
    effect: FloatArray
    standard_error: FloatArray


def count_gains(
    holdings: npt.ArrayLike,
    prices: npt.ArrayLike,
    first_prices: npt.ArrayLike,
    every_day: bool = False,
) -> npt.NDArray[np.int64]:
    """Count positions that were sold or kept, at a gain or at a loss.

    A position held when a day opens is a gain if the day's price is over its average purchase
    price and a loss if under; it is realised if the holding falls that day, else a paper one.

    Parameters
    ----------
    holdings : array_like, shape [T + 1, N, K]
        Shares of N investors in K assets before day 0 and after each day, 0 or more.
    prices : array_like, shape [T, K]
        Price of each day, over 0.
    first_prices : array_like, shape [K]
        What the shares held before day 0 count as bought for.
    every_day : bool
        Whether positions count on every day, not only on those on which their owner sells
        something, as Odean counts them. With one asset his rule leaves no paper gain: use True.

    Returns
    -------
    int64 array, shape [T, N, 4]
        Counts over the assets, in the order of `GAIN_KINDS`; sum over the days and investors
        that `disposition_effect` is wanted for.

    Raises
    ------
    FitnessError
        If shapes do not fit together, or one asset is to be counted on sale days alone.

    References
    ----------
    Odean (1998), Are investors reluctant to realize their losses?, Journal of Finance 53(5),
    1775-1798, doi:10.1111/0022-1082.00072, section II.
    """
    held = np.asarray(holdings, np.float64)
    price, cost_each = (np.asarray(x, np.float64) for x in (prices, first_prices))
    if held.ndim != 3 or price.shape != (len(held) - 1, held.shape[2]):
        raise FitnessError(
            f"holdings of shape {held.shape} beside prices of {price.shape}, expected "
            "[days + 1, investors, assets] and [days, assets]"
        )
    if cost_each.shape != price.shape[1:]:
        raise FitnessError(f"first prices of shape {cost_each.shape}, expected {price.shape[1:]}")
    if held.shape[2] == 1 and not every_day:
        raise FitnessError(
            "one asset: whoever sells realises all gains there are, so count every_day=True"
        )
    counts = np.zeros((len(price), held.shape[1], 4), np.int64)
    cost = np.broadcast_to(cost_each, held.shape[1:]).copy()
    for day, today in enumerate(price):
        before, after = held[day], held[day + 1]
        sold, owned = after < before, before > 0
        counted = owned if every_day else owned & sold.any(axis=1, keepdims=True)
        kinds = [(today > cost, sold), (today > cost, ~sold), (today < cost, sold)]
        for kind, (side, done) in enumerate([*kinds, (today < cost, ~sold)]):
            counts[day, :, kind] = (counted & side & done).sum(axis=1)
        bought = np.maximum(after - before, 0.0)
        total = cost * before + today * bought
        cost = np.where(bought > 0, total / np.maximum(before + bought, 1e-300), cost)
    return counts


def disposition_effect(counts: npt.ArrayLike) -> Disposition:
    """Compute ``PGR - PLR`` with its standard error.

    Parameters
    ----------
    counts : array_like of int, shape [..., 4]
        Realised gains, paper gains, realised losses and paper losses, see `count_gains`.

    Returns
    -------
    Disposition

    References
    ----------
    Odean (1998), doi:10.1111/0022-1082.00072, equations 1 and 2; standard error as in his
    table I: ``sqrt(PGR (1 - PGR) / n_gains + PLR (1 - PLR) / n_losses)``.
    """
    rg, pg, rl, pl = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    gains, losses = (np.where(n > 0, n, np.nan) for n in (rg + pg, rl + pl))
    pgr, plr = rg / gains, rl / losses
    error = np.sqrt(pgr * (1 - pgr) / gains + plr * (1 - plr) / losses)
    return Disposition(*(np.asarray(x) for x in (pgr, plr, pgr - plr, error)))


def annual_turnover(traded_value: npt.ArrayLike, held_value: npt.ArrayLike) -> FloatArray:
    """How often a year holdings are turned over.

    Parameters
    ----------
    traded_value : array_like, shape [T, ...]
        Value bought plus value sold on each day, in any unit of money.
    held_value : array_like, shape [T, ...]
        Value of the shares held when the day opens, in the same unit.

    Returns
    -------
    float64 array, shape [...]
        ``250 * sum(traded) / (2 sum(held))``: 1 if all is sold and bought anew once a year; NaN
        for who never held anything.

    References
    ----------
    Barber and Odean (2000), Trading is hazardous to your wealth, Journal of Finance 55(2),
    773-806, doi:10.1111/0022-1082.00226, section II: half the purchases and half the sales over
    the position, here as a ratio of sums, so that days with hardly a share do not weigh.
    """
    traded, held = (np.asarray(x, np.float64).sum(axis=0) for x in (traded_value, held_value))
    return np.asarray(TRADING_DAYS / 2 * traded / np.where(held > 0, held, np.nan))


def group_returns(
    gain: npt.ArrayLike, wealth: npt.ArrayLike, group: npt.ArrayLike, groups: int
) -> FloatArray:
    """Return of all money in the hands of each group, day by day.

    Parameters
    ----------
    gain : array_like, shape [T, N]
        What each investor's decision of the day brought, in money.
    wealth : array_like, shape [T, N]
        What each had when deciding, in the same unit, 0 or more.
    group : array_like of int, shape [T, N]
        Group of each investor on that day, 0 to `groups` - 1; investors may change groups.
    groups : int
        Number of groups.

    Returns
    -------
    float64 array, shape [T, groups]
        Simple returns; 0 on a day on which a group has no money. Weighted with the groups' wealth
        they add up to the return of all.

    Raises
    ------
    FitnessError
        If shapes differ or a group is out of range.
    """
    gained, owned = (np.asarray(x, np.float64) for x in (gain, wealth))
    label = np.asarray(group)
    if not gained.shape == owned.shape == label.shape or gained.ndim != 2:
        raise FitnessError(
            f"gain, wealth and group have shapes {gained.shape}, {owned.shape}, {label.shape}, "
            "expected [days, investors] for all"
        )
    if label.size and not 0 <= label.min() <= label.max() < groups:
        raise FitnessError(f"groups {label.min()} to {label.max()}, expected 0 to {groups - 1}")
    members = label[..., None] == np.arange(groups)
    base = np.einsum("tn,tng->tg", owned, members)
    total = np.einsum("tn,tng->tg", gained, members)
    return np.asarray(np.where(base > 0, total / np.where(base > 0, base, 1.0), 0.0))


def sortino_ratio(
    returns: npt.ArrayLike, target: float = 0.0, periods: int = TRADING_DAYS
) -> FloatArray:
    """Mean return over target for each unit of downside deviation, a year.

    Parameters
    ----------
    returns : array_like, shape [T, ...]
        Simple returns of each period.
    target : float
        Return of a period under which it counts as downside.
    periods : int
        Periods of a year; the ratio grows with its square root.

    Returns
    -------
    float64 array, shape [...]
        ``sqrt(periods) * mean(r - target) / sqrt(mean(min(r - target, 0)^2))``; infinite with the
        sign of the mean where nothing fell short, NaN where nothing ever moved.

    References
    ----------
    Sortino and Price (1994), Performance measurement in a downside risk framework, Journal of
    Investing 3(3), 59-64, doi:10.3905/joi.3.3.59.
    """
    excess = np.asarray(returns, np.float64) - target
    mean = excess.mean(axis=0)
    downside = np.sqrt(np.mean(np.minimum(excess, 0.0) ** 2, axis=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(periods) * mean / downside)
