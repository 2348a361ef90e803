"""Merge recipes in mergekit's terms, built in memory by mergekit itself.

A recipe has sources, a method, and weights and densities per source, layer block and filter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from evobourse.merge.errors import RecipeError
from evobourse.merge.model_config import check_source
from evobourse.merge.peft.folder import read_adapter
from evobourse.merge.recipes.methods import (
    Method,
    Option,
    check_densities,
    check_options,
    check_weights,
    find_method,
)
from evobourse.merge.sources import check_vocabulary, load_model

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

State: TypeAlias = "Mapping[str, torch.Tensor]"
Rows = tuple[tuple[float, ...], ...]
FILTERS: Mapping[str, tuple[str, ...]] = {
    "attention": ("self_attn",),
    "mlp": ("mlp",),
    "embeddings": ("embed_tokens", "lm_head"),
}
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_LAYER = re.compile(r"\.layers\.(\d+)\.")


@dataclass(frozen=True)
class FilterSetting:
    """Weights and densities of the tensors of one filter; None: the recipe's own."""

    weights: Rows | None = None
    densities: Rows | None = None


@dataclass(frozen=True)
class Recipe:
    """A merge of full models: weights and densities per layer block, filter and source.

    Attributes
    ----------
    method
        One of `merge.recipes.methods.METHODS`, in mergekit's terms. ``task_arithmetic``: base plus
        the weighted sum of (source - base); ``linear``: the normalised weighted mean of the
        sources, the base not among them unless it is named as a source; ``nuslerp``: on the
        differences from the base.
    base
        Name of the base model.
    sources
        Names of the source models, unique.
    weights
        ``weights[block][source]``; blocks are equal spans of layers from the bottom up.
        One number a block for ``slerp`` (its t), none for ``karcher`` and ``model_stock``.
    densities
        ``densities[block][source]``, above 0 and up to 1, for the methods that thin out.
    filters
        Filter (``attention``, ``mlp``, ``embeddings``) to values of its own; what no filter
        names (the norms) has the recipe's.
    options
        Further parameters of the method, by mergekit's names.
    seed
        Of the methods that draw random numbers (DARE, DELLA), as in
        ``mergekit-yaml --random-seed``.

    Raises
    ------
    RecipeError
        Anything that the method does not take, and all from which mergekit would make nonsense
        without a word: weights that sum to zero where it divides by the sum, densities of 0 or
        above 1, unknown options.
    """

    method: str
    base: str
    sources: tuple[str, ...]
    weights: Rows
    densities: Rows | None = None
    filters: Mapping[str, FilterSetting] = field(default_factory=dict)
    options: Mapping[str, Option] = field(default_factory=dict)
    seed: int | None = None

    def __post_init__(self) -> None:
        method = find_method(self.method)
        self._check_sources(method)
        check_options(self.method, self.options)
        if not self.weights:
            raise RecipeError("recipe.weights: is empty, expected one row of weights a block")
        if method.density != (self.densities is not None):
            expected = "one row a block" if method.density else "none"
            raise RecipeError(
                f"recipe.densities: is {self.densities}, {self.method} takes {expected}"
            )
        self._check_rows("recipe", self.weights, self.densities)
        for name, setting in self.filters.items():
            if name not in FILTERS:
                raise RecipeError(f"recipe.filters: {name!r} is none of {', '.join(FILTERS)}")
            if setting.densities is not None and not method.density:
                raise RecipeError(f"recipe.filters.{name}: {self.method} takes no densities")
            self._check_rows(f"recipe.filters.{name}", setting.weights, setting.densities)
        if method.random != (self.seed is not None):
            does = "draws random numbers" if method.random else "draws no random numbers"
            raise RecipeError(f"recipe.seed: is {self.seed}, but {self.method} {does}")
        if self.seed is not None and not 0 <= self.seed < 2**32:
            raise RecipeError(f"recipe.seed: is {self.seed}, expected 0 to 2**32 - 1")

    def _check_sources(self, method: Method) -> None:
        if not self.sources or len(set(self.sources)) != len(self.sources):
            raise RecipeError(f"recipe.sources: names must be present and unique: {self.sources}")
        least, most = method.sources
        if not least <= len(self.sources) <= most:
            expected = f"{least}" if least == most else f"at least {least}"
            raise RecipeError(f"recipe.sources: are {self.sources}, {self.method} takes {expected}")
        if method.base and self.base in self.sources:
            raise RecipeError(f"recipe.sources: {self.base!r} is the base, which takes part anyway")

    def _check_rows(self, where: str, weights: Rows | None, densities: Rows | None) -> None:
        checks = (("weights", weights, check_weights), ("densities", densities, check_densities))
        for name, rows, check in checks:
            if rows is not None and len(rows) != len(self.weights):
                raise RecipeError(
                    f"{where}.{name}: has {len(rows)} rows, expected {len(self.weights)}, one a "
                    "block as in recipe.weights"
                )
            for block, row in enumerate(rows or ()):
                place = f"{where}.{name}[{block}]"
                check(self.method, place, row, len(self.sources), self.options)

    def rows(self, name: str, filter_name: str | None = None) -> Rows:
        """Read ``weights`` or ``densities`` [block][source] of a filter, or of what none names."""
        setting = self.filters.get(filter_name or "", FilterSetting())
        own: Rows | None = getattr(setting, name)
        rest: Rows = getattr(self, name)
        return rest if own is None else own

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, without what is unset; `from_dict` undoes it."""
        rows = {"weights": self.weights, "densities": self.densities}
        filters = {
            name: _plain({"weights": setting.weights, "densities": setting.densities})
            for name, setting in self.filters.items()
        }
        further = {"filters": filters, "options": dict(self.options)}
        return {
            "method": self.method,
            "base": self.base,
            "sources": list(self.sources),
            **_plain(rows),
            **{name: value for name, value in further.items() if value},
            **({} if self.seed is None else {"seed": self.seed}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Build a recipe from `to_dict`'s values."""
        filters = {
            name: FilterSetting(**{key: _rows(rows) for key, rows in setting.items()})
            for name, setting in values.get("filters", {}).items()
        }
        return cls(
            values["method"],
            values["base"],
            tuple(values["sources"]),
            _rows(values["weights"]),
            _rows(values["densities"]) if "densities" in values else None,
            filters,
            dict(values.get("options", {})),
            values.get("seed"),
        )


