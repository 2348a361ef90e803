"""Many scores at once: pooled over assets, and p-values corrected for how many there are."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evobourse.fitness.distance import Score, SplitScore, covered
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray
from evobourse.fitness.target import Target


@dataclass(frozen=True, eq=False)
class PooledScore:
    """Scores of one market model against several assets, as one.

    Parameters
    ----------
    j, j95 : float
        Sums over the assets of J and of J95.
    ratio : float
        ``j / j95``; infinite if any path of any asset is degenerate.
    p_value : float
        Share of pooled real resamples at or above `j`, 0 for a degenerate path.
    mcr : float
        Joint moment coverage ratio over all paths, each in its own asset's intervals.
    verdict : str
        ``ok``, or the degenerate paths by asset, as in ``sp500: path 2: constant price``.
    """

    j: float
    j95: float
    ratio: float
    p_value: float
    mcr: float
    verdict: str


def pool_scores(scores: Mapping[str, tuple[Score | SplitScore, Target]]) -> PooledScore:
    """Add up scores over assets.

    The pooled null is the sum of the assets' own quantile functions, as if all were unlucky
    together. Assets of one continent nearly are: for the S&P 500 and the Nasdaq on the same days a
    null of independent assets rejects 9 % where 5 % is promised and this one 4 %
    (docs/decisions/032-power-and-pooling.md).

    Parameters
    ----------
    scores : mapping of str to (Score or SplitScore, Target)
        By asset; several groups count with their mean J.

    Returns
    -------
    PooledScore

    Raises
    ------
    FitnessError
        If there is no score.
    """
    if not scores:
        raise FitnessError("no score to pool: give one asset at least")
    targets = [target for _, target in scores.values()]
    grid = np.linspace(0.0, 1.0, max(len(t.j_real) for t in targets))
    null = np.sum([np.quantile(t.j_real, grid) for t in targets], axis=0)
    j = float(sum(score.j for score, _ in scores.values()))
    j95 = float(sum(t.j95 for t in targets))
    inside = np.concatenate([covered(s.per_path, t).all(axis=1) for s, t in scores.values()])
    faults = [f"{name}: {s.verdict}" for name, (s, _) in scores.items() if s.verdict != "ok"]
    return PooledScore(
        j=j,
        j95=j95,
        ratio=j / j95,
        p_value=float(np.mean(null >= j)),
        mcr=float(inside.mean()),
        verdict="; ".join(faults) or "ok",
    )


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
