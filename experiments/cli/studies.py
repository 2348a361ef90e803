"""The commands `study` and `bench`: what is typed and what is printed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from evobourse.experiments.cli.options import Json, make_console, print_next_steps

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

    if name and not listed:
        written = run_study(name, changes, out)
        words = ["page", *("picture" for _ in written[1:])]
        print_next_steps(make_console(), list(zip(words, map(str, written), strict=True)))
    elif name:
        _print_settings(load_study(name).Settings, as_json)
    else:
        _print_list(
            ("minutes", "page"),
            [
                (name, study.declared.question, study.declared)
                for name, study in find_studies().items()
            ],
            as_json,
        )


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

    if name and not listed:
        run_benchmark(name, changes)
    elif name:
        _print_settings(load_benchmark(name).Settings, as_json)
    else:
        _print_list(
            ("minutes",),
            [
                (name, bench.declared.measures, bench.declared)
                for name, bench in find_benchmarks().items()
            ],
            as_json,
        )


def _print_list(keys: Sequence[str], found: Iterable[tuple[str, str, Any]], as_json: bool) -> None:
    """Print names and what each is for, or as JSON names and the keys of their declarations."""
    rows = [
        (text, {"name": name, **{key: getattr(declared, key) for key in keys}})
        for name, text, declared in found
    ]
    if as_json:
        typer.echo(json.dumps([row for _, row in rows]))
        return
    width = max(len(row["name"]) for _, row in rows)
    for text, row in rows:
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
