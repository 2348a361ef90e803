"""How closely simulated settlement prices follow the one real path that they were conditioned on.

A market may be lifelike and follow another path: nothing here is a score.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import DegenerateDataWarning, bootstrap, norm
from statsmodels.tsa.stattools import ccf

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray, path_faults

PATH_MEASURES: tuple[str, ...] = ("rmse", "mae", "correlation", "best_lag")
"""Root mean squared and mean absolute error in units of price, correlation of log returns, lag in
days."""

LAG_RANGE_DAYS = 10
"""Two trading weeks each way."""

CHANCE_LEVEL = 0.05
"""Chance that some lag in the range is named for two unrelated series."""

_DEGENERATE = np.array([np.inf, np.inf, np.nan, np.nan])


@dataclass(frozen=True, eq=False)
class PathScore:
    """Simulated paths against the real one; the last axes are in the order of `PATH_MEASURES`.

    Parameters
    ----------
    per_path : float64 array, shape [S, 4]
        Measures of each path. A positive best lag is of a path that follows the real one, and NaN
        where no lag in the range stands out from chance. Errors of a degenerate path are
        infinite, its correlation and lag NaN.
    mean : float64 array, shape [4]
        Mean over the paths; of the lag, over those that have one.
    of_mean_path : float64 array, shape [4]
        Measures of the mean over seeds of the settlement prices. It is smoother than any path.
    mean_interval, of_mean_path_interval : float64 array, shape [2, 4]
        Lower and upper ends of 95 % percentile bootstrap intervals over seeds, NaN for a single
        path and for a lag that some resamples do not have. Those of the mean path err towards
        the worse, even beyond the estimate: a resample averages fewer distinct seeds.
    verdict : str
        ``ok``, or which paths are degenerate and why, as in ``path 2: constant price``; then
        every number but `per_path` is that of a degenerate path.
    """

    per_path: FloatArray
    mean: FloatArray
    of_mean_path: FloatArray
    mean_interval: FloatArray
    of_mean_path_interval: FloatArray
    verdict: str


def score_conditioned_paths(
    simulated_prices: npt.ArrayLike,
    real_prices: npt.ArrayLike,
    rng: np.random.Generator,
    max_lag_days: int = LAG_RANGE_DAYS,
    resamples: int = 1000,
) -> PathScore:
    """Hold simulated settlement prices against the real ones of the same days.

    The best lag is the argmax of the cross-correlation of log returns from ``-max_lag_days`` to
    ``max_lag_days``. It is named only where that correlation is beyond what the largest of so
    many is for unrelated series, ``z / sqrt(T - 1)`` with z the normal quantile at 5 % over the
    number of lags (Bonferroni): the best lags of noise average to a perfect zero.

    Parameters
    ----------
    simulated_prices : array_like, shape [S, T]
        Settlement prices of S seeds, in the units of the real ones.
    real_prices : array_like, shape [T]
        Real settlement prices, 31 days or more.
    rng : numpy.random.Generator
        Source of the bootstrap over seeds.
    max_lag_days : int
        Largest lag tried each way, from 0 to a quarter of T.
    resamples : int
        Bootstrap resamples.

    Returns
    -------
    PathScore
        Infinite errors, with a verdict, if a path is degenerate.

    Raises
    ------
    FitnessError
        If the shapes do not fit together, the real path is degenerate or the lags are too far.

    References
    ----------
    Cross-correlation with divisor T at every lag: Brockwell and Davis (1991), Time Series: Theory
    and Methods, section 11.2, whose bound for unrelated series holds if one of them is white.
    """
    simulated, real = (np.asarray(x, dtype=np.float64) for x in (simulated_prices, real_prices))
    if simulated.ndim != 2 or not len(simulated) or real.shape != simulated.shape[1:]:
        raise FitnessError(
            f"simulated prices of shape {simulated.shape} beside real ones of {real.shape}, "
            "expected [seeds, days] and [days] with as many days"
        )
    if fault := str(path_faults(_log_returns(real))):
        raise FitnessError(f"real prices: {fault}; there is no path to follow")
    if not 0 <= max_lag_days <= len(real) // 4:
        raise FitnessError(
            f"max_lag_days={max_lag_days}: expected 0 to {len(real) // 4}, a quarter of the days"
        )
    faults = path_faults(_log_returns(simulated))
    per_path = np.stack([_measures(path, real, max_lag_days) for path in simulated])
    verdict = "; ".join(f"path {i}: {fault}" for i, fault in enumerate(faults) if fault) or "ok"
    if verdict != "ok":
        nothing = np.stack([_DEGENERATE, _DEGENERATE])
        return PathScore(per_path, _DEGENERATE, _DEGENERATE, nothing, nothing, verdict)

    def both(seeds: npt.NDArray[np.int64]) -> FloatArray:
        mean_path = simulated[seeds].mean(axis=0)
        return np.stack([_mean(per_path[seeds]), _measures(mean_path, real, max_lag_days)])

    seeds = np.arange(len(simulated))
    of_paths, of_mean_path = both(seeds)
    interval = np.full((2, 2, len(PATH_MEASURES)), np.nan)
    if len(seeds) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DegenerateDataWarning)  # a lag that is not always there
            interval[:] = bootstrap(
                (seeds,),
                both,
                vectorized=False,
                method="percentile",
                n_resamples=resamples,
                rng=rng,
            ).confidence_interval
    return PathScore(per_path, of_paths, of_mean_path, interval[:, 0], interval[:, 1], verdict)


def _measures(path: FloatArray, real: FloatArray, max_lag_days: int) -> FloatArray:
    """Measures of one path [T], in the order of `PATH_MEASURES`."""
    returns, real_returns = _log_returns(path), _log_returns(real)
    if path_faults(returns) != "":
        return _DEGENERATE
    error = path - real
    follows, leads = (
        ccf(x, y, adjusted=False, nlags=max_lag_days + 1)
        for x, y in ((returns, real_returns), (real_returns, returns))
    )
    by_lag = np.concatenate([leads[:0:-1], follows])
    best = int(by_lag.argmax())
    chance = norm.isf(CHANCE_LEVEL / len(by_lag)) / np.sqrt(len(returns))
    lag = best - max_lag_days if by_lag[best] > chance else np.nan
    return np.array([np.sqrt(np.mean(error**2)), np.abs(error).mean(), follows[0], lag])


def _mean(per_path: FloatArray) -> FloatArray:
    """Mean over sound paths [S, 4] -> [4], of the lag where it is defined."""
    defined = np.isfinite(per_path)
    count = defined.sum(axis=0)
    return np.asarray(
        np.where(defined, per_path, 0.0).sum(axis=0) / np.where(count > 0, count, np.nan)
    )


def _log_returns(prices: FloatArray) -> FloatArray:
    """Of prices [..., T] -> [..., T - 1], not finite where a price is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.diff(np.log(prices), axis=-1))
