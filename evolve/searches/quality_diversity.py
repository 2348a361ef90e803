"""Quality and diversity: the best candidate of every kind, on a grid of two behaviour measures.

The measures come with the scores, by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np

from evobourse.agents.bounds import Bounds
from evobourse.evolve.errors import EvolveError
from evobourse.evolve.genomes.genome import Genome, Values
from evobourse.evolve.rounding import proposed
from evobourse.evolve.searches.cma import segment_scales
from evobourse.evolve.searches.search import (
    FAILED_FACTOR,
    SCORE_FLOOR,
    FlatOptimizer,
    Vector,
    candidate_id,
    child_seed,
)

EMITTERS = 2
"""Strategies of CMA-MAE that fill one archive side by side, each with its share of a generation."""

ISO_SHARE = 0.25
"""Isotropic steps of MAP-Elites, as a share of the first step size."""

LEARNING_RATE = 0.01
"""How fast a cell's threshold rises (CMA-MAE's alpha)."""

WORST_LOG_SCORE = 20.0
"""Where the thresholds begin: log scores beyond count as this."""


@dataclass(frozen=True)
class Measure:
    """One axis of the archive.

    Attributes
    ----------
    name
        Of a part of the evaluations.
    low
        Lower end of its range; what lies beyond counts to the outermost cells.
    high
        Upper end of its range.
    cells
        Cells along it.
    """

    name: str
    low: float
    high: float
    cells: Annotated[int, Bounds(1)] = 10


class QualityDiversitySearch(FlatOptimizer):
    """Fill an archive of behaviours by MAP-Elites or CMA-MAE; an `searches.search.Optimizer`.

    MAP-Elites (Mouret and Clune, 2015, arXiv 1504.04909) varies elites along the line to other
    elites (Vassiliades and Mouret, 2018, arXiv 1804.03906); CMA-MAE (Fontaine and Nikolaidis,
    2023, arXiv 2205.10752) moves two CMA-ES where an archive with slowly rising thresholds
    improves. Both are pyribs', which the extra ``qd`` installs.

    Parameters
    ----------
    genome : Genome
        Whole numbers and choices are searched by their coordinates.
    kind : {"map_elites", "cma_mae"}
    population : int
        Candidates of a generation; for CMA-MAE an even number, at least 4.
    measures : tuple of Measure
        Two.
    step_sizes : mapping of str to float
        First step size of each segment, in units of the normalised vector.
    seed : numpy.random.SeedSequence
        Read, never spawned from.

    Raises
    ------
    EvolveError
        When pyribs is missing, or a number is out of range.
    """

    def __init__(
        self,
        genome: Genome,
        kind: Literal["map_elites", "cma_mae"],
        population: int,
        measures: tuple[Measure, ...],
        step_sizes: Mapping[str, float],
        seed: np.random.SeedSequence,
    ) -> None:
        if len(measures) != 2 or any(m.low >= m.high or m.cells < 1 for m in measures):
            raise EvolveError(
                f"search.archive.measures: {[asdict(m) for m in measures]}; "
                f"{kind} needs two, with low below high and cells of at least 1"
            )
        if kind == "cma_mae" and (population < 2 * EMITTERS or population % EMITTERS):
            raise EvolveError(
                f"population is {population}; cma_mae needs a multiple of {EMITTERS}, "
                f"at least {2 * EMITTERS}"
            )
        super().__init__(
            genome,
            population,
            {
                "optimizer": kind,
                "measures": measures,
                "step_sizes": dict(step_sizes),
                "search_seed": (seed.entropy, tuple(seed.spawn_key)),
            },
        )
        try:
            from ribs.archives import GridArchive
            from ribs.emitters import EvolutionStrategyEmitter, IsoLineEmitter
        except ImportError as error:
            raise EvolveError(
                f"search.optimizer {kind} needs pyribs; install it with pip install ribs"
            ) from error

        self._start = genome.start_vector()
        self._scales = segment_scales(genome, step_sizes)

        def grid(key: int, **thresholds: Any) -> Any:
            return GridArchive(
                solution_dim=genome.size,
                dims=[m.cells for m in measures],
                ranges=[(m.low, m.high) for m in measures],
                seed=_number(child_seed(seed, key)),
                extra_fields={"generation": ((), np.int64), "row": ((), np.int64)},
                **thresholds,
            )

        self._elites = grid(0)
        self._emitters: list[Any]
        if kind == "map_elites":
            rng = np.random.default_rng(child_seed(seed, 1))
            first = [self._start] + [genome.draw_vector(rng) for _ in range(population - 1)]
            self._guide = self._elites
            self._emitters = [
                IsoLineEmitter(
                    self._elites,
                    iso_sigma=ISO_SHARE,
                    initial_solutions=(np.array(first) - self._start) / self._scales,
                    batch_size=population,
                    seed=_number(child_seed(seed, 2)),
                )
            ]
        else:
            self._guide = grid(1, learning_rate=LEARNING_RATE, threshold_min=-WORST_LOG_SCORE)
            self._emitters = [
                EvolutionStrategyEmitter(
                    self._guide,
                    x0=np.zeros(genome.size),
                    sigma0=1.0,
                    ranker="imp",
                    selection_rule="mu",
                    restart_rule="basic",
                    batch_size=population // EMITTERS,
                    seed=_number(child_seed(seed, 2 + i)),
                )
                for i in range(EMITTERS)
            ]
        self._asked: list[Vector] = []

    @property
    def readings(self) -> dict[str, float]:
        """Say how many cells are filled, and how well: the sum of their scores below the worst."""
        stats = self._elites.stats
        offset = float(stats.num_elites) * WORST_LOG_SCORE
        return {
            "elites": float(stats.num_elites),
            "coverage": float(stats.coverage),
            "qd_score": float(stats.qd_score) + offset,
        }

    def ask(self) -> list[Values]:
        """Propose a generation."""
        self._asked = [np.asarray(emitter.ask()) for emitter in self._emitters]
        rows = proposed(self._start + self._scales * np.concatenate(self._asked))
        return [self.genome.to_values(row) for row in rows]

    def archive(self) -> list[dict[str, Any]]:
        """List the elites: candidate, cell, score, measures; the best score first."""
        measures: tuple[Measure, ...] = self.settings["measures"]
        rows = [
            {
                "candidate": candidate_id(int(elite["generation"]), int(elite["row"])),
                **{
                    f"{m.name}_cell": int(cell)
                    for m, cell in zip(
                        measures,
                        self._elites.int_to_grid_index([elite["index"]])[0],
                        strict=True,
                    )
                },
                "score": float(np.exp(-elite["objective"])),
                **{
                    m.name: float(value)
                    for m, value in zip(measures, elite["measures"], strict=True)
                },
            }
            for elite in self._elites
        ]
        return sorted(rows, key=lambda row: (row["score"], row["candidate"]))

    def _learn(self, scores: Vector, parts: list[Mapping[str, float]]) -> Vector:
        measures = self._read_measures(scores, parts)
        alive = np.isfinite(scores) & np.isfinite(measures).all(axis=1)
        weights = np.zeros(len(scores))
        if not alive.any():
            return weights
        quality = -np.minimum(np.log(np.maximum(scores[alive], SCORE_FLOOR)), WORST_LOG_SCORE)
        told = {
            "solution": np.concatenate(self._asked)[alive],
            "objective": quality,
            "measures": measures[alive],
            "generation": np.full(int(alive.sum()), self._told),
            "row": np.flatnonzero(alive),
        }
        entered = self._elites.add(**told)
        guided = self._guide.add(**told) if self._guide is not self._elites else entered
        weights[alive] = np.asarray(entered["status"]) > 0
        self._tell_emitters(alive, quality, measures, guided)
        return weights / weights.sum() if weights.any() else weights

    def _tell_emitters(
        self, alive: Any, quality: Vector, measures: Vector, guided: Mapping[str, Any]
    ) -> None:
        if self._guide.empty:
            return
        count = len(alive)
        objective = np.full(count, quality.min() - np.log(FAILED_FACTOR))
        objective[alive] = quality
        # A failed candidate enters no cell and improves less than the least.
        status, value = np.zeros(count, dtype=int), np.full(count, np.min(guided["value"]) - 1.0)
        status[alive], value[alive] = guided["status"], guided["value"]
        kept = np.where(alive[:, None], measures, self._guide.lower_bounds)
        first = 0
        for emitter, asked in zip(self._emitters, self._asked, strict=True):
            part = slice(first, first + len(asked))
            first += len(asked)
            emitter.tell(
                asked,
                objective[part],
                kept[part],
                {"status": status[part], "value": value[part]},
                generation=np.full(len(asked), self._told),
                row=np.arange(part.start, part.stop),
            )

    def _read_measures(self, scores: Vector, parts: list[Mapping[str, float]]) -> Vector:
        names = [m.name for m in self.settings["measures"]]
        for score, part in zip(scores, parts, strict=True):
            if np.isfinite(score) and (missing := [name for name in names if name not in part]):
                raise EvolveError(
                    f"search.archive.measures: no evaluation has a part {missing[0]!r}; "
                    f"use two of {', '.join(part)}"
                )
        return np.array([[part.get(name, np.nan) for name in names] for part in parts])


def _number(seed: np.random.SeedSequence) -> int:
    return int(seed.generate_state(1)[0])
