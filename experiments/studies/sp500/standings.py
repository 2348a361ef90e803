"""Populations and laws on the windows of several assets, and what is said of them in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.rounding import recorded
from evobourse.experiments.reports.intervals import Interval, t_interval
from evobourse.experiments.reports.scores import REAL_TRAIN
from evobourse.experiments.sweep.judging import Judge
from evobourse.experiments.sweep.pasts import REFERENCE
from evobourse.fitness.comparisons import geometric_mean
from evobourse.fitness.conditional.energy import (
    QuarterScores,
    Standing,
    compare_scores,
    pool_quarters,
)
from evobourse.fitness.distance import SplitScore, bootstrap_mean
from evobourse.fitness.paths import Paths

ACF = ("acf_abs_short", "acf_abs_medium")


@dataclass(frozen=True, eq=False)
class Reading:
    """One population or law on each asset's windows.

    Attributes
    ----------
    names
        Of the assets.
    scores
        On all moments that its paths have, one an asset.
    prices
        On those that paths without volume have.
    moments
        Names of the moments of `scores`.
    ends_lower
        Share of paths that end below their start, float64[assets].
    given
        Energy scores given real pasts, one an asset; none where they were not played.
    """

    names: tuple[str, ...]
    scores: tuple[SplitScore, ...]
    prices: tuple[SplitScore, ...]
    moments: tuple[str, ...]
    ends_lower: NDArray[np.float64]
    given: tuple[QuarterScores, ...] = ()

    @property
    def has_volume(self) -> bool:
        """Whether its paths have volume."""
        return "volume_volatility" in self.moments

    def groups(self, with_volume: bool) -> NDArray[np.float64]:
        """Return J/J95 of each group of paths, pooled over the assets: float64[groups]."""
        scores = self.scores if with_volume else self.prices
        return geometric_mean([score.ratios for score in scores])

    def pooled(self, with_volume: bool) -> float:
        """Return J/J95 over assets and groups."""
        return float(self.groups(with_volume).mean())

    def by_asset(self) -> NDArray[np.float64]:
        """Return J/J95 of each asset, without volume: float64[assets]."""
        return np.array([score.ratio for score in self.prices])

    def mean_of(self, moment: str) -> float:
        """Return a moment's mean over paths and assets; NaN where it is not measured."""
        if moment not in self.moments:
            return float("nan")
        at = self.moments.index(moment)
        return float(np.mean([score.moments[at] for score in self.scores]))

    def inside(self, *moments: str) -> float:
        """Return the share of paths of which each moment is in its real 95 % band, the least."""
        found = [
            np.mean([score.coverage[self.moments.index(name)] for score in self.scores])
            for name in moments
        ]
        return float(min(found))

    @cached_property
    def mcr(self) -> float:
        """Joint moment coverage, of prices alone so that laws compare."""
        return float(np.mean([score.mcr for score in self.prices]))


def read(
    judges: Sequence[Judge], paths: Sequence[Paths], given: Sequence[QuarterScores] = ()
) -> Reading:
    """Score paths on each asset's windows; add what was scored given real pasts."""
    judge, first = judges[0], paths[0]
    target = judge.prices if first.volume is None else judge.target
    return Reading(
        tuple(judge.experiment.series.name for judge in judges),
        tuple(judge.score(own) for judge, own in zip(judges, paths, strict=True)),
        tuple(judge.score(own.prices_alone) for judge, own in zip(judges, paths, strict=True)),
        target.names,
        np.array([own.ends_lower for own in paths]),
        tuple(given),
    )


def make_rows(found: Mapping[str, Sequence[Reading]], first: str) -> dict[str, dict[str, Any]]:
    """Say of each population or law how it stands.

    Parameters
    ----------
    found
        Readings of each, one a sweep's seed, or one alone for a law.
    first
        Whom all others are compared with, on the moments that both have: `against` is its score
        over theirs with a 95 % interval over seeds, below 1 where it is better.
    """
    [real] = found[REAL_TRAIN]
    rows = {}
    for name, readings in found.items():
        volume = all(one.has_volume for one in readings)
        pooled = np.array([one.pooled(volume) for one in readings])
        units = pooled if len(pooled) > 1 else readings[0].groups(volume)
        score, low, high = bootstrap_mean(units, np.random.default_rng(0))
        row = {
            "score": score,
            "ci_low": low,
            "ci_high": high,
            "score_prices": np.mean([one.pooled(False) for one in readings]),
            "skill": score / real.pooled(volume),
            "ends_lower": np.mean([one.ends_lower.mean() for one in readings]),
            "volume_volatility": np.mean([one.mean_of("volume_volatility") for one in readings]),
            "mcr": np.mean([one.mcr for one in readings]),
            "hill_inside": np.mean([one.inside("hill") for one in readings]),
            "acf_inside": np.mean([one.inside(*ACF) for one in readings]),
        }
        standing = conditional_standing(readings, found[REFERENCE])
        row["conditional"] = standing.score
        row["conditional_skill"] = standing.skill
        row["conditional_p"] = standing.p_value
        if name != first:
            row["against"] = list(compare(found[first], readings))
        rows[name] = {key: _finite(value) for key, value in row.items()}
    return rows


def compare(ours: Sequence[Reading], theirs: Sequence[Reading]) -> Interval:
    """Return the ratio of pooled scores, ours over theirs, with its interval over seeds.

    Sweeps of one seed are compared with each other, a law's one reading with all; a geometric mean
    with Student's t of its logarithm.
    """
    volume = all(one.has_volume for one in (*ours, *theirs))
    own, other = (np.array([one.pooled(volume) for one in who]) for who in (ours, theirs))
    return _ratio(own, other)


def conditional_standing(ours: Sequence[Reading], theirs: Sequence[Reading]) -> Standing:
    """Compare energy scores given real pasts: over quarters, after means over sweeps and assets."""
    own, other = (_by_quarter(readings).mean(axis=0) for readings in (ours, theirs))
    return compare_scores(own, other)


def conditional_ratio(ours: Sequence[Reading], theirs: Sequence[Reading]) -> Interval:
    """Return the ratio of energy scores given real pasts, with its interval over sweep seeds.

    Sweeps of one seed are compared with each other; see `compare`.
    """
    own, other = (_by_quarter(readings).mean(axis=1) for readings in (ours, theirs))
    return _ratio(own, other)


def _ratio(own: NDArray[np.float64], other: NDArray[np.float64]) -> Interval:
    """Return the geometric mean of own over other scores, by seed where other has several."""
    ours, theirs = np.log(own), np.log(other)
    gaps = ours[: len(theirs)] - theirs[: len(ours)] if len(theirs) > 1 else ours - theirs
    mean, low, high = np.exp(t_interval(gaps)).tolist()
    return mean, low, high


def _by_quarter(readings: Sequence[Reading]) -> NDArray[np.float64]:
    """Return energy scores pooled over assets, float64[readings, quarters]."""
    return np.stack([pool_quarters(one.given) for one in readings])


def _finite(value: Any) -> Any:
    """Round what is recorded; JSON has no infinity and no NaN."""
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return recorded(float(value)) if np.isfinite(value) else None
