"""The eleven stylised facts of asset returns, one number each; the score has moments of its own.

All functions take daily log returns [..., T] and give float64 [...], NaN where `path_faults`
names a fault or the path is too short for the fact. Returns are standardised first, so that none
depends on a path's volatility or drift.

References
----------
Cont (2001), Empirical properties of asset returns: stylized facts and statistical issues,
Quantitative Finance 1(2), 223-236, doi:10.1080/713665670; facts are numbered as in its section 2.
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.stats import kurtosis, skew
from statsmodels.tsa.stattools import ccf

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.garch_filter import garch_residuals
from evobourse.fitness.moments import SMALLEST_STD, FloatArray, acf, on_sound_paths, standardise
from evobourse.fitness.moments import volume_volatility as rank_correlation

NEAR_LAGS = range(1, 11)
"""Two trading weeks: what the facts on memory average over."""

WEEK_DAYS = 5
"""Scale of the coarse returns in facts 4 and 11."""

EVENT_SHARE = 0.10
"""Share of days, those with the largest absolute returns, that count as events in fact 5."""

EVENT_BLOCK_DAYS = 20
LEAST_BLOCKS = 5
"""Events are counted a trading month at a time; a variance needs five months."""

LEAST_GARCH_DAYS = 100
"""With fewer days a GARCH(1,1) is mostly its starting values."""

STEEPEST_DECAY = 2.0
"""Upper end of the exponents tried in fact 8; a decay like this is over within days."""


def mean_abs_acf(log_returns: npt.ArrayLike) -> FloatArray:
    """Fact 1, absence of autocorrelations: mean absolute autocorrelation at lags 1 to 10.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.

    Returns
    -------
    float64 array, shape [...]
        0 to 1; about ``sqrt(2 / (pi T))`` for independent returns, more if they are predictable.
    """
    return on_sound_paths(lambda r: np.abs(acf(r, NEAR_LAGS)).mean(axis=-1), log_returns)


def excess_kurtosis(log_returns: npt.ArrayLike) -> FloatArray:
    """Fact 2, heavy tails: excess kurtosis of daily returns.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.

    Returns
    -------
    float64 array, shape [...]
        0 for a Gaussian, positive for heavier tails. The tail index is `fitness.moments.hill`.
    """
    return on_sound_paths(lambda r: _kurtosis(standardise(r)), log_returns)


def skewness(log_returns: npt.ArrayLike) -> FloatArray:
    """Fact 3, gain/loss asymmetry: skewness of daily returns.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.

    Returns
    -------
    float64 array, shape [...]
        0 if gains and losses are alike, negative where the largest moves are losses.

    Notes
    -----
    The waiting times of Jensen, Johansen and Simonsen (2003), doi:10.1016/S0378-4371(02)01884-8,
    are another measure; in 250 days too few starts reach a level of some standard deviations.
    """
    return on_sound_paths(lambda r: np.asarray(skew(standardise(r), axis=-1)), log_returns)


def aggregational_gaussianity(log_returns: npt.ArrayLike) -> FloatArray:
    """Fact 4, aggregational Gaussianity: excess kurtosis of daily less that of weekly returns.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns; weekly ones are their overlapping sums over 5 days.

    Returns
    -------
    float64 array, shape [...]
        Positive where sums are nearer to a Gaussian; 0 if days are Gaussian already. Independent
        days with excess kurtosis k give ``0.8 k``.
    """

    def thinned(returns: FloatArray) -> FloatArray:
        z = standardise(returns)
        return np.asarray(_kurtosis(z) - _kurtosis(_week_sums(z)))

    return on_sound_paths(thinned, log_returns)


def fano_factor(log_returns: npt.ArrayLike) -> FloatArray:
    """Fact 5, intermittency: variance over mean of the number of large moves in a month.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns. Large moves are the tenth of days with the largest absolute return;
        months are 20 days, and the days over at the end are not counted.

    Returns
    -------
    float64 array, shape [...]
        0.9 if large moves fall on days at random (binomial), more where they come in bursts. NaN
        for paths of fewer than 100 days.

    References
    ----------
    Fano (1947), Physical Review 72, 26-29, doi:10.1103/PhysRev.72.26.
    """

    def factor(returns: FloatArray) -> FloatArray:
        days = returns.shape[-1]
        blocks = days // EVENT_BLOCK_DAYS
        if blocks < LEAST_BLOCKS:
            return np.full(len(returns), np.nan)
        size = np.abs(standardise(returns))
        events = size > np.quantile(size, 1.0 - EVENT_SHARE, axis=-1, keepdims=True)
        counts = events[:, : blocks * EVENT_BLOCK_DAYS].reshape(-1, blocks, EVENT_BLOCK_DAYS)
        in_month = counts.sum(axis=-1)
        mean = in_month.mean(axis=-1)
        return np.asarray(in_month.var(axis=-1, ddof=1) / np.where(mean > 0, mean, np.nan))

    return on_sound_paths(factor, log_returns)


def volatility_clustering(log_returns: npt.ArrayLike) -> FloatArray:
    """Fact 6, volatility clustering: mean autocorrelation of absolute returns at lags 1 to 10.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.

    Returns
    -------
    float64 array, shape [...]
        -1 to 1; near zero, slightly below, if volatility has no memory.
    """
    return on_sound_paths(lambda r: _acf_of_size(r, NEAR_LAGS).mean(axis=-1), log_returns)


def conditional_kurtosis(log_returns: npt.ArrayLike) -> FloatArray:
    """Fact 7, conditional heavy tails: excess kurtosis of what a GARCH(1,1) leaves unexplained.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns; the Gaussian quasi-likelihood is fitted to each path.

    Returns
    -------
    float64 array, shape [...]
        Of the standardised residuals: 0 if the shocks are Gaussian. NaN under 100 days or where
        the fit does not converge.

    References
    ----------
    Bollerslev (1986), Journal of Econometrics 31(3), 307-327, doi:10.1016/0304-4076(86)90063-1.
    """

    def each(returns: FloatArray) -> FloatArray:
        if returns.shape[-1] < LEAST_GARCH_DAYS:
            return np.full(len(returns), np.nan)
        return _kurtosis(np.stack([garch_residuals(z) for z in standardise(returns)]))

    return on_sound_paths(each, log_returns)


def decay_exponent(log_returns: npt.ArrayLike) -> FloatArray:
    """Fact 8, slow decay of volatility's memory: beta of a power law ``lag ** -beta``.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns. Least squares on the autocorrelation of absolute returns at lags 1 to
        T/10, 100 at most.

    Returns
    -------
    float64 array, shape [...]
        0 to 2; 0.2 to 0.4 in real markets over long samples (Cont 2001). NaN where
        there is no memory whose decay could be measured: the mean autocorrelation at lags 1 to 10
        is under 1.96 of the standard errors that it has for independent days.
    """

    def each(returns: FloatArray) -> FloatArray:
        days = returns.shape[-1]
        lags = np.arange(1, max(min(days // 10, 100), len(NEAR_LAGS)) + 1)
        remembered = 1.96 / np.sqrt(len(NEAR_LAGS) * days)
        memory = _acf_of_size(returns, range(1, len(lags) + 1))
        return np.array(
            [
                _power_law(lags, curve)
                if curve[: len(NEAR_LAGS)].mean() > remembered
                else float("nan")
                for curve in memory
            ]
        )

    return on_sound_paths(each, log_returns)


def acf_abs_month(log_returns: npt.ArrayLike) -> FloatArray:
    """Fact 8, memory of a month: mean ACF of absolute returns at lags 20-30, [..., T] -> [...].

    NaN under 500 days, where the sample autocorrelation's own bias is as large.
    """
    return _far_memory(log_returns, range(20, 31), 500)


def acf_abs_quarter(log_returns: npt.ArrayLike) -> FloatArray:
    """Fact 8, memory of a quarter: mean ACF of absolute returns at lags 45-55, [..., T] -> [...].

    NaN under 1,000 days, where the sample autocorrelation's own bias is as large.
    """
    return _far_memory(log_returns, range(45, 56), 1000)


def leverage(log_returns: npt.ArrayLike) -> FloatArray:
    """Fact 9, leverage effect: mean correlation of returns with later squared returns.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.

    Returns
    -------
    float64 array, shape [...]
        Mean of ``corr(z[t], z[t + lag]**2)`` over lags 1 to 10, in [-1, 1]: negative where
        volatility rises after losses.

    References
    ----------
    Bouchaud, Matacz and Potters (2001), Physical Review Letters 87, 228701,
    doi:10.1103/PhysRevLett.87.228701.
    """

    def each(returns: FloatArray) -> FloatArray:
        last = NEAR_LAGS.stop
        return np.array(
            [ccf(z**2, z, adjusted=False, nlags=last)[1:].mean() for z in standardise(returns)]
        )

    return on_sound_paths(each, log_returns)


def volume_volatility(log_returns: npt.ArrayLike, volume: npt.ArrayLike) -> FloatArray:
    """Fact 10, volume-volatility correlation: rank correlation of volume and absolute returns.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.
    volume : array_like, shape [..., T]
        Units traded on the same days, 0 or more.

    Returns
    -------
    float64 array, shape [...]
        Spearman's, in [-1, 1]. NaN where the volume is constant, as in a series without one, or
        a day's is negative or not finite. Over many years the volume's own trend hides it.

    Raises
    ------
    FitnessError
        If the shapes differ.
    """
    returns, traded = (np.asarray(x, dtype=np.float64) for x in (log_returns, volume))
    if returns.shape != traded.shape:
        raise FitnessError(f"volume of shape {traded.shape}, expected {returns.shape}, a day each")
    known = np.isfinite(traded).all(axis=-1) & (traded.min(axis=-1) >= 0)
    known &= np.ptp(traded, axis=-1) > 0
    result = np.full(returns.shape[:-1], np.nan)
    result[known] = rank_correlation(returns[known], traded[known])
    return result


def coarse_fine_asymmetry(log_returns: npt.ArrayLike) -> FloatArray:
    """Fact 11, asymmetry in time scales: coarse volatility foretells fine better than the reverse.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns. Fine volatility of a week is the mean absolute daily return of 5 days,
        coarse volatility the absolute return over the same 5 days.

    Returns
    -------
    float64 array, shape [...]
        Correlation of a week's coarse volatility with the next week's fine, less that of a
        week's fine with the next week's coarse: 0 if time has no direction, positive in markets.

    References
    ----------
    Mueller et al. (1997), Volatilities of different time resolutions, Journal of Empirical
    Finance 4(2-3), 213-239, doi:10.1016/S0927-5398(97)00007-8.
    """

    def asymmetry(returns: FloatArray) -> FloatArray:
        z = standardise(returns)
        fine, coarse = _week_sums(np.abs(z)), np.abs(_week_sums(z))
        return np.array(
            [
                _correlation(c[:-WEEK_DAYS], f[WEEK_DAYS:])
                - _correlation(f[:-WEEK_DAYS], c[WEEK_DAYS:])
                for c, f in zip(coarse, fine, strict=True)
            ]
        )

    return on_sound_paths(asymmetry, log_returns)


def _acf_of_size(returns: FloatArray, lags: range) -> FloatArray:
    return acf(np.abs(standardise(returns)), lags)


def _far_memory(log_returns: npt.ArrayLike, lags: range, least_days: int) -> FloatArray:
    if np.shape(log_returns)[-1] < least_days:
        return np.full(np.shape(log_returns)[:-1], np.nan)
    return on_sound_paths(lambda r: _acf_of_size(r, lags).mean(axis=-1), log_returns)


def _kurtosis(values: FloatArray) -> FloatArray:
    """Excess kurtosis along the last axis; NaN where the values do not vary."""
    varies = values.std(axis=-1, keepdims=True) > SMALLEST_STD
    return np.asarray(kurtosis(np.where(varies, values, np.nan), axis=-1))


def _week_sums(values: FloatArray) -> FloatArray:
    """Overlapping sums over 5 days, [N, T] -> [N, T - 4]."""
    return np.asarray(np.lib.stride_tricks.sliding_window_view(values, WEEK_DAYS, -1).sum(axis=-1))


def _correlation(first: FloatArray, second: FloatArray) -> float:
    if min(first.std(), second.std()) <= SMALLEST_STD:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _power_law(lags: npt.NDArray[np.int_], curve: FloatArray) -> float:
    """Exponent of the least-squares power law through a curve; its factor is solved for."""

    def squares_left(beta: float) -> float:
        shape = lags**-beta
        return float(((curve - shape * (shape @ curve) / (shape @ shape)) ** 2).sum())

    return float(minimize_scalar(squares_left, bounds=(0.0, STEEPEST_DECAY)).x)
