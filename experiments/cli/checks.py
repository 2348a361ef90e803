"""The command that says what is understood of an input, before a sweep takes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from evobourse.experiments.cli.options import Json, make_console

if TYPE_CHECKING:
    from evobourse.experiments.sweep.inputs import Understood


def check(
    target: Annotated[
        str,
        typer.Argument(
            help="A base, an adapter, a folder of adapters or sources, or prices.",
            metavar="BASE|ADAPTERS|SOURCES|PRICES",
        ),
    ],
    base: Annotated[
        str, typer.Option(help="What adapters and sources are for.")
    ] = "smollm2-135m-instruct",
    as_json: Json = False,
) -> None:
    """Say what of a model, adapters or prices is understood, what is not, and whether it is right.

    A base is opened as for a sweep, and its answers are held against transformers' own forward.

    Example: evobourse check mistralai/Mistral-7B-v0.3

    Example: evobourse check my-styles --base my-model

    Example: evobourse check prices.csv
    """
    from evobourse.experiments.errors import ConfigError
    from evobourse.experiments.sweep.inputs import as_plain, examine

    found = examine(target, base)
    if as_json:
        typer.echo(json.dumps(as_plain(found)))
    else:
        _print(found)
    refused = [one for one in found if one.refused]
    if refused:
        raise ConfigError(
            f"{target}: {len(refused)} of {len(found)} cannot be used, the first one: "
            f"{refused[0].refused}"
        )


def _print(found: Sequence[Understood]) -> None:
    """Print one input as a list of facts, several as a row each."""
    from rich.table import Table
    from rich.text import Text

    console = make_console()
    for kind in dict.fromkeys(one.kind for one in found):
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=len(found) > 1)
        own = [one for one in found if one.kind == kind and not one.refused]
        if own and len(found) == 1:
            console.print(Text(f"{kind} {own[0].name}", "bold cyan"))
            left_out = (("left out", ", ".join(own[0].ignored)),) if own[0].ignored else ()
            for name, told in (*own[0].facts, *left_out):
                table.add_row(Text(name, "dim"), Text(told))
        elif own:
            for name in (kind, *(name for name, _ in own[0].facts)):
                table.add_column(name)
            for one in own:
                table.add_row(Text(one.name, "bold cyan"), *(Text(told) for _, told in one.facts))
        console.print(table)
    for one in found:
        if one.refused:
            console.print(Text.assemble((f"{one.kind} {one.name} ", "bold red"), one.refused))
