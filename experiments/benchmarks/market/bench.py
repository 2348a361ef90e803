"""What a day of an agent costs in a sweep's market, beside the bare loop timed in the same run.

Processor time counts, which a busy machine stretches less, and of each the fastest of some runs in
turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.evolve.bases.stand_ins import TeacherBases
from evobourse.evolve.evaluation import MarketEvaluator
from evobourse.evolve.loop import generation_seed
from evobourse.evolve.markets import Part, play_market, play_markets
from evobourse.experiments.benchmarks.market import prototype
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.sweep.setup import Experiment, build_experiment

BENCHMARK = Benchmark(
    measures="an agent's day in a sweep's market, against the bare loop",
    minutes=2,
)

QUICKSTART = Path(__file__).parents[2] / "quickstart.yaml"
LARGE_DAYS = 20


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    runs
        Of each market, the fastest of which counts.
    candidates
        Of the generation; the quickstart's market gives paths, days and agents.
    large
        Agents of a large market.
    markets, threads
        Markets that are shared among threads.
    """

    runs: int = 20
    candidates: int = 16
    large: int = 100_000
    markets: int = 16
    threads: int = 2


def run(settings: Settings, report: Report) -> None:
    """Time markets, a generation, a large market and threads."""
    experiment = build_experiment(load_config(QUICKSTART))
    world, genome = experiment.windows.world, experiment.market_genome
    start = genome.population(genome.genome().to_values(genome.genome().start_vector()))
    [choices] = tabulate_choices([start], TeacherMinds(genome.styles))
    parts: list[Part] = [
        (start, experiment.windows.history(experiment.splits.train, seed), seed)
        for seed in range(settings.markets)
    ]

    seeds, tables = count(), prototype.prepare(world.n_agents)
    ours, bare = take_turns(
        lambda: play_market(world, parts[next(seeds) % len(parts)], choices),
        lambda: prototype.play(world.days, tables, next(seeds)),
        runs=settings.runs,
    )
    value = 1e9 * ours / (world.n_agents * world.days)
    report.figure("agent_day_vs_prototype", value, "ns", "the bare loop", ours / bare)

    evaluate = generation(experiment, settings.candidates)
    [spent] = take_turns(evaluate, runs=3)
    markets = settings.candidates * experiment.config.market.paths
    name = f"a generation of {settings.candidates} candidates, {markets} markets, asked and scored"
    report.figure(name, spent, "s", "its markets alone", spent / (markets * ours))

    large = replace(world, n_agents=settings.large, days=LARGE_DAYS)
    [spent] = take_turns(lambda: play_market(large, parts[0], choices), runs=2)
    cost = 1e9 * spent / (large.n_agents * large.days)
    name = f"an agent's day among {settings.large:,}"
    report.figure(name, cost, "ns", f"among {world.n_agents}", cost / value)

    rates, digests = [], []
    for threads in (1, settings.threads):
        began = time.perf_counter()
        tapes = play_markets(world, parts, [choices] * len(parts), threads)
        rates.append(len(parts) / (time.perf_counter() - began))
        digests.append([tape.digest() for tape in tapes])
    alike = sum(one == other for one, other in zip(*digests, strict=True))
    report.figure("tapes alike, one thread and several", alike, "1", "markets", alike / len(parts))
    name = f"markets a second in {settings.threads} threads"
    report.figure(name, rates[1], "1/s", "one thread", rates[1] / rates[0])


def generation(experiment: Experiment, candidates: int) -> Callable[[], object]:
    """Return what asks, plays and scores a generation of candidates, here and now."""
    genome, rng = experiment.market_genome.genome(), np.random.default_rng(4)
    rows = [[genome.to_values(genome.draw_vector(rng)) for _ in range(candidates)]]
    train = experiment.splits.train
    evaluator = MarketEvaluator(
        experiment.windows,
        train,
        experiment.target(train),
        experiment.market_genome,
        TeacherBases(experiment.market_genome.styles),
    )
    return lambda: evaluator.evaluate(0, rows, generation_seed(1, 0), lambda done, total: None)


def take_turns(*steps: Callable[[], object], runs: int) -> list[float]:
    """Return the least processor seconds of each step, all in turn, after one that compiles."""
    taken = [np.inf] * len(steps)
    for _ in range(runs + 1):
        for row, step in enumerate(steps):
            began = time.thread_time()
            step()
            taken[row] = min(taken[row], time.thread_time() - began)
    return taken
