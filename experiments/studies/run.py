"""The one runner of studies: finds them, reads their settings, writes their pages.

A study is a file here, or a folder, with three names: ``STUDY``, a `Study` of literals;
``Settings``, a frozen dataclass of what can be set; and ``run(settings, report)``, which returns
its `Page`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from evobourse.evolve.durable import replace_bytes
from evobourse.experiments.config.runnable import (
    Found,
    choose,
    find_declared,
    read_settings,
    typed_command,
)
from evobourse.experiments.reports.figure_lines import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PACKAGE = "evobourse.experiments.studies"


@dataclass(frozen=True)
class Study:
    """What a study says of itself.

    Attributes
    ----------
    question
        What it finds out.
    minutes
        About how long it takes with its defaults, on two cores.
    page
        Where its page goes, from the working directory.
    """

    question: str
    minutes: float
    page: str


@dataclass(frozen=True, eq=False)
class Page:
    """What a study found.

    Attributes
    ----------
    text
        The page in Markdown, whole.
    pictures
        File beside the page to picture.
    files
        File beside the page to what it holds.
    """

    text: str
    pictures: Mapping[str, Figure] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


def find_studies() -> dict[str, Found[Study]]:
    """Find all studies, by name."""
    return find_declared(Path(__file__).parent, PACKAGE, "STUDY", Study)


def load_study(name: str) -> Any:
    """Import a study.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    return import_module(choose(find_studies(), name, "study").module)


def run_study(name: str, changes: Sequence[str] = (), out: Path | None = None) -> list[Path]:
    """Run a study and write its page and pictures.

    Parameters
    ----------
    name
        Of the study.
    changes
        Its settings that are not the defaults, ``key=value``.
    out
        Page to write; default as the study says. Pictures go beside it.

    Returns
    -------
    list of Path
        What was written, the page first.

    Raises
    ------
    ConfigError
        There is no such study or setting.
    """
    study = load_study(name)
    settings = read_settings(study.Settings, changes, f"study {name}")
    command = typed_command("evobourse", "study", name, changes=changes)
    page: Page = study.run(settings, Report(name, command))
    file = out or Path(study.STUDY.page)
    file.parent.mkdir(parents=True, exist_ok=True)
    for picture, figure in page.pictures.items():
        from evobourse.experiments.reports.figures import figure_bytes

        replace_bytes(file.with_name(picture), figure_bytes(figure))
    for name, held in page.files.items():
        replace_bytes(file.with_name(name), held)
    replace_bytes(file, page.text.encode())
    return [file, *map(file.with_name, (*page.pictures, *page.files))]


def as_block(show: Callable[[Console], None]) -> str:
    """Return what is printed on a terminal, as a block of a page."""
    text = io.StringIO()
    show(Console(file=text, width=100))
    return f"```\n{text.getvalue().rstrip()}\n```"
