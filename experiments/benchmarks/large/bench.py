"""A 7B with a thousand minds on this processor: opening, self-check, answers, memory, a sweep.

Weights are random: this is speed and memory, not judgement.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.minds.self_check import prove_base
from evobourse.agents.observation import CUE, INVOCATION, possible_views, render_rules
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.benchmarks.own_process import process_command
from evobourse.experiments.benchmarks.random_base import (
    TINY,
    random_adapters,
    write_random_base,
)
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.planner.shapes import ModelShape, find_shape
from evobourse.experiments.reports.figure_lines import Report
from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.loading import load_quantized
from evobourse.merge.engine.prompt_tokens import PromptTokens
from evobourse.merge.model_config import read_config
from evobourse.merge.model_folder import empty_model, linear_layers
from evobourse.merge.peft.folder import read_adapter
from evobourse.merge.peft.write import write_adapter
from evobourse.merge.sources import DEFAULT_BASE, adapter_folders, load_tokenizer

BENCHMARK = Benchmark(
    measures="a 7B with a thousand minds on this processor: opening, answers, memory, a sweep",
    minutes=15,
)

RANK, SHARE, ATTENTION = 8, 0.2, 2
GIGABYTES, CHECK_SECONDS = 9.0, 60.0
SWEEP = (
    "personas=[{name: one, style: random0000}, {name: two, style: random0001}]",
    "minds.recipe_blocks=0",
    "minds.attention=1",
    "search.generations=2",
    "search.cross.slow_every=1",
    "search.cross.slow_count=2",
    "search.cross.fast_count=4",
    "market.agents=100",
    "market.days=60",
    "market.paths=2",
    "selection.champions=2",
    "selection.validation_groups=2",
    "selection.heldout_groups=2",
    "workers=1",
)
"""Of the quickstart: two minds a candidate, and views of one field."""


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes
    ----------
    shape
        Model whose shape the base has, by name, or ``tiny``; with the shipped model's vocabulary.
    layers
        How many of them; None: all.
    adapters
        Of the bank, on the topmost fifth of the layers.
    few
        Minds that answer all views of up to two fields.
    minds
        Minds that answer one view each.
    sweep
        Whether two generations of a small sweep are run behind.
    folder
        Where model and adapters are written, and stay for the next time; None: nowhere for long.
    """

    shape: str = "mistralai/Mistral-7B-v0.3"
    layers: int | None = None
    adapters: int = 16
    few: int = 8
    minds: int = 1_000
    sweep: bool = True
    folder: Path | None = None


def run(settings: Settings, report: Report) -> None:
    """Write the model unless it is there, and measure in a process of its own."""
    shape = TINY if settings.shape == "tiny" else find_shape(settings.shape)
    shape = replace(shape, layers=settings.layers or shape.layers)
    with tempfile.TemporaryDirectory(prefix="large-") as scratch:
        folder = settings.folder or Path(scratch)
        base, bank = folder / "base", folder / "adapters"
        if not (base / "config.json").is_file():
            write(shape, base, bank, settings.adapters, report)
        # Of its own, so that no self-check is remembered there.
        fresh = os.environ | {"EVOBOURSE_CACHE": f"{scratch}/cache"}
        asked = {"few": settings.few, "minds": settings.minds}
        told = {"name": report.name, "command": report.command}
        here = process_command(measure, base=str(base), bank=str(bank), **asked, **told)
        subprocess.run(here, env=fresh, check=True)
        if settings.sweep:
            sweep(base, bank, Path(scratch) / "run", fresh, report)


def write(shape: ModelShape, base: Path, bank: Path, adapters: int, report: Report) -> None:
    """Write the model a layer at a time, and its adapters, which act behind the invocation."""
    base.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(DEFAULT_BASE)
    shape = replace(shape, vocabulary=len(tokenizer))
    needed, free = 2 * shape.parameters, shutil.disk_usage(base).free
    if needed > free:
        raise ConfigError(
            f"benchmark large: {base} has room for {free / 1e9:.0f} GB and {shape.name} needs "
            f"{needed / 1e9:.0f} GB; set folder= to a larger disk"
        )
    what = f"{shape.layers} layers of {shape.name} with random weights, {needed / 1e9:.1f} GB"
    report.say(f"{what}, into {base}")
    began = time.perf_counter()
    generator = torch.Generator().manual_seed(0)
    tokenizer.save_pretrained(base)
    _, invocation, _ = PromptTokens(tokenizer).cut(render_rules(), INVOCATION, CUE)
    for adapter in random_adapters(shape, adapters, RANK, SHARE, generator):
        activated = replace(adapter, invocation_tokens=invocation)
        write_adapter(activated, bank / adapter.name, DEFAULT_BASE)
    write_random_base(shape, base, generator)
    report.figure("written", needed / 1e9 / (time.perf_counter() - began), "GB/s")


