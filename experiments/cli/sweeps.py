"""Commands about sweeps and their runs: what is typed and what is printed.

What does the work is imported when its command runs.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from evobourse.experiments.cli.options import (
    Address,
    Config,
    Executor,
    Json,
    Run,
    Set,
    Workers,
    executor_overrides,
    make_console,
    mlflow_lines,
    news_console,
    print_next_steps,
    typed,
    working,
)

if TYPE_CHECKING:
    from rich.console import Console

    from evobourse.evolve.lineage import Candidate
    from evobourse.evolve.run_folder import RunFolder

RELOAD_SECONDS = 5
"""How often a page of a running sweep opens itself anew."""


def evolve(
    config: Config,
    overrides: Set = [],  # noqa: B006 - typer's way
    run: Annotated[Path | None, typer.Option(help="Run folder; default runs/NAME.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what it will cost, and start nothing.")
    ] = False,
    seeds: Annotated[
        int, typer.Option(help="Sweeps with as many seeds in a row, and their spread.", min=1)
    ] = 1,
    executor: Executor = None,
    workers: Workers = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Run a sweep to its scoreboard, report and bundle.

    Example: evobourse evolve experiments/quickstart.yaml --set search.generations=6

    Within limits: --set budget.max_minutes=30 --set budget.max_decisions=1000000000

    Ten seeds, a folder each, and what they say together: --seeds 10

    On a cluster: --executor ray --address auto --workers 8 (no result depends on who works)
    """
    from evobourse.experiments.config.experiment import load_config

    overrides = [*overrides, *executor_overrides(executor, workers, address)]
    settings = load_config(config, overrides)
    start = ["evolve", str(config), *(["--seeds", str(seeds)] if seeds > 1 else [])]
    start += ["--run", str(run)] if run else []
    start += [part for change in overrides for part in ("--set", change)]
    if dry_run:
        _price(settings, start, as_json, seeds)
        return
    from evobourse.evolve.addresses import file_name
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.experiments.sweep.resume import start_run, withdraw_if_refused

    folder = RunFolder(run or Path("runs") / file_name(settings.name))
    if seeds > 1:
        _sweep_seeds(settings, folder.path, seeds, as_json, start)
        return
    with withdraw_if_refused(folder):
        start_run(settings, folder)
        _sweep(settings, folder, as_json)


