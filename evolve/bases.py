"""Bases made to recipe: models, adapters and sources opened once, merged and served on demand.

Knows how folders become one engine and how a recipe's weights get into it, and that a base may be
a server whose weights nobody here can change. Deliberately knows nothing of populations or scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from agents.answer_memo import AnswerMemo
from agents.completions import EndpointLimits
from agents.endpoint import EndpointMinds, is_endpoint, parse_endpoint
from agents.minds import MindEngine, hash_weights
from agents.stand_ins import Minds
from merge.adapters import AdapterBank, read_adapter
from merge.errors import AdapterError, RecipeError
from merge.int8 import quantize_int8
from merge.merge_cache import hash_folder
from merge.recipe import Recipe, State, load_source, merge_recipe
from merge.sources import cache_folder, load_model


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

    def serve(self, recipe: Recipe | None) -> ServedMinds:
        """Make a recipe's base ready to answer."""


@dataclass
class MergedBases:
    """Bases made to recipe, put into one engine.

    Attributes
    ----------
    engine
        The engine whose weights are exchanged.
    base
        The base's float32 state dict.
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

    @property
    def depth(self) -> int:
        """Count the base's layers."""
        return self.engine.decoder.depth

    def serve(self, recipe: Recipe | None) -> MindEngine:
        """Merge, quantise and install a recipe's base; return the engine, ready to answer."""
        if recipe is None:
            key, state = self.base_hash, self.base
        else:
            used = [self.source_hashes.get(name, self.base_hash) for name in recipe.sources]
            key = f"{self.base_hash} {used} {recipe.to_dict()}"
            if key == self.engine.base_hash:
                return self.engine
            state = merge_recipe(recipe, self.base, self.sources)
        self._moved |= {name for name, tensor in state.items() if tensor is not self.base[name]}
        self.engine.set_base({name: state[name] for name in self.base if name in self._moved}, key)
        return self.engine


@dataclass(frozen=True)
class EndpointBases:
    """The one base of a server, which takes no recipe."""

    minds: EndpointMinds
    depth: int = 0

    @property
    def base_hash(self) -> str:
        """Name the server, the model and all that its answers depend on."""
        return self.minds.base_hash

    def serve(self, recipe: Recipe | None) -> EndpointMinds:
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
    device: str = "cpu",
    memo: Path | None = None,
    limits: EndpointLimits | None = None,
    kv_budget_bytes: int | None = None,
) -> Bases:
    """Open a base: a server's, or a model with its adapters and the sources of its recipes.

    Parameters
    ----------
    base, adapters
        See `merge.sources.resolve_model` and `agents.endpoint.Endpoint`; of adapters, a server's
        minds use the names alone.
    sources, blocks, device
        See `open_model`; nothing to a server.
    memo
        File of answers kept between runs. None keeps a model's in memory alone, and a server's,
        which may be paid for, in ``answers.sqlite`` in the cache folder.
    limits
        How hard a server may be driven.
    kv_budget_bytes
        See `agents.minds.MindEngine`; nothing to a server.

    Raises
    ------
    merge.errors.MergeError, agents.errors.AgentError
        A model or adapter is missing, unreadable or of another shape; the base's URL or the memo
        cannot be used.
    """
    if is_endpoint(base):
        answers = AnswerMemo(memo or cache_folder() / "answers.sqlite")
        styles = [folder.name for folder in adapters]
        limits = limits or EndpointLimits()
        return EndpointBases(EndpointMinds(parse_endpoint(base), styles, limits, answers))
    answers_kept = AnswerMemo(memo) if memo else None
    return open_model(base, adapters, sources, blocks, device, answers_kept, kv_budget_bytes)


def open_model(
    base: str,
    adapters: Sequence[Path],
    sources: Sequence[Path],
    blocks: int = 1,
    device: str = "cpu",
    memo: AnswerMemo | None = None,
    kv_budget_bytes: int | None = None,
) -> MergedBases:
    """Load a base, its style adapters and the sources of its recipes.

    Parameters
    ----------
    base
        See `merge.sources.resolve_model`.
    adapters
        PEFT LoRA folders, in the order of a mind's coefficients.
    sources
        Folders of source models; the folder's name is the source's.
    blocks
        Layer blocks with coefficients of their own.
    device
        Torch device.
    memo
        Answers kept on disk.
    kv_budget_bytes
        See `agents.minds.MindEngine`.

    Raises
    ------
    merge.errors.MergeError
        A model or adapter is missing, unreadable or of another shape.
    """
    read = tuple(read_adapter(folder) for folder in adapters)
    if not read:
        raise AdapterError("adapters: the folder holds no adapter; name one that does")
    model, tokenizer = load_model(base)
    # Kept beside the INT8 copy: what recipes are merged from.
    state: State = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}
    loaded = {folder.name: load_source(folder.name, folder, state, tokenizer) for folder in sources}
    base_hash = hash_weights(state)
    bank = AdapterBank(quantize_int8(model).to(device), read, blocks)
    engine = MindEngine(model, tokenizer, bank, base_hash, memo, kv_budget_bytes)
    hashes = {folder.name: hash_folder(folder) for folder in sources}
    return MergedBases(engine, state, base_hash, loaded, hashes)


def adapter_folders(folder: Path) -> list[Path]:
    """List the PEFT folders inside a folder, by name; for adapters and for sources."""
    return sorted(path.parent for path in folder.glob("*/adapter_config.json"))
