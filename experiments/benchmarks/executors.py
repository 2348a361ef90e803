"""`make bench-executors`: what a second worker is worth, on candidates that keep a core busy.

In generations of style teachers the markets are the work; in those of mind mixtures of the 135M
model it is forward passes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evobourse.evolve.bases.workers import WorkerBases
from evobourse.evolve.evaluation import MarketEvaluator
from evobourse.evolve.executors.executor import Executor, InProcess, collect
from evobourse.evolve.executors.processes import local_processes
from evobourse.evolve.executors.ray_actors import ray_actors
from evobourse.evolve.genomes.genome import Values
from evobourse.evolve.loop import generation_seed
from evobourse.experiments.benchmarks.teacher_bases import TeacherBases
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.sweep.setup import Experiment, build_experiment

START_S = 5.0
EXECUTORS: dict[str, Callable[[int], Executor]] = {
    "in process": lambda workers: InProcess(),
    "processes": local_processes,
    "ray": ray_actors,
}


def main() -> None:
    """Print one JSON line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=128, help="of the teachers' generation")
    parser.add_argument("--minds", type=int, default=8, help="rows of the model's generation")
    parser.add_argument("--executors", nargs="+", default=list(EXECUTORS), choices=list(EXECUTORS))
    asked = parser.parse_args()
    for minds, count in (("style teachers", asked.candidates), ("135M model", asked.minds)):
        if count:
            compare(minds, count, asked.executors)


def compare(minds: str, count: int, executors: list[str]) -> None:
    """Time a generation with each executor and number of workers, in one run."""
    teachers = minds == "style teachers"
    changed = ["minds.recipe_blocks=0"] if teachers else ["minds.attention=1", "market.paths=2"]
    experiment = build_experiment(
        load_config(Path(__file__).parents[1] / "quickstart.yaml", changed)
    )
    rows = _candidates(experiment, count, 1 if teachers else count)
    rates: dict[tuple[str, int], float] = {}
    scores: list[list[float]] = []
    for kind in executors:
        for workers in (1,) if kind == "in process" else (1, 2):
            with closing(EXECUTORS[kind](workers)) as executor:
                bases = _bases(experiment, teachers, executor)
                seconds, found = _time_generation(experiment, bases, executor, rows)
            rates[kind, workers] = count / seconds
            scores.append(found)
            peer = "in process" if workers == 1 else f"{kind}, 1 worker"
            against = rates.get(("in process", 1) if workers == 1 else (kind, 1), count / seconds)
            line = {
                "bench": "executors",
                "figure": f"{minds}, {count} candidates, {kind}, {workers} workers",
                "value": round(count / seconds, 3),
                "unit": "candidates/s",
                "peer": peer,
                "ratio": round(count / seconds / against, 3),
            }
            print(json.dumps(line), flush=True)
    alike = sum(found == scores[0] for found in scores)
    line = {"bench": "executors", "figure": f"{minds}, runs whose scores are bit for bit alike"}
    line |= {"value": alike, "unit": "1", "peer": "runs", "ratio": alike / len(scores)}
    print(json.dumps(line), flush=True)


def _candidates(experiment: Experiment, count: int, rows: int) -> list[list[Values]]:
    """Draw candidates at random; those of a row share their slow genes."""
    genome, rng = experiment.market_genome.genome(), np.random.default_rng(4)
    slow = experiment.market_genome.slow_segments()
    found = []
    for _ in range(rows):
        row = [genome.to_values(genome.draw_vector(rng)) for _ in range(count // rows)]
        found.append([{**values, **{name: row[0][name] for name in slow}} for values in row])
    return found


def _bases(experiment: Experiment, teachers: bool, executor: Executor) -> Any:
    if teachers:
        return TeacherBases(experiment.market_genome.styles)
    from evobourse.evolve.bases.opening import open_bases

    base = experiment.config.minds.base
    opener = partial(open_bases, base, experiment.adapters, experiment.sources)
    return opener() if isinstance(executor, InProcess) else WorkerBases(opener, executor)


def _time_generation(
    experiment: Experiment, bases: Any, executor: Executor, rows: list[list[Values]]
) -> tuple[float, list[float]]:
    """Evaluate once to warm every worker up, then again with other seeds and minds unasked."""
    train = experiment.splits.train
    evaluator = MarketEvaluator(
        experiment.windows,
        train,
        experiment.target(train),
        experiment.market_genome,
        bases,
        executor,
    )
    if executor.workers > 1:  # nobody takes two of these: all are there before the first question
        collect(executor.submit(time.sleep, START_S) for _ in range(executor.workers))
    warm = [row[:2] for row in _moved(rows)]
    evaluator.evaluate(0, warm, generation_seed(9, 0), _ignore)
    began = time.perf_counter()
    found = evaluator.evaluate(1, rows, generation_seed(9, 1), _ignore)
    seconds = time.perf_counter() - began
    return seconds, [evaluation.score for row in found for evaluation in row]


def _moved(rows: list[list[Values]]) -> list[list[Values]]:
    """Change the minds a little, so that none of the real ones is answered yet."""
    return [
        [
            {**values, "minds": {name: x + 0.01 for name, x in values["minds"].items()}}
            for values in row
        ]
        for row in rows[:2]
    ]


def _ignore(done: int, total: int) -> None:
    """Show no progress."""


if __name__ == "__main__":
    main()