def resume(
    run: Run,
    overrides: Set = [],  # noqa: B006 - typer's way
    executor: Executor = None,
    workers: Workers = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Go on with an interrupted sweep; the result is the same bytes as without the break.

    Example: evobourse resume runs/quickstart

    With a higher spending cap: --set minds.endpoint.max_requests=20000
    """
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.experiments.sweep.resume import open_run, start_run

    changes, folder = [*executor_overrides(executor, workers, address), *overrides], RunFolder(run)
    settings = open_run(folder, changes)
    if overrides:
        start_run(settings, folder)
    _sweep(settings, folder, as_json)


def lineage(
    run: Run,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Write the page anew until the search has ended.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how a run's scores fell and where its champion comes from; a page holds all of it.

    Example: evobourse lineage runs/quickstart

    While the sweep runs: evobourse lineage runs/quickstart --open --follow
    """
    from evobourse.evolve.durable import replace_bytes
    from evobourse.evolve.lineage import Lineage
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.experiments.reports.figures import figure_bytes
    from evobourse.experiments.reports.lineage_table import front_table, summarise
    from evobourse.experiments.sweep.resume import open_run
    from evobourse.experiments.sweep.tuning import read_objectives

    folder = RunFolder(run)
    config = open_run(folder)
    candidates = Lineage(folder.lineage).read()
    champion, stopped = folder.read_champion(), folder.read_stop()
    if as_json:
        typer.echo(json.dumps([json.loads(c.to_json()) for c in candidates]))
        return
    console = make_console()
    console.print(summarise(candidates, champion), highlight=False)
    objectives = read_objectives(folder, config)
    if len(objectives) > 1:
        console.print(front_table(candidates, objectives))
    if stopped:
        console.print(f"the search has ended: {stopped}", highlight=False)
    drawn = []
    if any(candidate.score is not None for candidate in candidates):
        _write_page(folder, config.name, candidates, follow)
        drawn.append(("page", folder.lineage_page.absolute().as_uri()))
        if open_page:
            typer.launch(drawn[0][1])
    if candidates:
        from evobourse.experiments.reports.lineage_picture import draw_lineage

        drawn.append(("picture", str(folder.lineage_picture)))
        replace_bytes(folder.lineage_picture, figure_bytes(draw_lineage(candidates, champion)))
    from evobourse.evolve.tracking.follower import default_tracking_uri

    uri = config.mlflow_uri or default_tracking_uri(folder)
    print_next_steps(console, [*drawn, *mlflow_lines(uri)])
    if follow and not champion:
        _follow(folder, config.name, console)


def _write_page(
    folder: RunFolder, name: str, candidates: Sequence[Candidate], follow: bool
) -> None:
    from evobourse.evolve.durable import replace_bytes
    from evobourse.experiments.reports.lineage_page import render_page

    champion = folder.read_champion()
    seconds = RELOAD_SECONDS if follow and not champion else 0
    page = render_page(candidates, champion, name, folder.read_stop(), seconds)
    replace_bytes(folder.lineage_page, page.encode())


def _follow(folder: RunFolder, name: str, console: Console) -> None:
    """Write a lineage's page anew whenever it has grown, until there is a champion or Ctrl-C."""
    from evobourse.evolve.lineage import Lineage

    size, done = 0, False
    with contextlib.suppress(KeyboardInterrupt), working(console, "following; Ctrl-C ends it"):
        while not done:
            time.sleep(1.0)
            done, before, size = bool(folder.read_champion()), size, folder.lineage.stat().st_size
            candidates = Lineage(folder.lineage).read() if done or size != before else []
            if any(candidate.score is not None for candidate in candidates):
                _write_page(folder, name, candidates, follow=True)


def tune(
    config: Config,
    vary: Annotated[
        list[str],
        typer.Option(metavar="KEY=RANGE", help="LOW:HIGH, LOW:HIGH:log or A|B|C; repeatable."),
    ],
    overrides: Set = [],  # noqa: B006
    trials: Annotated[int, typer.Option(help="Searches in all.", min=1)] = 20,
    population: Annotated[int, typer.Option(help="Searches in a generation.", min=1)] = 4,
    objective: Annotated[
        list[str], typer.Option(help="score, decisions, validation, train or a moment; repeatable.")
    ] = ["score"],  # noqa: B006
    sampler: Annotated[
        Literal["tpe", "random", "cma", "qmc", "nsga2"] | None,
        typer.Option(help="Of Optuna; default tpe, nsga2 for several objectives."),
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Database of the trials, as in sqlite:///trials.db.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder; default runs/NAME-tuning.")] = None,
    as_json: Json = False,
) -> None:
    """Sweep over settings: each trial is a search of its own. The same command again resumes it.

    Example: evobourse tune experiments/quickstart.yaml --vary search.cross.sigma_fast=0.2:0.8
    --vary "search.optimizer=cross|cma" --objective score --objective decisions --trials 12
    """
    from evobourse.evolve.addresses import file_name
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.experiments.cli.progress import TrialScreen
    from evobourse.experiments.config.experiment import load_config
    from evobourse.experiments.reports.ancestry import front
    from evobourse.experiments.reports.lineage_table import front_table
    from evobourse.experiments.sweep.tuning import Tuning, run_tuning

    folder = RunFolder(
        run or Path("runs") / file_name(f"{load_config(config, overrides).name}-tuning")
    )
    tuning = Tuning(tuple(vary), trials, population, tuple(objective), sampler, storage)
    console = make_console(quiet=as_json)
    news = TrialScreen(news_console(as_json), tuning.objectives)
    with working(news_console(as_json), f"searching the settings, {trials} trials"):
        found, trouble = run_tuning(tuning, config, overrides, folder, (news,))
    if as_json:
        best = front(found, tuning.objectives)
        typer.echo(json.dumps([json.loads(c.to_json()) for c in best]))
        return
    console.print(front_table(found, tuning.objectives))
    if trouble:
        console.print(trouble)
    print_next_steps(
        console,
        [("trials", str(folder.trials)), ("lineage", typed("evobourse", "lineage", folder))],
    )


def track(run: Run, as_json: Json = False) -> None:
    """Bring a run's MLflow view up to date from its lineage, after a server or a sweep has died.

    Example: evobourse track runs/quickstart
    """
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.evolve.tracking.follower import log_run
    from evobourse.experiments.sweep.pipeline import tracking_view
    from evobourse.experiments.sweep.resume import open_run

    folder = RunFolder(run)
    view = tracking_view(open_run(folder), folder)
    with working(news_console(as_json), "bringing MLflow up to date"):
        new = log_run(view)
    if as_json:
        typer.echo(json.dumps({"new": new, "tracking_uri": view.tracking_uri}))
        return
    console = make_console()
    console.print(f"{new:,} candidates were not there before")
    print_next_steps(console, mlflow_lines(view.tracking_uri))


def compare(
    run: Run,
    other: Run,
    out: Annotated[
        Path | None, typer.Option(help="Picture; default compare-OTHER.png in the first run.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold two runs side by side: settings, scores over decisions, scoreboards, genes.

    Example: evobourse compare runs/quickstart runs/no-masks
    """
    from evobourse.evolve.durable import replace_bytes
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.experiments.reports.figures import figure_bytes
    from evobourse.experiments.sweep.comparison import compare as line_up
    from evobourse.experiments.sweep.comparison import draw_comparison, print_comparison, read_sweep

    runs = read_sweep(RunFolder(run)), read_sweep(RunFolder(other))
    if as_json:
        typer.echo(json.dumps(line_up(*runs), allow_nan=False))
        return
    console = make_console()
    print_comparison(line_up(*runs), console)
    picture = out or run / f"compare-{other.resolve().name}.png"
    replace_bytes(picture, figure_bytes(draw_comparison(*runs)))
    print_next_steps(
        console, [("drawn", str(picture)), ("lineage", typed("evobourse", "lineage", other))]
    )


def _price(settings: Any, arguments: list[str], as_json: bool, sweeps: int) -> None:
    """Print the cost of a sweep that is not started."""
    from evobourse.experiments.cli.cost_table import print_estimate
    from evobourse.experiments.sweep.cost import estimate

    console = make_console(quiet=as_json)
    news = news_console(as_json)
    with news.status("counting what the sweep will do"):
        cost = estimate(settings, say=news.print)
    if as_json:
        typer.echo(json.dumps({**cost, "sweeps": sweeps}))
        return
    print_estimate(cost, console)
    if sweeps > 1:
        console.print(f"{sweeps} sweeps, each of this cost")
    print_next_steps(console, [("start", typed("evobourse", *arguments))])


def _sweep_seeds(settings: Any, place: Path, count: int, as_json: bool, again: list[str]) -> None:
    """Run or go on with a sweep a seed, and print how far they spread."""
    from dataclasses import replace

    from evobourse.evolve.durable import replace_bytes
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.experiments.reports.spread import print_spread, spread
    from evobourse.experiments.sweep.resume import start_run, withdraw_if_refused

    console = make_console(quiet=as_json)
    boards: dict[int, Any] = {}
    for seed in range(settings.seed, settings.seed + count):
        folder, own = RunFolder(place / f"seed-{seed}"), replace(settings, seed=seed)
        console.print(f"seed {seed}, {len(boards) + 1} of {count}: {folder}", highlight=False)
        with withdraw_if_refused(folder):
            start_run(own, folder)
            if trouble := _run_to_its_end(own, folder, as_json, again):
                console.print(trouble)
        boards[seed] = json.loads(folder.scoreboard.read_text())
    summary, file = spread(boards), place / "spread.json"
    replace_bytes(file, (json.dumps(summary, indent=2) + "\n").encode())
    if as_json:
        typer.echo(json.dumps(summary))
        return
    print_spread(summary, console)
    first = place / f"seed-{settings.seed}"
    steps = [("spread", str(file)), ("report", typed("evobourse", "report", first))]
    print_next_steps(console, steps)


def _sweep(settings: Any, folder: RunFolder, as_json: bool) -> None:
    console = make_console(quiet=as_json)
    trouble = _run_to_its_end(settings, folder, as_json, ["resume", str(folder)])
    _print_results(settings, folder, console, as_json)
    if trouble:
        console.print(trouble)


def _run_to_its_end(
    settings: Any, folder: RunFolder, as_json: bool, again: list[str]
) -> str | None:
    """Run what is left of a sweep; returns what went wrong with tracking it, if anything did.

    Interrupted, it says how to go on: `again` are the arguments.
    """
    if folder.is_finished:
        return None
    from evobourse.experiments.cli.progress import watch_sweep

    try:
        outcome = watch_sweep(settings, folder, news_console(as_json))
    except KeyboardInterrupt:
        text = f"interrupted; nothing is lost: {typed('evobourse', *again)}"
        make_console(quiet=as_json).print(text, highlight=False, soft_wrap=True)
        raise typer.Exit(130) from None
    return outcome.tracking_trouble


def _print_results(settings: Any, folder: RunFolder, console: Console, as_json: bool) -> None:
    """Print what a finished sweep has left, and what it came to in one sentence."""
    from evobourse.evolve.tracking.follower import default_tracking_uri
    from evobourse.experiments.reports.scores import print_scoreboard
    from evobourse.experiments.reports.verdict import verdict

    if as_json:
        typer.echo(folder.scoreboard.read_text())
        return
    rows = json.loads(folder.scoreboard.read_text())
    print_scoreboard(rows, console)
    champion, stopped = folder.read_champion(), folder.read_stop()
    console.print(f"champion {champion}; the search has ended: {stopped}", highlight=False)
    console.print(verdict(rows), highlight=False)
    print_next_steps(
        console,
        [
            ("picture", str(folder.report)),
            ("scoreboard", str(folder.scoreboard)),
            ("bundle", str(folder.bundle)),
            ("report", typed("evobourse", "report", folder)),
            ("lineage", typed("evobourse", "lineage", folder)),
            ("simulate", typed("evobourse", "simulate", folder.bundle, "--agents", 1000)),
            *mlflow_lines(settings.mlflow_uri or default_tracking_uri(folder)),
        ],
    )
