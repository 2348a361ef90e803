"""The laws without agents that stand beside a champion, on real windows of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evobourse.experiments.reports.scores import REAL_TARGET, REAL_TRAIN
from evobourse.experiments.sweep.setup import Experiment
from evobourse.fitness.baselines.calibration import calibrate_franke_westerhoff
from evobourse.fitness.baselines.franke_westerhoff import FrankeWesterhoff
from evobourse.fitness.baselines.laws import Law, reference_laws
from evobourse.fitness.baselines.without_agents import garch_t_history, gbm_history, redraw_days
from evobourse.fitness.paths import Paths
from evobourse.market.series.splits import Split

Draw = Callable[[np.random.Generator], Paths]
"""From a law's own stream to its paths."""


@dataclass(frozen=True, eq=False)
class Laws:
    """Laws fitted on an experiment's training days, those told the past aside.

    Attributes
    ----------
    experiment
        Data and settings.
    """

    experiment: Experiment
    _fitted: dict[bool, FrankeWesterhoff] = field(init=False, default_factory=dict)

    def on(
        self,
        split: Split,
        starts: NDArray[np.int64],
        days: int,
        with_volume: bool,
        members: int = 1,
    ) -> dict[str, Draw]:
        """List the laws on windows of a split, by name.

        Parameters
        ----------
        split
            Whose days are the target's.
        starts
            First rows of the windows, int64[O]; what laws are told of the past ends before them.
        days
            Of a window.
        with_volume
            Whether real days come with theirs.
        members
            Paths of each window, which lie side by side: O * members in all.
        """
        experiment, count = self.experiment, len(starts) * members
        train = experiment.split_returns(experiment.splits.train)
        before = [experiment.series.log_returns[: start - 1] for start in starts.tolist()]
        of_days = {REAL_TRAIN: experiment.splits.train, REAL_TARGET: split}
        laws: dict[str, Draw] = {}
        for name, law in reference_laws(
            train, experiment.split_returns(split), self._calibrated
        ).items():
            if name in of_days:
                laws[name] = partial(self.redrawn, of_days[name], count, days, with_volume)
            else:
                laws[name] = partial(_of_prices, law, count, days)

        def walk(rng: np.random.Generator) -> Paths:
            return Paths(gbm_history(before, days, rng, members))

        def garch(rng: np.random.Generator) -> Paths:
            return Paths(garch_t_history(train, before, days, rng, members))

        return {**laws, "gbm-history": walk, "garch_t-history": garch}

    def redrawn(
        self, split: Split, count: int, days: int, with_volume: bool, rng: np.random.Generator
    ) -> Paths:
        """Draw real windows of a split."""
        returns = self.experiment.split_returns(split)
        drawn = redraw_days(len(returns), count, days, rng)
        volume = self.experiment.split_volume(split)[drawn] if with_volume else None
        return Paths(returns[drawn], volume)

    def _calibrated(self, student: bool) -> FrankeWesterhoff:
        if student not in self._fitted:
            target = self.experiment.target(self.experiment.splits.train)
            seed = self.experiment.calibration_seed()
            self._fitted[student] = calibrate_franke_westerhoff(target, seed, student=student)
        return self._fitted[student]


def _of_prices(law: Law, count: int, days: int, rng: np.random.Generator) -> Paths:
    return Paths(law(count, days, rng))


def name_key(name: str) -> int:
    """Return the spawn key of a row's own stream."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
