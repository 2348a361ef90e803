"""The command that carries out a merge recipe: what is typed and what is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from evobourse.experiments.cli.options import (
    Json,
    existing_file,
    news_console,
    print_next_steps,
    typed,
    working,
)


def merge(
    recipe: Annotated[
        Path, typer.Argument(help="A merge in mergekit's YAML.", callback=existing_file)
    ],
    out: Annotated[Path, typer.Option(help="Folder of the merged model.")] = Path("merged"),
    seed: Annotated[
        int | None, typer.Option(help="For methods that draw random numbers.", min=0)
    ] = None,
    as_json: Json = False,
) -> None:
    """Merge models by mergekit's recipe into a folder that from_pretrained loads.

    Models are folders, hub ids, or smollm2-135m-instruct; a source may be a PEFT LoRA folder.
    What mergekit would ignore without a word, such as a misspelt parameter, is refused. Weights
    are float32, tensor after tensor, so that two models need not fit in memory.

    Example: evobourse merge ties.yaml --out merged

    Example: evobourse merge dare.yaml --seed 1 --out merged
    """
    from evobourse.merge.recipes.mergekit_yaml import read_recipe
    from evobourse.merge.recipes.on_disk import merge_on_disk

    news, read = news_console(as_json), read_recipe(recipe.read_bytes(), seed)
    with working(news, f"merging {', '.join(read.sources)} by {read.method}, base {read.base}"):
        merge_on_disk(read, out)
    if as_json:
        typer.echo(json.dumps({"model": str(out), "recipe": read.to_dict()}))
        return
    plan = typed("evobourse", "plan", "--base", out)
    print_next_steps(news, [("model", str(out)), ("as a base", plan)])
