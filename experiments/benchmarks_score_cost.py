"""`make bench-score`: what scoring costs beside the simulation that it scores.

Knows a market of rule-based agents, the steps of scoring its tapes and the share that is wanted.
Deliberately counts processor time, which a busy machine stretches less, and fails no build.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

import experiments
from agents.stand_ins import TeacherMinds
from evolve.stage import play
from experiments.config import load_config
from experiments.workshop import build_workshop
from fitness import facts
from fitness.distance import make_target, score_paths
from fitness.fact_table import compare_facts, spread_windows
from fitness.remembered import FOLDER_VARIABLE
from fitness.signature import price_signature, signature_mmd

DAYS, AGENTS, PATHS, REAL_WINDOWS = 1000, 400, 4, 100
WANTED_SHARE = 0.05
RUNS = 5


def main() -> None:
    """Simulate and score in one run, print each step's share and one JSON line a figure."""
    with TemporaryDirectory() as empty:
        os.environ[FOLDER_VARIABLE] = empty  # a first command and a later one, both measured
        measure()


def measure() -> None:
    """Time a simulation of rule-based agents and all that `evobourse score` computes of it."""
    returns, volume, real, real_volume, simulation = simulated()
    windows, traded = (spread_windows(x, DAYS, REAL_WINDOWS) for x in (real, real_volume))
    signatures = price_signature(windows)
    rng = np.random.default_rng

    def target_step() -> object:
        return make_target(real, DAYS, PATHS, rng(0))

    def facts_step() -> object:
        return compare_facts(returns, windows, rng(0), volume, traded)

    first = {
        "target, first time": seconds(target_step, 1),
        "facts, first time": seconds(facts_step, 1),
    }
    target = make_target(real, DAYS, PATHS, rng(0))
    steps = {
        "target, from the cache": seconds(target_step),
        "J, p-values, coverage": seconds(lambda: score_paths(returns, target)),
        "facts, the real ones from the cache": seconds(facts_step),
    }
    parts = {
        "of it fact 7, a GARCH fit a path": seconds(lambda: facts.conditional_kurtosis(returns)),
        "of it the signature discrepancy": seconds(
            lambda: signature_mmd(price_signature(returns), signatures, rng(0))
        ),
        "of it fact 10, ranks of the volume": seconds(
            lambda: facts.volume_volatility(returns, volume)
        ),
    }
    table = Table("processor time", "ms", "of the simulation", box=box.SIMPLE_HEAD)
    for name, taken in ({"simulation": simulation} | steps | parts | first).items():
        table.add_row(name, f"{1e3 * taken:,.1f}", f"{taken / simulation:.2%}")
    size = f"{PATHS} markets of {AGENTS} rule-based agents over {DAYS:,} days"
    Console().print(size, table, highlight=False)
    search, *_ = (steps["J, p-values, coverage"],)
    for figure, taken in {
        "score of a candidate": search,
        "everything that is reported": sum(steps.values()),
        "everything, first time": sum(first.values()) + search,
    }.items():
        share = taken / simulation
        line = {"bench": "score_cost", "figure": f"{figure}, share of {size}", "value": share}
        print(json.dumps({**line, "unit": "1", "peer": "wanted", "ratio": share / WANTED_SHARE}))


def simulated() -> tuple[NDArray[np.float64], ...]:
    """Return a market's log returns and volume [4, 1000], the real ones [T], and the seconds."""
    config = load_config(Path(experiments.__file__).with_name("quickstart.yaml"))
    workshop = build_workshop(config)
    world = replace(workshop.stage.world, days=DAYS, n_agents=AGENTS)
    stage, genome = replace(workshop.stage, world=world), workshop.market_genome
    start = genome.population(genome.genome().to_values(genome.genome().start_vector()))
    minds, train = TeacherMinds(genome.styles), workshop.splits.train
    parts = [(start, stage.history(train, seed), seed) for seed in range(PATHS)]
    play(replace(world, days=30), parts, minds)  # compiles
    tapes = []
    taken = seconds(lambda: tapes.extend(play(world, parts, minds)), 1)
    log_returns = np.stack([tape.log_returns() for tape in tapes])
    volume = np.stack([tape.volume for tape in tapes]).astype(np.float64)
    real = workshop.split_returns(train)
    real_volume = workshop.series.volume[train.stop - len(real) : train.stop]
    return log_returns, volume, real, real_volume, taken


def seconds(step: Callable[[], object], runs: int = RUNS) -> float:
    """Least processor time of some runs, after one that compiles what is to be compiled."""
    if runs > 1:
        step()
    taken = []
    for _ in range(runs):
        began = time.process_time()
        step()
        taken.append(time.process_time() - began)
    return min(taken)


if __name__ == "__main__":
    main()
