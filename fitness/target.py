"""What a real split does, and how much of that is noise: the target that scores are held against.

References
----------
Franke and Westerhoff (2012), Structural stochastic volatility in asset pricing dynamics:
estimation and model contest, J. Econ. Dyn. Control 36, 1193-1211,
doi:10.1016/j.jedc.2011.10.004. Kuensch (1989), Annals of Statistics 17, 1217-1241,
doi:10.1214/aos/1176347265.
"""

import hashlib
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evobourse.fitness import moments as moment_set
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import MIN_DAYS, MOMENT_NAMES, FloatArray, moments, path_faults
from evobourse.fitness.remembered import remember

MIN_RESAMPLES = 100
"""Fewer resamples pin down neither the moments' covariance nor a 95 % quantile."""

LARGEST_CONDITION = 1e10
"""Condition number of a singular covariance; that of daily index returns is a few thousand."""


@dataclass(frozen=True, eq=False)
class Target:
    """What a score is measured against: the real split's moments and their sampling noise.

    Parameters
    ----------
    split : str
        Name of the split, as in ``train``.
    window_days : int
        Length of a path in daily returns.
    paths : int
        Number of paths averaged in one score.
    m_star : float64 array, shape [M]
        Mean moment vector of the real windows, in the order of `MOMENT_NAMES`.
    weight : float64 array, shape [M, M]
        Inverse covariance of the mean moment vector of `paths` real windows.
    j95 : float
        95 % quantile of J over the real resamples.
    j_real : float64 array, shape [resamples]
        J of the real resamples, ascending.
    history_windows : int
        Windows that the split holds side by side: what m_star and weight are estimated from.
    sigma_real : float
        Standard deviation of the split's daily log returns.
    moment_low, moment_high, moment_sd : float64 array, shape [M]
        2.5 % and 97.5 % quantiles and standard deviation of single real windows' moments.
    content_hash : str
        SHA-256 of all the above, in hexadecimal.
    """

    split: str
    window_days: int
    paths: int
    m_star: FloatArray
    weight: FloatArray
    j95: float
    j_real: FloatArray
    history_windows: int
    sigma_real: float
    moment_low: FloatArray
    moment_high: FloatArray
    moment_sd: FloatArray
    content_hash: str


def make_target(
    log_returns: npt.ArrayLike,
    window_days: int,
    paths: int,
    rng: np.random.Generator,
    resamples: int = 2000,
    split: str = "train",
) -> Target:
    """Measure a real split's moments and their noise with a moving-block bootstrap.

    A resample is the mean moment vector of `paths` windows drawn with replacement from all
    overlapping windows of `window_days` returns: the very statistic that a score computes from
    simulated paths. The block is the whole window because gluing shorter blocks into one would
    cut the memory of absolute returns at every joint: with blocks of b days the
    autocorrelation at lag k shrinks by about k/b, and the "real" market would look
    less clustered than it is.

    Parameters
    ----------
    log_returns : array_like, shape [T]
        Daily log returns of the split.
    window_days : int
        Length of a window, 30 or more.
    paths : int
        Windows per resample, the number of simulated paths in a score.
    rng : numpy.random.Generator
        Source of the resampling.
    resamples : int
        Bootstrap resamples, 100 or more.
    split : str
        Name kept in the target and in messages.

    Returns
    -------
    Target
        J95 holds the noise of drawing windows from this one history, not that of the history
        itself, so a short split is a strict judge: paths of a GARCH(1,1)-t, scored against a
        history of the same process with 250-day windows and 4 paths, have a median ratio of 0.6
        for 10,000 days, 1.0 for 3,018 and 3.6 for 1,155. Compare on a split; read no absolute
        verdict from a short one: `Score.p_two_sample` is the fair judge (measured in
        docs/decisions/030-score-command.md).

    Raises
    ------
    FitnessError
        If an argument is out of range, the split is shorter than two windows, a real window has
        no moments, or the moments' covariance is singular.
    """
    returns = np.asarray(log_returns, dtype=np.float64)
    if returns.ndim != 1 or len(returns) < 2 * window_days:
        raise FitnessError(
            f"split {split!r}: log returns of shape {returns.shape}, expected [T] with T of at "
            f"least two windows of {window_days} days: lengthen the split or shorten the window"
        )
    if window_days < MIN_DAYS or paths < 1 or resamples < MIN_RESAMPLES:
        raise FitnessError(
            f"split {split!r}: window_days={window_days}, paths={paths}, resamples={resamples}; "
            f"expected at least {MIN_DAYS}, 1 and {MIN_RESAMPLES}"
        )
    sigma_real = float(returns.std())
    return target_of_windows(
        _moments_of_windows(returns, window_days, sigma_real, split),
        sigma_real,
        window_days,
        paths,
        len(returns) // window_days,
        rng,
        resamples,
        split,
    )