def merge_recipe(
    recipe: Recipe, base: State, sources: Mapping[str, State]
) -> dict[str, torch.Tensor]:
    """Carry a recipe out with mergekit's ``merge_state_dicts``.

    The result has the bits that mergekit's command line writes for the recipe's YAML (and seed).
    Where a method starts from the base, tensors that every source shares with it (the same
    object) are passed through. Tensors below the layers belong to the first block, those above
    to the last.

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
    import torch  # seconds, and a recipe is read without it
    from mergekit.merge_methods.api import merge_state_dicts
    from mergekit.merge_methods.base import BatchOptions, PerGroupValues

    method = find_method(recipe.method)
    states = _matching(recipe, base, sources)
    tied = all(is_tied(state) for state in (base, *states.values()))
    merged: dict[str, torch.Tensor] = {}
    names = []
    for key in sorted(base):  # the order in which mergekit draws random numbers
        if method.keeps_shared and all(state[key] is base[key] for state in states.values()):
            merged[key] = base[key].float()
        elif not (tied and key == HEAD):
            names.append(key)
    inputs = {name: {key: state[key] for key in names} for name, state in states.items()}
    if method.base:
        inputs = {recipe.base: {key: base[key] for key in names}, **inputs}
    parameters: dict[str, Any] = dict(recipe.options)
    for name, values in _parameters(recipe, names, depth_of(base)).items():
        parameters[name] = PerGroupValues(values)
    with torch.no_grad(), _seeded(recipe.seed):
        merged |= merge_state_dicts(
            inputs,
            recipe.method,
            parameters=parameters,
            base=recipe.base if method.base else None,
            dtype=torch.float32,
            # Sums over a batch of tensors would round otherwise than over one.
            batch_options=BatchOptions(max_groups=1),
        )
    if tied and HEAD not in merged:
        merged[HEAD] = merged[EMBEDDING]  # one matrix, merged once, as mergekit does
    return {key: merged[key] for key in base}


def load_source(
    name: str,
    folder: Path,
    base: State,
    tokenizer: PreTrainedTokenizerBase | None = None,
    config: PretrainedConfig | None = None,
) -> State:
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
    tokenizer, config
        The base's; a full model with another vocabulary, or that computes otherwise, is refused.
    """
    if not (folder / "adapter_config.json").is_file():
        model, own = load_model(str(folder))
        if tokenizer is not None:
            check_vocabulary(name, own, tokenizer)
        if config is not None:
            check_source(name, model.config, config)
        whole: State = model.state_dict()
        return whole
    matrices = {key.removesuffix(".weight"): t for key, t in base.items() if t.dim() == 2}
    linears = {n: (t.shape[0], t.shape[1]) for n, t in matrices.items() if "embed" not in n}
    folded = dict(base)
    for (layer, module), (down, up) in read_adapter(folder, linears).factors.items():
        key = f"model.layers.{layer}.{module}.weight"
        folded[key] = base[key] + up @ down
    return folded


