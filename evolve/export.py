"""What other tools run of a bundle: its base as a model folder, its minds as PEFT adapters."""

from __future__ import annotations

from pathlib import Path

from evobourse.agents.minds.engine import hash_weights
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.errors import RunError
from evobourse.merge.peft.folder import read_adapter
from evobourse.merge.peft.mind_vector import split_cores
from evobourse.merge.peft.write import mix_adapters, write_adapter
from evobourse.merge.recipes.export import export_model
from evobourse.merge.recipes.layer_stack import stack_adapter, stack_state
from evobourse.merge.recipes.recipe import Recipe, load_source, merge_recipe
from evobourse.merge.recipes.stack_recipe import StackRecipe, stack_states, to_mergekit_yaml
from evobourse.merge.sources import load_model


def export_base(bundle: Bundle, folder: Path) -> None:
    """Write what a bundle's recipe makes as an ordinary Hugging Face folder.

    A stack becomes a model with as many layers; scales other than 1 are folded into its weights,
    exact but for the epsilon of the norms (docs/decisions/041).

    Raises
    ------
    RunError
        The bundle has no recipe, so that its base is the model that it names, or that model has
        other weights than at the bundle's export.
    merge.errors.MergeError
        A model cannot be read, or the folder is not empty.
    """
    recipe = bundle.recipe
    if recipe is None:
        raise RunError(f"bundle {bundle.name!r} has no recipe; its base is {bundle.base!r} itself")
    model, tokenizer = load_model(bundle.base)
    base = model.state_dict()
    if hash_weights(base) != bundle.base_hash:
        raise RunError(f"bundle {bundle.name!r}: base {bundle.base!r} has other weights by now")
    sources = {
        path.name: load_source(path.name, path, base, tokenizer, model.config)
        for path in bundle.sources
    }
    if isinstance(recipe, Recipe):
        state, seed = merge_recipe(recipe, base, sources), recipe.seed
    else:
        state, seed = stack_state(recipe.stack, stack_states(recipe, base, sources)), None
    text = to_mergekit_yaml(recipe, len(model.model.layers))
    export_model(folder, state, bundle.base, text, [bundle.base, *recipe.sources], seed=seed)


def export_mind(bundle: Bundle, persona: str, folder: Path) -> None:
    """Write a persona's mind as one PEFT LoRA folder, exactly: ranks add up, cores stand in B.

    It belongs on what `export_base` writes, and without a recipe on the bundle's base.

    Raises
    ------
    RunError
        There is no such persona, or the bundle has no adapters.
    """
    found = {p.name: p for p in bundle.population.personas}
    if persona not in found:
        raise RunError(f"bundle {bundle.name!r} has no persona {persona!r}; it has {list(found)}")
    if not bundle.adapters:
        raise RunError(f"bundle {bundle.name!r} has no adapters; its minds are its base")
    adapters = [read_adapter(path) for path in bundle.adapters]
    mixed = mix_adapters(persona, adapters, *split_cores(found[persona].mind))
    if isinstance(bundle.recipe, StackRecipe):
        mixed = stack_adapter(bundle.recipe.stack, mixed)
    write_adapter(mixed, folder, bundle.base, found[persona].profile)
