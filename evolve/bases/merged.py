"""One base and the merges of it, opened one recipe at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.personas.persona import Population
from evobourse.merge.engine.shared_layers import SourceParts, stack_parts
from evobourse.merge.errors import RecipeError
from evobourse.merge.model_folder import check_finite
from evobourse.merge.recipes.recipe import State, merge_recipe
from evobourse.merge.recipes.stack_recipe import AnyRecipe, StackRecipe


@dataclass
class MergedBases:
    """Bases made to recipe, put into one engine.

    Attributes
    ----------
    engine
        The engine whose weights are exchanged.
    base
        The base's float32 state dict; empty where there are no sources to merge it with.
    base_hash
        Its content hash.
    sources
        State dicts of the recipe's sources, by name.
    source_hashes
        Their content hashes.
    """

    engine: MindEngine
    base: State
    base_hash: str
    sources: Mapping[str, State] = field(default_factory=dict)
    source_hashes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._moved: set[str] = set()  # what any recipe so far took from the base
        self._held = self.engine.base_hash  # whose weights the base's modules hold
        self._parts: dict[str, SourceParts] = {}

    @property
    def depth(self) -> int:
        """Count the base's layers."""
        return len(self.engine.decoder.model.model.layers)

    @property
    def nbytes(self) -> int:
        """Count the bytes of all weights that are kept here, shared ones once."""
        storages = (tensor.untyped_storage() for tensor in self._tensors())
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

    def hash_of(self, base: str) -> str:
        """Name the one base that there is."""
        return self.base_hash

    def expect(self, casts: Sequence[tuple[AnyRecipe | None, Sequence[Population]]]) -> None:
        """Wait to be asked."""

    def serve(self, recipe: AnyRecipe | None) -> MindEngine:
        """Make and install a recipe's base; return the engine, ready to answer.

        A merge's weights replace the base's. A stack runs on the layers of the base and of its
        sources as they are, each quantised once.

        Raises
        ------
        RecipeError
            The recipe names what is not there, or what does not fit.
        """
        key = self._key(recipe)
        if key == self.engine.base_hash:
            return self.engine
        held, state, parts = self.base_hash, self.base, None
        if isinstance(recipe, StackRecipe):
            parts = stack_parts(recipe.stack, self._sources(recipe))
        elif recipe is not None:
            held, state = key, merge_recipe(recipe, self.base, self.sources)
            for name, tensor in state.items():
                if tensor is not self.base[name]:
                    check_finite("recipe", name, tensor, "its weights are too large together")
        weights: State = {}
        if held != self._held:
            changed = {name for name, tensor in state.items() if tensor is not self.base[name]}
            self._moved |= changed
            weights = {name: state[name] for name in self.base if name in self._moved}
        self.engine.set_base(weights, key, parts)
        self._held = held
        return self.engine

    def _key(self, recipe: AnyRecipe | None) -> str:
        if recipe is None:
            return self.base_hash
        used = [self.source_hashes.get(name, self.base_hash) for name in recipe.sources]
        return f"{self.base_hash} {used} {recipe.to_dict()}"

    def _sources(self, recipe: StackRecipe) -> dict[str, SourceParts]:
        """Open what a stack takes layers from, each once; merges are carried out."""
        found = {}
        for name in dict.fromkeys(name for name, _ in recipe.stack.layers):
            merge = recipe.merges.get(name)
            key = self._key(merge) if merge else name
            if key not in self._parts:
                state = self.base if name == recipe.base else self.sources.get(name)
                if merge:
                    state = merge_recipe(merge, self.base, self.sources)
                if state is None:
                    raise RecipeError(
                        f"stack.layers: {name!r} is unknown; known: {sorted(self.sources)}"
                    )
                model = self.engine.decoder.model
                self._parts[key] = SourceParts(name, model, self.base, state)
            found[name] = self._parts[key]
        return found

    def _tensors(self) -> Iterator[Any]:
        bank = self.engine.bank
        for state in (self.engine.decoder.model.state_dict(), self.base, *self.sources.values()):
            yield from state.values()
        for factors in (pair for adapter in bank.adapters for pair in adapter.factors.values()):
            yield from factors
        for site in bank.sites:
            yield from (site.down, site.up)
