"""The command `query`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evobourse.experiments.cli.options import Json, make_console

if TYPE_CHECKING:
    import pyarrow as pa


def query(
    folder: Annotated[
        Path, typer.Argument(help="A run, a simulation, a bundle, such as runs/quickstart.")
    ],
    sql: Annotated[
        str | None, typer.Argument(help="One statement; the tables and columns if left out.")
    ] = None,
    rows: Annotated[int, typer.Option(help="Rows printed; all with --json.", min=1)] = 40,
    as_json: Json = False,
) -> None:
    """Ask a run, a simulation or a bundle in SQL (DuckDB's); without SQL, list its tables.

    Example: evobourse query runs/quickstart "select id, score from candidates order by score"

    Into a file: evobourse query OUT "copy (select * from decisions) to 'decisions.csv'"
    """
    from evobourse.experiments.reports.query import open_tables, run_query

    connection, views = open_tables(folder)
    if sql is not None:
        _show(run_query(connection, sql), rows, as_json)
        return
    columns = {view: connection.table(view).columns for view in views}
    if as_json:
        typer.echo(json.dumps({v: {"holds": views[v], "columns": columns[v]} for v in views}))
        return
    from rich.padding import Padding

    console = make_console()
    for view, holds in views.items():
        said = Padding(f"{holds}\n[dim]{', '.join(columns[view])}[/]", (0, 0, 0, 2))
        console.print(f"[bold]{view}[/]", said, sep="\n", highlight=False)


def _show(found: pa.Table, rows: int, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found.to_pylist(), default=str))
        return
    if not found.num_columns:
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for field in found.schema:
        number = str(field.type).startswith(("int", "uint", "float", "double", "decimal"))
        table.add_column(field.name, justify="right" if number else "left", overflow="fold")
    for row in found.slice(0, rows).to_pylist():
        table.add_row(*(_cell(value) for value in row.values()))
    console = make_console()
    console.print(table)
    if found.num_rows > rows:
        console.print(f"{rows} of {found.num_rows:,} rows; --rows prints more", highlight=False)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
