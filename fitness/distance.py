"""How far a set of simulated paths is from the real market, in units of the market's own noise.

References
----------
Franke and Westerhoff (2012), Structural stochastic volatility in asset pricing dynamics:
estimation and model contest, J. Econ. Dyn. Control 36, 1193-1211,
doi:10.1016/j.jedc.2011.10.004.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import bootstrap
from scipy.stats import f as f_distribution

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import MOMENT_NAMES, FloatArray, moments, path_faults
from evobourse.fitness.target import Target, distance_j, make_target

__all__ = [
    "Score",
    "SplitScore",
    "Target",
    "covered",
    "make_target",
    "score_candidates",
    "score_groups",
    "score_paths",
]


@dataclass(frozen=True, eq=False)
class Score:
    """One group of simulated paths against a target.

    Parameters
    ----------
    j : float
        Distance ``(m - m_star)' weight (m - m_star)``, 0 or more; infinite for a degenerate path.
    ratio : float
        ``j / j95``; lower is better, 1 or less is not rejected at 5 % (see `make_target` on short
        splits).
    p_value : float
        Share of real resamples at or above `j`: 0.05 or less where `ratio` is 1 or more, 0 for a
        degenerate path. Its resolution is one over the number of resamples.
    p_two_sample : float
        Chance of a J like this if paths and split were drawn from one law, by Hotelling's T^2:
        unlike `p_value` it counts that m_star and weight are estimates from one history. NaN if
        that holds fewer than 8 windows, 0 for a degenerate path.
    moments : float64 array, shape [M]
        Mean over the paths; NaN when a path is degenerate.
    per_path : float64 array, shape [paths, M]
        Moments of each path; NaN rows for degenerate ones.
    verdict : str
        ``ok``, or which paths are degenerate and why, as in ``path 2: constant price``.
    """

    j: float
    ratio: float
    p_value: float
    p_two_sample: float
    moments: FloatArray
    per_path: FloatArray
    verdict: str


@dataclass(frozen=True, eq=False)
class SplitScore:
    """Several groups of fresh seeds against one target.

    Parameters
    ----------
    j : float
        Mean of J over the groups; infinite if any group is.
    ratio : float
        Mean of J/J95 over the groups; infinite if any group is.
    ci_low, ci_high : float
        95 % percentile bootstrap interval of that mean, over groups: it holds the noise of the
        simulation's seeds, not that of the real split.
    p_value : float
        Share of real resamples whose J is at or above the groups' mean.
    mcr : float
        Joint moment coverage ratio in [0, 1]: share of single paths whose every moment lies
        between the target's `moment_low` and `moment_high`. Real windows themselves stay under
        0.95, as all intervals must hold at once.
    coverage : float64 array, shape [M]
        Moment coverage ratio of each moment alone; 0.95 for real windows.
    ratios : float64 array, shape [groups]
        J/J95 of each group.
    moments : float64 array, shape [M]
        Mean over all paths; NaN when a path is degenerate.
    per_path : float64 array, shape [groups * paths, M]
        Moments of each path.
    verdict : str
        ``ok``, or the first degenerate group, as in ``group 3, path 2: constant price``.
    """

    j: float
    ratio: float
    ci_low: float
    ci_high: float
    p_value: float
    mcr: float
    coverage: FloatArray
    ratios: FloatArray
    moments: FloatArray
    per_path: FloatArray
    verdict: str


def score_paths(log_returns: npt.ArrayLike, target: Target) -> Score:
    """Score one group of simulated paths.

    Parameters
    ----------
    log_returns : array_like, shape [paths, T]
        Daily log returns, with the target's `paths` and ``T = window_days``.
    target : Target
        The real split to compare with.

    Returns
    -------
    Score
        Infinite, with a verdict, if a path is degenerate.

    Raises
    ------
    FitnessError
        If the shape is not the target's: J95 holds for that statistic alone.
    """
    [score] = score_candidates(np.asarray(log_returns, dtype=np.float64)[None], target)
    return score


def score_candidates(log_returns: npt.ArrayLike, target: Target) -> list[Score]:
    """Score several groups of simulated paths at once; each the same, to the bit, as by itself.

    Parameters
    ----------
    log_returns : array_like, shape [candidates, paths, T]
        Daily log returns, each candidate's as in `score_paths`.
    target : Target
        The real split to compare with.

    Raises
    ------
    FitnessError
        If the shape is not the target's.
    """
    returns = np.asarray(log_returns, dtype=np.float64)
    expected = (target.paths, target.window_days)
    if returns.shape[1:] != expected:
        raise FitnessError(
            f"paths of shape {returns.shape[1:]}, expected {expected} [paths, days] for target "
            f"{target.split!r}: simulate that many, or make a target for what you have"
        )
    return [
        _score(*found, target)
        for found in zip(path_faults(returns), moments(returns, target.sigma_real), strict=True)
    ]


def _score(faults: npt.NDArray[np.str_], per_path: FloatArray, target: Target) -> Score:
    """Score one candidate by its paths' faults and moments."""
    mean = per_path.mean(axis=0)
    verdict = "; ".join(f"path {i}: {fault}" for i, fault in enumerate(faults) if fault) or "ok"
    j = float(distance_j(mean, target.m_star, target.weight)) if verdict == "ok" else float("inf")
    return Score(
        j=j,
        ratio=j / target.j95,
        p_value=float(np.mean(target.j_real >= j)),
        p_two_sample=_two_sample_p(j, target),
        moments=mean,
        per_path=per_path,
        verdict=verdict,
    )


