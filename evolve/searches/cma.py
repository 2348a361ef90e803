"""CMA-ES over a whole genome: restarts with growing populations, and noise met by re-evaluation.

One strategy draws the proposals of real genes, another those of mixed ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.genomes.genome import Genome, Values
from evobourse.evolve.searches.catcma_strategy import CatCmaStrategy
from evobourse.evolve.searches.pycma_strategy import Strategy
from evobourse.evolve.searches.search import FlatOptimizer, Vector, child_seed, to_log_scores

DIAGONAL_ABOVE = 200
"""Above so many coordinates a full covariance costs more to learn than it gives (Ros and Hansen,
2008, PPSN X: sep-CMA-ES)."""

MIN_REEVALUATED = 4
"""Candidates evaluated twice, at least: ranks of fewer say little once a common shift is gone."""


class _Engine(Protocol):
    @property
    def reasons(self) -> list[str]: ...
    @property
    def sigma(self) -> float: ...
    def scale_sigma(self, factor: float) -> None: ...
    def propose(self) -> list[Values]: ...
    def learn(self, log_scores: Vector) -> Vector: ...
    def mean_values(self) -> Values: ...


class CmaSearch(FlatOptimizer):
    """Search all genes together by CMA-ES; an `evolve.searches.search.Optimizer`.

    Real genes are searched by pycma (Hansen, 2016, arXiv 1604.00772), with a full covariance
    up to `diagonal_above` coordinates and a diagonal one beyond. A genome with whole numbers or
    choices is searched by CatCMA with margin (Hamano et al., 2025, arXiv 2504.07884; cmaes).

    When the strategy has nothing more to learn, it begins anew at a random point with twice the
    population (Auger and Hansen, 2005, CEC: IPOP-CMA-ES); `notes` keep the reason in words.

    Scores with noise: with `max_evaluations` above 1 some candidates of each generation are
    evaluated again, in a generation of the sweep of their own and hence with other seeds. Where
    their ranks change by more than chance allows, candidates get more evaluations each, up to
    that many, and the step size grows (Hansen et al., 2009, IEEE Trans. Evol. Comput. 13(1),
    doi:10.1109/TEVC.2008.924423; measured by pycma's NoiseHandler). What all share of a seed's
    luck is no noise to a ranking and is taken out first.

    Parameters
    ----------
    genome : Genome
    population : int
        Candidates of a generation before any restart, at least 2.
    step_sizes : mapping of str to float
        First step size of each segment, in units of the normalised vector (1 is a quarter of a
        range).
    seed : numpy.random.SeedSequence
        Read, never spawned from.
    diagonal_above : int
    restarts : int
        Most restarts.
    max_evaluations : int
        Most evaluations of one candidate; 1 treats no noise.

    Raises
    ------
    EvolveError
        When a segment has no step size, or a number is out of range.
    """

    def __init__(
        self,
        genome: Genome,
        population: int,
        step_sizes: Mapping[str, float],
        seed: np.random.SeedSequence,
        diagonal_above: int = DIAGONAL_ABOVE,
        restarts: int = 9,
        max_evaluations: int = 1,
    ) -> None:
        if population < 2:
            raise EvolveError(f"population is {population}; CMA-ES ranks 2 or more")
        if restarts < 0 or max_evaluations < 1:
            raise EvolveError(
                f"restarts is {restarts} and max_evaluations {max_evaluations}; "
                "use at least 0 and 1"
            )
        super().__init__(
            genome,
            population,
            {
                "optimizer": "cma",
                "step_sizes": dict(step_sizes),
                "search_seed": (seed.entropy, tuple(seed.spawn_key)),
                "diagonal_above": diagonal_above,
                "restarts": restarts,
                "max_evaluations": max_evaluations,
            },
        )
        self._scales = segment_scales(genome, step_sizes)
        self._seed = seed
        self._restarts = 0
        self._engine = self._make_engine(genome.start_vector())
        self._noise: Any = None
        if max_evaluations > 1:
            import cma

            self._noise = cma.NoiseHandler(genome.size, [1, 1, max_evaluations])
            self._noise.evaluations = 1
            # The paper's pace: pycma's own would take dozens of generations in many dimensions.
            self._noise.alphaevals, self._noise.alphaevalsdown = 1.5, 1.5**-0.25
        self._asked: list[Values] = []
        self._level = np.inf
        self._finished: tuple[float, Values] | None = None

    @property
    def readings(self) -> dict[str, float]:
        """Step size, population and evaluations of a candidate."""
        return {
            "sigma": self._engine.sigma,
            "population": float(self.population),
            "evaluations": float(self._evaluations),
        }

    def ask(self) -> list[Values]:
        """Propose a generation, or one that was proposed before once more."""
        if not self._asked:
            self._asked = self._engine.propose()
            self._again: list[Vector] = []
            self._whole: list[Vector] = []
        return self._asked[: self._due()]

    def inject(self, values: Values) -> None:
        """Have gene values among what is proposed next; only where all genes are real."""
        if isinstance(self._engine, _RealStrategy):
            self._engine.inject(values)

    def best_guess(self) -> Values:
        """Return the mean, or that of an earlier start if its candidates scored better."""
        if self._finished is not None and self._finished[0] < self._level:
            return self._finished[1]
        return self._engine.mean_values()

    def stop(self) -> list[str]:
        """Say why nothing more can be learned; empty while there are restarts left."""
        return self._engine.reasons if self._restarts >= self.settings["restarts"] else []

    def _learn(self, scores: Vector, parts: list[Mapping[str, float]]) -> Vector | None:
        (self._again if self._due_again() else self._whole).append(scores)
        if len(self._whole) < self._evaluations:
            return np.zeros(len(scores))
        means = _mean_log_scores(self._whole)
        factor = self._treat_noise(means)
        self._asked = []
        if means is None:
            return np.zeros(len(scores))
        weights = self._engine.learn(means)
        if factor > 1:
            self._engine.scale_sigma(factor)
        self._level = float(np.median(means))
        if self._engine.reasons and self._restarts < self.settings["restarts"]:
            self._restart()
            return None
        return weights

    @property
    def _evaluations(self) -> int:
        return int(self._noise.evaluations) if self._noise is not None else 1

    @property
    def _reevaluated(self) -> int:
        """How many are evaluated twice; any, as they are drawn alike: the first."""
        return min(self.population, max(MIN_REEVALUATED, int(2 + self.population / 20)))

    def _due(self) -> int:
        return self._reevaluated if self._due_again() else self.population

    def _due_again(self) -> bool:
        # The whole generation comes last, so that the parents of the next are found in it.
        return self._noise is not None and len(self._again) < self._evaluations

    def _treat_noise(self, means: Vector | None) -> float:
        """Measure the noise and choose the evaluations of the next generation."""
        if self._noise is None or means is None:
            return 1.0
        again = _mean_log_scores(self._again)
        if again is None:
            return 1.0
        where = np.arange(len(again))
        again = again - np.median(again - means[where])
        self._noise.fit, self._noise.idx = means.tolist(), where
        self._noise.fitre = again.tolist() + means[len(again) :].tolist()
        self._noise.update_measure()
        before = self._evaluations
        factor = float(self._noise.treat())
        if self._evaluations != before:
            self.notes.append(
                f"generation {self._told}: {self._evaluations} evaluations of each candidate, "
                f"since noise {'changes' if self._evaluations > before else 'hardly changes'} "
                "their ranks"
            )
        return factor

    def _restart(self) -> None:
        guess = self.best_guess()
        if self._finished is None or self._level < self._finished[0]:
            self._finished = self._level, guess
        reasons = "; ".join(self._engine.reasons)
        self._restarts += 1
        self.population *= 2
        self.notes.append(
            f"generation {self._told}: restart {self._restarts} with a population of "
            f"{self.population}, since {reasons}"
        )
        self._level = np.inf
        rng = np.random.default_rng(child_seed(self._seed, 2 * self._restarts + 1))
        self._engine = self._make_engine(self.genome.draw_vector(rng))

    def _make_engine(self, start: Vector) -> _Engine:
        seed = child_seed(self._seed, 2 * self._restarts)
        if self.genome.is_mixed:
            return CatCmaStrategy(self.genome, start, self.population, self._scales, seed)
        above = self.settings["diagonal_above"]
        return _RealStrategy(self.genome, start, self.population, self._scales, seed, above)


class _RealStrategy:
    """pycma on every coordinate of a genome of real numbers."""

    def __init__(
        self,
        genome: Genome,
        start: Vector,
        population: int,
        scales: Vector,
        seed: np.random.SeedSequence,
        diagonal_above: int,
    ) -> None:
        self._genome = genome
        every = np.arange(genome.size)
        self._cma = Strategy("genome", every, start, population, 1.0, seed, diagonal_above, scales)

    @property
    def reasons(self) -> list[str]:
        return self._cma.reasons

    @property
    def sigma(self) -> float:
        return self._cma.sigma

    def scale_sigma(self, factor: float) -> None:
        self._cma.scale_sigma(factor)

    def propose(self) -> list[Values]:
        self._rows = self._cma.ask()
        return [self._genome.to_values(row) for row in self._cma.proposed(self._rows)]

    def inject(self, values: Values) -> None:
        self._cma.inject(self._genome.to_vector(values))

    def learn(self, log_scores: Vector) -> Vector:
        return self._cma.tell(self._rows, log_scores)

    def mean_values(self) -> Values:
        return self._genome.to_values(self._cma.proposed(self._cma.mean))


def segment_scales(genome: Genome, step_sizes: Mapping[str, float]) -> NDArray[np.float64]:
    """Spread step sizes of segments over the coordinates, float64[size].

    Raises
    ------
    EvolveError
        When a segment is unknown or missing, or its step size is not above 0.
    """
    names = [segment.name for segment in genome.segments]
    if sorted(step_sizes) != sorted(names) or not all(step > 0 for step in step_sizes.values()):
        raise EvolveError(
            f"step sizes are {dict(step_sizes)}; give each of {', '.join(names)} one above 0"
        )
    scales = np.empty(genome.size)
    for name in names:
        scales[genome.slice_of(name)] = step_sizes[name]
    return scales


def _mean_log_scores(rounds: list[Vector]) -> Vector | None:
    """Average rounds of scores; whoever failed once is last. None where nobody is left."""
    scores = np.stack(rounds)
    if not np.isfinite(scores).all(axis=0).any():
        return None
    scores[:, ~np.isfinite(scores).all(axis=0)] = np.inf
    return np.asarray(np.mean([to_log_scores(row) for row in scores], axis=0))
