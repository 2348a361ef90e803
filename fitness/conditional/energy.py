"""The energy score of a market's paths after real pasts, and whether it beats another market's.

References
----------
Gneiting and Raftery (2007), Strictly proper scoring rules, prediction, and estimation, Journal of
the American Statistical Association 102(477), 359-378, doi:10.1198/016214506000001437, section 4.3:
the energy score. Ferro (2014), Fair scores for ensemble forecasts, Quarterly Journal of the Royal
Meteorological Society 140, 1917-1923, doi:10.1002/qj.2270: without the bias of a small ensemble.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evobourse.fitness.comparisons import diebold_mariano
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.fact_table import max_drawdown
from evobourse.fitness.moments import FloatArray, acf, on_sound_paths

WINDOW_DAYS = 60
"""Days that are scored after a past: a calendar quarter has two or three more."""

MEMBERS = 16
"""Paths that follow one past."""

LEAST_QUARTERS = 20
"""With fewer the test has neither its level nor any power."""

SIGNIFICANT = 0.05

FEATURES = (
    "log volatility",
    "maximum drawdown",
    "ACF |r|, mean of lags 1-5",
    "end log return",
)
"""What is scored of a path, in the order of `path_features`."""

_LAGS = (1, 2, 3, 4, 5)


def path_features(log_returns: npt.ArrayLike) -> FloatArray:
    """Return what is scored of paths.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.

    Returns
    -------
    float64 array, shape [..., 4]
        `FEATURES`: the log of the returns' standard deviation, the largest fall from an earlier
        peak as a share of it, an autocorrelation, the sum of the returns. NaN for a path in which
        `fitness.moments.path_faults` names a fault.
    """

    def features(returns: FloatArray) -> FloatArray:
        columns = (
            np.log(returns.std(axis=-1)),
            max_drawdown(returns),
            acf(np.abs(returns), _LAGS).mean(axis=-1),
            returns.sum(axis=-1),
        )
        return np.stack(columns, axis=-1)

    return on_sound_paths(features, log_returns, (len(FEATURES),))


def feature_spread(log_returns: npt.ArrayLike, days: int = WINDOW_DAYS) -> FloatArray:
    """Return the unit of each feature: its standard deviation over real windows.

    Parameters
    ----------
    log_returns : array_like, shape [T]
        Real daily log returns, of training days.
    days : int
        Of a window; all windows of the series are taken, overlapping.

    Returns
    -------
    float64 array, shape [4]
        Positive.

    Raises
    ------
    FitnessError
        If there are no two windows of which all features are known and differ.
    """
    returns = np.asarray(log_returns, dtype=np.float64)
    if returns.ndim != 1 or len(returns) <= days:
        raise FitnessError(
            f"log returns of shape {returns.shape}, expected [days], more than {days} of them, to "
            "take units of path features from"
        )
    features = path_features(np.lib.stride_tricks.sliding_window_view(returns, days))
    sound = features[np.isfinite(features).all(axis=1)]
    spread = np.asarray(sound.std(axis=0)) if len(sound) else np.zeros(len(FEATURES))
    if not (spread > 0.0).all():
        raise FitnessError(
            f"{len(features)} real windows of {days} days, of which features do not differ: there "
            "is no unit to score them in"
        )
    return spread


def energy_scores(ensemble: npt.ArrayLike, outcome: npt.ArrayLike) -> FloatArray:
    """Score ensembles against what came, by the fair energy score; less is better.

    Parameters
    ----------
    ensemble : array_like, shape [..., M, F]
        M points of each forecast, 2 or more, in units in which every feature counts the same.
    outcome : array_like, shape [..., F]
        What came.

    Returns
    -------
    float64 array, shape [...]
        ``mean_i |x_i - y| - sum_ij |x_i - x_j| / (2 M (M - 1))``, Euclidean norms; its expectation
        does not depend on M and is least for the law that the outcome is drawn from. Infinite where
        a point is not finite.

    Raises
    ------
    FitnessError
        If shapes do not fit, or an ensemble has less than two points.
    """
    points, came = np.asarray(ensemble, np.float64), np.asarray(outcome, np.float64)
    if points.ndim < 2 or points.shape[:-2] + points.shape[-1:] != came.shape:
        raise FitnessError(
            f"ensembles of shape {points.shape} and outcomes of shape {came.shape}, expected "
            "[..., members, features] and [..., features]"
        )
    members = points.shape[-2]
    if members < 2:
        raise FitnessError(f"{members} paths follow a past, expected 2 or more to know their law")
    sound = np.asarray(np.isfinite(points).all(axis=(-2, -1)))
    safe = np.where(sound[..., None, None], points, 0.0)
    away = np.linalg.norm(safe - came[..., None, :], axis=-1).mean(axis=-1)
    pairs = np.linalg.norm(safe[..., :, None, :] - safe[..., None, :, :], axis=-1)
    apart = pairs.sum(axis=(-2, -1)) / (2.0 * members * (members - 1))
    return np.asarray(np.where(sound, away - apart, np.inf))


def follow_scores(paths: npt.ArrayLike, real: npt.ArrayLike, spread: npt.ArrayLike) -> FloatArray:
    """Score paths that follow real pasts against what really followed.

    Parameters
    ----------
    paths : array_like, shape [O, M, T]
        Daily log returns of M paths that follow each of O pasts.
    real : array_like, shape [O, T]
        Those that really followed.
    spread : array_like, shape [4]
        See `feature_spread`.

    Returns
    -------
    float64 array, shape [O]
        In units of the spread; infinite where a path is degenerate.

    Raises
    ------
    FitnessError
        If shapes do not fit, or a real path is degenerate.
    """
    units = np.asarray(spread, dtype=np.float64)
    came = path_features(real) / units
    if not np.isfinite(came).all():
        bad = np.flatnonzero(~np.isfinite(came).all(axis=-1)).tolist()
        raise FitnessError(f"what really followed pasts {bad} is degenerate: nothing to score")
    return energy_scores(path_features(paths) / units, came)


@dataclass(frozen=True, eq=False)
class QuarterScores:
    """Energy scores of one market on one asset.

    Parameters
    ----------
    quarters : int64 array, shape [O]
        Calendar quarter in which what follows begins, counted from 1970.
    scores : float64 array, shape [O]
        See `follow_scores`.
    """

    quarters: npt.NDArray[np.int64]
    scores: FloatArray


@dataclass(frozen=True)
class Standing:
    """How a market's energy score stands against a reference's.

    Parameters
    ----------
    score : float
        Mean over quarters, in units of the real spread; infinite if a path is degenerate. NaN
        without any quarter.
    skill : float
        `score` over the reference's; below 1 is better.
    p_value : float
        Of the Diebold-Mariano test over quarters, two-sided; NaN where there is none.
    quarters : int
        So many.
    verdict : str
        ``better`` or ``worse`` (`p_value` under 5 %), ``undecided``, ``the reference``, or why it
        cannot be told.
    """

    score: float
    skill: float
    p_value: float
    quarters: int
    verdict: str


def pool_quarters(assets: Sequence[QuarterScores]) -> FloatArray:
    """Average over assets, quarter by quarter: what moves all assets at once counts once.

    Parameters
    ----------
    assets : sequence of QuarterScores
        Of one market, each in its asset's own units.

    Returns
    -------
    float64 array, shape [Q]
        Of the quarters in which any asset has a score, in their order.
    """
    if not assets:
        return np.empty(0)
    quarters = np.concatenate([one.quarters for one in assets])
    scores = np.concatenate([one.scores for one in assets])
    _, place = np.unique(quarters, return_inverse=True)
    return np.asarray(np.bincount(place, weights=scores) / np.bincount(place))


def compare_scores(ours: npt.ArrayLike, reference: npt.ArrayLike) -> Standing:
    """Hold a market's scores against a reference's on the same quarters.

    Parameters
    ----------
    ours, reference : array_like, shape [Q]
        See `pool_quarters`.

    Returns
    -------
    Standing

    Raises
    ------
    FitnessError
        If they are not of the same quarters.
    """
    own, theirs = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    if own.shape != theirs.shape or own.ndim != 1:
        raise FitnessError(
            f"scores of shape {own.shape} against {theirs.shape}, expected the same quarters"
        )
    nan, count = float("nan"), len(own)
    if not count:
        return Standing(nan, nan, nan, 0, "no quarter to score: it cannot be told")
    score = float(own.mean())
    skill = score / float(theirs.mean())
    if np.array_equal(own, theirs):
        return Standing(score, skill, nan, count, "the reference")
    if count < LEAST_QUARTERS:
        few = f"{count} quarters, fewer than {LEAST_QUARTERS}: it cannot be told"
        return Standing(score, skill, nan, count, few)
    if not np.isfinite([own, theirs]).all():
        lost = int((~np.isfinite([own, theirs])).any(axis=0).sum())
        return Standing(score, skill, nan, count, f"degenerate paths in {lost} of {count} quarters")
    _, p_value = diebold_mariano(own, theirs)
    word = "undecided"
    if p_value < SIGNIFICANT:
        word = "better" if skill < 1.0 else "worse"
    return Standing(score, skill, p_value, count, word)
