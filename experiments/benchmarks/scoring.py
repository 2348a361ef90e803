"""What scoring costs beside the simulation that it scores.

Processor time counts, which a busy machine stretches less.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.evolve.markets import play
from evobourse.experiments.benchmarks.exchange import make_market
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.sweep.setup import build_experiment
from evobourse.fitness import facts
from evobourse.fitness.distance import make_target, score_paths
from evobourse.fitness.fact_table import compare_facts, spread_windows
from evobourse.fitness.remembered import FOLDER_VARIABLE
from evobourse.fitness.signature import price_signature, signature_mmd
from evobourse.market.crowd import DayOutcome
from evobourse.market.series.named import load_series
from evobourse.market.tape.daily_tape import Tape

BENCHMARK = Benchmark(
    measures="what scoring costs beside the simulation that it scores",
    minutes=5,
)

QUICKSTART = Path(__file__).parents[1] / "quickstart.yaml"
DAYS, PATHS, REAL_WINDOWS = 1000, 4, 100
AUCTION_AGENTS, EXCHANGE_AGENTS = 400, 1000
WANTED_SHARE = 0.05

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """How it is timed.

    Attributes
    ----------
    runs
        Of each step, the fastest of which counts.
    """

    runs: int = 5


def run(settings: Settings, report: Report) -> None:
    """Simulate and score in one process: each step's share."""
    series = load_series("sp500")
    for simulate in (in_daily_auctions, in_order_books):
        with TemporaryDirectory() as empty:
            os.environ[FOLDER_VARIABLE] = empty  # a first command and a later one, both measured
            played = simulate()
            measure(*played, series.log_returns, series.volume[1:], settings.runs, report)


def measure(
    what: str,
    taken: float,
    returns: Array,
    volume: Array,
    real: Array,
    real_volume: Array,
    runs: int,
    report: Report,
) -> None:
    """Time all that `evobourse score` computes of a simulation that took so many seconds."""
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
        "target, from the cache": seconds(target_step, runs),
        "J, p-values, coverage": seconds(lambda: score_paths(returns, target), runs),
        "facts, the real ones from the cache": seconds(facts_step, runs),
    }
    parts = {
        "of it fact 7, a GARCH fit a path": seconds(
            lambda: facts.conditional_kurtosis(returns), runs
        ),
        "of it the signature discrepancy": seconds(
            lambda: signature_mmd(price_signature(returns), signatures, rng(0)), runs
        ),
        "of it fact 10, ranks of the volume": seconds(
            lambda: facts.volume_volatility(returns, volume), runs
        ),
    }
    table = Table("processor time", "ms", "of the simulation", box=box.SIMPLE_HEAD)
    for name, spent in ({"simulation": taken} | steps | parts | first).items():
        table.add_row(name, f"{1e3 * spent:,.1f}", f"{spent / taken:.2%}")
    report.console.print(f"{what}; score {score_paths(returns, target).verdict}", table)
    for figure, spent in {
        "score of a candidate": steps["J, p-values, coverage"],
        "everything that is reported": sum(steps.values()),
    }.items():
        share = spent / taken
        report.figure(f"{figure}, share of {what}", share, "1", "wanted", share / WANTED_SHARE)


def in_daily_auctions() -> tuple[str, float, Array, Array]:
    """Run a population with the style teachers as minds: what, seconds, returns, volume [4, T]."""
    experiment = build_experiment(load_config(QUICKSTART))
    world = replace(experiment.windows.world, days=DAYS, n_agents=AUCTION_AGENTS)
    windows, genome = replace(experiment.windows, world=world), experiment.market_genome
    start = genome.population(genome.genome().to_values(genome.genome().start_vector()))
    minds, train = TeacherMinds(genome.styles), experiment.splits.train
    parts = [(start, windows.history(train, seed), seed) for seed in range(PATHS)]
    play(replace(world, days=30), parts, minds)  # compiles
    tapes: list[Tape] = []
    taken = seconds(lambda: tapes.extend(play(world, parts, minds)), 1)
    returns = np.stack([tape.log_returns() for tape in tapes])
    volume = np.stack([tape.volume for tape in tapes]).astype(np.float64)
    what = f"{PATHS} daily auctions of {AUCTION_AGENTS} rule-based agents over {DAYS:,} days"
    return what, taken, returns, volume


def in_order_books() -> tuple[str, float, Array, Array]:
    """Run forecasters in continuous trading: what, seconds, returns and volume [4, T]."""
    make_market(100).run(2)  # compiles
    markets = [make_market(EXCHANGE_AGENTS, seed) for seed in range(PATHS)]
    closes = np.array([[market.listings[0].reference_ticks] for market in markets], np.float64)
    days: list[list[DayOutcome]] = []
    taken = seconds(
        lambda: days.extend([market.play_day() for _ in range(DAYS)] for market in markets), 1
    )
    later, volume = (
        np.array([[float(getattr(day, name)[0]) for day in path] for path in days])
        for name in ("close_ticks", "volume")
    )
    returns = np.diff(np.log(np.concatenate((closes, later), axis=1)), axis=1)
    what = f"{PATHS} order books of {EXCHANGE_AGENTS:,} rule-based agents over {DAYS:,} days"
    return what, taken, returns, volume


def seconds(step: Callable[[], object], runs: int) -> float:
    """Least processor time of some runs, after one that compiles what is to be compiled."""
    if runs > 1:
        step()
    taken = []
    for _ in range(runs):
        began = time.process_time()
        step()
        taken.append(time.process_time() - began)
    return min(taken)
