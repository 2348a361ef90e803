"""Merge recipes in mergekit's terms, built in memory by mergekit itself.

Knows sources, methods and one weight per source and layer block. Deliberately knows nothing
of quantisation or of who searches the weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from merge.adapters import read_adapter
from merge.errors import AdapterError, RecipeError
from merge.sources import load_model

State = Mapping[str, torch.Tensor]
_LAYER = re.compile(r"\.layers\.(\d+)\.")
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


@dataclass(frozen=True)
class Recipe:
    """A merge of full models, one weight per layer block and source.

    Attributes
    ----------
    method
        ``task_arithmetic``: base plus the weighted sum of (source - base); ``linear``: the
        normalised weighted mean of the sources, the base not among them.
    base
        Name of the base model.
    sources
        Names of the source models, unique.
    weights
        ``weights[block][source]``; blocks are equal spans of layers from the bottom up.

    Raises
    ------
    RecipeError
        Shapes do not match, a weight is not finite, or linear weights that sum to zero (from
        which mergekit would make NaN without a word).
    """

    method: Literal["task_arithmetic", "linear"]
    base: str
    sources: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if self.method not in ("task_arithmetic", "linear"):
            raise RecipeError(
                f"recipe.method: is {self.method!r}, expected 'task_arithmetic' or 'linear'"
            )
        if not self.sources or len(set(self.sources)) != len(self.sources):
            raise RecipeError(f"recipe.sources: names must be present and unique: {self.sources}")
        if not self.weights:
            raise RecipeError("recipe.weights: is empty, expected one row of weights a block")
        for block, row in enumerate(self.weights):
            if len(row) != len(self.sources) or not all(map(math.isfinite, row)):
                raise RecipeError(
                    f"recipe.weights[{block}]: is {row}, expected {len(self.sources)} finite "
                    "numbers, one per source"
                )
            if self.method == "linear" and abs(sum(row)) < 1e-6:
                raise RecipeError(f"recipe.weights[{block}]: linear weights sum to zero: {row}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; `from_dict` undoes it."""
        return {
            **asdict(self),
            "sources": list(self.sources),
            "weights": [list(row) for row in self.weights],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Build a recipe from `to_dict`'s values."""
        weights = tuple(tuple(float(w) for w in row) for row in values["weights"])
        return cls(values["method"], values["base"], tuple(values["sources"]), weights)

    def to_mergekit_yaml(self, depth: int) -> str:
        """Write the recipe for mergekit's own command line: one slice a block.

        Parameters
        ----------
        depth
            Number of layers of the models.
        """
        edges = [depth * b // len(self.weights) for b in range(len(self.weights) + 1)]
        slices = []
        for block, row in enumerate(self.weights):
            span = [edges[block], edges[block + 1]]
            entries: list[dict[str, Any]] = [
                {"model": name, "layer_range": span, "parameters": {"weight": weight}}
                for name, weight in zip(self.sources, row, strict=True)
            ]
            if self.method == "task_arithmetic":
                entries.insert(0, {"model": self.base, "layer_range": span})
            slices.append({"sources": entries})
        config: dict[str, Any] = {"merge_method": self.method, "slices": slices}
        if self.method == "task_arithmetic":
            config["base_model"] = self.base
        return yaml.safe_dump({**config, "dtype": "float32"}, sort_keys=False)


def merge_recipe(
    recipe: Recipe, base: State, sources: Mapping[str, State]
) -> dict[str, torch.Tensor]:
    """Carry a recipe out with mergekit's ``merge_state_dicts``.

    Tensors that every source shares with the base (the same object) are passed through.
    Tensors below the layers belong to the first block, those above to the last.

    Parameters
    ----------
    recipe
        What to merge.
    base
        The base's state dict.
    sources
        State dicts by source name, with the base's keys and shapes.

    Returns
    -------
    dict
        The merged state dict, float32.

    Raises
    ------
    RecipeError
        A source is missing, or its tensors have other names or shapes than the base's.
    """
    from mergekit.merge_methods.api import merge_state_dicts

    states = _matching(recipe, base, sources)
    depth = 1 + max(int(m[1]) for m in map(_LAYER.search, base) if m)
    blocks = len(recipe.weights)
    keys: list[list[str]] = [[] for _ in range(blocks)]
    merged: dict[str, torch.Tensor] = {}
    for key, tensor in base.items():
        if all(state[key] is tensor for state in states.values()):
            merged[key] = tensor
        else:
            keys[_block_of(key, depth, blocks)].append(key)
    for block, names in enumerate(keys):
        if not names:
            continue
        inputs = {name: {k: state[k] for k in names} for name, state in states.items()}
        weights = dict(zip(recipe.sources, recipe.weights[block], strict=True))
        common: dict[str, Any] = {}
        if recipe.method == "task_arithmetic":
            inputs = {"__base__": {k: base[k] for k in names}, **inputs}
            weights = {"__base__": 0.0, **weights}
            common["base"] = "__base__"
        with torch.no_grad():
            merged |= merge_state_dicts(
                inputs, recipe.method, parameters={"weight": weights}, **common
            )
    moved = merged.get(_EMBEDDING) is not base.get(_EMBEDDING)
    if moved and all(_is_tied(state) for state in (base, *states.values())):
        merged[_HEAD] = merged[_EMBEDDING]  # one matrix, merged once, as mergekit does
    return {key: merged[key] for key in base}


def load_source(name: str, folder: Path, base: State) -> State:
    """Load a source model as a state dict over a base.

    Parameters
    ----------
    name
        For messages.
    folder
        A full model's folder, or a PEFT LoRA folder whose update is folded into the base's
        weights; the tensors that it leaves alone are the base's own objects.
    base
        The base's float32 state dict.
    """
    if not (folder / "adapter_config.json").is_file():
        return load_model(str(folder))[0].state_dict()
    folded = dict(base)
    for (layer, module), (down, up) in read_adapter(folder).factors.items():
        key = f"model.layers.{layer}.{module}.weight"
        if key not in base or base[key].shape != (up.shape[0], down.shape[1]):
            raise AdapterError(
                f"source {name!r}: {key} is {(up.shape[0], down.shape[1])} there and "
                f"{tuple(base[key].shape) if key in base else 'absent'} in the base"
            )
        folded[key] = base[key] + up @ down
    return folded


def _matching(recipe: Recipe, base: State, sources: Mapping[str, State]) -> dict[str, State]:
    states: dict[str, State] = {}
    for name in recipe.sources:
        if name not in sources:
            raise RecipeError(f"recipe.sources: {name!r} is unknown; known: {sorted(sources)}")
        state = sources[name]
        odd = sorted(set(state) ^ set(base)) or [
            key for key in base if state[key].shape != base[key].shape
        ]
        if odd:
            raise RecipeError(
                f"recipe.sources: {name!r} and the base differ in {odd[0]} "
                "(another architecture or vocabulary); merge models of one shape"
            )
        states[name] = state
    return states


def _is_tied(state: State) -> bool:
    return {_HEAD, _EMBEDDING} <= set(state) and torch.equal(state[_HEAD], state[_EMBEDDING])


def _block_of(key: str, depth: int, blocks: int) -> int:
    match = _LAYER.search(key)
    if match is None:
        return 0 if "embed" in key else blocks - 1
    layer = int(match[1])
    edges = [depth * b // blocks for b in range(1, blocks)]
    return sum(layer >= edge for edge in edges)
