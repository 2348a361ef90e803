"""What every search of a genome does: ask for candidates, be told their scores, say where it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.genomes.genome import Genome, Values

Vector = NDArray[np.float64]
ParentWeights = NDArray[np.float64]
"""float64[S, F]: each candidate's share in what is proposed next; in sum 1, or all 0."""

Parts = Sequence[Sequence[Mapping[str, float]]]
"""[S][F]: what else was measured of each candidate, by name; empty for a failed one."""

SCORE_FLOOR = 1e-12
"""Scores below this count as this, so that one perfect score cannot drown its row."""

FAILED_FACTOR = 2.0
"""A failed candidate counts as this many times the worst finite score of its generation."""


class Optimizer(Protocol):
    """Whoever proposes candidates. It draws from its own streams alone, and pickles with them."""

    settings: dict[str, Any]
    """What must be the same on a resume."""

    notes: list[str]
    """What happened that a reader should know, such as restarts and their reasons, in words."""

    @property
    def readings(self) -> dict[str, float]:
        """Numbers that show its state, such as step sizes, by name."""
        ...

    def planned_candidates(self, generation: int) -> int:
        """Say how many candidates a generation is likely to have, before it is asked for."""
        ...

    def ask(self) -> Any:
        """Propose a generation, in a form of its own that `genomes` reads."""
        ...

    def genomes(self, proposal: Any) -> list[list[Values]]:
        """Return a proposal's gene values [S][F]; those of a row share their costly genes."""
        ...

    def tell(
        self, proposal: Any, scores: NDArray[np.float64], parts: Parts = ()
    ) -> ParentWeights | None:
        """Learn from a generation.

        Parameters
        ----------
        proposal
            What `ask` returned last.
        scores : float64[S, F]
            At least 0, lower is better, inf for a failed candidate.
        parts
            Further measurements [S][F], for those that search by more than the score.

        Returns
        -------
        float64[S, F] or None
            Shares in what is proposed next; all 0 where nothing was learned and the parents
            stay; None where the next candidates descend from nobody.

        Raises
        ------
        EvolveError
            When a score is negative or NaN, or the shape is not (S, F).
        """
        ...

    def inject(self, values: Values) -> None:
        """Have gene values among what is proposed next, where it can take any from outside."""
        ...

    def best_guess(self) -> Values:
        """Return the gene values that it believes to be the best."""
        ...

    def stop(self) -> list[str]:
        """Say in words why nothing more can be learned; empty while it can."""
        ...

    def archive(self) -> list[dict[str, Any]]:
        """List what it found beside one best candidate, a row each; empty for most."""
        ...


class FlatOptimizer(ABC):
    """What searches have in common whose candidates stand in one row, each for itself.

    Parameters
    ----------
    genome : Genome
    population : int
        Candidates of a generation, at least 1.
    settings : mapping
        What must be the same on a resume.
    """

    def __init__(self, genome: Genome, population: int, settings: Mapping[str, Any]) -> None:
        if population < 1:
            raise EvolveError(f"population is {population}; use 1 or more")
        self.genome = genome
        self.population = population
        self.settings: dict[str, Any] = {**settings, "population": population}
        self.notes: list[str] = []
        self._told = 0
        self._best: tuple[float, Values] | None = None

    @property
    def readings(self) -> dict[str, float]:
        """Nothing to read."""
        return {}

    def planned_candidates(self, generation: int) -> int:
        """Say how many candidates a generation is likely to have."""
        return self.population

    def genomes(self, proposal: list[Values]) -> list[list[Values]]:
        """Return a proposal's gene values, a row each."""
        return [[values] for values in proposal]

    def tell(
        self, proposal: list[Values], scores: NDArray[np.float64], parts: Parts = ()
    ) -> ParentWeights | None:
        """Learn from a generation, see `Optimizer.tell`."""
        column = check_scores(scores, (len(proposal), 1))[:, 0]
        best = int(np.argmin(column))
        if np.isfinite(column[best]) and (self._best is None or column[best] < self._best[0]):
            self._best = float(column[best]), proposal[best]
        weights = self._learn(column, [row[0] for row in parts] or [{} for _ in proposal])
        self._told += 1
        return None if weights is None else weights[:, None]

    def inject(self, values: Values) -> None:
        """Take none."""
        return None

    def best_guess(self) -> Values:
        """Return the candidate with the best score so far, or the start."""
        if self._best is None:
            return self.genome.to_values(self.genome.start_vector())
        return self._best[1]

    def stop(self) -> list[str]:
        """There is always more to try."""
        return []

    def archive(self) -> list[dict[str, Any]]:
        """Nothing is kept."""
        return []

    @abstractmethod
    def _learn(self, scores: Vector, parts: list[Mapping[str, float]]) -> Vector | None: ...


def check_scores(scores: NDArray[np.float64], shape: tuple[int, int]) -> Vector:
    """Refuse scores of another shape, negative ones and NaN."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != shape:
        raise EvolveError(f"scores have shape {scores.shape}, the proposal has {shape}")
    if np.any(np.isnan(scores)) or np.any(scores < 0):
        s, f = np.argwhere(np.isnan(scores) | (scores < 0))[0]
        raise EvolveError(
            f"candidate ({s}, {f}) scored {scores[s, f]}; a score is 0 or more, inf if failed"
        )
    return scores


def to_log_scores(scores: Vector) -> Vector:
    """Take logarithms; a failed candidate counts `FAILED_FACTOR` times the worst finite score.

    At least one score must be finite.
    """
    finite = np.isfinite(scores)
    logs = np.log(np.maximum(scores, SCORE_FLOOR), where=finite, out=np.zeros_like(scores))
    logs[~finite] = logs[finite].max() + np.log(FAILED_FACTOR)
    return logs


def child_seed(seed: np.random.SeedSequence, key: int) -> np.random.SeedSequence:
    """Make a seed's child without spawning, so that the same seed gives the same child twice."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, key))


def generation_name(generation: int) -> str:
    """Name a generation as its candidates' ids do; the first is ``g000``."""
    return f"g{generation:03d}"


def candidate_id(generation: int, s: int, f: int = 0) -> str:
    """Name a candidate by its generation and its place in the proposal."""
    return f"{generation_name(generation)}-s{s:02d}-f{f:02d}"