def depth_of(state: State) -> int:
    """Count the layers of a state dict."""
    return 1 + max(int(m[1]) for m in map(_LAYER.search, state) if m)


def is_tied(state: State) -> bool:
    """Say whether the output head is the embedding."""
    import torch

    return {HEAD, EMBEDDING} <= set(state) and torch.equal(state[HEAD], state[EMBEDDING])


def _matching(recipe: Recipe, base: State, sources: Mapping[str, State]) -> dict[str, State]:
    states: dict[str, State] = {}
    for name in recipe.sources:
        if name not in sources and name != recipe.base:
            raise RecipeError(f"recipe.sources: {name!r} is unknown; known: {sorted(sources)}")
        state = base if name == recipe.base else sources[name]
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


def _parameters(recipe: Recipe, names: list[str], depth: int) -> dict[str, list[Any]]:
    """Resolve weight, t and density for every tensor, as mergekit does from the YAML."""
    method = find_method(recipe.method)
    blocks = len(recipe.weights)
    found: dict[str, list[Any]] = {}
    for key in names:
        block = _block_of(key, depth, blocks)
        named = next((f for f, parts in FILTERS.items() if any(p in key for p in parts)), None)
        if method.weights == "t":
            found.setdefault("t", []).append(recipe.rows("weights", named)[block][0])
        if method.weights == "source":
            row = recipe.rows("weights", named)[block]
            found.setdefault("weight", []).append(dict(zip(recipe.sources, row, strict=True)))
        if method.density:
            row = recipe.rows("densities", named)[block]
            found.setdefault("density", []).append(dict(zip(recipe.sources, row, strict=True)))
    return found


def _block_of(key: str, depth: int, blocks: int) -> int:
    match = _LAYER.search(key)
    if match is None:
        return 0 if "embed" in key else blocks - 1
    layer = int(match[1])
    edges = [depth * b // blocks for b in range(1, blocks)]
    return sum(layer >= edge for edge in edges)


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Seed torch's global CPU stream, the only one that mergekit draws from, and put it back."""
    import torch

    with torch.random.fork_rng(devices=[]) if seed is not None else nullcontext():
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield


def _plain(tables: Mapping[str, Rows | None]) -> dict[str, list[list[float]]]:
    return {n: [list(row) for row in rows] for n, rows in tables.items() if rows is not None}


def _rows(values: Any) -> Rows:
    return tuple(tuple(float(value) for value in row) for row in values)
