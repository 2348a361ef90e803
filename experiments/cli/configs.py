"""The command about config files: their reference, their schema, and the check of one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from evobourse.experiments.cli.options import Json, Set, make_console

Kind = Literal["sweep", "scenario", "cast"]
INTRODUCTION = """# Configuration

All keys of the YAML files that the commands take: defaults, allowed values, units and meanings.
For readers who write or change such a file.

`evobourse config` prints the first chapter on a terminal, `evobourse config --kind scenario` and
`--kind cast` the others. `evobourse config FILE` checks a file and prints it with all defaults.
`evobourse config --json > schema.json` writes a JSON Schema (draft 2020-12), by which editors
complete and check.

This page is printed by `evobourse config --markdown`; what it says stands in the code that reads
the files. `--set KEY=VALUE` takes any key here with dots, as in `--set search.cross.slow_count=4`.
"""


def config(
    file: Annotated[
        Path | None, typer.Argument(help="A file to check; the reference if left out.")
    ] = None,
    overrides: Set = [],  # noqa: B006 - typer's way
    kind: Annotated[
        Kind, typer.Option(help="What the file is: sweep, scenario or cast.")
    ] = "sweep",
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference of all kinds as a page.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print every key of a config with default and meaning, or check a file and print it resolved.

    Example: evobourse config experiments/quickstart.yaml --set search.optimizer=cma

    The reference: evobourse config; as a JSON Schema for editors: evobourse config --json
    """
    if file is not None:
        from evobourse.experiments.config.sections import write_yaml

        settings = _resolve(file, kind, overrides)
        typer.echo(json.dumps(settings, indent=2) if as_json else write_yaml(settings), nl=as_json)
    elif markdown:
        typer.echo(render_page(), nl=False)
    elif as_json:
        from evobourse.experiments.config.schema import to_schema

        title, section = _chapters()[kind]
        typer.echo(json.dumps(to_schema(title, section), indent=2))
    else:
        _print_reference(kind)


def render_page() -> str:
    """Write docs/configuration.md."""
    from evobourse.experiments.config.reference import to_markdown

    chapters = [to_markdown(title, section) for title, section in _chapters().values()]
    return "\n".join([INTRODUCTION, *chapters])


def _chapters() -> dict[Kind, tuple[str, Any]]:
    from evobourse.experiments.config.cast import Cast
    from evobourse.experiments.config.experiment import ExperimentConfig
    from evobourse.experiments.config.scenario import Scenario

    return {
        "sweep": ("A sweep", ExperimentConfig),
        "scenario": ("A scenario", Scenario),
        "cast": ("A cast", Cast),
    }


def _resolve(file: Path, kind: Kind, overrides: list[str]) -> dict[str, Any]:
    from evobourse.experiments.config.cast import load_cast
    from evobourse.experiments.config.experiment import load_config
    from evobourse.experiments.config.scenario import load_scenario
    from evobourse.experiments.config.sections import plain
    from evobourse.experiments.errors import ConfigError

    if kind == "sweep":
        return load_config(file, overrides).settings()
    if overrides:
        raise ConfigError(f"--set changes a sweep's config, and {file} is a {kind}; leave it out")
    settings: dict[str, Any] = plain(
        asdict((load_scenario if kind == "scenario" else load_cast)(file))
    )
    return settings


def _print_reference(kind: Kind) -> None:
    from rich.table import Table
    from rich.text import Text

    from evobourse.experiments.config.reference import REQUIRED, describe

    console = make_console()
    for section in describe(_chapters()[kind][1]):
        console.print(Text(section.key or "the file itself", "bold cyan"))
        console.print(Text(section.meaning.replace("`", "")))
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(no_wrap=True, style="bold")
        table.add_column(ratio=1)
        for setting in section.settings:
            default = "required" if setting.default == REQUIRED else f"default {setting.default}"
            told = f"\n{default}; {setting.values.replace('`', '')}"
            meaning = setting.meaning.replace("`", "")
            table.add_row(setting.key, Text.assemble(meaning, (told, "dim")))
        console.print(table)
        console.print()
