"""Merges on disk by mergekit's own command line, for models too large to merge in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from evobourse.merge.errors import RecipeError
from evobourse.merge.model_config import check_source, read_config
from evobourse.merge.model_folder import check_weights, settle_head
from evobourse.merge.recipes.export import export_model, new_folder, write_card
from evobourse.merge.recipes.mergekit_yaml import write_recipe
from evobourse.merge.recipes.recipe import Recipe, load_source
from evobourse.merge.sources import (
    check_vocabulary,
    load_model,
    load_tokenizer,
    read_depth,
    resolve_model,
)


def merge_on_disk(recipe: Recipe, folder: Path) -> None:
    """Carry a recipe out with ``mergekit-yaml`` in a process of its own.

    Tensors are read and written one after another. The bits are those of
    `merge.recipes.recipe.merge_recipe`.

    Parameters
    ----------
    recipe
        What to merge; base and sources are named as in `merge.sources.resolve_model`, and a
        source may be a PEFT LoRA folder, which is folded into the base first, in memory.
    folder
        Must not exist, or be empty: the merged model, float32, with the base's tokenizer, a card
        and the recipe.

    Raises
    ------
    RecipeError
        mergekit fails.
    ModelError
        The folder is not empty, a model cannot be found or read, or vocabularies differ.
    """
    names = list(dict.fromkeys((recipe.base, *recipe.sources)))
    with new_folder(folder) as fresh:
        depth = read_depth(recipe.base)
        places = {
            name: _full_model(name, recipe.base, fresh.parent / f"source-{at}")
            for at, name in enumerate(names)
        }
        run_mergekit(write_recipe(recipe, depth, places), fresh, recipe.seed)
        settle_head(fresh)
        write_card(fresh, folder.name, write_recipe(recipe, depth), names, recipe.seed)


def run_mergekit(recipe_yaml: str, folder: Path, seed: int | None = None) -> None:
    """Run ``mergekit-yaml`` on the CPU; the YAML stands beside the folder.

    Raises
    ------
    RecipeError
        mergekit fails; its last line is in the message.
    """
    config = folder.with_suffix(".yaml")
    config.write_text(recipe_yaml)
    command = [sys.executable, "-m", "mergekit.scripts.run_yaml", str(config), str(folder)]
    command += ["--quiet", *([] if seed is None else ["--random-seed", str(seed)])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise RecipeError(f"recipe: mergekit failed ({reason})")


def _full_model(name: str, base: str, scratch: Path) -> str:
    """Return what mergekit takes for a model; a PEFT folder is first folded into the base."""
    if (Path(name).expanduser() / "adapter_config.json").is_file():
        state = load_source(name, Path(name).expanduser(), load_model(base)[0].state_dict())
        export_model(scratch, state, base, "", [base])
        return str(scratch)
    place = resolve_model(name)
    config = read_config(name, place)
    own = load_tokenizer(name)
    if name != base:
        check_vocabulary(name, own, load_tokenizer(base))
        check_source(name, config, read_config(base, resolve_model(base)))
    if Path(place).is_dir():  # what mergekit would read half, or with values that are no numbers
        check_weights(name, Path(place))
    return str(Path(place).resolve()) if Path(place).is_dir() else place  # else a hub id
