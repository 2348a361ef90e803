"""How many layers style adapters should touch: agreement lost against the time of a round.

The same styles are trained at several depths; what follows stands in docs/decisions/058.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.observation import possible_views
from evobourse.evolve.bases.opening import open_model
from evobourse.experiments.config.experiment import ExperimentConfig, load_config
from evobourse.experiments.styles.measures import measure_styles
from evobourse.experiments.styles.supervised import StylePlan, train_styles
from evobourse.merge.sources import adapter_folders

DEPTHS = (3, 6, 10, 15, 30)
STYLES = ("momentum", "news-driven")
WIDER = 3


def main() -> None:
    """Train what is missing at every depth, then print a JSON line a depth."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/trunk-depth"))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--attention", type=int, default=2)
    parser.add_argument("--depths", type=int, nargs="+", default=DEPTHS)
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore")
    config = load_config(Path(__file__).parents[1] / "quickstart.yaml")
    config = replace(config, minds=replace(config.minds, attention=options.attention))
    for depth in options.depths:
        train_depth(config, options.out, depth, options.steps)
    for depth in options.depths:
        measure_depth(config, options.out, depth)


def train_depth(config: ExperimentConfig, out: Path, depth: int, steps: int) -> None:
    """Train the styles on the uppermost layers, unless their folders are there."""

    def report(name: str, step: int, steps: int, loss: float) -> None:
        if step % 10 == 0 or step == steps:
            print(f"top {depth} {name}: step {step} of {steps}, loss {loss:.3f}", flush=True)

    plan = StylePlan(only=STYLES, steps=steps, top_layers=depth)
    train_styles(config, depth_folder(out, depth), plan, report)


def measure_depth(config: ExperimentConfig, out: Path, depth: int) -> None:
    """Print agreement with the teachers on held-out days, and the time of sixteen minds."""
    folder = depth_folder(out, depth)
    figures: dict[str, float] = {"top_layers": depth}
    for attention, count in ((config.minds.attention, 1000), (WIDER, 300)):
        wider = replace(config, minds=replace(config.minds, attention=attention))
        for row in measure_styles(wider, folder, count=count):
            figures[f"{row.style}, up to {attention} signs"] = row.trained.value
            figures[f"{row.style}, up to {attention} signs, bare"] = row.bare.value
    engine = open_model(config.minds.base, adapter_folders(folder), ()).engine
    one, four = seconds_of_minds(engine, 1), seconds_of_minds(engine, 4)
    figures["seconds, one mind"] = one
    # The trunk is computed once, the rest once a mind.
    figures["seconds, sixteen minds, from one and four"] = one + 15 * (four - one) / 3
    print(json.dumps(figures), flush=True)


def seconds_of_minds(engine: MindEngine, minds: int) -> float:
    """Return processor seconds of new minds' answers to all views of two signs."""
    views, bank = possible_views(2), engine.bank
    drawn = np.random.default_rng(minds).normal(0, 0.5, (minds, bank.blocks, len(bank.adapters)))
    asked = drawn.astype(np.float32)
    engine.trie.clear()
    began = time.process_time()
    for mind in asked:
        engine.ask(mind, views)
    engine.answer(asked[0], views)
    return time.process_time() - began


def depth_folder(out: Path, depth: int) -> Path:
    """Name the folder of the adapters of one depth."""
    return out / f"top-{depth:02d}"


if __name__ == "__main__":
    main()
