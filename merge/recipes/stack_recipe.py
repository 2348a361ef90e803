"""A recipe in data-flow space: a layer stack over a base, sources and merges of them.

A source may itself be a merge in parameter space, found before (Akiba et al. 2024,
arXiv:2403.13187, section 3.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from evobourse.merge.errors import RecipeError
from evobourse.merge.recipes.layer_stack import LayerStack
from evobourse.merge.recipes.mergekit_yaml import write_recipe
from evobourse.merge.recipes.recipe import Recipe, State, merge_recipe


@dataclass(frozen=True)
class StackRecipe:
    """A stack and what its layers are taken from.

    Attributes
    ----------
    base
        Name of the base model.
    stack
        Layers of the base, of sources and of merges, by name.
    merges
        Merges by the name that the stack gives them.

    Raises
    ------
    RecipeError
        A merge has another base, or a name that something else has.
    """

    base: str
    stack: LayerStack
    merges: Mapping[str, Recipe] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, merge in self.merges.items():
            if merge.base != self.base:
                raise RecipeError(
                    f"stack.merges.{name}: is a merge over {merge.base!r}, the stack's base is "
                    f"{self.base!r}"
                )
            taken = {self.base, *(s for m in self.merges.values() for s in m.sources)}
            if name in taken:
                raise RecipeError(f"stack.merges: {name!r} is a source's name; use another")

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the models that it draws on, directly or through a merge, but for the base."""
        names = {name for name, _ in self.stack.layers} - self.merges.keys()
        names.update(*(merge.sources for merge in self.merges.values()))
        return tuple(sorted(names - {self.base}))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `from_dict` undoes it.

        Layers in order are written as one run, ``trend-follower 12-19``, and of scales those that
        are not 1, by their place from 0.
        """
        runs: list[list[Any]] = []
        for name, number in self.stack.layers:
            if runs and (runs[-1][0], runs[-1][2] + 1) == (name, number):
                runs[-1][2] = number
            else:
                runs.append([name, number, number])
        scales = {str(at): scale for at, scale in enumerate(self.stack.scales) if scale != 1}
        merges = {name: merge.to_dict() for name, merge in self.merges.items()}
        return {
            "base": self.base,
            "layers": [f"{name} {low}-{high}" for name, low, high in runs],
            "scales": scales,
            **({"merges": merges} if merges else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StackRecipe:
        """Build a recipe from `to_dict`'s values.

        Raises
        ------
        RecipeError
            A run of layers is written otherwise.
        """
        layers: list[tuple[str, int]] = []
        for at, run in enumerate(values["layers"]):
            found = re.fullmatch(r"(.+) (\d+)-(\d+)", str(run))
            if found is None:
                raise RecipeError(f"stack.layers[{at}]: is {run!r}, expected 'NAME FIRST-LAST'")
            name, low, high = found.groups()
            layers += [(name, number) for number in range(int(low), int(high) + 1)]
        scales = tuple(float(values["scales"].get(str(at), 1.0)) for at in range(len(layers)))
        merges = {name: Recipe.from_dict(merge) for name, merge in values.get("merges", {}).items()}
        return cls(values["base"], LayerStack(tuple(layers), scales), merges)


AnyRecipe = Recipe | StackRecipe


def recipe_from_dict(values: Mapping[str, Any]) -> AnyRecipe:
    """Build whichever recipe ``to_dict`` wrote."""
    return (StackRecipe if "layers" in values else Recipe).from_dict(values)


def to_mergekit_yaml(
    recipe: AnyRecipe, depth: int, folders: Mapping[str, str] | None = None
) -> str:
    """Write a recipe for ``mergekit-yaml``; a stack with merges for ``mergekit-multi``.

    Parameters
    ----------
    recipe
        A stack comes last, behind its merges.
    depth
        Number of layers of the base.
    folders
        As in `merge.recipes.mergekit_yaml.write_recipe`.
    """
    if isinstance(recipe, Recipe):
        return write_recipe(recipe, depth, folders)
    merges = [
        yaml.safe_dump({"name": name}) + write_recipe(merge, depth, folders)
        for name, merge in recipe.merges.items()
    ]
    return "---\n".join([*merges, recipe.stack.to_mergekit_yaml(folders)])


def stack_states(
    recipe: StackRecipe, base: State, sources: Mapping[str, State]
) -> dict[str, State]:
    """List the state dicts that a stack's layers may come from, by name; merges are carried out."""
    merges = {n: merge_recipe(merge, base, sources) for n, merge in recipe.merges.items()}
    return {**sources, recipe.base: base, **merges}
