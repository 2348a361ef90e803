"""The commands `study` and `bench`: what is typed and what is printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from evobourse.experiments.cli.options import (
    Json,
    make_console,
    news_console,
    print_next_steps,
)

Change = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")
]
Listed = Annotated[
    bool, typer.Option("--list", help="List all, or the settings of the one that is named.")
]


def study(
    name: Annotated[str | None, typer.Argument(help="Which study.")] = None,
    changes: Change = [],  # noqa: B006
    out: Annotated[
        Path | None, typer.Option(help="Markdown page to write; pictures go beside it.")
    ] = None,
    listed: Listed = False,
    as_json: Json = False,
) -> None:
    """Find something out: run a study, which writes its page whole.

    Example: evobourse study --list

    Example: evobourse study power --set series=nasdaq --set paths=500 --out power.md
    """
    from evobourse.experiments.studies.run import find_studies, load_study, run_study

    if name is None:
        studies = {name: found.declared for name, found in find_studies().items()}
        rows = [{"name": name, "minutes": s.minutes, "page": s.page} for name, s in studies.items()]
        _print_list(rows, [study.question for study in studies.values()], as_json)
    elif listed:
        _print_settings(load_study(name).Settings, as_json)
    else:
        with news_console(as_json).status(f"studying {name}"):
            page, *pictures = map(str, run_study(name, changes, out))
        if as_json:
            typer.echo(json.dumps({"page": page, "pictures": pictures}))
            return
        steps = [("page", page), *(("picture", picture) for picture in pictures)]
        print_next_steps(make_console(), steps)


def bench(
    name: Annotated[str | None, typer.Argument(help="Which benchmark.")] = None,
    changes: Change = [],  # noqa: B006
    listed: Listed = False,
    as_json: Json = False,
) -> None:
    """Measure speed or memory against a named peer; prints one JSON line a figure.

    Example: evobourse bench --list

    Example: evobourse bench minds --set only=e
    """
    from evobourse.experiments.benchmarks.run import find_benchmarks, load_benchmark, run_benchmark

    if name is None:
        benchmarks = {name: found.declared for name, found in find_benchmarks().items()}
        rows = [{"name": name, "minutes": b.minutes} for name, b in benchmarks.items()]
        _print_list(rows, [benchmark.measures for benchmark in benchmarks.values()], as_json)
    elif listed:
        _print_settings(load_benchmark(name).Settings, as_json)
    else:
        run_benchmark(name, changes)


def _print_list(rows: Sequence[dict[str, Any]], texts: Sequence[str], as_json: bool) -> None:
    """Print names, what each is for and its minutes, or rows as JSON."""
    if as_json:
        typer.echo(json.dumps(rows))
        return
    width = max(len(row["name"]) for row in rows)
    for row, text in zip(rows, texts, strict=True):
        typer.echo(f"{row['name']:<{width}}  {text} ({row['minutes']:g} min)")


def _print_settings(kind: Any, as_json: bool) -> None:
    """Print keys, defaults and meanings of a study's or benchmark's settings."""
    from evobourse.experiments.config.runnable import describe_settings

    rows = describe_settings(kind)
    if as_json:
        keys = ("key", "default", "meaning")
        typer.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
        return
    for key, default, meaning in rows:
        typer.echo(f"--set {key}={default}\n    {meaning}")
