"""A sweep that needs no market: how far gene values are from a hidden optimum.

Runs as ``python sphere_sweep.py FOLDER N [tracked [URI]]``, with every search but the cross as
``python sphere_sweep.py FOLDER N each``, or with Optuna's trials in a database as
``python sphere_sweep.py FOLDER N stored URL``.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import numpy as np

from evobourse.evolve.genomes.gene import ChoiceGene, Gene, IntegerGene
from evobourse.evolve.genomes.genome import Genome, Segment
from evobourse.evolve.loop import Evaluation, evolve
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.searches.cma import CmaSearch
from evobourse.evolve.searches.cross import CrossSearch
from evobourse.evolve.searches.niches import NicheSearch
from evobourse.evolve.searches.optuna import OptunaSearch
from evobourse.evolve.searches.quality_diversity import Measure, QualityDiversitySearch
from evobourse.evolve.tracking.follower import MlflowTracker, View

SEED = 7


def make_genome() -> Genome:
    return Genome(
        (
            Segment("recipe", tuple(Gene(f"w{i}", -1.0, 2.0, 0.0) for i in range(3))),
            Segment("minds", (Gene("spread", 0.01, 10.0, 1.0, "log"), Gene("mean", -2, 2, 0.5))),
            Segment("society", tuple(Gene(f"p{i}", 0.0, 1.0, 0.5) for i in range(4))),
        )
    )


def make_mixed_genome() -> Genome:
    return Genome(
        (
            Segment("recipe", tuple(Gene(f"w{i}", -1.0, 2.0, 0.0) for i in range(3))),
            Segment(
                "minds",
                (
                    IntegerGene("memory", 1, 200, 10, "log"),
                    ChoiceGene("base", ("small", "middle", "large"), "small"),
                    IntegerGene("switch", 0, 1, 0),
                    Gene("pinned", 1.0, 1.0, 1.0),
                ),
            ),
        )
    )


def _cma(genome: Genome, **kwargs):
    steps = {segment.name: 0.5 for segment in genome.segments}
    return CmaSearch(genome, 8, steps, np.random.SeedSequence(SEED), **kwargs)


def _optuna(genome: Genome, sampler: str, objectives=("score",), **kwargs):
    return OptunaSearch(genome, 6, sampler, np.random.SeedSequence(SEED), objectives, **kwargs)


def _archive(genome: Genome, kind: str):
    steps = {segment.name: 0.5 for segment in genome.segments}
    measures = (Measure("first", -3, 3, 6), Measure("second", -3, 3, 6))
    return QualityDiversitySearch(genome, kind, 8, measures, steps, np.random.SeedSequence(SEED))


def _niches(genome: Genome):
    steps = {segment.name: 0.5 for segment in genome.segments}
    return NicheSearch(genome, 8, 6, steps, np.random.SeedSequence(SEED))


def cells(vector) -> dict[str, float]:
    """Whether each coordinate is near the optimum, as the parts that `NicheSearch` reads."""
    near = np.exp(-((vector - 0.8) ** 2))
    return {f"inside_{i}": float(share) for i, share in enumerate(near)}


OPTIMIZERS = {
    "cma": lambda: _cma(make_genome()),
    "cma-diagonal": lambda: _cma(make_genome(), diagonal_above=3),
    "cma-noise": lambda: _cma(make_genome(), max_evaluations=3),
    "cma-mixed": lambda: _cma(make_mixed_genome()),
    "cma-mixed-noise": lambda: _cma(make_mixed_genome(), max_evaluations=3),
    "tpe": lambda: _optuna(make_mixed_genome(), "tpe"),
    "random": lambda: _optuna(make_mixed_genome(), "random"),
    "optuna-cma": lambda: _optuna(make_genome(), "cma"),
    "qmc": lambda: _optuna(make_mixed_genome(), "qmc"),
    "nsga2": lambda: _optuna(make_mixed_genome(), "nsga2", ("score", "first")),
    "map_elites": lambda: _archive(make_mixed_genome(), "map_elites"),
    "cma_mae": lambda: _archive(make_genome(), "cma_mae"),
    "niches": lambda: _niches(make_mixed_genome()),
}
"""Makers of every search but the cross, by name."""


def make_search(genome: Genome, slow: int = 4, fast: int = 5, seed: int = SEED, **kwargs):
    return CrossSearch(
        genome,
        ("recipe", "minds"),
        ("society",),
        slow,
        fast,
        0.6,
        0.6,
        np.random.SeedSequence(seed),
        **kwargs,
    )


class SphereEvaluator:
    """Squared distance in the normalised space, with noise from the seed, and some failures."""

    def __init__(self, genome: Genome, sleep_s: float = 0.0, fail_every: int = 0, noise=0.01):
        self.genome, self.sleep_s, self.fail_every, self.noise = genome, sleep_s, fail_every, noise

    def evaluate(self, generation, genomes, seed, on_progress):
        rng = np.random.default_rng(seed)
        total, done, rows = sum(map(len, genomes)), 0, []
        for row in genomes:
            rows.append([])
            for values in row:
                time.sleep(self.sleep_s)
                vector = self.genome.to_vector(values)
                score = float(np.sum((vector - 0.8) ** 2) * math.exp(self.noise * rng.normal()))
                done += 1
                near = {"distance": score, "first": vector[0], "second": vector[1], **cells(vector)}
                failed = self.fail_every and done % self.fail_every == 0
                rows[-1].append(
                    Evaluation(
                        score=math.inf if failed else score,
                        parts={} if failed else {**near, "tail index (hill)": math.nan},
                        recipe={"base": "toy", "weights": list(values["recipe"].values())},
                        seeds=(int(seed.generate_state(1)[0]),),
                        failure="toy failure" if failed else None,
                    )
                )
                on_progress(done, total)
        return rows


def run(folder: Path, generations: int, sleep_s: float = 0.0, fail_every: int = 6, **kwargs):
    genome = make_genome()
    evaluator = SphereEvaluator(genome, sleep_s, fail_every)
    return evolve(
        RunFolder(folder), genome, make_search(genome), evaluator, generations, SEED, **kwargs
    )


def run_each(folder: Path, generations: int, sleep_s: float = 0.0, **kwargs):
    for name, make in OPTIMIZERS.items():
        search = make()
        evaluator = SphereEvaluator(search.genome, sleep_s, fail_every=6, noise=0.3)
        evolve(
            RunFolder(folder / name), search.genome, search, evaluator, generations, SEED, **kwargs
        )


def run_stored(folder: Path, generations: int, storage: str, sleep_s: float = 0.0, **kwargs):
    search = _optuna(make_mixed_genome(), "tpe", storage=storage, study_name="stored")
    evaluator = SphereEvaluator(search.genome, sleep_s, fail_every=4)
    evolve(RunFolder(folder), search.genome, search, evaluator, generations, SEED, **kwargs)
    return search


if __name__ == "__main__":
    folder, generations, *how = sys.argv[1:]
    if how == ["each"]:
        run_each(Path(folder), int(generations), sleep_s=0.001)
        sys.exit()
    if how[:1] == ["stored"]:
        run_stored(Path(folder), int(generations), how[1], sleep_s=0.01)
        sys.exit()
    tracked = how[:1] == ["tracked"]
    tracker = MlflowTracker(View.of(RunFolder(Path(folder)), *how[1:])) if tracked else None
    run(Path(folder), int(generations), sleep_s=0.05 if tracked else 0.002)
    if tracker is not None:
        sys.exit(tracker.close())
