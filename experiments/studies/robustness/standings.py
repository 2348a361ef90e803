"""How populations with one thing changed stand against the original.

Held-out windows are never read, so that a finding may be questioned as often as one likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.studies.robustness.variants import ORIGINAL, Variant
from evobourse.experiments.sweep.judging import Judge, play_row
from evobourse.experiments.sweep.rows import Row, compare_ratios, finite_row
from evobourse.experiments.sweep.setup import Experiment, build_experiment
from evobourse.fitness.distance import SplitScore
from evobourse.market.series.splits import Split

LEAST_AGENTS = 10
RESAMPLES = 2000

Fate = Literal["stays", "evaporates", "appears", "absent", "unclear"]


@dataclass(frozen=True)
class MomentFate:
    """What becomes of a property of the original market.

    Attributes
    ----------
    name
        Of the moment.
    value
        Mean over the variant's paths.
    change, low, high
        Mean difference from the original with its 95 % bootstrap interval, over paths; of pairs
        on one seed where there are.
    fate
        A moment is real where its mean is inside the band of 95 % of real windows. ``stays``:
        real in both; ``evaporates``: in the original alone; ``appears``: in the variant alone;
        ``absent``: in neither; ``unclear``: real in one of both, yet the interval holds 0.
    """

    name: str
    value: float
    change: float
    low: float
    high: float
    fate: Fate


@dataclass(frozen=True)
class Standing:
    """A variant on the windows of one split.

    Attributes
    ----------
    row
        Scoreboard row.
    change
        See `Variant`.
    against
        Mean log ratio of its J/J95 to the original's with its 95 % interval: (mean, low, high);
        above 0 the original is better. None for the original.
    moments
        In the order of the split's target.
    """

    row: Row
    change: str
    against: tuple[float, float, float] | None
    moments: tuple[MomentFate, ...]

    @property
    def verdict(self) -> str:
        """``original``, ``degenerate``, or ``worse``, ``better``, ``undecided`` than it."""
        if not np.isfinite(self.row["score"]):
            return "degenerate"
        if self.against is None:
            return "original"
        _, low, high = self.against
        return "worse" if low > 0 else "better" if high < 0 else "undecided"

    def as_json(self) -> dict[str, Any]:
        """Return plain values; null stands for what is not finite."""
        return {
            **finite_row(self.row),
            "change": self.change,
            "against": None if self.against is None else [*map(_number, self.against)],
            "verdict": self.verdict,
            "moments": [
                {key: _number(value) for key, value in vars(fate).items()} for fate in self.moments
            ],
        }


def judge_variants(
    config: ExperimentConfig, bundle: Bundle, variants: Sequence[Variant], groups: int
) -> Iterator[Standing]:
    """Score variants on training and validation windows, one after the other.

    Parameters
    ----------
    config
        Series, splits and sizes.
    bundle
        Its rules and spread of limit prices make the market.
    variants
        The original first.
    groups
        Groups of ``market.paths`` paths; with the config's ``selection.heldout_groups`` the
        original's rows are those of the run's scoreboard.

    Yields
    ------
    Standing
        Training and validation windows of each variant.
    """
    experiment = build_experiment(config).in_market_of(bundle)
    splits = (experiment.splits.train, experiment.splits.validation)
    originals: dict[str, SplitScore] = {}
    for variant in variants:
        minds = variant.minds()
        for split in splits:
            judge = _judge(experiment, variant, split, groups)
            row, paths = play_row(judge, variant.name, variant.population, minds)
            score = judge.score(paths)
            if variant.name == ORIGINAL:
                originals[split.name] = score
            first = originals[split.name]
            paired = not variant.fresh
            against = compare_ratios(
                score.ratios, first.ratios, judge.stream(f"against {variant.name}"), paired
            )
            rng = judge.stream(f"moments {variant.name}")
            yield Standing(
                row,
                variant.change,
                None if variant.name == ORIGINAL else against,
                _fates(judge, first, score, paired, rng),
            )


def survivors(standings: Iterable[Standing]) -> dict[str, dict[Fate, list[str]]]:
    """Sort the variants of one split by what became of each moment: moment -> fate -> names."""
    table: dict[str, dict[Fate, list[str]]] = {}
    for standing in standings:
        if standing.against is not None:
            for moment in standing.moments:
                table.setdefault(moment.name, {}).setdefault(moment.fate, []).append(
                    standing.row["name"]
                )
    return table


def _judge(experiment: Experiment, variant: Variant, split: Split, groups: int) -> Judge:
    if variant.halved:
        world = experiment.windows.world
        halved = replace(world, n_agents=max(world.n_agents // 2, LEAST_AGENTS))
        experiment = replace(experiment, windows=replace(experiment.windows, world=halved))
    return Judge(experiment, split, groups, "robust" if variant.fresh else "report")


def _fates(
    judge: Judge, first: SplitScore, score: SplitScore, paired: bool, rng: np.random.Generator
) -> tuple[MomentFate, ...]:
    low, high = judge.target.moment_low, judge.target.moment_high
    drawn = rng.integers(len(score.per_path), size=(2, RESAMPLES, len(score.per_path)))
    ours = score.per_path[drawn[0]].mean(axis=1)
    theirs = first.per_path[drawn[0 if paired else 1]].mean(axis=1)
    edges = np.quantile(ours - theirs, [0.025, 0.975], axis=0)
    value, was = score.per_path.mean(axis=0), first.per_path.mean(axis=0)
    fates = []
    for i, name in enumerate(judge.target.names):
        real = [bool(low[i] <= mean[i] <= high[i]) for mean in (was, value)]
        moved = not edges[0, i] <= 0 <= edges[1, i]  # true as well of a degenerate market's NaN
        fate: Fate = "stays" if all(real) else "absent"
        if real[0] != real[1]:
            fate = "unclear" if not moved else "evaporates" if real[0] else "appears"
        now, change = float(value[i]), float(value[i] - was[i])
        fates.append(MomentFate(name, now, change, float(edges[0, i]), float(edges[1, i]), fate))
    return tuple(fates)


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