def target_of_windows(
    window_moments: FloatArray,
    sigma_real: float,
    window_days: int,
    paths: int,
    history_windows: int,
    rng: np.random.Generator,
    resamples: int = 2000,
    split: str = "train",
) -> Target:
    """Make a target from the moments of real windows, wherever those lie.

    Parameters
    ----------
    window_moments : float64 array, shape [W, M]
        Moments of the windows to draw from, with log volatility relative to `sigma_real`.
    sigma_real : float
        Standard deviation that scored paths' log volatility is relative to.
    window_days, paths, rng, resamples, split
        As in `make_target`.
    history_windows : int
        How many windows that do not overlap the days hold.

    Returns
    -------
    Target

    Raises
    ------
    FitnessError
        If the moments' covariance is singular.
    """
    drawn = rng.integers(len(window_moments), size=(resamples, paths))
    means = window_moments[drawn].mean(axis=1)
    covariance = np.cov(means, rowvar=False)
    if np.linalg.cond(covariance) > LARGEST_CONDITION:
        raise FitnessError(
            f"split {split!r}: the {len(MOMENT_NAMES)} moments do not vary independently over its "
            "windows, so their covariance has no inverse: use a longer split"
        )
    m_star = means.mean(axis=0)
    weight = np.linalg.inv(covariance)
    low, high = np.quantile(window_moments, [0.025, 0.975], axis=0)
    j_real = np.sort(distance_j(means, m_star, weight))
    arrays = {
        "m_star": m_star,
        "weight": weight,
        "j_real": j_real,
        "moment_low": low,
        "moment_high": high,
        "moment_sd": window_moments.std(axis=0),
    }
    j95 = float(np.quantile(j_real, 0.95))
    content = hashlib.sha256(repr((split, window_days, paths, j95, sigma_real)).encode())
    for array in arrays.values():
        content.update(np.ascontiguousarray(array).tobytes())
    return Target(
        split=split,
        window_days=window_days,
        paths=paths,
        j95=j95,
        history_windows=history_windows,
        sigma_real=sigma_real,
        content_hash=content.hexdigest(),
        **arrays,
    )


def _moments_of_windows(
    returns: FloatArray, window_days: int, sigma_real: float, split: str
) -> FloatArray:
    """Moments of all overlapping windows, [T] -> [T - window_days + 1, M], kept on disk."""

    def compute() -> dict[str, FloatArray]:
        windows = np.lib.stride_tricks.sliding_window_view(returns, window_days)
        faults = path_faults(windows)
        faulty = np.flatnonzero(faults != "")
        if faulty.size:
            first = int(faulty[0])
            raise FitnessError(
                f"split {split!r}: the {window_days} days from day {first}: "
                f"{faults[first]}: clean the series or lengthen the window"
            )
        return {"moments": moments(windows, sigma_real)}

    code = (sys.modules[__name__], moment_set)
    return remember("moments", (returns, window_days), code, compute)["moments"]


def distance_j(vectors: FloatArray, m_star: FloatArray, weight: FloatArray) -> FloatArray:
    """J of moment vectors [..., M] -> [...] (Franke and Westerhoff 2012, section 3)."""
    gap = vectors - m_star
    return np.asarray(np.einsum("...i,ij,...j->...", gap, weight, gap))
