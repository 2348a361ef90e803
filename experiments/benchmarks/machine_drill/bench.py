"""Run a small sweep as several processors would, and compare all that it writes, byte for byte."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.reports.figure_lines import Report

BENCHMARK = Benchmark(
    measures="that a sweep writes the same bytes on other processors and numbers of threads",
    minutes=30,
)

_WIDE = "X86_V4 AVX512_ICL AVX512_SPR"


def emulate(
    name: str, openblas: str, torch_level: str, onednn: str, numpy_less: str
) -> dict[str, str]:
    """Return environment variables under which every library takes a processor for another.

    Parameters
    ----------
    name
        LLVM's, for Numba; empty features leave those that the name has.
    openblas, torch_level, onednn
        The libraries' own names.
    numpy_less
        Features that numpy does without.
    """
    return {
        "NUMBA_CPU_NAME": name,
        "NUMBA_CPU_FEATURES": "",
        "OPENBLAS_CORETYPE": openblas,
        "ATEN_CPU_CAPABILITY": torch_level,
        "ONEDNN_MAX_CPU_ISA": onednn,
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2" if onednn == "SSE41" else "AVX2",
        "NPY_DISABLE_CPU_FEATURES": numpy_less,
    }


PROCESSORS: Mapping[str, Mapping[str, str]] = {
    "this one": {},
    "Haswell (AVX2)": emulate("haswell", "Haswell", "avx2", "AVX2", _WIDE),
    "Zen (AVX2)": emulate("znver1", "Zen", "avx2", "AVX2", _WIDE),
    "Nehalem (SSE4.2)": emulate("nehalem", "Nehalem", "default", "SSE41", f"X86_V3 {_WIDE}"),
}
"""Emulated, from the newest to one without AVX."""

SMALL = (
    "search.generations=2",
    "search.cross.slow_every=1",
    "search.cross.slow_count=2",
    "search.cross.fast_count=4",
    "market.agents=60",
    "market.days=60",
    "market.paths=2",
    "selection.champions=2",
    "selection.validation_groups=2",
    "selection.heldout_groups=2",
)


@dataclass(frozen=True)
class Settings:
    """What runs where.

    Attributes
    ----------
    processors
        Names among `PROCESSORS`; the first one is what the others are held against.
    threads
        Numbers of threads; the first processor runs with each of them, others with the first.
    overrides
        Of the quickstart's config.
    """

    processors: tuple[str, ...] = tuple(PROCESSORS)
    threads: tuple[int, ...] = (1, 2)
    overrides: tuple[str, ...] = SMALL


def run(settings: Settings, report: Report) -> None:
    """Sweep once a processor, and compare; end with exit code 1 where some bytes differ."""
    first, *others = settings.processors
    plan = [(first, threads) for threads in settings.threads]
    plan += [(name, settings.threads[0]) for name in others]
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="machine-drill-") as folder:
        for name, threads in plan:
            label = f"{name}, {threads} threads"
            report.say(f"the quickstart, small, on {label}")
            began = time.perf_counter()
            found[label] = sweep(
                Path(folder) / label, PROCESSORS[name], threads, settings.overrides
            )
            expected = next(iter(found.values()))
            alike = sum(found[label][part] == digest for part, digest in expected.items())
            report.figure(
                f"parts of a run alike: {label}", alike, "1", next(iter(found)),
                alike / len(expected), seconds=time.perf_counter() - began,
            )  # fmt: skip
    differing = [
        f"{part} of {label}"
        for label, parts in found.items()
        for part, digest in parts.items()
        if digest != expected[part]
    ]
    if differing:
        report.say(f"other bytes than {next(iter(found))}: {', '.join(differing)}")
        raise SystemExit(1)


def sweep(
    folder: Path, processor: Mapping[str, str], threads: int, overrides: tuple[str, ...]
) -> dict[str, str]:
    """Run the command in a process of its own; return digests of what it wrote, by name."""
    fresh = {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    run_folder = RunFolder(folder / "run")
    changes = [*overrides, "workers=1"]
    command = [sys.executable, "-m", "evobourse.experiments.cli.main", "evolve", "quickstart"]
    command += ["--run", str(run_folder), *(part for c in changes for part in ("--set", c))]
    done = subprocess.run(
        command,
        env=os.environ | fresh | dict(processor),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the sweep ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    files = [run_folder.lineage, run_folder.champion, run_folder.scoreboard]
    files += sorted(path for path in run_folder.bundle.rglob("*") if path.is_file())
    return {str(file.relative_to(run_folder.path)): _digest(file) for file in files}


def _digest(file: Path) -> str:
    content = file.read_bytes()
    if file.name == RunFolder(file.parent).scoreboard.name:  # how long each row took may differ
        rows = [{k: row[k] for k in row if k != "seconds"} for row in json.loads(content)]
        content = json.dumps(rows).encode()
    return hashlib.sha256(content).hexdigest()
