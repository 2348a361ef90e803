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

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray, moments, path_faults
from evobourse.fitness.target import Target, make_target

__all__ = [
    "Score",
    "SplitScore",
    "Target",
    "bootstrap_mean",
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
        Sum of the squared distances of the moments' means from the real ones, each in the target's
        `gap_sd`; 0 or more, infinite for a degenerate path.
    ratio : float
        ``j / j95``; lower is better, 1 is the 95 % quantile of real years.
    p_value : float
        Share of real resamples as far in all moments together or in the worst one alone, 0 for a
        degenerate path: 0.05 or less is rejected. Its resolution is one over the number of
        resamples.
    worst : str
        The moment that is farthest off, and by how much, as in ``drift -4.1 sd``; empty for a
        degenerate path.
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
    worst: str
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
        As `Score.p_value`, of all groups' paths as one: many paths show what four hide.
    worst : str
        As `Score.worst`, of all groups' paths as one.
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
    worst: str
    mcr: float
    coverage: FloatArray
    ratios: FloatArray
    moments: FloatArray
    per_path: FloatArray
    verdict: str


def score_paths(
    log_returns: npt.ArrayLike, target: Target, volume: npt.ArrayLike | None = None
) -> Score:
    """Score one group of simulated paths.

    Parameters
    ----------
    log_returns : array_like, shape [paths, T]
        Daily log returns, with the target's `paths` and ``T = window_days``.
    target : Target
        The real split to compare with.
    volume : array_like, shape [paths, T], optional
        Units traded on the same days, where the target has volume.

    Returns
    -------
    Score
        Infinite, with a verdict, if a path is degenerate.

    Raises
    ------
    FitnessError
        If the shape is not the target's, for J95 holds for that statistic alone, or if the target
        has volume and the paths have none.
    """
    traded = None if volume is None else np.asarray(volume, dtype=np.float64)[None]
    [score] = score_candidates(np.asarray(log_returns, dtype=np.float64)[None], target, traded)
    return score


def score_candidates(
    log_returns: npt.ArrayLike, target: Target, volume: npt.ArrayLike | None = None
) -> list[Score]:
    """Score several groups of simulated paths at once; each the same, to the bit, as by itself.

    Parameters
    ----------
    log_returns : array_like, shape [candidates, paths, T]
        Daily log returns, each candidate's as in `score_paths`.
    target : Target
        The real split to compare with.
    volume : array_like, shape [candidates, paths, T], optional
        Units traded on the same days, where the target has volume.

    Raises
    ------
    FitnessError
        See `score_paths`.
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
        for found in zip(path_faults(returns), _moments(returns, target, volume), strict=True)
    ]


def _moments(returns: FloatArray, target: Target, volume: npt.ArrayLike | None) -> FloatArray:
    """Take a target's moments of paths, which need volume if it has any."""
    if not target.has_volume:
        return moments(returns, target.sigma_real)
    if volume is None:
        raise FitnessError(
            f"target {target.split!r} has volume and the paths have none: give their volume, or "
            "score against target.without_volume()"
        )
    return moments(returns, target.sigma_real, volume)


def _score(faults: npt.NDArray[np.str_], per_path: FloatArray, target: Target) -> Score:
    """Score one candidate by its paths' faults and moments."""
    mean = per_path.mean(axis=0)
    verdict = "; ".join(f"path {i}: {fault}" for i, fault in enumerate(faults) if fault) or "ok"
    j, p_value, worst = float("inf"), 0.0, ""
    if verdict == "ok":
        squares = target.squares(mean)
        j, p_value = float(squares.sum()), target.p_value(squares)
        at = int(squares.argmax())
        off = float((mean - target.m_star)[at] / target.gap_sd[at])
        worst = f"{target.names[at]} {off:+.1f} sd"
    return Score(
        j=j,
        ratio=j / target.j95,
        p_value=p_value,
        worst=worst,
        moments=mean,
        per_path=per_path,
        verdict=verdict,
    )


def score_groups(
    log_returns: npt.ArrayLike,
    target: Target,
    rng: np.random.Generator,
    resamples: int = 2000,
    volume: npt.ArrayLike | None = None,
) -> SplitScore:
    """Score several groups of fresh seeds, and say how sure the mean is.

    Parameters
    ----------
    log_returns : array_like, shape [groups, paths, T]
        Two or more groups of daily log returns, each as in `score_paths`.
    target : Target
        The real split to compare with.
    rng : numpy.random.Generator
        Source of the bootstrap over groups, and of real years for all paths as one.
    resamples : int
        Bootstrap resamples.
    volume : array_like, shape [groups, paths, T], optional
        Units traded on the same days, where the target has volume.

    Returns
    -------
    SplitScore
        Infinite, with a verdict, if any path is degenerate.

    Raises
    ------
    FitnessError
        If there are fewer than two groups, or see `score_paths`.
    """
    returns = np.asarray(log_returns, dtype=np.float64)
    if returns.ndim != 3 or len(returns) < 2:
        raise FitnessError(
            f"groups of shape {returns.shape}, expected [groups, {target.paths}, "
            f"{target.window_days}] with at least two groups for an interval"
        )
    scores = score_candidates(returns, target, volume)
    ratios = np.array([score.ratio for score in scores])
    j = float(np.mean([score.j for score in scores]))
    per_path = np.concatenate([score.per_path for score in scores])
    within = covered(per_path, target)
    sound = np.full(len(per_path), "")
    as_one = _score(sound, per_path, target.redraw(len(per_path), rng))
    failed = [f"group {i}, {s.verdict}" for i, s in enumerate(scores) if s.verdict != "ok"]
    mean, ci_low, ci_high = bootstrap_mean(ratios, rng, resamples)
    return SplitScore(
        j=j,
        ratio=mean,
        ci_low=ci_low,
        ci_high=ci_high,
        p_value=0.0 if failed else as_one.p_value,
        worst="" if failed else as_one.worst,
        mcr=float(within.all(axis=1).mean()),
        coverage=within.mean(axis=0),
        ratios=ratios,
        moments=per_path.mean(axis=0),
        per_path=per_path,
        verdict=failed[0] if failed else "ok",
    )


def bootstrap_mean(
    ratios: FloatArray, rng: np.random.Generator, resamples: int = 2000
) -> tuple[float, float, float]:
    """Return the mean over groups [groups] with its 95 % percentile bootstrap interval.

    All three are infinite, and nothing is drawn, where a group is.
    """
    if not np.isfinite(ratios).all():
        return float("inf"), float("inf"), float("inf")
    found = bootstrap((ratios,), np.mean, method="percentile", n_resamples=resamples, rng=rng)
    interval = found.confidence_interval
    return float(ratios.mean()), float(interval.low), float(interval.high)


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
