"""The command line: what is typed, what is printed, which exit code.

Knows commands, options and messages. Deliberately leaves all work to the other modules and
imports them only when their command runs.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=(
        "Evolve a population of language-model investors until the market that they make "
        "together moves like a real one.\n\n"
        "Example: evobourse evolve experiments/quickstart.yaml"
    ),
)

Config = Annotated[Path, typer.Argument(help="Experiment config, a YAML file.")]
Run = Annotated[Path, typer.Argument(help="A run's folder, such as runs/quickstart.")]
Set = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a config value.")
]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON alone.")]


@app.command()
def evolve(
    config: Config,
    overrides: Set = [],  # noqa: B006 - typer's way
    run: Annotated[Path | None, typer.Option(help="Run folder; default runs/NAME.")] = None,
    as_json: Json = False,
) -> None:
    """Run a sweep to its scoreboard, report and bundle.

    Example: evobourse evolve experiments/quickstart.yaml --set search.generations=6
    """
    from experiments.config import load_config

    settings = load_config(config, overrides)
    from experiments.sweep import start_run

    folder = run or Path("runs") / settings.name
    start_run(settings, folder)
    _sweep(settings, folder, as_json)


@app.command()
def resume(run: Run, as_json: Json = False) -> None:
    """Go on with an interrupted sweep; the result is the same bytes as without the break.

    Example: evobourse resume runs/quickstart
    """
    from experiments.sweep import open_run

    _sweep(open_run(run), run, as_json)


@app.command()
def lineage(run: Run, as_json: Json = False) -> None:
    """Show a run's generations and the champion's ancestry, and draw them.

    Example: evobourse lineage runs/quickstart
    """
    from evolve.durable import replace_bytes
    from evolve.lineage import Lineage
    from evolve.loop import LINEAGE_FILE
    from experiments.lineage_view import draw_lineage, summarise
    from experiments.report import figure_bytes
    from experiments.sweep import CHAMPION_FILE, open_run

    config = open_run(run)
    candidates = Lineage(run / LINEAGE_FILE).read()
    file = run / CHAMPION_FILE
    champion = json.loads(file.read_text())["champion"] if file.exists() else None
    if as_json:
        typer.echo(json.dumps([json.loads(c.to_json()) for c in candidates]))
        return
    console = _console()
    console.print(summarise(candidates, champion))
    picture = run / "lineage.png"
    replace_bytes(picture, figure_bytes(draw_lineage(candidates, champion)))
    from evolve.tracking import default_tracking_uri

    uri = config.mlflow_uri or default_tracking_uri(run)
    _next(console, [("drawn", str(picture)), *_mlflow_lines(uri)])


@app.command()
def simulate(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, such as RUN/bundle.")],
    agents: Annotated[int, typer.Option(help="Agents in the market.", min=10)] = 400,
    days: Annotated[int, typer.Option(help="Days to simulate.", min=1)] = 250,
    seed: Annotated[int, typer.Option(help="Of every draw.", min=0)] = 1,
    scenario: Annotated[
        Path | None, typer.Option(help="YAML of an exchange: turns, other traders, events.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the tape.")] = None,
    as_json: Json = False,
) -> None:
    """Let an exported population trade, alone or in a scenario, and write its tape.

    Example: evobourse simulate runs/quickstart/bundle --agents 1000 --days 250 --seed 1

    Example: evobourse simulate runs/quickstart/bundle --scenario experiments/shock.yaml
    """
    from experiments.scenario import load_scenario
    from experiments.simulation import simulate_bundle, simulate_scenario

    console = _console(quiet=as_json)
    size, bar = (agents, days, seed), _day_bar(console, days)
    if scenario is not None:
        place = load_scenario(scenario)
        folder = out or Path("runs") / f"{scenario.stem}-{agents}-{days}-{seed}"
        console.print(f"loading {bundle}")
        result = simulate_scenario(bundle, place, *size, folder, bar)
    else:
        console.print(f"loading {bundle}")
        folder = out or Path("runs") / f"simulate-{agents}-{days}-{seed}"
        result = simulate_bundle(bundle, *size, folder, bar)
    if as_json:
        typer.echo(json.dumps(result))
        return
    console.print(
        f"{agents} agents, {days} days, seed {seed}: price {result['first_close']:.2f} -> "
        f"{result['last_close']:.2f}, daily volatility {100 * result['volatility']:.2f} %, "
        f"{result['decisions']:,} decisions, {result['forward_passes']:,} forward passes"
    )
    if scenario is not None:
        console.print(
            f"{result['trades']:,} trades, {result['volume']:,} shares, {result['events']} events"
        )
    console.print(f"tape sha256 {result['digest']}")
    if result.get("reference") is not None:
        word = "identical to" if result["reference"] else "NOT the same bytes as"
        console.print(f"the tape is {word} the one made at export")
    _next(console, [("tape", str(folder)), ("picture", str(folder / "prices.png"))])


@app.command()
def behaviour(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, such as RUN/bundle.")],
    agents: Annotated[int, typer.Option(help="Agents in each market.", min=10)] = 400,
    days: Annotated[int, typer.Option(help="Days of each market.", min=31)] = 250,
    seeds: Annotated[int, typer.Option(help="Markets, one a seed.", min=1)] = 8,
    seed: Annotated[int, typer.Option(help="Of the first market.", min=0)] = 1,
    as_json: Json = False,
) -> None:
    """Measure how an exported population behaves: disposition, turnover, herding, profit.

    Example: evobourse behaviour runs/quickstart/bundle --seeds 8
    """
    from experiments.behaviour import measure_bundle, print_behaviour

    console = _console(quiet=as_json)
    console.print(f"loading {bundle}")
    report = measure_bundle(bundle, agents, days, seeds, seed)
    if as_json:
        typer.echo(json.dumps(report.as_json()))
        return
    console.print(f"{seeds} markets of {agents} agents over {days} days")
    print_behaviour(report, console)


@app.command()
def response(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, such as RUN/bundle.")],
    rates: Annotated[
        str, typer.Option(help="Parts of the volume that the buyer wants.")
    ] = "0.02,0.05,0.1,0.2",
    pairs: Annotated[int, typer.Option(help="Markets, one a seed.", min=1)] = 8,
    days: Annotated[int, typer.Option(help="Days of each market.", min=1)] = 60,
    agents: Annotated[int, typer.Option(help="Agents in each market.", min=10)] = 400,
    seed: Annotated[int, typer.Option(help="Of the first market.", min=0)] = 1,
    scenario: Annotated[
        Path | None, typer.Option(help="YAML of an exchange: turns, other traders, events.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Picture; default response.png of its run.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how a bundle's market answers a buyer: impact, Kyle's lambda, linearity.

    Example: evobourse response runs/quickstart/bundle --pairs 8 --days 60
    """
    from evolve.durable import replace_bytes
    from experiments.report import figure_bytes
    from experiments.response import draw_response, measure_bundle, print_response
    from experiments.scenario import Scenario, load_scenario

    console = _console(quiet=as_json)
    place = load_scenario(scenario) if scenario else Scenario()
    console.print(f"loading {bundle}")
    size = (pairs, agents, days, seed)
    report = measure_bundle(bundle, place, rates, *size, lambda: console.print(".", end=""))
    file = out or bundle.resolve().parent / "response.png"
    replace_bytes(file, figure_bytes(draw_response(report)))
    if as_json:
        typer.echo(json.dumps({**report.as_json(), "out": str(file)}))
        return
    console.print(f"\n{pairs} pairs of markets of {agents} agents over {days} days")
    print_response(report, console)
    _next(console, [("picture", str(file))])


