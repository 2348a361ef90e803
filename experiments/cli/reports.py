"""The commands `report` and `attribution`."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from evobourse.experiments.cli.options import (
    BundleFolder,
    Json,
    existing_file,
    make_console,
    news_console,
    print_next_steps,
    typed,
    working,
)


def report(
    place: Annotated[
        Path,
        typer.Argument(help="A run's, simulation's or bundle's folder, or a study's page (.md)."),
    ],
    against: Annotated[
        str, typer.Option(help="Real series beside a simulation: a file, or a name.")
    ] = "sp500",
    out: Annotated[
        Path | None, typer.Option(help="The page; default in the folder, or beside it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page that opens from disk, every figure with its numbers.

    Of a run: verdict, paths, facts, population, genes, lineage, settings. Of a simulation: prices,
    who chose what, facts beside a real series, events. Of a bundle: scores, choices, personas.

    Example: evobourse report runs/quickstart

    Example: evobourse report runs/simulate-400-250-1 --against nasdaq

    Example: evobourse report runs/studies/response.md
    """
    from evobourse.experiments.errors import ConfigError

    if not place.exists():
        raise ConfigError(f"{place}: no such folder or page; name one that is there")
    from evobourse.evolve.durable import replace_bytes
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.market.tape.daily_tape import is_tape

    folder = RunFolder(place)

    def written() -> AbstractContextManager[Any]:
        return working(news_console(as_json), f"writing the page of {place}")

    if place.suffix == ".md" and place.is_file():
        from evobourse.experiments.reports.markdown_page import render_markdown

        page, text = place.with_suffix(".html"), render_markdown(place)
    elif folder.config.is_file():
        from evobourse.experiments.sweep.report import read_run, render_run

        with written():
            page, text = folder.report_page, render_run(read_run(folder))
    elif is_tape(place):
        from evobourse.experiments.simulate.report import render_simulation

        with written():
            page, text = folder.report_page, render_simulation(place, against)
    elif (place / "simulator.yaml").is_file():
        from evobourse.experiments.simulate.report import render_bundle

        with written():  # beside it: a bundle holds what its hashes name, and no more
            page, text = place.with_name(f"{place.name}.html"), render_bundle(place)
    else:
        raise ConfigError(
            f"{place}: no run, simulation or bundle, and no page of Markdown; name one of these"
        )
    replace_bytes(out or page, text.encode())
    if as_json:
        typer.echo(json.dumps({"report": str(out or page)}))
        return
    print_next_steps(make_console(), [("report", str(out or page))])


def attribution(
    bundle: BundleFolder,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Its experiment config; default config.yaml of its run.", callback=existing_file
        ),
    ] = None,
    groups: Annotated[
        int | None, typer.Option(help="Groups of paths; default as the scoreboard.", min=2)
    ] = None,
    ask_models: Annotated[
        bool,
        typer.Option(
            "--ask-models", help="Put back mixtures and the recipe as well; opens the models."
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="What was found; default attribution.json of its run.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say who moved the market: what each persona, its mind and each gene is worth to it.

    Plays all coalitions of up to ten minds, the others' places taken by dice, on the same seeds;
    of more personas a sample of orders. Genes are put back to their un-evolved values, one at a
    time. Reads validation windows alone; `evobourse report` shows it as a chapter.

    Example: evobourse attribution runs/quickstart/bundle
    """
    from rich.progress import Progress

    from evobourse.evolve.durable import replace_bytes
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.experiments.config.experiment import load_config
    from evobourse.experiments.reports.ancestry import read_champion
    from evobourse.experiments.reports.attribution import print_attribution
    from evobourse.experiments.simulate.attribution import attribute
    from evobourse.experiments.simulate.bundle import open_bundle

    run, news = RunFolder(bundle.resolve().parent), news_console(as_json)
    settings = load_config(config or run.config)
    champion = read_champion(run) if config is None else None
    opened, bases = open_bundle(bundle)
    wanted = groups or settings.selection.heldout_groups
    news.print(f"playing {bundle} without each of its minds", highlight=False)
    with Progress(console=news, transient=True, disable=not news.is_terminal) as bar:
        task = bar.add_task("populations", total=None)
        found = attribute(
            settings,
            opened,
            bases,
            None if champion is None else champion.genome,
            wanted,
            ask_models,
            lambda done, total: bar.update(task, completed=done, total=total),
        ).as_json()
    file = out or run.attribution
    text = json.dumps(found, indent=2) + "\n"
    replace_bytes(file, text.encode())
    if as_json:
        typer.echo(text, nl=False)
        return
    print_attribution(found, make_console())
    page = typed("evobourse", "report", bundle.parent if run.lineage.is_file() else bundle)
    print_next_steps(make_console(), [("found", str(file)), ("chapter", page)])
