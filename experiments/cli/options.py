"""What commands have in common: option types, the console, the lines that a command ends with."""

from __future__ import annotations

import inspect
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from evobourse import experiments
from evobourse.evolve.run_folder import RunFolder, require_bundle
from evobourse.experiments.errors import ConfigError

MaybePath = TypeVar("MaybePath", Path, Path | None)


def existing_config(place: MaybePath) -> MaybePath:
    """Refuse a config that is neither there nor shipped; a callback of typer's."""
    shipped = Path(experiments.__file__).parent / f"{place}.yaml"
    return place if shipped.is_file() else existing_file(place)


def existing_file(place: MaybePath) -> MaybePath:
    """Refuse a file that is not there, before seconds of imports; a callback of typer's."""
    if place is not None and not place.is_file():
        raise ConfigError(f"{place}: no such file; name one that is there")
    return place


def _existing_run(place: Path) -> Path:
    RunFolder(place).require()
    return place


def _existing_bundle(place: Path) -> Path:
    require_bundle(place)
    return place


def existing_folder(place: Path) -> Path:
    """Refuse a folder that is not there; a callback of typer's."""
    if not place.is_dir():
        raise ConfigError(f"{place}: no such folder; name one that is there")
    return place


def bundle_of(place: Path) -> Path:
    """Return a run's bundle, or a bundle as it is.

    Raises
    ------
    RunError
        There is none.
    """
    own = RunFolder(place).bundle
    return _existing_bundle(own if own.is_dir() else place)


def existing_population(place: Path) -> Path:
    """Refuse what is neither a bundle's folder nor a config; a callback of typer's."""
    return _existing_bundle(place) if place.is_dir() else existing_config(place)


Config = Annotated[
    Path,
    typer.Argument(help="Experiment config: a YAML file, or quickstart.", callback=existing_config),
]
Run = Annotated[
    Path,
    typer.Argument(help="A run's folder, such as runs/quickstart.", callback=_existing_run),
]
BundleFolder = Annotated[
    Path,
    typer.Argument(help="A bundle's folder, such as RUN/bundle.", callback=_existing_bundle),
]
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
        return [("mlflow", hide_password(uri))]
    prefix = sqlite_address(Path.cwd()) + "/"
    short = "sqlite:///" + uri.removeprefix(prefix) if uri.startswith(prefix) else uri
    return [
        ("mlflow", typed("mlflow", "ui", "--backend-store-uri", hide_password(short))),
        ("at", "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"),
    ]


_hushed = False  # set while the command line is read, before a command runs


def _hush(asked: bool) -> None:
    global _hushed
    _hushed = asked


def with_quiet(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option that all have."""

    @wraps(command)
    def run(quiet: bool = False, **given: Any) -> None:
        _hush(quiet)
        command(**given)

    help = "Print results alone: no progress, no next steps."
    kind = Annotated[bool, typer.Option("--quiet", "-q", help=help)]
    signature = inspect.signature(command, eval_str=True)
    option = inspect.Parameter(
        "quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind
    )
    parameters = [*signature.parameters.values(), option]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def make_console(quiet: bool = False) -> Console:
    """Return the terminal, silent where a command prints JSON alone."""
    return Console(stderr=quiet, quiet=quiet)


def news_console(quiet: bool = False) -> Console:
    """Return where progress and news go: the terminal, silent if that was asked for."""
    return make_console(quiet or _hushed)


def working(console: Console, what: str) -> AbstractContextManager[Any]:
    """Say what is being done, with a spinner beside it for as long as it takes on a terminal."""
    if console.is_terminal:
        return console.status(what)
    console.print(what, highlight=False, soft_wrap=True)
    return nullcontext()


class DayBar:
    """A bar of simulated days, called with each; a context manager.

    Parameters
    ----------
    console : Console
        Where to draw it, if that is a terminal.
    days : int
        In all.
    opening : str
        What is being done before the first day.
    """

    def __init__(self, console: Console, days: int, opening: str) -> None:
        from rich.progress import (
            BarColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self._console, self._opening, self._days, self._day = console, opening, days, 0
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(opening, total=None)

    def __enter__(self) -> DayBar:
        """Begin to draw."""
        if not self._console.is_terminal:
            self._console.print(self._opening, highlight=False, soft_wrap=True)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._bar.stop()

    def __call__(self, day: int) -> None:
        """Count a day that is over."""
        self._day = day + 1
        told = f"day {self._day:,} / {self._days:,}"
        self._bar.update(self._task, description=told, total=self._days, completed=self._day)

    def say(self, stage: str) -> None:
        """Show what is being done within a day."""
        told = f"day {self._day + 1:,} / {self._days:,}: {stage}"
        self._bar.update(self._task, description=told, total=self._days, completed=self._day)


PROGRAMS = ("evobourse ", "mlflow ")


def typed(*words: object) -> str:
    """Write a command as a shell takes it, paths with spaces included."""
    return shlex.join(map(str, words))


def print_next_steps(console: Console, lines: Sequence[tuple[str, str]]) -> None:
    """Print what was made and the commands worth typing next, each whole on its line.

    A program that is not on the PATH is named with its folder, or run as a module of Python's.

    Parameters
    ----------
    console : Console
        Where to write.
    lines : sequence of (str, str)
        A word, and the path or command that it stands for, in the order to show them.
    """
    if _hushed:
        return
    width = max((len(word) for word, _ in lines), default=0)
    for word, line in lines:
        runs = line.startswith(PROGRAMS)
        shown = (_callable(line), "bold cyan") if runs else (line, "")
        console.print(Text.assemble((f"{word:<{width}}  ", "dim"), shown), soft_wrap=True)


def _callable(line: str) -> str:
    """Write a command so that the shell finds its program: on the PATH, beside Python, or by it."""
    program, rest = line.split(" ", 1)
    if shutil.which(program):
        return line
    beside = Path(sys.executable).parent / program
    if beside.is_file():
        return f"{typed(_short(beside))} {rest}"
    module = {"evobourse": "evobourse.experiments.cli.main"}.get(program, program)
    return f"{typed(_short(Path(sys.executable)), '-m', module)} {rest}"


def _short(file: Path) -> Path:
    here = Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file
