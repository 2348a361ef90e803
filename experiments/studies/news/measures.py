"""How leanings agree with the real move of the day: signs, ranks, slope and size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from evobourse.experiments.reports.intervals import Interval, bootstrap_interval

RESAMPLES = 2_000
PERMUTATIONS = 10_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Agreement:
    """How one row of leanings agrees with the moves of N days.

    Attributes
    ----------
    right
        float64[N], 1 where the sign is right, 1/2 where a leaning or a move has none.
    signs
        Their mean, with its 95 % interval by resampling days.
    ranks
        Spearman's correlation of leaning and move, likewise.
    p_value
        Two-sided, of ``ranks`` against moves that changed days.
    slope
        Move, in standard deviations, for a unit of leaning, by least squares, likewise.
    size
        Spearman's correlation of the two sizes, likewise.
    """

    right: Floats
    signs: Interval
    ranks: Interval
    p_value: float
    slope: Interval
    size: Interval


def agree(leaning: Floats, move: Floats) -> Agreement:
    """Hold leanings float64[N] against moves float64[N]; every draw is from a fixed stream."""
    rng = np.random.default_rng(0)
    right = (1 + np.sign(leaning) * np.sign(move)) / 2
    rows = rng.integers(len(move), size=(RESAMPLES, len(move)))
    drawn = leaning[rows], move[rows]
    ranks = spearman(leaning, move)
    shuffled = rng.permuted(np.broadcast_to(rankdata(move), (PERMUTATIONS, len(move))), axis=1)
    beyond = np.abs(correlate(rankdata(leaning), shuffled)) >= abs(ranks) - 1e-12
    return Agreement(
        right,
        bootstrap_interval(right),
        (float(ranks), *_ends(spearman(*drawn))),
        float((1 + beyond.sum()) / (1 + PERMUTATIONS)) if np.ptp(leaning) else np.nan,
        (float(slope(leaning, move)), *_ends(slope(*drawn))),
        (
            float(spearman(np.abs(leaning), np.abs(move))),
            *_ends(spearman(*map(np.abs, drawn))),
        ),
    )


def sign_flip_p(differences: Floats) -> float:
    """Return the two-sided p-value of a mean of pairs, by exchanging the two of each pair."""
    if not differences.any():
        return np.nan
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], size=(PERMUTATIONS, len(differences)))
    beyond = np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9
    return float((1 + beyond.sum()) / (1 + PERMUTATIONS))


def spearman(first: Floats, second: Floats) -> Floats:
    """Return rank correlations along the last axis; NaN where one does not vary."""
    return correlate(rankdata(first, axis=-1), rankdata(second, axis=-1))


def correlate(first: Floats, second: Floats) -> Floats:
    """Return Pearson's correlations along the last axis; NaN where one does not vary."""
    a, b = (x - x.mean(axis=-1, keepdims=True) for x in (first, second))
    both = np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(both > 0, (a * b).sum(axis=-1) / both, np.nan))


def slope(leaning: Floats, move: Floats) -> Floats:
    """Return least-squares slopes of moves over leanings along the last axis, with a constant."""
    a, b = (x - x.mean(axis=-1, keepdims=True) for x in (leaning, move))
    spread = (a * a).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(spread > 0, (a * b).sum(axis=-1) / spread, np.nan))


def _ends(drawn: Floats) -> tuple[float, float]:
    if np.isnan(drawn).all():
        return np.nan, np.nan
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)
