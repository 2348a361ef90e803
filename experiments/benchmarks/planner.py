"""The planner against this machine: decisions a second, predicted and measured, on one core.

`experiments.planner.roofline.EFFICIENCY` is copied from here by hand, with its decision.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.minds.stand_ins import RandomMinds
from evobourse.agents.observation import possible_views
from evobourse.evolve.bases.opening import open_model
from evobourse.evolve.evaluation import path_seeds
from evobourse.evolve.markets import World, play
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.planner.chips import measure_processor
from evobourse.experiments.planner.roofline import (
    EFFICIENCY,
    MARKET_DECISIONS_PER_SECOND,
    SHARED_TOKENS,
    Load,
    count_views,
    private_tokens,
    questions_seconds,
)
from evobourse.experiments.planner.shapes import find_shape
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.sweep.setup import Experiment, build_experiment
from evobourse.merge.sources import DEFAULT_BASE

BENCHMARK = Benchmark(
    measures="the planner's predictions against this machine's processor",
    minutes=3,
)

ATTENTION = 2


@dataclass(frozen=True)
class Settings:
    """What is timed.

    Attributes
    ----------
    minds
        That answer all questions.
    """

    minds: int = 3


def run(settings: Settings, report: Report) -> None:
    """Time the engine and a market, and hold the predictions against them."""
    torch.set_num_threads(1)
    experiment = build_experiment(load_config(Path(__file__).parents[1] / "quickstart.yaml"))
    engine = open_model(DEFAULT_BASE, experiment.adapters, ()).engine
    chip = measure_processor(cores=1, seconds=2.0)
    measured = questions_per_second(engine, settings.minds)
    load = engine_load(engine, settings.minds)
    roofline = load.minds * load.views / questions_seconds(
        find_shape(DEFAULT_BASE), load, chip, load.batch_rows
    )  # fmt: skip
    market = market_decisions_per_second(experiment)
    share, stated = measured / roofline, MARKET_DECISIONS_PER_SECOND
    for figure, value, unit, peer, against in (
        ("fp32 products", chip.bf16 / 1e9, "Gop/s", "bytes moved, GB/s", chip.bandwidth / 1e9),
        ("engine, share of the roofline", share, "1", "EFFICIENCY", EFFICIENCY),
        ("engine, questions a second", measured, "1/s", "predicted", EFFICIENCY * roofline),
        ("market, decisions a second", market, "1/s", "stated", stated),
    ):
        report.figure(figure, value, unit, peer, value / against)


def engine_load(engine: MindEngine, minds: int) -> Load:
    """Describe what `questions_per_second` asks, as the planner sees it."""
    bank = engine.bank
    depth = engine.decoder.depth
    return Load(
        minds,
        count_views(ATTENTION),
        SHARED_TOKENS,
        private_tokens(ATTENTION),
        len(bank.adapters),
        adapted_share=(depth - bank.first_layer) / depth,
    )


def questions_per_second(engine: MindEngine, minds: int) -> float:
    """Time new minds' answers to all views that show at most two fields, in processor seconds."""
    views = possible_views(ATTENTION)
    drawn = np.random.default_rng(0).normal(0, 0.5, (minds, 1, len(engine.bank.adapters)))
    asked = drawn.astype(np.float32)

    def answer() -> None:
        for mind in asked:
            engine.ask(mind, views)
        engine.answer(asked[0], views)

    engine.answer(asked[0] * 0, views[-3:])  # warms up
    return minds * len(views) / _seconds(answer)


def market_decisions_per_second(
    experiment: Experiment, agents: int = 1000, days: int = 250
) -> float:
    """Time one market whose answers are all known, in processor seconds."""
    genome = experiment.market_genome
    population = genome.population(genome.genome().to_values(genome.genome().start_vector()))
    [seed] = path_seeds(np.random.SeedSequence(0), 1)
    history = experiment.windows.history(experiment.splits.train, seed)
    world = experiment.windows.world

    def trade(length: int) -> None:
        sized = World(world.offsets, world.rules, agents, length)
        play(sized, [(population, history, seed)], RandomMinds())

    trade(3)  # compiles
    return agents * days / _seconds(lambda: trade(days))


def _seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
