"""The proposal scheme: costly and cheap halves of a genome, searched as a cross by two CMA-ES."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.genomes.genome import Genome, Values
from evobourse.evolve.searches.pycma_strategy import Strategy
from evobourse.evolve.searches.search import (
    ParentWeights,
    Parts,
    Vector,
    check_scores,
    child_seed,
    to_log_scores,
)


@dataclass(frozen=True)
class Proposal:
    """One generation's proposals; candidate (s, f) joins slow row s and fast row f.

    Attributes
    ----------
    slow : float64[S, ds]
        Normalised coordinates of the slow segments.
    fast : float64[F, df]
        Normalised coordinates of the fast segments.
    """

    slow: Vector
    fast: Vector


class CrossSearch:
    """Search a genome as a cross of S slow with F fast proposals a generation.

    A slow segment's change costs new forward passes of the models; a fast one's is
    nearly free, since their answers are remembered. All S x F pairs are scored: each
    slow proposal is judged by its marginal over the F fast ones and the other way
    round, and each half is one CMA-ES (Hansen, 2016, arXiv 1604.00772; pycma). The
    strategies draw from their own streams and leave numpy's global one alone. A
    search pickles with its streams and goes on identically. It is an
    `evolve.searches.search.Optimizer`.

    Parameters
    ----------
    genome : Genome
    slow_segments, fast_segments : tuple of str
        Together every segment of the genome, each once.
    slow_count, fast_count : int
        S and F, at least 1. A count of 1 keeps that half at its mean and learns nothing.
    sigma_slow, sigma_fast : float
        First step sizes, in units of the normalised vector (1 is a quarter of a range).
    seed : numpy.random.SeedSequence
        Read, never spawned from: the same seed makes the same search twice.
    diagonal_above : int
        Above this many dimensions a half keeps a diagonal covariance.
    slow_every : int
        The slow half proposes in every so many-th generation alone; in the others it stays at
        its mean, whose answers are remembered, and the fast half searches at its own pace.

    Raises
    ------
    EvolveError
        When the segments do not cover the genome, or a count or step size is too small.
    """

    def __init__(
        self,
        genome: Genome,
        slow_segments: tuple[str, ...],
        fast_segments: tuple[str, ...],
        slow_count: int,
        fast_count: int,
        sigma_slow: float,
        sigma_fast: float,
        seed: np.random.SeedSequence,
        diagonal_above: int = 40,
        slow_every: int = 1,
    ) -> None:
        if slow_every < 1:
            raise EvolveError(f"slow_every is {slow_every}; use 1 or more")
        given = (*slow_segments, *fast_segments)
        expected = [segment.name for segment in genome.segments]
        if sorted(given) != sorted(expected):
            raise EvolveError(
                f"slow and fast segments are {list(given)}, but together they must be "
                f"{expected}, each once"
            )
        self.genome = genome
        self.settings: dict[str, Any] = {
            "slow_segments": tuple(slow_segments),
            "fast_segments": tuple(fast_segments),
            "slow_count": slow_count,
            "fast_count": fast_count,
            "sigma_slow": sigma_slow,
            "sigma_fast": sigma_fast,
            "search_seed": (seed.entropy, tuple(seed.spawn_key)),
            "diagonal_above": diagonal_above,
            "slow_every": slow_every,
        }
        self.notes: list[str] = []
        self._told = 0
        self._slow, self._fast = (
            Strategy(
                "+".join(segments),
                np.concatenate(
                    [np.arange(genome.size)[genome.slice_of(name)] for name in segments]
                    or [np.arange(0)]
                ),
                genome.start_vector(),
                count,
                sigma,
                child_seed(seed, half),
                diagonal_above,
            )
            for half, (segments, count, sigma) in enumerate(
                [(slow_segments, slow_count, sigma_slow), (fast_segments, fast_count, sigma_fast)]
            )
        )

    @property
    def sigmas(self) -> tuple[float, float]:
        """The step sizes of the slow and the fast half, in normalised units."""
        return self._slow.sigma, self._fast.sigma

    @property
    def readings(self) -> dict[str, float]:
        """Both step sizes by name."""
        return {"sigma_slow": self._slow.sigma, "sigma_fast": self._fast.sigma}

    def planned_candidates(self, generation: int) -> int:
        """Say how many candidates a generation has, before it is asked for."""
        slow = self.settings["slow_count"] if self._slow_turn(generation) else 1
        return int(slow * self.settings["fast_count"])

    def ask(self) -> Proposal:
        """Propose a generation."""
        slow = self._slow.ask() if self._slow_turn(self._told) else self._slow.mean[None, :]
        return Proposal(slow=slow, fast=self._fast.ask())

    def vector(self, proposal: Proposal, s: int, f: int) -> Vector:
        """Return candidate (s, f)'s whole vector, float64[genome.size]."""
        return self._join(proposal.slow[s], proposal.fast[f])

    def genomes(self, proposal: Proposal) -> list[list[Values]]:
        """Return the gene values of all candidates [S][F]."""
        slows, fasts = self._slow.proposed(proposal.slow), self._fast.proposed(proposal.fast)
        return [[self.genome.to_values(self._join(slow, fast)) for fast in fasts] for slow in slows]

    def tell(
        self, proposal: Proposal, scores: NDArray[np.float64], parts: Parts = ()
    ) -> ParentWeights:
        """Learn from a generation's scores.

        A proposal's marginal is the mean of log scores over its partners: the best
        ratio on average, whatever the size of each partner's scores. A failed
        candidate enters with `FAILED_FACTOR` times the worst finite score.

        Parameters
        ----------
        proposal : Proposal
            What `ask` returned last.
        scores : float64[S, F]
            At least 0, lower is better, inf for a failed candidate.
        parts
            Not looked at.

        Returns
        -------
        float64[S, F]
            The product of both halves' recombination weights: 0 for what was not
            selected, in sum 1. All 0 when every candidate failed: nothing is learned.

        Raises
        ------
        EvolveError
            When a score is negative or NaN, or the shape is not (S, F).
        """
        scores = check_scores(scores, (len(proposal.slow), len(proposal.fast)))
        if not np.isfinite(scores).any():
            self._told += 1
            return np.zeros_like(scores)
        log_scores = to_log_scores(scores)
        turn = self._slow_turn(self._told)
        self._told += 1
        slow_weights = (
            self._slow.tell(proposal.slow, log_scores.mean(axis=1)) if turn else np.ones(1)
        )
        fast_weights = self._fast.tell(proposal.fast, log_scores.mean(axis=0))
        return np.outer(slow_weights, fast_weights)

    def inject(self, values: Values) -> None:
        """Have gene values among what is proposed next, in each half when it is its turn."""
        vector = self.genome.to_vector(values)
        for half in (self._slow, self._fast):
            half.inject(vector[half.where])

    def mean_vector(self) -> Vector:
        """Return where both strategies believe the best to be, float64[genome.size]."""
        return self._join(self._slow.mean, self._fast.mean)

    def best_guess(self) -> Values:
        """Return the gene values of the mean."""
        halves = (half.proposed(half.mean) for half in (self._slow, self._fast))
        return self.genome.to_values(self._join(*halves))

    def archive(self) -> list[dict[str, Any]]:
        """Nothing is kept."""
        return []

    def stop(self) -> list[str]:
        """Say why nothing more can be learned; empty while either half still learns."""
        learning = [half for half in (self._slow, self._fast) if half.learns]
        if not all(half.reasons for half in learning):
            return []
        return [f"{half.name}: {reason}" for half in learning for reason in half.reasons]

    def _slow_turn(self, generation: int) -> bool:
        return bool((generation + 1) % self.settings["slow_every"] == 0)

    def _join(self, slow: Vector, fast: Vector) -> Vector:
        whole = np.empty(self.genome.size)
        whole[self._slow.where], whole[self._fast.where] = slow, fast
        return whole
