"""Whether investors decide on their own: herding, conformity, effective number of minds.

Common news and imitation look the same from outside.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray

ROUNDING = 1e-12
"""Eigenvalues of a unit-trace matrix below this are rounding errors of zero."""


@dataclass(frozen=True, eq=False)
class Herding:
    """The Lakonishok-Shleifer-Vishny measure.

    Parameters
    ----------
    mean : float
        Mean over the asset-periods: 0 without herding, .05 if of 100 traders five more than
        expected are on one side; NaN if no asset-period counts.
    standard_error : float
        Of the mean, as if asset-periods were independent; NaN for fewer than two.
    each : float64 array, shape [K, T]
        Of each asset-period; NaN where fewer than the least number of traders were active.
    """

    mean: float
    standard_error: float
    each: FloatArray


def lsv_herding(
    buyers: npt.ArrayLike,
    sellers: npt.ArrayLike,
    expected_over: Literal["assets", "periods"] = "assets",
    least_traders: int = 5,
) -> Herding:
    """Measure whether traders are on one side of an asset more than chance would have it.

    ``H = |p - E[p]| - AF`` with p the share of buyers among those active in an asset and period,
    and AF the mean of ``|p - E[p]|`` if each bought with probability E[p] independently.

    Parameters
    ----------
    buyers, sellers : array_like of int, shape [K, T]
        Number of investors who bought and sold each of K assets in each of T periods.
    expected_over : {"assets", "periods"}
        Whether E[p] is the buyers' share over all assets of a period, as in the paper, or over
        all periods of an asset: the only choice for a single asset, where H then also holds the
        swings of the whole market's mood.
    least_traders : int
        Asset-periods with fewer active investors do not count.

    Returns
    -------
    Herding

    Raises
    ------
    FitnessError
        If shapes differ, or a single asset is to be its own expectation.

    References
    ----------
    Lakonishok, Shleifer and Vishny (1992), The impact of institutional trading on stock prices,
    Journal of Financial Economics 32(1), 23-43, doi:10.1016/0304-405X(92)90023-Q, section 4. AF by
    de Moivre's closed form of the binomial mean deviation (Diaconis and Zabell 1991, Statistical
    Science 6(3), 284-302, doi:10.1214/ss/1177011699).
    """
    bought, sold = (np.asarray(x, np.int64) for x in (buyers, sellers))
    if bought.ndim != 2 or bought.shape != sold.shape:
        raise FitnessError(
            f"buyers of shape {bought.shape} and sellers of {sold.shape}, expected [assets, "
            "periods] for both"
        )
    if expected_over == "assets" and len(bought) == 1:
        raise FitnessError("one asset is its own expectation: use expected_over='periods'")
    active = bought + sold
    axis = 0 if expected_over == "assets" else 1
    total = active.sum(axis=axis, keepdims=True)
    expected = bought.sum(axis=axis, keepdims=True) / np.where(total > 0, total, 1)
    counted = active >= max(least_traders, 1)
    n = np.where(counted, active, 1)
    p = np.broadcast_to(expected, n.shape)
    deviation = np.abs(bought / n - p) - _binomial_mean_deviation(n, p)
    each = np.where(counted, deviation, np.nan)
    known = each[counted]
    nan = float("nan")
    mean = float(known.mean()) if known.size else nan
    error = float(known.std(ddof=1) / np.sqrt(known.size)) if known.size > 1 else nan
    return Herding(mean, error, each)


def conformity(
    sides: npt.ArrayLike, lag: int = 1, counted: npt.ArrayLike | None = None
) -> FloatArray:
    """Agreement of each investor with the majority of the others, beyond chance.

    Cohen's kappa of the investor's side and that of most others `lag` days before, over the days
    on which both took one: 0 if independent, whatever each leans to, 1 for a perfect follower,
    negative for a contrarian.

    Parameters
    ----------
    sides : array_like, shape [T, N]
        Decisions; only the sign counts, 0 is no side.
    lag : int
        Days that the others' decision is older, 0 or more. With 0 common news counts too.
    counted : array_like of bool, shape [T, N], optional
        The investors' days to measure, as those spent in one group; all by default. The others'
        majority is of everyone.

    Returns
    -------
    float64 array, shape [N]
        Kappa; NaN for who never took a side when the others did, or where both always took one.

    Raises
    ------
    FitnessError
        If the shape or lag is wrong.

    References
    ----------
    Cohen (1960), A coefficient of agreement for nominal scales, Educational and Psychological
    Measurement 20(1), 37-46, doi:10.1177/001316446002000104. Holding it against the majority of
    the others is this project's choice, after Asch (1956), doi:10.1037/h0093718.
    """
    side = np.sign(np.asarray(sides, np.float64))
    if side.ndim != 2 or not 0 <= lag < len(side):
        raise FitnessError(
            f"sides of shape {side.shape} with lag {lag}, expected [days, investors] and a lag "
            "from 0 to days - 1"
        )
    others = np.sign(side.sum(axis=1, keepdims=True) - side)
    mine, theirs = side[lag:], others[: len(side) - lag]
    both = (mine != 0) & (theirs != 0)
    if counted is not None:
        both &= np.broadcast_to(np.asarray(counted, np.bool_), side.shape)[lag:]
    days = np.where(both.any(axis=0), both.sum(axis=0), np.nan)
    agreed = (both & (mine == theirs)).sum(axis=0) / days
    up, majority_up = (((x > 0) & both).sum(axis=0) / days for x in (mine, theirs))
    chance = up * majority_up + (1 - up) * (1 - majority_up)
    return np.asarray((agreed - chance) / np.where(chance < 1, 1 - chance, np.nan))


def effective_minds(decisions: npt.ArrayLike) -> float:
    """Effective number of independent minds behind decision vectors.

    ``K* = 2^H``, H the entropy in bits of the eigenvalues of ``D D' / trace(D D')``.

    Parameters
    ----------
    decisions : array_like, shape [n, d]
        A row a mind: its decisions in d situations. Signed decisions, or options' probabilities
        less their mean; a mind weighs by its row's squared length.

    Returns
    -------
    float
        1 for n minds that decide alike or exactly opposite, n for n orthogonal ones of equal
        length, between the two for all others. Few situations bound it too: at most d.

    Raises
    ------
    FitnessError
        If the decisions are not finite, not [n, d], or all zero.

    References
    ----------
    The effective rank of Roy and Vetterli (2007), The effective rank: a measure of effective
    dimensionality, EUSIPCO 2007, 606-610, of a Gram matrix; for unit rows the Vendi score of
    Friedman and Dieng (2023), arXiv 2210.02410.
    """
    rows = np.asarray(decisions, np.float64)
    if rows.ndim != 2 or not np.isfinite(rows).all() or not rows.any():
        raise FitnessError(
            f"decisions of shape {rows.shape}, expected finite numbers [minds, situations], not "
            "all zero"
        )
    rows = rows / np.abs(rows).max()
    share = np.linalg.svd(rows, compute_uv=False) ** 2
    share = share / share.sum()
    share = share[share > ROUNDING]
    return float(2.0 ** -(share * np.log2(share)).sum())


def _binomial_mean_deviation(n: npt.NDArray[np.int64], p: FloatArray) -> FloatArray:
    """Mean of ``|X / n - p|`` for X binomial(n, p)."""
    above = np.floor(n * p).astype(np.int64) + 1
    return np.asarray(2 * above * (1 - p) * binom.pmf(above, n, p) / n)