@app.command()
def robust(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, such as RUN/bundle.")],
    config: Annotated[
        Path | None, typer.Option(help="Its experiment config; default config.yaml of its run.")
    ] = None,
    adapters: Annotated[
        Path | None, typer.Option(help="Another set of adapters of the same names.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Another base model of the same shapes: name or folder.")
    ] = None,
    groups: Annotated[
        int | None, typer.Option(help="Groups of paths; default as the scoreboard.", min=2)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Report; default robustness.json of its run.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change one thing at a time in an exported population: what stays, what evaporates.

    Reads training and validation windows alone.

    Example: evobourse robust runs/quickstart/bundle
    """
    from evolve.durable import replace_bytes
    from experiments.config import load_config

    folder = bundle.resolve().parent
    settings = load_config(config or folder / "config.yaml")
    from experiments.robustness import (
        judge_variants,
        list_variants,
        open_other_adapters,
        open_other_base,
    )
    from experiments.robustness_view import print_robustness
    from experiments.simulation import open_bundle

    console = _console(quiet=as_json)
    console.print(f"loading {bundle}")
    opened, bases = open_bundle(bundle)
    others = open_other_adapters(opened, adapters) if adapters else None
    elsewhere = open_other_base(opened, base) if base else None
    if elsewhere is not None:
        console.print(f"{base}: {elsewhere.change}")
    standings = []
    variants = list_variants(opened, bases, others, elsewhere)
    wanted = groups or settings.search.heldout_groups
    for standing in judge_variants(settings, opened, variants, wanted):
        standings.append(standing)
        row = standing.row
        console.print(f"  {row['name']:<26}{row['split']:<12}{row['score']:8.2f}", highlight=False)
    report = json.dumps([standing.as_json() for standing in standings], indent=2) + "\n"
    file = out or folder / "robustness.json"
    replace_bytes(file, report.encode())
    if as_json:
        typer.echo(report, nl=False)
        return
    console.print()
    print_robustness(standings, console)
    _next(console, [("report", str(file))])


@app.command()
def score(
    series: Annotated[
        str, typer.Argument(help="CSV or Parquet with date and close, a tape, or a name.")
    ],
    against: Annotated[
        str,
        typer.Option(
            help="The real series: a file or sp500, nasdaq, wti, vix, aapl, fb, goog, ibm, msft."
        ),
    ] = "sp500",
    window_days: Annotated[
        int | None, typer.Option(help="Days in a window; default 250, or all if fewer.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="FROM:TO", help="Real days, ISO; default all.")
    ] = None,
    stock_splits: Annotated[
        Literal["refuse", "adjust", "accept"],
        typer.Option(help="What to do about prices that look unadjusted for a stock split."),
    ] = "refuse",
    seed: Annotated[int, typer.Option(help="Of the real windows' bootstrap.", min=0)] = 0,
    tried: Annotated[int, typer.Option(help="Configurations that this is the best of.", min=1)] = 1,
    picture: Annotated[Path | None, typer.Option(help="PNG file: the page of all facts.")] = None,
    as_json: Json = False,
) -> None:
    """Hold a price series or a simulated tape against a real market.

    Example: evobourse score prices.csv --against sp500 --window-days 250 --picture facts.png
    """
    from experiments.score_view import print_score
    from experiments.scoring import read_daily, score_series

    scored = read_daily(series, stock_splits=stock_splits)
    real = read_daily(against, split, stock_splits)
    result = score_series(scored, real, window_days, seed, tried)
    if picture is not None:
        from evolve.durable import replace_bytes
        from experiments.report import figure_bytes
        from experiments.score_picture import draw_score

        replace_bytes(picture, figure_bytes(draw_score(result)))
    if as_json:
        typer.echo(json.dumps(result.as_json()))
        return
    console = _console()
    print_score(result, console)
    cut = f" --split {split}" if split else ""
    cut += f" --stock-splits {stock_splits}" if stock_splits != "refuse" else ""
    again = f"evobourse score {series} --against {against}{cut}"
    again += f" --window-days {result.target.window_days} --seed {seed}"
    shown = f"{again} --picture facts.png"
    drawn = ("drawn", str(picture)) if picture else ("picture", shown)
    _next(console, [drawn, ("as data", f"{again} --json")])


@app.command()
def baselines(
    series: Annotated[
        list[str] | None, typer.Argument(help="Real series, names or files; default sp500 nasdaq.")
    ] = None,
    window_days: Annotated[int, typer.Option(help="Days in a path.", min=30)] = 1000,
    paths: Annotated[int, typer.Option(help="Paths in one score.", min=1)] = 4,
    groups: Annotated[int, typer.Option(help="Scores of each law.", min=2)] = 50,
    seed: Annotated[int, typer.Option(help="Of every draw.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Markdown page to write.")] = Path("baselines.md"),
    as_json: Json = False,
) -> None:
    """Score every law without agents on real series, in sample and held out.

    Example: evobourse baselines sp500 nasdaq --out docs/baselines.md
    """
    from rich.progress import Progress

    from evolve.durable import replace_bytes
    from experiments.baseline_table import SPLITS, Budget, baseline_rows, print_rows, render
    from fitness.laws import LAW_NAMES
    from market.series import load_series

    console = _console(quiet=as_json)
    names = series or ["sp500", "nasdaq"]
    assets = [load_series(name, close_only=True) for name in names]
    budget = Budget(window_days, paths, groups)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("scoring", total=len(assets) * len(SPLITS) * len(LAW_NAMES))
        rows = baseline_rows(assets, budget, seed, lambda: bar.advance(task))
    spans = [f"{asset.name}, {asset.dates[0]} to {asset.dates[-1]}" for asset in assets]
    size = f"--window-days {window_days} --paths {paths} --groups {groups} --seed {seed}"
    command = f"evobourse baselines {' '.join(names)} {size} --out {out}"
    page = render(rows, spans, budget, command)
    replace_bytes(out, page.encode())
    if as_json:
        typer.echo(json.dumps([row.as_json() for row in rows]))
        return
    print_rows(rows, console)
    _next(console, [("page", str(out))])


@app.command("train-styles")
def train_styles(
    config: Config,
    out: Annotated[Path, typer.Option(help="Folder of the adapter folders.")] = Path("adapters"),
    sources: Annotated[
        bool, typer.Option("--sources", help="Train style-tuned sources for recipes instead.")
    ] = False,
    only: Annotated[list[str], typer.Option(help="Train this one; repeatable.")] = [],  # noqa: B006
    steps: Annotated[int | None, typer.Option(help="Optimisation steps each.", min=1)] = None,
    overrides: Set = [],  # noqa: B006
) -> None:
    """Train the style adapters and print their agreement with their teachers on held-out windows.

    Example: evobourse train-styles experiments/quickstart.yaml --out adapters
    """
    from rich.progress import Progress
    from rich.table import Table

    from experiments.config import load_config

    settings, console = load_config(config, overrides), _console()
    from experiments.style_training import measure_agreement
    from experiments.style_training import train_styles as train

    with Progress(console=console) as bar:
        tasks: dict[str, Any] = {}

        def on_step(name: str, step: int, total: int, loss: float) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=step, description=f"{name} loss {loss:.3f}")

        train(settings, out, "sources" if sources else "styles", tuple(only), steps, on_step)
    if not sources:
        table = Table("style", "with adapter", "bare base", "on unseen views")
        for row in measure_agreement(settings, out):
            unseen = "-" if row.unseen != row.unseen else f"{row.unseen:.1%}"
            table.add_row(row.style, f"{row.trained:.1%}", f"{row.bare:.1%}", unseen)
        console.print("exact five-way agreement with the teacher, held-out windows, INT8 base")
        console.print(table)
    key = "minds.sources" if sources else "minds.adapters"
    _next(console, [("trained", str(out)), ("use", f"evobourse evolve {config} --set {key}={out}")])


def _sweep(settings: Any, folder: Path, as_json: bool) -> None:
    from experiments.screen import ProgressScreen, print_scoreboard
    from experiments.sweep import BUNDLE_FOLDER, REPORT_FILE, SCOREBOARD_FILE, run_sweep

    console = _console(quiet=as_json)
    screens: list[ProgressScreen] = []

    def screen(search: Any, evaluator: Any) -> ProgressScreen:
        total = settings.search.generations
        planned = [search.planned_candidates(g) for g in range(total)]
        screens.append(ProgressScreen(total, lambda: evaluator.decisions, planned, console))
        return screens[0].__enter__()

    def say(line: str) -> None:
        if screens:
            screens[0].close()
        console.print(line, highlight=False)

    try:
        outcome = run_sweep(settings, folder, screen, say)
    except KeyboardInterrupt:
        say(f"interrupted; nothing is lost: evobourse resume {folder}")
        raise typer.Exit(130) from None
    finally:
        if screens:
            screens[0].close()
    if as_json:
        typer.echo((folder / SCOREBOARD_FILE).read_text())
        return
    print_scoreboard(outcome.verdict.rows, console)
    for name in ("unevolved", "random_tendencies"):
        mean, low, high = outcome.verdict.better[name]
        console.print(
            f"log score of the champion minus {name}, same seeds: {mean:+.2f} "
            f"[{low:+.2f}, {high:+.2f}]; below 0 the champion is better",
            highlight=False,
        )
    if outcome.tracking_trouble:
        console.print(outcome.tracking_trouble)
    bundle = folder / BUNDLE_FOLDER
    _next(
        console,
        [
            ("scoreboard", str(folder / SCOREBOARD_FILE)),
            ("report", str(folder / REPORT_FILE)),
            ("bundle", str(bundle)),
            *_mlflow_lines(outcome.tracking_uri),
            ("simulate", f"evobourse simulate {bundle} --agents 1000 --days 250 --seed 1"),
        ],
    )


def _next(console: Any, lines: list[tuple[str, str]]) -> None:
    from experiments.screen import print_next

    print_next(lines, console)


def _mlflow_lines(uri: str) -> list[tuple[str, str]]:
    """Say how to open a lineage; MLflow hides runs behind another page unless told otherwise."""
    if not uri.startswith("sqlite:///"):
        return [("lineage", uri)]
    prefix = f"sqlite:///{Path.cwd()}/"
    short = "sqlite:///" + uri.removeprefix(prefix) if uri.startswith(prefix) else uri
    return [
        ("lineage", f"mlflow ui --backend-store-uri {short}"),
        ("at", "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"),
    ]


def _console(quiet: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=quiet, quiet=quiet)


def _day_bar(console: Any, days: int) -> Any:
    from rich.progress import Progress

    bar = Progress(console=console, transient=True)
    task = bar.add_task("simulating", total=days)
    bar.start()

    def on_day(day: int) -> None:
        bar.update(task, completed=day + 1)
        if day + 1 >= days:
            bar.stop()

    return on_day


def _shadowed() -> str | None:
    """Say which of our packages another distribution hides, if one does."""
    here = Path(__file__).resolve().parent.parent
    for name in ("market", "merge", "fitness", "agents", "evolve"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).parent if spec and spec.origin else None
        if found is not None and found.parent != here:
            return f"package {name!r} comes from {found}, not from {here}; uninstall the other one"
    return None


def main() -> None:
    """Run the command line; bad input gives one line on stderr and exit code 2."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads must not spin
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if problem := _shadowed():
        _fail(problem)
    from agents.errors import AgentError
    from evolve.errors import EvolveError
    from experiments.errors import ConfigError
    from fitness.errors import FitnessError
    from market.errors import MarketError
    from merge.errors import MergeError

    try:
        app()
    except (AgentError, ConfigError, EvolveError, FitnessError, MarketError, MergeError) as error:
        _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}; make room or fix the path, then run it again")


def _fail(message: str) -> None:
    print(f"evobourse: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
