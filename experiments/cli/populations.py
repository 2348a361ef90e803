"""Commands about exported populations: what is typed and what is printed.

What does the work is imported when its command runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from evobourse.experiments.cli.options import (
    BundleFolder,
    DayBar,
    Json,
    Set,
    bundle_of,
    existing_file,
    existing_folder,
    existing_population,
    make_console,
    news_console,
    print_next_steps,
    typed,
    working,
)

MOST_NAMED = 20
"""Exported models whose folders are printed."""

if TYPE_CHECKING:
    from evobourse.experiments.simulate.agreement import Agreement


def simulate(
    bundle: Annotated[
        Path,
        typer.Argument(
            help="A bundle's folder, such as RUN/bundle, or a config's file.",
            callback=existing_population,
        ),
    ],
    agents: Annotated[int, typer.Option(help="Agents in the market.", min=10)] = 400,
    days: Annotated[int, typer.Option(help="Days to simulate.", min=1)] = 250,
    seed: Annotated[int, typer.Option(help="Of every draw.", min=0)] = 1,
    scenario: Annotated[
        Path | None,
        typer.Option(
            help="YAML of an exchange: turns, other traders, events.", callback=existing_file
        ),
    ] = None,
    cast: Annotated[
        Path | None,
        typer.Option(
            help="YAML of who trades instead of the bundle's personas.", callback=existing_file
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the tape.")] = None,
    overrides: Set = [],  # noqa: B006
    again: Annotated[
        bool,
        typer.Option("--ask-again", help="Compare the bundle's answers with its model's first."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Let an exported population trade, alone or in a scenario, and write its tape.

    A config's file stands for the population that its sweep would begin with. With a cast, which
    needs a bundle, how many agents there are is the cast's to say.

    A bundle carries its minds' answers, so that it trades without its models, to the same bytes on
    every machine; new questions (deliberation, a cast) open them. With --ask-again they are asked
    in any case, and answers further apart than arithmetic explains are exit code 1.

    Example: evobourse simulate runs/quickstart/bundle --agents 1000 --days 250 --seed 1

    Example: evobourse simulate runs/quickstart/bundle --scenario experiments/scenarios/shock.yaml

    Example: evobourse simulate runs/quickstart/bundle --agents 20 --days 2
    --scenario experiments/scenarios/deliberate.yaml

    Example: evobourse simulate experiments/quickstart.yaml --agents 100 --days 20
    """
    from evobourse.experiments.config.cast import load_cast
    from evobourse.experiments.config.scenario import Scenario, Size, load_scenario
    from evobourse.experiments.errors import ConfigError
    from evobourse.experiments.simulate.bundle import (
        simulate_bundle,
        simulate_cast,
        simulate_scenario,
    )

    console, news = make_console(quiet=as_json), news_console(as_json)
    agreement = _agree(bundle, news) if again else None
    size = Size(agents, days, seed)
    place = load_scenario(scenario) if scenario is not None else Scenario()
    if cast is None and place.cast is not None:
        cast = Path(place.cast)
    if cast is not None:
        if overrides:
            raise ConfigError(
                f"--set {overrides[0]!r}: a cast trades in a bundle, without settings"
            )
        who = load_cast(cast)
        agents = sum(member.count for member in who.members)
        folder = out or Path("runs") / f"{cast.stem}-{agents}-{days}-{seed}"
        with DayBar(news, days, f"opening {bundle}") as bar:
            result = simulate_cast(bundle, place, who, days, seed, folder, bar, bar.say)
    elif scenario is not None:
        folder = out or Path("runs") / f"{scenario.stem}-{agents}-{days}-{seed}"
        with DayBar(news, days, f"opening {bundle}") as bar:
            result = simulate_scenario(bundle, place, size, folder, bar, bar.say, overrides)
    else:
        folder = out or Path("runs") / f"simulate-{agents}-{days}-{seed}"
        with DayBar(news, days, f"opening {bundle}") as bar:
            result = simulate_bundle(bundle, size, folder, bar, overrides)
    if as_json:
        if agreement is not None:
            result["ask_again"] = agreement.as_json()
        typer.echo(json.dumps(result))
        return
    console.print(
        f"{agents} agents, {days} days, seed {seed}: price {result['first_close']:.2f} -> "
        f"{result['last_close']:.2f}, daily volatility {100 * result['volatility']:.2f} %, "
        f"{result['decisions']:,} decisions, {result['forward_passes']:,} forward passes"
    )
    if "trades" in result:
        console.print(
            f"{result['trades']:,} trades, {result['volume']:,} shares, {result['events']} events"
        )
        than = " than without it" if result["played_without_news"] else ""
        for one in result["reactions"]:
            console.print(
                f"news of day {one['day']}, tone {one['tone']:+.1f}: the price moved "
                f"{one['moved']:+.1f} standard deviations{' more' * bool(than)}{than} on the day, "
                f"{one['moved_by_next']:+.1f} by the next; a real market moves by the tone",
                highlight=False,
            )
    if tokens := result.get("tokens"):
        console.print(
            f"{tokens['prompt']:,} prompt tokens, {tokens['computed']:,} of them computed, "
            f"{tokens['generated']:,} generated"
        )
    console.print(f"tape sha256 {result['digest']}")
    if result.get("reference") is not None:
        word = "identical to" if result["reference"] else "NOT the same bytes as"
        console.print(f"the tape is {word} the one made at export")
    print_next_steps(console, [("tape", str(folder)), ("picture", str(folder / "prices.png"))])


