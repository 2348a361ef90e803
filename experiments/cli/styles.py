"""The command that trains styles: what is typed and what is printed.

Other modules are imported only when it runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from evobourse.experiments.cli.options import (
    Config,
    Json,
    Set,
    make_console,
    news_console,
    print_next_steps,
    typed,
)

PAIRS = 192
"""Fewer decide too little: with 96 one style more rises in risk-adjusted profit alone."""


def train_styles(
    config: Config,
    out: Annotated[Path, typer.Option(help="Folder of the adapter folders.")] = Path("adapters"),
    sources: Annotated[
        bool, typer.Option("--sources", help="Train style-tuned sources for recipes instead.")
    ] = False,
    reinforce: Annotated[
        bool,
        typer.Option("--reinforce", help="Refine the styles on their own profit instead."),
    ] = False,
    only: Annotated[list[str], typer.Option(help="Train this one; repeatable.")] = [],  # noqa: B006
    steps: Annotated[int | None, typer.Option(help="Optimisation steps each.", min=1)] = None,
    top_layers: Annotated[
        int | None, typer.Option(help="Uppermost layers to adapt, 0 for all.", min=0)
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Train on the base in INT8, as it will run.")
    ] = False,
    gradient_checkpointing: Annotated[
        bool,
        typer.Option("--gradient-checkpointing", help="Less memory for activations, more time."),
    ] = False,
    encoding: Annotated[
        Literal["words", "digits", "patches"] | None,
        typer.Option(help="What past prices become; default minds.encoding."),
    ] = None,
    overrides: Set = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Train the style adapters and print their agreement with their teachers on held-out windows.

    The same command again goes on where it was interrupted.

    Example: evobourse train-styles experiments/quickstart.yaml --out adapters

    A 7B: --set minds.base=OWNER/NAME --set minds.device=cuda --int8 --gradient-checkpointing

    On other prices: --set training.series=[nasdaq,prices.csv]

    Then on profit: evobourse train-styles experiments/quickstart.yaml --reinforce --out refined

    On numbers: evobourse train-styles experiments/quickstart.yaml --encoding patches --out patches
    """
    from accelerate import PartialState
    from rich.progress import Progress
    from rich.table import Table

    from evobourse.experiments.config.experiment import load_config
    from evobourse.experiments.errors import ConfigError

    chosen = [f"minds.encoding={encoding}"] if encoding else []
    settings = load_config(config, [*overrides, *chosen])
    main, numeric = PartialState().is_main_process, settings.minds.encoding != "words"
    console, news = make_console(quiet=not main or as_json), news_console(not main or as_json)
    if reinforce and (sources or top_layers is not None):
        raise ConfigError("--reinforce: goes with neither --sources nor --top-layers; leave it out")
    if reinforce and numeric:
        raise ConfigError("--reinforce: markets are played in words; set minds.encoding: words")
    from evobourse.experiments.styles.agreement import measure_agreement
    from evobourse.experiments.styles.cards import percent, write_cards
    from evobourse.experiments.styles.measures import measure_styles
    from evobourse.experiments.styles.supervised import StylePlan
    from evobourse.experiments.styles.supervised import train_styles as train

    kind: Literal["styles", "sources"] = "sources" if sources else "styles"
    plan = StylePlan(kind, tuple(only), steps, top_layers, int8, gradient_checkpointing)
    try:
        with Progress(console=news, disable=not main) as bar:
            tasks: dict[str, Any] = {}

            def on_step(name: str, step: int, total: int, loss: float) -> None:
                if name not in tasks:
                    tasks[name] = bar.add_task(name, total=total)
                bar.update(tasks[name], completed=step, description=f"{name} loss {loss:.3f}")

            if reinforce:
                _reinforce(settings, out, only, steps, bar)
            else:
                train(settings, out, plan, on_step)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on where it stopped")
        raise typer.Exit(130) from None
    if not main:
        return
    if reinforce:
        with news.status(f"{PAIRS} pairs of markets in validation windows"):
            earnings = _earnings(settings, out)
        console.print(earnings)
    if numeric or reinforce:  # refined styles have cards of their own
        table = Table("style", "with adapter", "bare base", "on unseen views")
        measures: Sequence[Any] = measure_agreement(settings, out)
        for row in measures:
            shown = (row.trained, row.bare, row.unseen)
            table.add_row(row.style, *("-" if math.isnan(x) else f"{x:.1%}" for x in shown))
    elif not sources:
        table = Table("style", "with adapter", "bare base", "in words", "on unseen views")
        measures = measure_styles(settings, out)
        for measure in measures:
            shares = (measure.trained, measure.bare, measure.prompted, measure.unseen)
            table.add_row(measure.style, *map(percent, shares))
        write_cards(out, measures)
    if as_json:
        rows = [] if sources else [asdict(measure) for measure in measures]
        told = [
            {key: None if value != value else value for key, value in row.items() if _plain(value)}
            for row in rows  # NaN is no JSON
        ]
        typer.echo(json.dumps({"out": str(out), "styles": told}))
        return
    if not sources:
        console.print("exact five-way agreement with the teacher, held-out windows, INT8 base")
        console.print(table)
    key = "minds.sources" if sources else "minds.adapters"
    use = ["evolve", config, "--set", f"{key}={out}"]
    if numeric:
        use = ["simulate", *use[1:], "--set", f"minds.encoding={settings.minds.encoding}"]
    print_next_steps(console, [("trained", str(out)), ("use", typed("evobourse", *use))])


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _reinforce(settings: Any, out: Path, only: list[str], steps: int | None, bar: Any) -> None:
    from dataclasses import replace

    from evobourse.agents.training.reinforcement import ReinforcementConfig
    from evobourse.experiments.styles.reinforced import reinforce_styles

    tasks: dict[str, Any] = {}
    how = ReinforcementConfig()

    def on_step(name: str, step: int, total: int, found: Any) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=total)
        news = f"{name} {found.reward:+.2f} bp a decision, {found.kl:.2f} nats from the style"
        bar.update(tasks[name], completed=step, description=news)

    reinforce_styles(settings, out, only, replace(how, iterations=steps or how.iterations), on_step)


def _earnings(settings: Any, out: Path) -> Any:
    """Play pairs of markets in validation windows, each style as it was and refined."""
    from contextlib import closing

    from rich.table import Table

    from evobourse.agents.training.supervised import PROVENANCE
    from evobourse.experiments.reports.intervals import bootstrap_interval, write_interval
    from evobourse.experiments.styles.market_pairs import earns_more, list_casts, play_pairs
    from evobourse.experiments.sweep.setup import build_experiment

    title = f"gains by trading, {PAIRS} pairs of markets in validation windows"
    table = Table("style", "profit, bp a day", "Sharpe of profit", "keep", title=title)
    refined = sorted(file.parent for file in out.glob(f"*/{PROVENANCE}"))
    experiment = build_experiment(settings)
    with closing(experiment.executor):
        [cast, *_] = list_casts(experiment, refined, out)
        pairs = play_pairs(experiment, cast, refined, PAIRS, validation=True)
    for path in refined:
        both = pairs[path.name]
        gains = (bootstrap_interval(both[:, 1, k] - both[:, 0, k]) for k in range(2))
        shown = (write_interval(gain, sign="+") for gain in gains)
        table.add_row(path.name, *shown, "yes" if earns_more(both) else "no")
    return table
