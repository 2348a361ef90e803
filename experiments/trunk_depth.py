"""How many layers style adapters should touch: agreement lost against the time of a round.

Knows how to train the same styles at several depths and to time a round of minds with each.
Deliberately changes no default: what follows from it stands in docs/decisions/058.
"""

from __future__ import annotations

import argparse
import os
import warnings
from dataclasses import replace
from pathlib import Path

from experiments.config import ExperimentConfig, load_config
from experiments.style_training import train_styles

DEPTHS = (3, 6, 10, 15, 30)
STYLES = ("momentum", "news-driven")


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/trunk-depth"))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--attention", type=int, default=2)
    parser.add_argument("--depths", type=int, nargs="+", default=DEPTHS)
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore")
    config = load_config(Path(__file__).with_name("quickstart.yaml"))
    config = replace(config, minds=replace(config.minds, attention=options.attention))
    for depth in options.depths:
        train_depth(config, options.out, depth, options.steps)


def train_depth(config: ExperimentConfig, out: Path, depth: int, steps: int) -> None:
    """Train the styles on the uppermost layers, unless their folders are there."""

    def report(name: str, step: int, steps: int, loss: float) -> None:
        if step % 10 == 0 or step == steps:
            print(f"top {depth} {name}: step {step} of {steps}, loss {loss:.3f}", flush=True)

    train_styles(config, depth_folder(out, depth), "styles", STYLES, steps, depth, report)


def depth_folder(out: Path, depth: int) -> Path:
    """Name the folder of the adapters of one depth."""
    return out / f"top-{depth:02d}"


if __name__ == "__main__":
    main()
