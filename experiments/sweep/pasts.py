"""Ensembles that follow real pasts, and what they score given them (docs/decisions/131).

Pasts end at the beginnings of calendar quarters, so that what follows does not overlap, and that
assets are scored on the same days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.personas.persona import Population
from evobourse.evolve.evaluation import path_seeds
from evobourse.evolve.markets import MIN_HISTORY_DAYS, play_tables
from evobourse.experiments.sweep.laws import Draw, Laws, name_key
from evobourse.fitness.conditional.energy import (
    MEMBERS,
    WINDOW_DAYS,
    QuarterScores,
    compare_scores,
    feature_spread,
    follow_scores,
    pool_quarters,
)
from evobourse.fitness.moments import path_faults
from evobourse.market.series.splits import Split, quarter_starts, quarters_of

REFERENCE = "garch_t-history"
"""The row that all others are held against: a law told the same past."""

_PASTS_KEY = 51


@dataclass(frozen=True, eq=False)
class Pasts:
    """Real pasts within a split; an ensemble of paths follows each.

    Attributes
    ----------
    laws
        Of the experiment whose series it is.
    split
        Which holds what follows.
    """

    laws: Laws
    split: Split

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First rows of what follows, int64[O]; none where a series hardly moved."""
        experiment = self.laws.experiment
        if len(experiment.split_returns(experiment.splits.train)) <= WINDOW_DAYS:
            return np.empty(0, np.int64)  # no real windows to take units from
        starts = quarter_starts(experiment.series, self.split, WINDOW_DAYS, MIN_HISTORY_DAYS)
        return np.asarray(starts[path_faults(self._followed(starts)) == ""])

    def play(self, population: Population, minds: Minds) -> QuarterScores:
        """Let a population follow each past in `MEMBERS` markets, and score it."""
        if not len(self.starts):
            return self.score(np.empty((0, WINDOW_DAYS)))
        experiment, starts = self.laws.experiment, np.repeat(self.starts, MEMBERS)
        windows = experiment.windows
        [choices] = tabulate_choices([population], minds)
        parts = [
            (population, windows.history_before(start), seed)
            for start, seed in zip(starts.tolist(), self._seeds(len(starts)), strict=True)
        ]
        world = replace(windows.world, days=WINDOW_DAYS)
        tapes = play_tables(world, parts, [choices] * len(parts), experiment.executor)
        return self.score(np.stack([tape.log_returns() for tape in tapes]))

    def draws(self) -> dict[str, Draw]:
        """List the laws without agents, each a function of its own stream."""
        return self.laws.on(self.split, self.starts, WINDOW_DAYS, False, MEMBERS)

    def draw(self, name: str) -> QuarterScores:
        """Draw paths of a law after each past, and score it."""
        if not len(self.starts):
            return self.score(np.empty((0, WINDOW_DAYS)))
        rng = np.random.default_rng(self._stream(name_key(name)))
        return self.score(self.draws()[name](rng).log_returns)

    def score(self, log_returns: NDArray[np.float64]) -> QuarterScores:
        """Score paths float64[O * MEMBERS, days], those of a past side by side."""
        experiment, starts = self.laws.experiment, self.starts
        quarters = quarters_of(experiment.series.dates[starts])
        if not len(starts):
            return QuarterScores(quarters, np.empty(0))
        spread = feature_spread(experiment.split_returns(experiment.splits.train))
        paths = log_returns.reshape(len(starts), MEMBERS, WINDOW_DAYS)
        return QuarterScores(quarters, follow_scores(paths, self._followed(starts), spread))

    def _followed(self, starts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the real log returns from such rows on, float64[O, days]."""
        days = starts[:, None] - 1 + np.arange(WINDOW_DAYS)
        return np.asarray(self.laws.experiment.series.log_returns[days])

    def _stream(self, key: int) -> np.random.SeedSequence:
        of_split = ("train", "validation", "heldout").index(self.split.name)
        seed = self.laws.experiment.config.seed
        return np.random.SeedSequence(seed, spawn_key=(_PASTS_KEY, of_split, key))

    def _seeds(self, count: int) -> tuple[int, ...]:
        return path_seeds(self._stream(0), count)


def conditional_columns(
    assets: Sequence[QuarterScores], reference: Sequence[QuarterScores]
) -> dict[str, Any]:
    """Return a row's columns on what follows given pasts, pooled over assets."""
    standing = compare_scores(pool_quarters(assets), pool_quarters(reference))
    return {
        "conditional": standing.score,
        "conditional_skill": standing.skill,
        "conditional_p": standing.p_value,
        "conditional_verdict": standing.verdict,
    }
