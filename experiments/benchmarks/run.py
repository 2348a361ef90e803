"""The one runner of benchmarks: finds them and reads their settings.

A benchmark is a file here, or a folder, with three names: ``BENCHMARK``, a `Benchmark` of
literals; ``Settings``, a frozen dataclass of what can be set; and ``run(settings, report)``, which
tells its figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from evobourse.experiments.config.runnable import (
    Found,
    choose,
    find_declared,
    read_settings,
    typed_command,
)
from evobourse.experiments.reports.figure_lines import Report

PACKAGE = "evobourse.experiments.benchmarks"


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark says of itself.

    Attributes
    ----------
    measures
        What, and against whom.
    minutes
        About how long it takes with its defaults, on two cores.
    """

    measures: str
    minutes: float


def find_benchmarks() -> dict[str, Found[Benchmark]]:
    """Find all benchmarks, by name."""
    return find_declared(Path(__file__).parent, PACKAGE, "BENCHMARK", Benchmark)


def load_benchmark(name: str) -> Any:
    """Import a benchmark.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    return import_module(choose(find_benchmarks(), name, "benchmark").module)


def run_benchmark(name: str, changes: Sequence[str] = ()) -> None:
    """Run a benchmark, which prints one JSON line a figure.

    Parameters
    ----------
    name
        Of the benchmark.
    changes
        Its settings that are not the defaults, ``key=value``.

    Raises
    ------
    ConfigError
        There is no such benchmark or setting.
    """
    benchmark = load_benchmark(name)
    settings = read_settings(benchmark.Settings, changes, f"benchmark {name}")
    command = typed_command("evobourse", "bench", name, changes=changes)
    benchmark.run(settings, Report(name, command))
