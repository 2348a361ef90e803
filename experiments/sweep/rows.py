"""Rows of a scoreboard: compared, corrected for how many there are, and as they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.rounding import recorded
from evobourse.fitness.comparisons import holm

Row = dict[str, Any]


def corrected(rows: Sequence[Row]) -> list[Row]:
    """Add each row's p-value after Holm's correction for the rows on the same asset and split."""
    tables: dict[tuple[str, str], list[int]] = {}
    for i, row in enumerate(rows):
        tables.setdefault((row["asset"], row["split"]), []).append(i)
    adjusted = np.empty(len(rows))
    for members in tables.values():
        adjusted[members] = holm([rows[i]["p_value"] for i in members])
    return [{**row, "p_holm": float(p)} for row, p in zip(rows, adjusted, strict=True)]


def compare_ratios(
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    rng: np.random.Generator,
    paired: bool = True,
) -> tuple[float, float, float]:
    """Compare J/J95 of groups of paths.

    Parameters
    ----------
    ours, theirs
        J/J95 of each group, float64[groups].
    rng
        Of the bootstrap over groups.
    paired
        Whether group by group both had the same seeds.

    Returns
    -------
    tuple of float
        Mean log ratio of ours to theirs with its 95 % percentile bootstrap interval: below 0 ours
        are better. An infinite interval where a group is degenerate.
    """
    from scipy.stats import bootstrap

    first, second = np.log(ours), np.log(theirs)
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return (float(first.mean()) - float(second.mean()), -np.inf, np.inf)
    gap = first - second
    if paired:
        found = bootstrap((gap,), np.mean, method="percentile", rng=rng)
    else:
        found = bootstrap(
            (first, second),
            lambda x, y, axis=-1: np.mean(x, axis=axis) - np.mean(y, axis=axis),
            method="percentile",
            rng=rng,
        )
    interval = found.confidence_interval
    return float(gap.mean()), float(interval.low), float(interval.high)


def finite_row(row: Row) -> Row:
    """Round a row to what is recorded; JSON has no infinity: null is the score of what failed."""
    return {key: _finite(value) for key, value in row.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if not isinstance(value, float):
        return value
    return recorded(value) if np.isfinite(value) else None
