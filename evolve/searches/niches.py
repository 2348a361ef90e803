"""An archive of members who share cells: who meets what others do not is kept, and is mated with.

A cell is a moment of an asset; a member meets it with the share of its paths in the real 95 % band.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.genomes.genome import Genome, Values
from evobourse.evolve.rounding import exponentials, proposed, recorded
from evobourse.evolve.searches.cma import segment_scales
from evobourse.evolve.searches.search import (
    SCORE_FLOOR,
    FlatOptimizer,
    Vector,
    candidate_id,
    child_seed,
)

INSIDE = "inside_"
"""Prefix of those parts of an evaluation that are cells, values from 0 to 1."""

PLAYED_AGAIN = 0.25
"""Share of a generation that are members, played once more: a first score is mostly luck."""

_NEARBY = 0.1
"""Standard deviation of a split point around its parent's, as a share of the genome."""


@dataclass(frozen=True, eq=False)
class Member:
    """One of the archive.

    Attributes
    ----------
    candidate
        Id under which it was first played.
    vector : float64[d]
        Its genes.
    step
        Of its children's mutations, as a multiple of the step sizes.
    split
        Where its children's genes change from one parent to the other, as a share of the genome.
    plays
        How often it was played.
    inside : float64[cells]
        Sum over its plays of the shares of paths that met each cell.
    log_scores
        Sum over its plays.
    """

    candidate: str
    vector: Vector
    step: float
    split: float
    plays: int
    inside: Vector
    log_scores: float

    @property
    def met(self) -> Vector:
        """Share of its paths that met each cell, float64[cells]."""
        shares: Vector = self.inside / self.plays
        return shares

    @property
    def log_score(self) -> float:
        """Mean over its plays."""
        return self.log_scores / self.plays


@dataclass(frozen=True, eq=False)
class _Child:
    vector: Vector
    step: float = 1.0
    split: float = 0.5


