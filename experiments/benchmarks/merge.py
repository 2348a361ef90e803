"""Recipes in memory against mergekit's command line, on the real 135M model."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from evobourse import agents
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.config.runnable import choose
from evobourse.experiments.reports.figure_lines import Report
from evobourse.merge.errors import RecipeError
from evobourse.merge.recipes.export import export_model
from evobourse.merge.recipes.layer_stack import LayerStack, stack_model, stack_state
from evobourse.merge.recipes.mergekit_yaml import write_recipe
from evobourse.merge.recipes.methods import METHODS
from evobourse.merge.recipes.on_disk import run_mergekit
from evobourse.merge.recipes.recipe import HEAD, Recipe, State, depth_of, load_source, merge_recipe
from evobourse.merge.sources import DEFAULT_BASE, adapter_folders, load_model, resolve_model

BENCHMARK = Benchmark(
    measures="every merge method in memory against mergekit's command line: weights and time",
    minutes=15,
)

BLOCKS = 3
REPEATS = 3


@dataclass(frozen=True)
class Settings:
    """What is compared.

    Attributes
    ----------
    only
        Merge methods; all by default.
    """

    only: tuple[str, ...] = ()


def run(settings: Settings, report: Report) -> None:
    """Merge in memory and by mergekit, method by method."""
    for method in settings.only:
        choose(METHODS, method, "merge method")
    model, tokenizer = load_model(DEFAULT_BASE)
    base = model.state_dict()
    folders = adapter_folders(Path(agents.__file__).with_name("sources"))
    sources = {folder.name: load_source(folder.name, folder, base) for folder in folders}
    with tempfile.TemporaryDirectory(prefix="bench-merge-") as scratch:
        places = {DEFAULT_BASE: resolve_model(DEFAULT_BASE)}
        for name, state in sources.items():
            export_model(Path(scratch) / name, state, DEFAULT_BASE, "", [DEFAULT_BASE])
            places[name] = str(Path(scratch) / name)
        linear_against_bytes(base, sources, Path(scratch), report)
        for method in settings.only or METHODS:
            against_mergekit(method, base, sources, places, Path(scratch), report)
        stack_against_passthrough(model, tokenizer, base, sources, places, Path(scratch), report)


def recipe_of(method: str, sources: list[str]) -> Recipe:
    """Build a recipe with other weights, and densities where it takes them, in every block."""
    takes = METHODS[method]
    sources = sources[: int(min(takes.sources[1], len(sources)))]
    width = {"source": len(sources), "t": 1, "none": 0}[takes.weights]
    weights = tuple(
        tuple(0.2 + 0.3 * (block + at) % 0.8 for at in range(width)) for block in range(BLOCKS)
    )
    densities = tuple((0.5 + 0.1 * block,) * len(sources) for block in range(BLOCKS))
    return Recipe(
        method,
        DEFAULT_BASE,
        tuple(sources),
        weights,
        densities if takes.density else None,
        seed=2026 if takes.random else None,
    )


def linear_against_bytes(
    base: State, sources: dict[str, State], scratch: Path, report: Report
) -> None:
    """Time a linear merge in memory against reading and writing one model's float32 bytes."""
    recipe = recipe_of("linear", list(sources))
    merged = merge_recipe(recipe, base, sources)  # warms up
    weights = {key: tensor for key, tensor in merged.items() if key != HEAD}
    file, copy = scratch / "once.safetensors", scratch / "again.safetensors"
    save_file(weights, file)
    seconds = _best(lambda: merge_recipe(recipe, base, sources))
    disk = _best(lambda: copy.write_bytes(file.read_bytes()))
    memory = _best(lambda: {key: tensor.clone() for key, tensor in weights.items()})
    file.unlink()
    copy.unlink()
    figure = "seconds of a linear merge of two 135M models in memory"
    files = "reading and writing the result's bytes once, files"
    report.figure(figure, seconds, "s", files, seconds / disk)
    copying = "copying the result's bytes once, memory"
    report.figure(figure, seconds, "s", copying, seconds / memory)


def against_mergekit(
    method: str,
    base: State,
    sources: dict[str, State],
    places: dict[str, str],
    scratch: Path,
    report: Report,
) -> None:
    """Merge in memory and with ``mergekit-yaml``: the largest difference, and both times."""
    recipe = recipe_of(method, list(sources))
    began = time.perf_counter()
    ours = merge_recipe(recipe, base, sources)
    seconds = time.perf_counter() - began
    folder = scratch / method
    began = time.perf_counter()
    run_mergekit(write_recipe(recipe, depth_of(base), places), folder, recipe.seed)
    theirs_seconds = time.perf_counter() - began
    file = folder / "model.safetensors"
    _tell_difference(method, ours, load_file(file), report)
    file.unlink()
    peer = f"mergekit-yaml {version('mergekit')}, process and files included"
    report.figure(f"{method}: seconds in memory", seconds, "s", peer, seconds / theirs_seconds)


def stack_against_passthrough(
    model: Any,
    tokenizer: Any,
    base: State,
    sources: dict[str, State],
    places: dict[str, str],
    scratch: Path,
    report: Report,
) -> None:
    """Compare a stack with repeats to ``passthrough``, and folded scales to scaled inputs."""
    first, second = sources
    order = [(first, n) for n in range(20)] + [(second, n) for n in range(12, 30)]
    join = (1.0,) * 20
    stack = LayerStack(tuple(order), join + (1.0,) * 18)
    states = {**sources, DEFAULT_BASE: base}
    run_mergekit(stack.to_mergekit_yaml(places), scratch / "stack")
    theirs = load_file(scratch / "stack" / "model.safetensors")
    name = "passthrough, 38 layers, W = 1"
    _tell_difference(name, stack_state(stack, states), theirs, report)
    scaled = LayerStack(tuple(order), (*join, 0.8, *(1.0,) * 17))
    tokens = tokenizer("The price of copper rose on Monday because", return_tensors="pt").input_ids
    with torch.inference_mode():
        running = stack_model(scaled, states, model.config)(tokens).logits
        ones = LayerStack(scaled.layers, (1.0,) * 38)
        folded = dict(stack_state(scaled, states))
        plain = stack_model(ones, states, model.config)
        moved = (plain(tokens).logits - running).abs().max().item()
        plain.load_state_dict(folded, assign=True)
        gap = (plain(tokens).logits - running).abs().max().item()
    figure = "W of 0.8 folded into the weights: largest difference of a logit"
    report.figure(figure, gap, "1", "largest change of a logit by that W", gap / moved)


def _tell_difference(name: str, ours: State, theirs: State, report: Report) -> None:
    missing = set(theirs) ^ (set(ours) - {HEAD})
    if missing:
        raise RecipeError(f"{name}: {sorted(missing)[0]} is in one of the two alone")
    worst = max((ours[key] - tensor).abs().max().item() for key, tensor in theirs.items())
    peer = f"mergekit-yaml {version('mergekit')}, largest weight"
    largest = max(tensor.abs().max().item() for tensor in theirs.values())
    name = f"{name}: largest difference of a weight"
    report.figure(name, worst, "1", peer, worst / largest)


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)
