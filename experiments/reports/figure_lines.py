"""One JSON line a figure, as every benchmark and study ends with; progress lines on stderr."""

from __future__ import annotations

import json
import time

import torch

_BEGAN = time.perf_counter()


def figure(
    bench: str, name: str, value: float, unit: str, peer: str | None, ratio: float | None
) -> None:
    """Print one figure as a JSON line."""
    line = {"bench": bench, "figure": name, "value": value, "unit": unit}
    print(json.dumps({**line, "peer": peer, "ratio": ratio}), flush=True)


def progress(text: str) -> None:
    """Print what is being done, with the seconds since the start."""
    seconds = time.perf_counter() - _BEGAN
    print(f"[{seconds:5.0f} s, {torch.get_num_threads()} threads] {text}", flush=True)
