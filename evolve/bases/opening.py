"""Bases made to recipe: models, adapters and sources opened once, merged and served on demand.

A base may also be a server, whose weights nobody here can change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evobourse.agents.errors import AgentError
from evobourse.agents.minds.answer_memo import AnswerMemo
from evobourse.agents.minds.completions import Budget
from evobourse.agents.minds.endpoint import EndpointMinds, is_endpoint, parse_endpoint
from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.minds.self_check import prove_base
from evobourse.evolve.bases.base_pool import BasePool, PooledBase
from evobourse.evolve.bases.limits import BaseLimits
from evobourse.evolve.bases.merged import MergedBases
from evobourse.evolve.bases.protocol import Bases, PersonaBase
from evobourse.evolve.bases.served import EndpointBases
from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.batch_invariance import check_batches
from evobourse.merge.engine.loading import load_quantized, untie_head
from evobourse.merge.engine.placement import Storage
from evobourse.merge.errors import AdapterError, ModelError
from evobourse.merge.model_config import read_config
from evobourse.merge.model_folder import empty_model, linear_layers
from evobourse.merge.peft.folder import read_adapter
from evobourse.merge.recipes.recipe import is_tied, load_source
from evobourse.merge.sources import cache_folder, hash_folder, resolve_model


def open_bases(
    base: str,
    adapters: Sequence[Path],
    sources: Sequence[Path],
    blocks: int = 1,
    others: Mapping[str, PersonaBase] | None = None,
    limits: BaseLimits | None = None,
) -> Bases:
    """Open a base: a server's, or a model with its adapters and the sources of its recipes.

    With other bases beside it, or a budget of memory, it is a pool that loads each when it is
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
    limits
        What they may use; None for the defaults.

    Raises
    ------
    merge.errors.MergeError, agents.errors.AgentError
        A model or adapter is missing, unreadable or of another shape; the base's URL or the memo
        cannot be used.
    """
    limits = limits or BaseLimits()
    budget = Budget(limits.limits.max_requests, limits.limits.max_tokens)
    kept = AnswerMemo(limits.memo) if limits.memo else None

    def open_one(base: str, adapters: Sequence[Path], sources: Sequence[Path] = ()) -> Bases:
        if is_endpoint(base):
            answers = AnswerMemo(cache_folder() / "answers.sqlite") if kept is None else kept
            styles = [folder.name for folder in adapters]
            minds = EndpointMinds(parse_endpoint(base), styles, limits.limits, answers, budget)
            return EndpointBases(minds)
        return open_model(
            base, adapters, sources, blocks, limits.storage, kept, limits.kv_budget_bytes
        )

    if not others and limits.memory_bytes is None:
        return open_one(base, adapters, sources)

    def open_other(name: str, adapters: Sequence[Path]) -> Bases:
        try:
            return open_one(name, adapters)
        except (AdapterError, ModelError) as error:
            raise type(error)(f"a persona's base {name!r}: {error}") from error

    if others and base in others:
        raise AgentError(f"base {base!r}: is the main one and a persona's own; name another")
    members = {base: PooledBase(partial(open_one, base, adapters, sources))}
    for name, other in (others or {}).items():
        opens = partial(open_other, name, other.adapters)
        members[name] = PooledBase(opens, base_hash=other.base_hash)
    for name, member in members.items():
        member.nbytes = 0 if is_endpoint(name) else None
    return BasePool(members, limits.memory_bytes)


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
    # Kept beside the INT8 copy, and only then: what recipes are merged from.
    state: dict[str, Any] = {}
    model, tokenizer, base_hash = load_quantized(base, storage, state if sources else None)
    prove_base(base, model, tokenizer, base_hash)
    check_batches(model)
    linears = linear_layers(empty_model(base, read_config(base, resolve_model(base))))
    read = tuple(read_adapter(folder, linears) for folder in adapters)
    loaded = {
        folder.name: load_source(folder.name, folder, state, tokenizer, model.config)
        for folder in sources
    }
    if is_tied(state) and not all(map(is_tied, loaded.values())):
        untie_head(model)  # a merge has both matrices
    bank = AdapterBank(model, read, blocks)
    engine = MindEngine(model, tokenizer, bank, base_hash, memo, kv_budget_bytes)
    hashes = {folder.name: hash_folder(folder) for folder in sources}
    return MergedBases(engine, state, base_hash, loaded, hashes)
