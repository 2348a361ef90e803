"""Bases made to recipe: models, adapters and sources opened once, merged and served on demand.

Knows how folders become one engine and how a recipe's weights get into it. Deliberately knows
nothing of populations or scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agents.minds import MindEngine, hash_weights
from merge.adapters import AdapterBank, read_adapter
from merge.errors import AdapterError
from merge.int8 import quantize_int8
from merge.merge_cache import hash_folder
from merge.recipe import Recipe, State, load_source, merge_recipe
from merge.sources import load_model


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


def open_bases(
    base: str,
    adapters: Sequence[Path],
    sources: Sequence[Path],
    blocks: int = 1,
    device: str = "cpu",
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
    engine = MindEngine(model, tokenizer, bank, base_hash)
    hashes = {folder.name: hash_folder(folder) for folder in sources}
    return MergedBases(engine, state, base_hash, loaded, hashes)


def adapter_folders(folder: Path) -> list[Path]:
    """List the PEFT folders inside a folder, by name; for adapters and for sources."""
    return sorted(path.parent for path in folder.glob("*/adapter_config.json"))