class NicheSearch(FlatOptimizer):
    """Competition for cells, and mates for what one lacks; an `evolve.searches.search.Optimizer`.

    Each cell is worth 1, which all who meet it share; the sum of a member's portions decides
    whether it stays. Its first parent is drawn by that sum, the second by what it meets and the
    first does not, weighted by how few meet it. Genes before the split point lean to one parent,
    those behind it to the other (Abrantes, Lange and Tang, 2025, GECCO, arXiv 2508.16204: M2N2).
    Split points and step sizes are inherited with variation, as in evolution strategies
    (Beyer and Schwefel, 2002, doi:10.1023/A:1015059928466).

    Parameters
    ----------
    genome : Genome
        Whole numbers and choices are searched by their coordinates.
    population : int
        Candidates of a generation; a quarter are members played again.
    size : int
        Members of the archive, at least 2.
    step_sizes : mapping of str to float
        First step size of each segment, in units of the normalised vector.
    seed : numpy.random.SeedSequence
        Read, never spawned from.
    founders : sequence of mapping
        Gene values that the first generation begins with, such as champions of other sweeps.

    Raises
    ------
    EvolveError
        When a number is out of range, or there are more founders than the first generation holds.
    """

    def __init__(
        self,
        genome: Genome,
        population: int,
        size: int,
        step_sizes: Mapping[str, float],
        seed: np.random.SeedSequence,
        founders: Sequence[Values] = (),
    ) -> None:
        if size < 2:
            raise EvolveError(f"an archive of {size} members finds no mates; use 2 or more")
        if len(founders) > population:
            raise EvolveError(
                f"{len(founders)} founders do not fit a generation of {population} candidates; "
                "raise search.population"
            )
        super().__init__(
            genome,
            population,
            {
                "optimizer": "niches",
                "size": size,
                "step_sizes": dict(step_sizes),
                "search_seed": (seed.entropy, tuple(seed.spawn_key)),
                "founders": tuple(tuple(genome.to_vector(f).tolist()) for f in founders),
            },
        )
        self._scales = segment_scales(genome, step_sizes)
        self._rng = np.random.default_rng(child_seed(seed, 0))
        self._members: list[Member] = []
        self._cells: tuple[str, ...] = ()
        self._asked: list[Member | _Child] = []

    @property
    def readings(self) -> dict[str, float]:
        """Members, how many cells the average path of each meets, and the mean step."""
        if not self._members:
            return {"members": 0.0}
        met = np.stack([member.met for member in self._members])
        return {
            "members": float(len(self._members)),
            "cells_met": float(met.mean(axis=0).sum()),
            "cells_met_by_someone": float(met.max(axis=0).sum()),
            "step": float(np.mean([member.step for member in self._members])),
        }

    def ask(self) -> list[Values]:
        """Propose a generation."""
        if len(self._members) < 2:
            self._asked = list(self._first_generation())
        else:
            again = sorted(self._members, key=lambda member: member.plays)  # stable: fittest first
            self._asked = list(again[: int(PLAYED_AGAIN * self.population)])
            met = np.stack([member.met for member in self._members])
            while len(self._asked) < self.population:
                self._asked.append(self._mate(met))
        return [self.genome.to_values(one.vector) for one in self._asked]

    def best_guess(self) -> Values:
        """Return the member with the best mean score of those played twice or more, if any."""
        proven = [member for member in self._members if member.plays > 1] or self._members
        if not proven:
            return super().best_guess()
        return self.genome.to_values(min(proven, key=lambda member: member.log_score).vector)

    def archive(self) -> list[dict[str, Any]]:
        """List the members: candidate, portions, plays, score, share of paths in each cell."""
        return [
            {
                "candidate": member.candidate,
                "portions": float(portions),
                "plays": member.plays,
                "score": recorded(float(np.exp(member.log_score))),
                **dict(zip(self._cells, member.met.tolist(), strict=True)),
            }
            for member, portions in zip(self._members, _portions(self._members), strict=True)
        ]

    def _first_generation(self) -> list[_Child]:
        founders = [np.array(vector) for vector in self.settings["founders"]]
        vectors = [*founders, self.genome.start_vector()][: self.population]
        while len(vectors) < self.population:
            vectors.append(self.genome.draw_vector(self._rng))
        return [_Child(vector) for vector in proposed(np.array(vectors))]

    def _mate(self, met: NDArray[np.float64]) -> _Child:
        """Draw a child of two members, whose shares of cells are ``met[member, cell]``."""
        size = self.genome.size
        first = self._draw(_portions(self._members))
        scarce = 1.0 / np.maximum(met.sum(axis=0), SCORE_FLOOR)
        lacking = proposed(np.clip(met - met[first], 0.0, None) @ scarce)
        second = self._draw(lacking)
        one, other = self._members[first], self._members[second]

        around = one.split + _NEARBY * self._rng.normal()
        split = min(max(around, 0.0), 1.0)
        lean, where = self._rng.random(), np.arange(size) < split * size
        child = np.where(where, lean, 1.0 - lean)
        mixed = child * one.vector + (1.0 - child) * other.vector

        # Schwefel's rate for one step size of d coordinates.
        change = exponentials(np.array([self._rng.normal() / np.sqrt(2.0 * size)]))[0]
        step = float(np.sqrt(one.step * other.step) * change)
        vector = proposed(mixed + step * self._scales * self._rng.normal(size=size))
        return _Child(vector, step, split)

    def _draw(self, weights: Vector) -> int:
        """Draw a member by weights; all alike where none has any."""
        if not weights.any():
            return int(self._rng.integers(len(weights)))
        return int(self._rng.choice(len(weights), p=weights / weights.sum()))

    def _learn(self, scores: Vector, parts: list[Mapping[str, float]]) -> Vector:
        alive = np.flatnonzero(np.isfinite(scores))
        if not self._cells and len(alive):
            self._cells = tuple(name for name in parts[alive[0]] if name.startswith(INSIDE))
            if not self._cells:
                raise EvolveError("search niches: evaluations say nothing of real bands")
        played = {id(one) for one in self._asked if isinstance(one, Member)}
        members = [member for member in self._members if id(member) not in played]
        found: dict[int, Member] = {}
        for i in alive.tolist():
            inside = np.array([parts[i][name] for name in self._cells])
            log_score = float(np.log(max(scores[i], SCORE_FLOOR)))
            one = self._asked[i]
            if isinstance(one, Member):
                found[i] = replace(
                    one,
                    plays=one.plays + 1,
                    inside=one.inside + inside,
                    log_scores=one.log_scores + log_score,
                )
            else:
                name = candidate_id(self._told, i)
                found[i] = Member(name, one.vector, one.step, one.split, 1, inside, log_score)
        self._members = _compete([*members, *found.values()], self.settings["size"])
        kept = {id(member) for member in self._members}
        weights = np.array([i in found and id(found[i]) in kept for i in range(len(scores))])
        return weights / weights.sum() if weights.any() else weights.astype(np.float64)


def _portions(members: Sequence[Member]) -> Vector:
    """Return what each has of all cells, which those who meet one share, float64[members]."""
    if not members:
        return np.zeros(0)
    met = np.stack([member.met for member in members])
    # Rounded, so that no processor's order of summing decides who stays.
    return proposed((met / np.maximum(met.sum(axis=0), SCORE_FLOOR)).sum(axis=1))


def _compete(members: list[Member], size: int) -> list[Member]:
    """Let the one with the smallest portions go until so many are left; the fittest come first."""
    while len(members) > size:
        portions = _portions(members)
        del members[len(members) - 1 - int(np.argmin(portions[::-1]))]  # of equals the newest
    order = np.argsort(-_portions(members), kind="stable")
    return [members[i] for i in order]
