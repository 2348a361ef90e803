"""Merges on disk: mergekit's own command line into a folder named by what went into it.

It runs beside this process, for models too large to merge in memory.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from evobourse.merge.errors import ModelError, RecipeError
from evobourse.merge.recipes.export import export_model, write_card
from evobourse.merge.recipes.mergekit_yaml import write_recipe
from evobourse.merge.recipes.recipe import Recipe, load_source
from evobourse.merge.sources import cache_folder, check_vocabulary, load_model, resolve_model


def merge_to_cache(recipe: Recipe, sources: Mapping[str, Path]) -> Path:
    """Carry a recipe out with ``mergekit-yaml`` in a process of its own, once.

    Parameters
    ----------
    recipe
        What to merge; its base as in `merge.sources.resolve_model`.
    sources
        Folders by source name: full models, or PEFT LoRA folders.

    Returns
    -------
    Path
        A model folder, float32, in `merge.sources.cache_folder`. Its name is the hash of the
        recipe, of all weights and configs, and of mergekit's version: the same merge is made
        once.

    Raises
    ------
    RecipeError
        A source is missing, or mergekit fails.
    ModelError
        The base is no folder, or vocabularies differ.
    """
    base = Path(resolve_model(recipe.base))
    if not base.is_dir():
        raise ModelError(f"base {recipe.base!r}: merging on disk needs a local folder")
    missing = [name for name in recipe.sources if name not in sources and name != recipe.base]
    if missing:
        raise RecipeError(f"recipe.sources: {missing[0]!r} is unknown; known: {sorted(sources)}")
    folders = {recipe.base: base} | {
        name: sources[name].resolve() for name in recipe.sources if name != recipe.base
    }
    parts = [hash_folder(folder) for folder in folders.values()]
    named = json.dumps([recipe.to_dict(), parts, version("mergekit")])
    target = cache_folder() / "merges" / hashlib.sha256(named.encode()).hexdigest()
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="merge-") as scratch:
        fresh = Path(scratch) / "model"
        places = {
            name: str(_full_model(name, folder, recipe.base, Path(scratch) / f"source-{at}"))
            for at, (name, folder) in enumerate(folders.items())
        }
        depth = json.loads((base / "config.json").read_text())["num_hidden_layers"]
        run_mergekit(write_recipe(recipe, depth, places), fresh, recipe.seed)
        named_yaml = write_recipe(recipe, depth)  # without this machine's paths
        write_card(fresh, target.name, named_yaml, list(folders), recipe.seed)
        if not target.is_dir():  # else another process was faster
            fresh.rename(target)
    return target


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


def hash_folder(folder: Path) -> str:
    """Hash a model or adapter folder by its weights and configs."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")) + sorted(folder.glob("*config.json")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _full_model(name: str, folder: Path, base: str, scratch: Path) -> Path:
    """Return the folder, or for a PEFT folder a full model with the update folded in."""
    if not (folder / "adapter_config.json").is_file():
        if folder != Path(resolve_model(base)):
            from transformers import AutoTokenizer

            own, theirs = (
                AutoTokenizer.from_pretrained(path) for path in (folder, resolve_model(base))
            )
            check_vocabulary(name, own, theirs)
        return folder
    state = load_source(name, folder, load_model(base)[0].state_dict())
    export_model(scratch, state, base, "", [base])
    return scratch
