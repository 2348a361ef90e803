"""Bases made to recipe: models, adapters and sources opened once, merged and served on demand.

A base may also be a server, whose weights nobody here can change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from evobourse.agents.errors import AgentError
from evobourse.agents.minds.answer_memo import AnswerMemo
from evobourse.agents.minds.completions import Budget
from evobourse.agents.minds.endpoint import EndpointMinds, is_endpoint, parse_endpoint
from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.personas.persona import Population
from evobourse.evolve.bases.base_pool import Council, Member, PersonaBase
from evobourse.evolve.bases.limits import Means
from evobourse.merge.engine.adapter_bank import AdapterBank, read_adapter
from evobourse.merge.engine.batch_invariance import check_batches
from evobourse.merge.engine.loading import load_quantized
from evobourse.merge.engine.placement import Storage
from evobourse.merge.engine.shared_layers import SourceParts, stack_parts
from evobourse.merge.errors import AdapterError, ModelError, RecipeError
from evobourse.merge.recipes.merge_cache import hash_folder
from evobourse.merge.recipes.recipe import State, load_source, merge_recipe
from evobourse.merge.recipes.stack_recipe import AnyRecipe, StackRecipe
from evobourse.merge.sources import cache_folder


class ServedMinds(Minds, Protocol):
    """Minds that count what they were asked and had to compute."""

    counters: Any


class Bases(Protocol):
    """Where recipes become minds."""

    @property
    def base_hash(self) -> str:
        """Name the unmerged base's weights by content."""

    @property
    def depth(self) -> int:
        """Count the base's layers, 0 where nobody says."""

    @property
    def nbytes(self) -> int:
        """Count the bytes of all weights that are kept here."""

    def hash_of(self, base: str) -> str:
        """Name by content the weights of what answers for personas of a base."""

    def expect(self, casts: Sequence[tuple[AnyRecipe | None, Sequence[Population]]]) -> None:
        """Hear what will be asked: minds in workers answer all of it at once, others wait."""

    def serve(self, recipe: AnyRecipe | None) -> ServedMinds:
        """Make a recipe's base ready to answer."""


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


@dataclass(frozen=True)
class EndpointBases:
    """The one base of a server, which takes no recipe."""

    minds: EndpointMinds
    depth: int = 0
    nbytes: int = 0

    @property
    def base_hash(self) -> str:
        """Name the server, the model and all that its answers depend on."""
        return self.minds.base_hash

    def hash_of(self, base: str) -> str:
        """Name the one base that there is."""
        return self.base_hash

    def expect(self, casts: Sequence[tuple[AnyRecipe | None, Sequence[Population]]]) -> None:
        """Wait to be asked."""

    def serve(self, recipe: AnyRecipe | None) -> EndpointMinds:
        """Return the minds.

        Raises
        ------
        RecipeError
            There is a recipe.
        """
        if recipe is not None:
            url = self.minds.endpoint.url
            raise RecipeError(f"base {url}: a server's weights cannot be merged; use no recipe")
        return self.minds


def open_bases(
    base: str,
    adapters: Sequence[Path],
    sources: Sequence[Path],
    blocks: int = 1,
    others: Mapping[str, PersonaBase] | None = None,
    means: Means | None = None,
) -> Bases:
    """Open a base: a server's, or a model with its adapters and the sources of its recipes.

    With other bases beside it, or a budget of memory, it is a council that loads each when it is
    asked.

    Parameters
    ----------
    base, adapters
        See `merge.sources.resolve_model` and `agents.minds.endpoint.Endpoint`; of adapters, a
        server's minds use the names alone.
    sources, blocks
        See `open_model`; nothing to a server.
    others
        Bases that personas name.
    means
        What they may use; None for the defaults.

    Raises
    ------
    merge.errors.MergeError, agents.errors.AgentError
        A model or adapter is missing, unreadable or of another shape; the base's URL or the memo
        cannot be used.
    """
    means = means or Means()
    budget = Budget(means.limits.max_requests, means.limits.max_tokens)
    kept = AnswerMemo(means.memo) if means.memo else None

    def open_one(base: str, adapters: Sequence[Path], sources: Sequence[Path] = ()) -> Bases:
        if is_endpoint(base):
            answers = AnswerMemo(cache_folder() / "answers.sqlite") if kept is None else kept
            styles = [folder.name for folder in adapters]
            minds = EndpointMinds(parse_endpoint(base), styles, means.limits, answers, budget)
            return EndpointBases(minds)
        return open_model(
            base, adapters, sources, blocks, means.storage, kept, means.kv_budget_bytes
        )

    if not others and means.memory_bytes is None:
        return open_one(base, adapters, sources)

    def open_other(name: str, adapters: Sequence[Path]) -> Bases:
        try:
            return open_one(name, adapters)
        except (AdapterError, ModelError) as error:
            raise type(error)(f"a persona's base {name!r}: {error}") from error

    if others and base in others:
        raise AgentError(f"base {base!r}: is the main one and a persona's own; name another")
    members = {base: Member(partial(open_one, base, adapters, sources))}
    for name, other in (others or {}).items():
        opens = partial(open_other, name, other.adapters)
        members[name] = Member(opens, base_hash=other.base_hash)
    for name, member in members.items():
        member.nbytes = 0 if is_endpoint(name) else None
    return Council(members, means.memory_bytes)


def open_model(
    base: str,
    adapters: Sequence[Path],
    sources: Sequence[Path],
    blocks: int = 1,
    storage: Storage | None = None,
    memo: AnswerMemo | None = None,
    kv_budget_bytes: int | None = None,
) -> MergedBases:
    """Load a base, its style adapters and the sources of its recipes.

    Parameters
    ----------
    base
        See `merge.sources.resolve_model`.
    adapters
        PEFT LoRA folders, in the order of a mind's coefficients; none: all minds are the base.
    sources
        Folders of source models; the folder's name is the source's.
    blocks
        Layer blocks with coefficients of their own.
    storage
        Devices and precision; None: ours on the processor.
    memo
        Answers kept on disk.
    kv_budget_bytes
        See `agents.minds.engine.MindEngine`.

    Raises
    ------
    merge.errors.MergeError
        A model or adapter is missing, unreadable or of another shape.
    """
    read = tuple(read_adapter(folder) for folder in adapters)
    # Kept beside the INT8 copy, and only then: what recipes are merged from.
    state: dict[str, Any] = {}
    model, tokenizer, base_hash = load_quantized(base, storage, state if sources else None)
    check_batches(model)
    loaded = {folder.name: load_source(folder.name, folder, state, tokenizer) for folder in sources}
    bank = AdapterBank(model, read, blocks)
    engine = MindEngine(model, tokenizer, bank, base_hash, memo, kv_budget_bytes)
    hashes = {folder.name: hash_folder(folder) for folder in sources}
    return MergedBases(engine, state, base_hash, loaded, hashes)