def score_groups(
    log_returns: npt.ArrayLike,
    target: Target,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> SplitScore:
    """Score several groups of fresh seeds, and say how sure the mean is.

    Parameters
    ----------
    log_returns : array_like, shape [groups, paths, T]
        Two or more groups of daily log returns, each as in `score_paths`.
    target : Target
        The real split to compare with.
    rng : numpy.random.Generator
        Source of the bootstrap over groups.
    resamples : int
        Bootstrap resamples.

    Returns
    -------
    SplitScore
        Infinite, with a verdict, if any path is degenerate.

    Raises
    ------
    FitnessError
        If there are fewer than two groups or a group has the wrong shape.
    """
    returns = np.asarray(log_returns, dtype=np.float64)
    if returns.ndim != 3 or len(returns) < 2:
        raise FitnessError(
            f"groups of shape {returns.shape}, expected [groups, {target.paths}, "
            f"{target.window_days}] with at least two groups for an interval"
        )
    scores = score_candidates(returns, target)
    ratios = np.array([score.ratio for score in scores])
    j = float(np.mean([score.j for score in scores]))
    per_path = np.concatenate([score.per_path for score in scores])
    within = covered(per_path, target)
    failed = [f"group {i}, {s.verdict}" for i, s in enumerate(scores) if s.verdict != "ok"]
    ci_low = ci_high = float("inf")
    if not failed:
        interval = bootstrap(
            (ratios,), np.mean, method="percentile", n_resamples=resamples, rng=rng
        ).confidence_interval
        ci_low, ci_high = float(interval.low), float(interval.high)
    return SplitScore(
        j=j,
        ratio=float(ratios.mean()),
        ci_low=ci_low,
        ci_high=ci_high,
        p_value=float(np.mean(target.j_real >= j)),
        mcr=float(within.all(axis=1).mean()),
        coverage=within.mean(axis=0),
        ratios=ratios,
        moments=per_path.mean(axis=0),
        per_path=per_path,
        verdict=failed[0] if failed else "ok",
    )


def covered(per_path: npt.ArrayLike, target: Target) -> npt.NDArray[np.bool_]:
    """Say which moments of which paths lie in the real windows' 95 % intervals.

    Parameters
    ----------
    per_path : array_like, shape [..., M]
        Moments of single paths.
    target : Target
        The real split, with the intervals from `moment_low` to `moment_high`.

    Returns
    -------
    bool array, shape [..., M]
        False for the NaN moments of a degenerate path. The share of paths on which all hold is
        the joint moment coverage ratio, the share of each moment alone its own.

    References
    ----------
    Franke and Westerhoff (2012), doi:10.1016/j.jedc.2011.10.004.
    """
    values = np.asarray(per_path, dtype=np.float64)
    return np.asarray((target.moment_low <= values) & (values <= target.moment_high))


def _two_sample_p(j: float, target: Target) -> float:
    """Tail of Hotelling's two-sample T^2, the covariance estimated from the history alone.

    With n paths, N windows in the history and p moments, J / (1 + n / N) is T^2 with N - 1 degrees
    of freedom (Hotelling 1931, Annals of Mathematical Statistics 2(3), 360-378,
    doi:10.1214/aoms/1177732979). Overlapping windows know a little more, which errs towards a
    larger p.
    """
    count, freedom = len(MOMENT_NAMES), target.history_windows - 1
    if freedom < count:
        return float("nan")
    t_squared = j / (1.0 + target.paths / target.history_windows)
    rest = freedom - count + 1
    return float(f_distribution.sf(t_squared * rest / (freedom * count), count, rest))
