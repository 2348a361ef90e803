"""What a second worker is worth, on candidates that keep a core busy.

In generations of style teachers the markets are the work; in those of mind mixtures of the 135M
model it is forward passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evobourse.evolve.bases.stand_ins import TeacherBases
from evobourse.evolve.bases.workers import WorkerBases
from evobourse.evolve.evaluation import MarketEvaluator
from evobourse.evolve.executors.executor import Executor, InProcess, collect
from evobourse.evolve.executors.processes import local_processes
from evobourse.evolve.executors.ray_actors import ray_actors
from evobourse.evolve.genomes.genome import Values
from evobourse.evolve.loop import generation_seed
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.sweep.setup import Experiment, build_experiment

BENCHMARK = Benchmark(
    measures="candidates a second with one worker and two, in processes and on Ray",
    minutes=20,
)

START_S = 5.0
Kind = Literal["in process", "processes", "ray"]
MindsName = Literal["teachers", "model"]
EXECUTORS: dict[Kind, Callable[[int], Executor]] = {
    "in process": lambda workers: InProcess(),
    "processes": local_processes,
    "ray": ray_actors,
}


@dataclass(frozen=True)
class Settings:
    """What is evaluated by whom.

    Attributes
    ----------
    minds
        Style teachers, whose markets are the work, or the 135M model, whose forward passes are.
    teachers
        Candidates of the teachers' generation.
    rows
        Rows of the model's generation, of one candidate each.
    executors
        Who does the work.
    """

    minds: tuple[MindsName, ...] = ("teachers", "model")
    teachers: int = 128
    rows: int = 8
    executors: tuple[Kind, ...] = ("in process", "processes", "ray")


def run(settings: Settings, report: Report) -> None:
    """Time a generation of each kind of minds."""
    counts: dict[MindsName, int] = {"teachers": settings.teachers, "model": settings.rows}
    for minds in settings.minds:
        compare(minds, counts[minds], settings.executors, report)


def compare(minds: MindsName, count: int, executors: Sequence[Kind], report: Report) -> None:
    """Time a generation with each executor and number of workers, in one run."""
    teachers = minds == "teachers"
    who = "style teachers" if teachers else "135M model"
    changed = ["minds.recipe_blocks=0"] if teachers else ["minds.attention=1", "market.paths=2"]
    experiment = build_experiment(
        load_config(Path(__file__).parents[1] / "quickstart.yaml", changed)
    )
    rows = _candidates(experiment, count, 1 if teachers else count)
    rates: dict[tuple[Kind, int], float] = {}
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
            rate = count / seconds
            name = f"{who}, {count} candidates, {kind}, {workers} workers"
            unit = "candidates/s"
            report.figure(name, round(rate, 3), unit, peer, round(rate / against, 3))
    alike = sum(found == scores[0] for found in scores)
    name = f"{who}, runs whose scores are bit for bit alike"
    report.figure(name, alike, "1", "runs", alike / len(scores))


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
