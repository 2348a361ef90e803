"""The commands that write a cast or a scenario from a sentence, and a cast of many who differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from evobourse.experiments.cli.options import Json, news_console, print_next_steps, typed


def cast(
    sentence: Annotated[
        str | None, typer.Argument(help="Who trades, as in 'ten cautious pensioners'.")
    ] = None,
    diverse: Annotated[
        int | None, typer.Option(help="So many different investors instead.", min=1, max=10_000)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the different backgrounds.", min=0)] = 1,
    base: Annotated[
        str | None,
        typer.Option(help="Model asked about words that no table has; none to leave them."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="The bundle that it is for, whose styles it has; else the first seven."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="YAML file; printed if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Write out who trades, as YAML to read and change before it is used.

    Example: evobourse cast "forty value investors, twenty contrarians, twenty cautious pensioners,
    ten momentum day-traders who see no news, ten noise traders"

    Example: evobourse cast --diverse 300 --seed 1 --bundle runs/quickstart/bundle --out people.yaml
    """
    import yaml

    from evobourse.agents.styles import FIRST_STYLES
    from evobourse.evolve.bundle import load_bundle
    from evobourse.evolve.durable import replace_bytes
    from evobourse.experiments.errors import ConfigError
    from evobourse.experiments.simulate.write_cast import ask_model, write_diverse, write_sentence
    from evobourse.merge.sources import DEFAULT_BASE

    console = news_console(quiet=out is None or as_json)
    if (sentence is None) == (diverse is None):
        raise ConfigError("cast: give a sentence or --diverse COUNT, one of them")
    styles: Sequence[str] = FIRST_STYLES
    if bundle is not None:
        styles = [folder.name for folder in load_bundle(bundle).adapters]
    lost: list[str] = []
    if diverse is not None:
        text, measured = write_diverse(diverse, seed, styles)
        console.print(
            f"{diverse} members, {measured['sentences']:.0%} of the sentences unique; distance of "
            f"pairs at least {measured['least']:.3f}, on average {measured['mean']:.3f}",
            highlight=False,
        )
    else:
        model = cache(lambda: ask_model(base or DEFAULT_BASE))  # loaded for an unknown word alone
        guess = None if base == "none" else lambda word: model()(word)
        text, lost = write_sentence(sentence or "", guess, seed, styles)
    if lost:
        typer.echo(f"not understood: {', '.join(lost)}", err=True)
    if out is not None:
        replace_bytes(out, text.encode())
    if as_json:
        typer.echo(json.dumps(yaml.safe_load(text)))
        return
    if out is None:
        typer.echo(text, nl=False)
        return
    print_next_steps(
        console,
        [
            ("cast", str(out)),
            ("then", typed("evobourse", "simulate", "RUN/bundle", "--days", 60, "--cast", out)),
        ],
    )


def scenario(
    sentence: Annotated[
        str, typer.Argument(help="The market, as in 'margin 10 %, 5 turns a day'.")
    ],
    bundle: Annotated[
        Path | None,
        typer.Option(help="The bundle that it is for, whose styles it has; else the first seven."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="YAML file; printed if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Write a market from words, as YAML to read and change before it is used.

    Terms, turns and rule-based traders make a scenario; who else is named trades in the place of
    the bundle's personas, in a cast beside it. A word that is not understood is refused by name.

    Example: evobourse scenario "six classes of nickel traders, margin 10 %, 5 turns a day"
    --out nickel.yaml

    Example: evobourse scenario "price limit 5 %, fee 2 bp, three market makers" --out tight.yaml
    """
    import yaml

    from evobourse.agents.styles import FIRST_STYLES
    from evobourse.evolve.bundle import load_bundle
    from evobourse.experiments.simulate.write_cast import save_market, write_market

    styles: Sequence[str] = FIRST_STYLES
    if bundle is not None:
        styles = [folder.name for folder in load_bundle(bundle).adapters]
    text, people = write_market(sentence, "market.cast.yaml", styles)
    made = {} if out is None else save_market(sentence, out, styles)
    if as_json:
        written = {"scenario": yaml.safe_load(text), "cast": yaml.safe_load(people or "null")}
        typer.echo(json.dumps(written))
    elif out is None:
        typer.echo(f"{text}---\n# market.cast.yaml\n{people}" if people else text, nl=False)
    else:
        then = typed("evobourse", "simulate", bundle or "RUN/bundle", "--days", 60)
        lines = [(name, str(file)) for name, file in made.items()]
        print_next_steps(news_console(), [*lines, ("then", f"{then} {typed('--scenario', out)}")])
