"""What commands have in common: option types, the console, the lines that a command ends with."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

Config = Annotated[Path, typer.Argument(help="Experiment config: a YAML file, or quickstart.")]
Run = Annotated[Path, typer.Argument(help="A run's folder, such as runs/quickstart.")]
Set = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a config value.")
]
Executor = Annotated[
    str | None, typer.Option(help="Who does the work: local, processes or ray.", metavar="KIND")
]
Workers = Annotated[int | None, typer.Option(help="How many; 0 for one a core.", min=0)]
Address = Annotated[str | None, typer.Option(help="Of a Ray cluster's head: auto, or host:port.")]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON alone.")]


def executor_overrides(executor: str | None, workers: int | None, address: str | None) -> list[str]:
    """Write the options on who does the work as config values."""
    given = {"executor.kind": executor, "workers": workers, "executor.address": address}
    return [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]


def mlflow_lines(uri: str) -> list[tuple[str, str]]:
    """Say how to open a lineage; MLflow hides runs behind another page unless told otherwise."""
    from evobourse.evolve.addresses import sqlite_address
    from evobourse.evolve.errors import hide_password

    if uri.startswith(("http://", "https://")):
        return [("lineage", hide_password(uri))]
    prefix = sqlite_address(Path.cwd()) + "/"
    short = "sqlite:///" + uri.removeprefix(prefix) if uri.startswith(prefix) else uri
    return [
        ("lineage", f"mlflow ui --backend-store-uri {shlex.quote(hide_password(short))}"),
        ("at", "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"),
    ]


def make_console(quiet: bool = False) -> Any:
    """Return the terminal, silent where a command prints JSON alone."""
    from rich.console import Console

    return Console(stderr=quiet, quiet=quiet)


class DayBar:
    """A bar of simulated days; called with each day."""

    def __init__(self, console: Any, days: int):

        self._bar = Progress(console=console, transient=True)
        self._task = self._bar.add_task("simulating", total=days)
        self._day, self._days = 0, days
        self._bar.start()

    def __call__(self, day: int) -> None:
        """Count a day that is over."""
        self._day = day + 1
        self._bar.update(self._task, completed=self._day)
        if self._day >= self._days:
            self._bar.stop()

    def say(self, stage: str) -> None:
        """Show what is being done within a day."""
        self._bar.update(self._task, description=f"day {self._day}: {stage}")


PROGRAMS = ("evobourse ", "mlflow ")


def print_next_steps(console: Console, lines: Sequence[tuple[str, str]]) -> None:
    """Print what was made and the commands worth typing next, each whole on its line.

    A program that is not on the PATH is named with its folder.

    Parameters
    ----------
    console : Console
        Where to write.
    lines : sequence of (str, str)
        A word, and the path or command that it stands for, in the order to show them.
    """
    width = max((len(word) for word, _ in lines), default=0)
    for word, line in lines:
        typed = line.startswith(PROGRAMS)
        shown = (_where(line.split()[0]) + line, "bold cyan") if typed else (line, "")
        console.print(Text.assemble((f"{word:<{width}}  ", "dim"), shown), soft_wrap=True)


def _where(program: str) -> str:
    """Return what to write before a program's name for the shell to find it."""
    if shutil.which(program):
        return ""
    folder = Path(sys.executable).parent
    here = Path.cwd()
    return f"{folder.relative_to(here) if folder.is_relative_to(here) else folder}/"