def _agree(bundle: Path, console: Any) -> Agreement:
    """Ask a bundle's models again; leave with exit code 1 where their answers are others."""
    from evobourse.experiments.simulate.agreement import ask_again

    with working(console, f"opening the models of {bundle}, to ask them again"):
        agreement = ask_again(bundle)
    console.print(agreement.tell(), highlight=False)
    if not agreement.explained:
        told = f"evobourse: bundle {bundle}: {agreement.tell()}; no arithmetic explains so much"
        typer.echo(told, err=True)
        raise typer.Exit(1)
    return agreement


def export(
    place: Annotated[
        Path,
        typer.Argument(
            help="A bundle's folder, or its run's; of a data set a simulation's.",
            callback=existing_folder,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("export"),
    to: Annotated[
        Literal["models", "pams", "datasets"],
        typer.Option(
            help="models: model/ and minds/NAME/; pams: a market of PAMS 0.3; datasets: a tape "
            "with a card."
        ),
    ] = "models",
    agents: Annotated[int, typer.Option(help="Of a market of PAMS.", min=10)] = 400,
    days: Annotated[int, typer.Option(help="Of a market of PAMS.", min=1)] = 250,
    seed: Annotated[int, typer.Option(help="Of a market of PAMS.", min=0)] = 1,
    plain_lora: Annotated[
        bool,
        typer.Option(
            "--plain-lora", help="Minds as ordinary LoRA, for programs that know no activated one."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a population's models, its market, or a simulation's tape for other tools.

    Models are its base as a Hugging Face folder, and each mind as a PEFT adapter whose card says
    how to ask it. A data set is read by the library datasets, and can be pushed to a hub as it is.

    Example: evobourse export runs/quickstart/bundle --out export

    Example: evobourse export runs/quickstart --to pams --out in-pams

    Example: evobourse export runs/simulate-400-250-1 --to datasets --out year
    """
    from evobourse.experiments.config.scenario import Size

    if plain_lora and to != "models":
        raise typer.BadParameter(
            f"is of minds; leave it out with --to {to}, or use --to models",
            param_hint="--plain-lora",
        )
    if to == "datasets":
        from evobourse.experiments.simulate.dataset import export_dataset

        tables = export_dataset(place, out)
        made = {"dataset": str(out), "tables": ", ".join(tables)}
    elif to == "pams":
        from evobourse.experiments.simulate.pams.export import export_pams

        export_pams(bundle_of(place), out, Size(agents, days, seed))
        made = {"config": str(out / "config.json"), "run": typed("python", out / "run.py", 100)}
    else:
        made = _export_models(bundle_of(place), out, plain_lora, news_console(as_json))
    if as_json:
        typer.echo(json.dumps(made))
    else:
        steps = list(made.items())
        if more := len(steps[MOST_NAMED:]):
            steps = [*steps[:MOST_NAMED], (f"{more} more", str(out / "minds"))]
        print_next_steps(news_console(), steps)


def _export_models(bundle: Path, out: Path, plain_lora: bool, news: Any) -> dict[str, str]:
    from evobourse.evolve.bundle import load_bundle
    from evobourse.evolve.export import export_models

    loaded = load_bundle(bundle)
    made = export_models(
        loaded, out, plain_lora=plain_lora, working=lambda what: working(news, what)
    )
    if not made:
        news.print(f"nothing to write: all its minds are {loaded.base} itself")
    return {name: str(folder) for name, folder in made.items()}


def behaviour(
    bundle: BundleFolder,
    agents: Annotated[int, typer.Option(help="Agents in each market.", min=10)] = 400,
    days: Annotated[int, typer.Option(help="Days of each market.", min=31)] = 250,
    seeds: Annotated[int, typer.Option(help="Markets, one a seed.", min=1)] = 8,
    seed: Annotated[int, typer.Option(help="Of the first market.", min=0)] = 1,
    as_json: Json = False,
) -> None:
    """Measure how an exported population behaves: disposition, turnover, herding, profit.

    Example: evobourse behaviour runs/quickstart/bundle --seeds 8
    """
    from evobourse.experiments.studies.behaviour import measure_bundle, print_behaviour

    console, news = make_console(quiet=as_json), news_console(as_json)
    with working(news, f"playing {seeds} markets of {bundle}"):
        report = measure_bundle(bundle, agents, days, seeds, seed)
    if as_json:
        typer.echo(json.dumps(report.as_json()))
        return
    console.print(f"{seeds} markets of {agents} agents over {days} days")
    print_behaviour(report, console)


def robust(
    bundle: BundleFolder,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Its experiment config; default config.yaml of its run.", callback=existing_file
        ),
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
    from evobourse.evolve.durable import replace_bytes
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.experiments.config.experiment import load_config

    run = RunFolder(bundle.resolve().parent)
    settings = load_config(config or run.config)
    from evobourse.experiments.simulate.bundle import open_bundle
    from evobourse.experiments.studies.robustness.standings import judge_variants
    from evobourse.experiments.studies.robustness.table import print_robustness
    from evobourse.experiments.studies.robustness.variants import (
        list_variants,
        open_other_adapters,
        open_other_base,
    )

    console, news = make_console(quiet=as_json), news_console(as_json)
    news.print(f"opening {bundle}", highlight=False)
    opened, bases = open_bundle(bundle)
    others = open_other_adapters(opened, adapters) if adapters else None
    elsewhere = open_other_base(opened, base) if base else None
    if elsewhere is not None:
        console.print(f"{base}: {elsewhere.change}")
    standings = []
    variants = list_variants(opened, bases, others, elsewhere)
    wanted = groups or settings.selection.heldout_groups
    for standing in judge_variants(settings, opened, variants, wanted):
        standings.append(standing)
        row = standing.row
        news.print(f"  {row['name']:<26}{row['split']:<12}{row['score']:8.2f}", highlight=False)
    report = json.dumps([standing.as_json() for standing in standings], indent=2) + "\n"
    file = out or run.robustness
    replace_bytes(file, report.encode())
    if as_json:
        typer.echo(report, nl=False)
        return
    console.print()
    print_robustness(standings, console)
    print_next_steps(console, [("report", str(file))])


def response(
    bundle: BundleFolder,
    rates: Annotated[
        str, typer.Option(help="Parts of the volume that the buyer wants.")
    ] = "0.02,0.05,0.1,0.2",
    pairs: Annotated[int, typer.Option(help="Markets, one a seed.", min=1)] = 8,
    days: Annotated[int, typer.Option(help="Days of each market.", min=1)] = 60,
    agents: Annotated[int, typer.Option(help="Agents in each market.", min=10)] = 400,
    seed: Annotated[int, typer.Option(help="Of the first market.", min=0)] = 1,
    scenario: Annotated[
        Path | None,
        typer.Option(
            help="YAML of an exchange: turns, other traders, events.", callback=existing_file
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Picture; default response.png of its run.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how a bundle's market answers a buyer: impact, Kyle's lambda, linearity.

    Example: evobourse response runs/quickstart/bundle --pairs 8 --days 60
    """
    from evobourse.evolve.durable import replace_bytes
    from evobourse.evolve.run_folder import RunFolder
    from evobourse.experiments.config.scenario import Scenario, Size, load_scenario
    from evobourse.experiments.reports.figures import figure_bytes
    from evobourse.experiments.simulate.bundle import open_population
    from evobourse.experiments.studies.impact.response import (
        draw_response,
        measure_response_to,
        print_response,
        read_rates,
    )

    console, news = make_console(quiet=as_json), news_console(as_json)
    place = load_scenario(scenario) if scenario else Scenario()
    size, told = Size(agents, days, seed), f"playing {pairs} pairs of markets of {bundle}"
    with working(news, told):
        asked, opened = read_rates(rates), open_population(bundle)
        choices = opened.table()
        report = measure_response_to(opened.bundle, choices, place, asked, pairs, size)
    file = out or RunFolder(bundle.resolve().parent).response
    replace_bytes(file, figure_bytes(draw_response(report)))
    if as_json:
        typer.echo(json.dumps({**report.as_json(), "out": str(file)}))
        return
    console.print(f"{pairs} pairs of markets of {agents} agents over {days} days")
    print_response(report, console)
    print_next_steps(console, [("picture", str(file))])