def measure(base: str, bank: str, few: int, minds: int, name: str, command: str) -> None:
    """Open the base with its adapters, as `evolve.bases.opening.open_model` does, and ask it."""
    report = Report(name, command)
    with _told(report, "read and rounded to INT8"):
        model, tokenizer, content = load_quantized(base)
    with _told(report, "self-check", CHECK_SECONDS):
        found = prove_base(base, model, tokenizer, content)
    report.figure("self-check, correlation of option logits", found.correlation, "1")
    with _told(report, "self-check, remembered"):
        prove_base(base, model, tokenizer, content)
    linears = linear_layers(empty_model(base, read_config(base, base)))
    folders = adapter_folders(Path(bank))
    with _told(report, f"{len(folders)} adapters"):
        adapters = tuple(read_adapter(folder, linears) for folder in folders)
        engine = MindEngine(model, tokenizer, AdapterBank(model, adapters), content)
    views = possible_views(ATTENTION)
    _answers(report, engine, few, views, len(views), "all views each")
    _answers(report, engine, minds, views, 1, "a view each")


def _answers(
    report: Report, engine: MindEngine, minds: int, views: NDArray[np.int64], each: int, what: str
) -> None:
    """Ask new minds, each some of the views."""
    rng = np.random.default_rng(minds)
    size = (minds, engine.bank.blocks, len(engine.bank.adapters))
    drawn = rng.normal(0, 0.1, size).astype(np.float32)
    asked = [np.sort(rng.choice(views, each, replace=False)) for _ in range(minds)]
    with _told(report, f"{minds * each:,} answers: {minds:,} minds, {what}"):
        for mind, own in zip(drawn, asked, strict=True):
            engine.ask(mind, own)
        for mind, own in zip(drawn, asked, strict=True):
            engine.answer(mind, own)


def sweep(
    base: Path, bank: Path, folder: Path, environment: Mapping[str, str], report: Report
) -> None:
    """Run the quickstart, small, on the base, as a person would."""
    changes = [f"minds.base={base}", f"minds.adapters={bank}", *SWEEP]
    command = [sys.executable, "-m", "evobourse.experiments.cli.main", "evolve", "quickstart"]
    command += ["--run", str(folder), *(part for c in changes for part in ("--set", c))]
    report.say("two generations of a small sweep")
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)  # of this process alone
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    report.figure("a sweep of two generations, end to end", time.perf_counter() - began, "s",
                  processor_seconds=used.ru_utime + used.ru_stime)  # fmt: skip
    _memory(report, "the sweep", used)
    candidates = RunFolder(folder).lineage.read_text().count("\n")
    report.figure("the sweep's candidates", candidates, "1")


@contextmanager
def _told(report: Report, what: str, limit: float | None = None) -> Iterator[None]:
    """Tell how long something took, by the clock and in processor time, and the peak so far."""
    report.say(what)
    began, worked = time.perf_counter(), time.process_time()
    yield
    seconds, busy = time.perf_counter() - began, time.process_time() - worked
    peer, ratio = (f"limit {limit:.0f}", seconds / limit) if limit else (None, None)
    report.figure(what, seconds, "s", peer, ratio, processor_seconds=busy)
    _memory(report, what)


def _memory(report: Report, what: str, used: resource.struct_rusage | None = None) -> None:
    """Tell a process's largest resident memory so far, as its system does; None: this one's."""
    used = used or resource.getrusage(resource.RUSAGE_SELF)
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    report.figure(f"peak memory: {what}", peak, "GB", f"limit {GIGABYTES:.0f}", peak / GIGABYTES)
