"""The command `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evobourse.experiments.cli.options import Run, make_console, print_next_steps


def report(
    run: Run,
    out: Annotated[
        Path | None, typer.Option(help="The page; default report.html in the run's folder.")
    ] = None,
) -> None:
    """Write a run as one HTML page: verdict, paths, facts, population, genes, lineage, settings.

    Example: evobourse report runs/quickstart
    """
    from evobourse.evolve.durable import replace_bytes
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.experiments.sweep.report import read_run, render_run

    folder = RunFolder(run)
    page = out or folder.report_page
    replace_bytes(page, render_run(read_run(folder)).encode())
    print_next_steps(make_console(), [("report", str(page))])
