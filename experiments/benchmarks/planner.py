"""The planner against this machine: predicted and measured decisions a second, and its efficiency.

Knows how to time the engine and a market on one core. Deliberately fails no build, and changes no
constant: `experiments.planner.roofline.EFFICIENCY` is copied from here by hand, with its decision
file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.minds.stand_ins import RandomMinds
from evobourse.agents.observation import possible_views
from evobourse.evolve.bases.opening import open_model
from evobourse.evolve.evaluation import path_seeds
from evobourse.evolve.markets import World, play
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
from evobourse.experiments.sweep.setup import Experiment, build_experiment
from evobourse.merge.sources import DEFAULT_BASE

ATTENTION = 2
MINDS = 3


def main() -> None:
    """Print predicted against measured, one JSON line a figure."""
    torch.set_num_threads(1)
    experiment = build_experiment(load_config(Path(__file__).parents[1] / "quickstart.yaml"))
    engine = open_model(DEFAULT_BASE, experiment.adapters, ()).engine
    chip = measure_processor(cores=1, seconds=2.0)
    measured = questions_per_second(engine, MINDS)
    load = engine_load(engine, MINDS)
    roofline = load.minds * load.views / questions_seconds(
        find_shape(DEFAULT_BASE), load, chip, load.batch_rows
    )  # fmt: skip
    _print("fp32 products", chip.bf16 / 1e9, "Gop/s", "bytes moved, GB/s", chip.bandwidth / 1e9)
    _print("engine, share of the roofline", measured / roofline, "1", "EFFICIENCY", EFFICIENCY)
    _print("engine, questions a second", measured, "1/s", "predicted", EFFICIENCY * roofline)
    market = market_decisions_per_second(experiment)
    _print("market, decisions a second", market, "1/s", "stated", MARKET_DECISIONS_PER_SECOND)


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


def _print(figure: str, value: float, unit: str, peer: str, against: float) -> None:
    line = {"bench": "plan", "figure": figure, "value": value, "unit": unit}
    print(json.dumps({**line, "peer": peer, "ratio": value / against}), flush=True)


if __name__ == "__main__":
    main()
