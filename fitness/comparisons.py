"""Many scores at once: pooled over assets, and p-values corrected for how many there are."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evobourse.fitness.distance import Score, SplitScore, covered
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray
from evobourse.fitness.target import Target

_EQUAL_LOSSES = 1e-9


@dataclass(frozen=True, eq=False)
class PooledScore:
    """Scores of one market model against several assets, as one.

    Parameters
    ----------
    ratio : float
        Geometric mean over the assets of J/J95, so that no asset counts more because it is harder;
        infinite if any path of any asset is degenerate.
    ratios : float64 array, shape [groups]
        The same group by group, where scores are of several groups; else empty.
    p_value : float
        Twice the mean of the assets' p-values, valid however they hang together; 0 for a
        degenerate path.
    mcr : float
        Joint moment coverage ratio over all paths, each in its own asset's intervals.
    verdict : str
        ``ok``, or the degenerate paths by asset, as in ``sp500: path 2: constant price``.
    """

    ratio: float
    ratios: FloatArray
    p_value: float
    mcr: float
    verdict: str


def pool_scores(scores: Mapping[str, tuple[Score | SplitScore, Target]]) -> PooledScore:
    """Pool scores over assets, each in that asset's own units.

    Parameters
    ----------
    scores : mapping of str to (Score or SplitScore, Target)
        By asset.

    Returns
    -------
    PooledScore

    Raises
    ------
    FitnessError
        If there is no score.

    References
    ----------
    Vovk and Wang (2020), Combining p-values via averaging, Biometrika 107(4), 791-808,
    doi:10.1093/biomet/asaa027.
    """
    if not scores:
        raise FitnessError("no score to pool: give one asset at least")
    each = [score for score, _ in scores.values()]
    groups = [score.ratios for score in each if isinstance(score, SplitScore)]
    inside = np.concatenate([covered(s.per_path, t).all(axis=1) for s, t in scores.values()])
    faults = [f"{name}: {s.verdict}" for name, (s, _) in scores.items() if s.verdict != "ok"]
    return PooledScore(
        ratio=float(geometric_mean([score.ratio for score in each])),
        ratios=geometric_mean(groups) if groups else np.empty(0),
        p_value=0.0 if faults else min(1.0, 2.0 * float(np.mean([s.p_value for s in each]))),
        mcr=float(inside.mean()),
        verdict="; ".join(faults) or "ok",
    )


def geometric_mean(ratios: npt.ArrayLike) -> FloatArray:
    """Return the geometric mean over the first axis of numbers above 0; infinite if one is."""
    return np.asarray(np.exp(np.mean(np.log(np.asarray(ratios, dtype=np.float64)), axis=0)))


def diebold_mariano(losses: npt.ArrayLike, reference: npt.ArrayLike) -> tuple[float, float]:
    """Test whether losses are equal on average to those of a reference on the same occasions.

    Parameters
    ----------
    losses, reference : array_like, shape [O]
        Of occasions that do not overlap.

    Returns
    -------
    tuple of float
        The statistic with the correction of Harvey, Leybourne and Newbold, negative where `losses`
        are less, and its two-sided p-value, Student's t with one degree of freedom less than
        occasions. NaN if a loss is missing; 0 and 1 for equal losses.

    References
    ----------
    Diebold and Mariano (1995), Comparing predictive accuracy, J. Bus. Econ. Stat. 13(3), 253-263,
    doi:10.1080/07350015.1995.10524599. Harvey, Leybourne and Newbold (1997), Testing the equality
    of prediction mean squared errors, Int. J. Forecasting 13(2), 281-291,
    doi:10.1016/S0169-2070(96)00719-4.
    """
    from statsmodels.tsa.stattools import diebold_mariano_test  # a second, and pandas

    ours, theirs = np.asarray(losses, np.float64), np.asarray(reference, np.float64)
    if not np.isfinite([ours, theirs]).all():
        return float("nan"), float("nan")
    if np.allclose(ours, theirs, rtol=_EQUAL_LOSSES, atol=0.0):
        return 0.0, 1.0
    # losses in place of forecasts: the library would make them of single days
    result = diebold_mariano_test(
        np.zeros_like(theirs), ours, theirs, criterion=lambda _, loss: loss, lags=0, harvey_adj=True
    )
    return float(result.statistic), float(result.pvalue)


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Adjust p-values for the number of tests, so that any false alarm has the stated chance.

    Parameters
    ----------
    p_values : array_like, shape [N]
        NaN where there is no test.

    Returns
    -------
    float64 array, shape [N]
        NaN where there is no test.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6(2), 65-70.
    """
    from statsmodels.stats.multitest import multipletests  # a second, and pandas

    p = np.asarray(p_values, dtype=np.float64)
    adjusted, tested = np.full(p.shape, np.nan), np.isfinite(p)
    if tested.any():
        adjusted[tested] = multipletests(p[tested], method="holm")[1]
    return adjusted
