"""CatCMA with margin: whole numbers keep a chance to change, choices a chance to be tried.

The strategy of `evolve.searches.cma` for mixed genomes; restarts and noise are treated there.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.genomes.gene import AnyGene, ChoiceGene, Gene, IntegerGene
from evobourse.evolve.genomes.genome import Genome, Values
from evobourse.evolve.rounding import proposed

Vector = NDArray[np.float64]

START_CHANCE = 0.5
"""Chance of a choice's start, where there are more than two options; the others share the rest."""

SMALLEST_DIFFERENCE = 1e-12
"""Log scores that differ by less over many generations no longer teach anything."""


class CatCmaStrategy:
    """Search real numbers, whole numbers and choices together.

    The joint distribution is a Gaussian with margins and independent categories (Hamano et al.,
    2022, GECCO, arXiv 2205.13482; 2025, arXiv 2504.07884). It sees the order of the scores and
    nothing else.

    Parameters
    ----------
    genome : Genome
    start : float64[size]
        Vector of the first mean.
    population : int
        At least 2.
    scales : float64[size]
        First step sizes, in units of the normalised vector.
    seed : numpy.random.SeedSequence
    """

    def __init__(
        self,
        genome: Genome,
        start: Vector,
        population: int,
        scales: Vector,
        seed: np.random.SeedSequence,
    ) -> None:
        from cmaes import CatCMAwM

        self.reasons: list[str] = []
        self._genome, self._start = genome, start
        self._values = genome.to_values(start)
        genes = [(s.name, gene) for s in genome.segments for gene in s.genes]
        self._real = np.array(
            [n for n, gene in enumerate(_by_coordinate(genes)) if _is_free_real(gene)], dtype=int
        )
        self._whole = [(s, g) for s, g in genes if isinstance(g, IntegerGene) and _count(g) > 2]
        self._choice = [(s, g) for s, g in genes if _count(g) > 1 and (s, g) not in self._whole]
        levels = [_levels(gene) for _, gene in self._whole]
        first = [
            float(level[self._values[segment][gene.name] - gene.low])
            for (segment, gene), level in zip(self._whole, levels, strict=True)
        ]
        names = genome.names()
        steps = [scales[names.index(f"{segment}.{gene.name}")] for segment, gene in self._whole]
        spread = np.concatenate([scales[self._real], steps])
        counts = [_count(gene) for _, gene in self._choice]
        self._gaussian = bool(len(spread))
        self._cma: Any = CatCMAwM(
            x_space=[[-np.inf, np.inf]] * len(self._real) or None,
            z_space=[level.tolist() for level in levels] or None,
            c_space=counts or None,
            population_size=population,
            mean=np.concatenate([start[self._real], first]) if self._gaussian else None,
            sigma=1.0,
            cov=np.diag(spread**2) if self._gaussian else None,
            cat_param=self._first_chances(counts) if counts else None,
            seed=int(seed.generate_state(1)[0]),
        )
        self._levels = levels
        horizon = 10 + math.ceil(30 * max(len(spread), 1) / population)
        self._extremes: deque[tuple[float, float]] = deque(maxlen=horizon)

    @property
    def sigma(self) -> float:
        """The step size of the Gaussian part, relative to the first one."""
        return float(self._cma._sigma) if self._gaussian else 1.0

    def scale_sigma(self, factor: float) -> None:
        """Multiply the step size."""
        if self._gaussian:
            self._cma._sigma *= factor

    def propose(self) -> list[Values]:
        """Draw a generation."""
        self._asked = [self._cma.ask() for _ in range(self._cma.population_size)]
        return [self._decode(drawn.x, drawn.z, drawn.c) for drawn in self._asked]

    def learn(self, log_scores: Vector) -> Vector:
        """Learn from the last generation's scores; return shares in the mean, float64[population].

        The order is told in place of the scores, so that ties need no treatment.
        """
        order = np.argsort(log_scores, kind="stable")
        self._cma.tell([(self._asked[i], float(rank)) for rank, i in enumerate(order)])
        self._extremes.append((float(log_scores.min()), float(log_scores.max())))
        self.reasons = self._find_reasons()
        weights = np.zeros(len(order))
        count = len(order) // 2
        raw = math.log((len(order) + 1) / 2) - np.log(np.arange(1, count + 1))
        weights[order[:count]] = raw / raw.sum()
        return weights

    def mean_values(self) -> Values:
        """Return the values at the centre: means, nearest whole numbers, likeliest choices."""
        mean = self._cma._mean if self._gaussian else np.zeros(0)
        reals = len(self._real)
        nearest = [
            level[np.argmin(np.abs(level - m))]
            for level, m in zip(self._levels, mean[reals:], strict=True)
        ]
        chances = self._cma._q if self._choice else np.zeros((0, 1))
        return self._decode(mean[:reals], nearest, chances)

    def _first_chances(self, counts: list[int]) -> Vector:
        chances = np.zeros((len(counts), max(counts)))
        for row, count, (segment, gene) in zip(chances, counts, self._choice, strict=True):
            first = START_CHANCE
            row[:count] = (1.0 - first) / (count - 1)
            row[_options(gene).index(self._values[segment][gene.name])] = first
        return chances

    def _decode(self, x: Any, z: Any, c: Any) -> Values:
        vector = self._start.copy()
        if x is not None:
            vector[self._real] = x
        values = self._genome.to_values(proposed(vector))
        for (segment, gene), level, place in zip(
            self._whole, self._levels, z if z is not None else (), strict=True
        ):
            values[segment][gene.name] = gene.low + int(np.argmin(np.abs(level - place)))
        for (segment, of), chances in zip(self._choice, c if c is not None else (), strict=True):
            values[segment][of.name] = _options(of)[int(np.argmax(chances))]
        return values

    def _find_reasons(self) -> list[str]:
        lows, highs = zip(*self._extremes, strict=True)
        full = len(self._extremes) == self._extremes.maxlen
        if full and max(highs) - min(lows) < SMALLEST_DIFFERENCE:
            return ["the scores no longer differ"]
        if self._gaussian and self._cma.should_stop():
            return ["the steps have become too small to matter, or too uneven to go on with"]
        return []


def _by_coordinate(genes: list[tuple[str, AnyGene]]) -> list[AnyGene]:
    return [g for _, g in genes for _ in range(len(g.choices) if isinstance(g, ChoiceGene) else 1)]


def _is_free_real(gene: AnyGene) -> bool:
    return isinstance(gene, Gene) and gene.low < gene.high


def _count(gene: AnyGene) -> int:
    return len(_options(gene)) if not isinstance(gene, Gene) else 0


def _options(gene: AnyGene) -> list[Any]:
    if isinstance(gene, ChoiceGene):
        return list(gene.choices)
    return list(range(int(gene.low), int(gene.high) + 1))


def _levels(gene: IntegerGene) -> Vector:
    """Place a gene's whole numbers where 1 is a quarter of its (log-)range, float64[count]."""
    numbers = np.arange(gene.low, gene.high + 1, dtype=np.float64)
    scaled = np.log(numbers) if gene.scale == "log" else numbers
    return np.asarray(4.0 * (scaled - scaled[0]) / (scaled[-1] - scaled[0]) - 2.0)
