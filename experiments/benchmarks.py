"""`make bench`: this project's way against the peers' way, in one run, as ratios.

Knows what is timed against what. Deliberately fails no build: a benchmark is no test.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.examples import real_levels, sample_views
from agents.observation import render_rules, render_view
from agents.stand_ins import RandomMinds
from evolve.bases import MergedBases
from evolve.evaluation import path_seeds
from evolve.stage import World, play
from experiments.config import load_config
from experiments.workshop import Workshop, build_workshop
from merge.decoder import Decoder
from merge.int8 import Int8Linear
from merge.sources import load_model

PEER_DECISIONS = 40
FIDELITY_VIEWS = 200


def main() -> None:
    """Run all benchmarks of the main path and print one JSON line a figure."""
    config = load_config(Path(__file__).with_name("quickstart.yaml"))
    workshop = build_workshop(config)
    bases = workshop.open_bases()
    model, tokenizer = load_model(config.minds.base)
    views = _real_views(workshop)
    own = decisions_per_second(workshop, bases)
    peer = peer_decisions_per_second(model, tokenizer, views)
    name = "one full prompt per agent, batch 1, transformers bf16, generate one token"
    _print("decisions", "decisions per second, one market", own["cold"], "1/s", name, peer)
    _print("decisions", "decisions per second, same market again", own["warm"], "1/s", name, peer)
    _print(
        "decisions",
        "decisions per forward pass, one market",
        own["decisions"] / own["passes"],
        "1",
        "one pass per decision",
        1.0,
    )
    mean, worst = total_variation(model, bases, views)
    _print("int8", "total variation of five options, mean", mean, "1", "limit", 0.02)
    _print("int8", "total variation of five options, worst view", worst, "1", "limit", 0.02)
    _print("int8", "bytes per decoder weight", bytes_per_weight(bases), "B", "bf16", 2.0)


def decisions_per_second(workshop: Workshop, bases: MergedBases) -> dict[str, float]:
    """Time one market of the start population, with an empty memo and again with a full one."""
    genome = workshop.market_genome
    start = genome.genome().to_values(genome.genome().start_vector())
    population = genome.population(start)
    world = workshop.stage.world
    small = World(world.offsets, world.rules, world.n_agents, 5)
    [seed] = path_seeds(np.random.SeedSequence(0), 1)
    history = workshop.stage.history(workshop.splits.train, seed)
    play(small, [(population, history, seed)], RandomMinds())  # compiles the exchange
    engine = bases.serve(None)
    times, passes = [], engine.counters.computed
    for _ in range(2):
        began = time.perf_counter()
        play(world, [(population, history, seed)], engine)
        times.append(time.perf_counter() - began)
    decisions = world.n_agents * world.days
    return {
        "cold": decisions / times[0],
        "warm": decisions / times[1],
        "decisions": decisions,
        "passes": engine.counters.computed - passes,
    }


def peer_decisions_per_second(model: Any, tokenizer: Any, views: NDArray[np.int64]) -> float:
    """Time the usual way: the whole prompt for every agent, alone, and a generated word."""
    peer = model.to(torch.bfloat16)
    prompts = [render_rules() + render_view(int(view)) for view in views[: PEER_DECISIONS + 2]]
    began = 0.0
    for i, prompt in enumerate(prompts):
        if i == 2:  # after warming up
            began = time.perf_counter()
        tokens = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        peer.generate(**tokens, max_new_tokens=1, do_sample=False, pad_token_id=0)
    seconds = time.perf_counter() - began
    model.to(torch.float32)
    return PEER_DECISIONS / seconds


def total_variation(
    model: Any, bases: MergedBases, views: NDArray[np.int64]
) -> tuple[float, float]:
    """Compare the bare INT8 base's option distribution with fp32: mean and worst over views."""
    engine, decoder = bases.serve(None), Decoder(model)
    bare = np.zeros((bases.engine.bank.blocks, len(bases.engine.bank.adapters)), np.float32)
    ours = engine.answer(bare, views)
    exact = np.array([_full_logits(decoder, engine, int(view)) for view in views])
    gap = 0.5 * np.abs(_softmax(ours) - _softmax(exact)).sum(axis=1)
    return float(gap.mean()), float(gap.max())


def bytes_per_weight(bases: MergedBases) -> float:
    """Count bytes of INT8 weights and scales over the number of weights in the decoder stack."""
    layers = [m for m in bases.engine.decoder.model.modules() if isinstance(m, Int8Linear)]
    held = sum(m.weight.nbytes + m.scale.nbytes for m in layers)
    return held / sum(m.weight.numel() for m in layers)


def _full_logits(decoder: Decoder, engine: Any, view: int) -> NDArray[np.float32]:
    hidden = decoder.embed([engine.prompt_tokens(view)])
    hidden, _ = decoder.run(hidden, 0, decoder.depth)
    return decoder.option_logits(hidden[:, -1], engine.options)[0].numpy()


def _real_views(workshop: Workshop) -> NDArray[np.int64]:
    split = workshop.splits.validation
    rows = slice(0, split.stop)
    levels = real_levels(workshop.series.close[rows], workshop.series.volume[rows])
    rng = np.random.default_rng(0)
    found = np.unique(sample_views(levels, 20 * FIDELITY_VIEWS, 3, rng))
    return rng.permutation(found)[:FIDELITY_VIEWS]


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    return shifted / shifted.sum(axis=1, keepdims=True)


def _print(bench: str, figure: str, value: float, unit: str, peer: str, against: float) -> None:
    line = {"bench": bench, "figure": figure, "value": value, "unit": unit}
    print(json.dumps({**line, "peer": peer, "ratio": value / against}), flush=True)


if __name__ == "__main__":
    main()
