"""The command that plans a machine: what is typed and what is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from evobourse.experiments.cli.options import (
    Json,
    existing_config,
    make_console,
    news_console,
    print_next_steps,
    typed,
)


def plan(
    base: Annotated[
        str, typer.Option(help="A hub id, a folder, a known base, or a name for --layers etc.")
    ] = "",
    minds: Annotated[
        int | None, typer.Option(help="Distinct minds of a population.", min=1)
    ] = None,
    agents: Annotated[int | None, typer.Option(help="Agents in a market.", min=1)] = None,
    gpu: Annotated[str, typer.Option(help="h100, h100-pcie, h200, a100 or cpu.")] = "h100",
    config: Annotated[
        Path | None,
        typer.Option(help="Take base, personas and search from it.", callback=existing_config),
    ] = None,
    shared_tokens: Annotated[int | None, typer.Option(help="Of every prompt.", min=0)] = None,
    private_tokens: Annotated[int | None, typer.Option(help="Of each question.", min=1)] = None,
    adapters: Annotated[int, typer.Option(help="Style adapters in the bank.", min=0)] = 7,
    rank: Annotated[int, typer.Option(help="Of the adapters.", min=1)] = 8,
    layers: Annotated[int | None, typer.Option(help="Shape of an unknown base.", min=1)] = None,
    hidden: Annotated[int | None, typer.Option(min=1)] = None,
    intermediate: Annotated[int | None, typer.Option(min=1)] = None,
    heads: Annotated[int | None, typer.Option(min=1)] = None,
    kv_heads: Annotated[int | None, typer.Option(min=1)] = None,
    vocabulary: Annotated[int | None, typer.Option(min=1)] = None,
    as_json: Json = False,
) -> None:
    """Say what minds will take on a chip, and how long a sweep will last, before loading anything.

    Example: evobourse plan --base mistralai/Mistral-7B-v0.3 --minds 300 --agents 1000 --gpu h100
    """
    from evobourse.experiments.cli.plan_tables import make_plan, print_plan
    from evobourse.experiments.planner.request import Typed, plan_for

    given = {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
    }
    load = Typed(adapters, rank, minds, agents, shared_tokens, private_tokens)
    with news_console(as_json).status("counting"):
        made = make_plan(plan_for(base, given, config, load, gpu))
    if as_json:
        typer.echo(json.dumps(made))
        return
    console = make_console()
    print_plan(made, console)
    what = ("--config", config) if config else ("--base", made["base"]["name"])
    size = ("--minds", made["load"]["minds"], "--agents", made["market"]["agents"])
    again = typed("evobourse", "plan", *what, *size, "--gpu")
    other = "cpu" if gpu != "cpu" else "h100"
    print_next_steps(
        console, [("elsewhere", f"{again} {other}"), ("as data", f"{again} {gpu} --json")]
    )
