"""Candidates played again on fresh seeds, of which one becomes champion."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.watching import Begin, unwatched
from evobourse.experiments.sweep.judging import Judge
from evobourse.experiments.sweep.setup import Experiment
from evobourse.fitness.comparisons import geometric_mean


@dataclass(frozen=True)
class Finalist:
    """A candidate played again: mean J/J95 on validation and on training windows, pooled."""

    candidate: Candidate
    validation: float
    train: float

    @property
    def score(self) -> float:
        """The geometric mean of both."""
        return float(np.sqrt(self.validation * self.train))


def rank_finalists(
    experiment: Experiment,
    bases: Bases,
    candidates: Sequence[Candidate],
    on_done: Callable[[Finalist], None],
    begin: Begin = unwatched,
) -> list[Finalist]:
    """Play candidates on validation and training windows with fresh seeds, and rank them.

    The score that bred a candidate plays no part: the winner of many noisy trials looks better
    than it is. Training windows count as much as validation windows, since a validation split
    of a few years is a single regime (docs/decisions/006).

    Returns
    -------
    list of Finalist
        Best first.
    """
    groups = experiment.config.selection.validation_groups
    assets = experiment.assets
    judges = [
        [Judge(asset, asset.splits.validation, groups, "choose") for asset in assets],
        [Judge(asset, asset.splits.train, groups, "choose") for asset in assets],
    ]
    finalists: list[Finalist] = []
    begin("choose", len(candidates), lambda: len(finalists))
    genome = experiment.market_genome
    in_turn = sorted(candidates, key=lambda c: json.dumps(c.recipe))
    casts = [(genome.recipe(c.genome), [genome.population(c.genome)]) for c in in_turn]
    bases.expect(casts)
    for candidate, (recipe, [population]) in zip(in_turn, casts, strict=True):
        minds = bases.serve(recipe)
        validation, train = (
            float(geometric_mean([j.score(j.play(population, minds)).ratio for j in of_split]))
            for of_split in judges
        )
        finalists.append(Finalist(candidate, validation, train))
        on_done(finalists[-1])
    return sorted(finalists, key=lambda f: (f.score, f.candidate.id))
