"""A trie of prompts: each common beginning computed once, for a mind or for all of them.

Knows how questions of different mixtures become few large batches over what is known already.
Deliberately knows nothing of who asks, nor what is read from a prompt's last state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from merge.adapters import AdapterBank
from merge.batch_size import BatchSize
from merge.byte_budget import ByteBudget
from merge.cores import Mixture, split_cores
from merge.decoder import Decoder, Prefix
from merge.prompt import Prompt, Token

CHUNK_QUESTIONS = 4096
_KIND = "node"

Path = tuple[tuple[Token, ...], ...]
Question = tuple[Mixture, Prompt]
_Key = tuple[bytes | None, Path]


@dataclass(frozen=True)
class _Node:
    """One piece of prompts as some layers computed it.

    Attributes
    ----------
    hidden
        float32[tokens, width] below the first adapted layer; float32[width], the last token's,
        above the last layer.
    past
        Keys and values float32[layers, 2, 1, kv heads, tokens, head width]; None where nothing
        follows.
    """

    hidden: torch.Tensor
    past: torch.Tensor | None

    @property
    def nbytes(self) -> int:
        return self.hidden.nbytes + (0 if self.past is None else self.past.nbytes)


@dataclass
class _Chunk:
    """Nodes at hand, and which are missing: depth to key to whether something follows it."""

    nodes: dict[_Key, _Node] = field(default_factory=dict)
    missing: dict[int, dict[_Key, bool]] = field(default_factory=dict)
    mixtures: dict[bytes, Mixture] = field(default_factory=dict)


@dataclass
class TrieCounters:
    """Private pieces that the trunk computed, and tokens that the adapted layers computed."""

    trunk_rows: int = 0
    tokens: int = 0


class PromptTrie:
    """Last states of prompts for mixtures of a bank's adapters.

    A prompt's pieces (`merge.prompt.Prompt`) are the trie's nodes. A node is computed over its
    ancestors' keys and values: by the layers below the first adapted one once for all mixtures
    (the trunk), by those above once a mixture. Nodes of one shape, the lengths of all pieces so
    far, share batches, whoever's they are.

    Parameters
    ----------
    decoder, bank
        The base and its adapters.
    budget
        Where nodes are kept between calls.

    Notes
    -----
    Beside the budget only the chunk of questions at hand is held, chosen to need at most as much
    again.
    """

    def __init__(self, decoder: Decoder, bank: AdapterBank, budget: ByteBudget):
        self.decoder, self.bank, self.budget = decoder, bank, budget
        self.counters = TrieCounters()
        self._batches = BatchSize(decoder.device)
        self._activated = [a.invocation_tokens is not None for a in bank.adapters]

    def clear(self) -> None:
        """Forget everything: the base's weights have changed."""
        self.budget.clear(_KIND)

    def last_states(
        self, questions: Iterable[Question]
    ) -> Iterator[tuple[Sequence[Question], torch.Tensor]]:
        """Compute the state of the last token after the last layer.

        Yields
        ------
        tuple
            Some of the questions, and float32[n, width]. Questions keep their order.
        """
        chunk: list[Question] = []
        room = self.budget.limit
        for question in questions:
            room -= self._question_bytes(question[1])
            if chunk and (room < 0 or len(chunk) == CHUNK_QUESTIONS):
                yield chunk, self._compute_chunk(chunk)
                chunk, room = [], self.budget.limit - self._question_bytes(question[1])
            chunk.append(question)
        if chunk:
            yield chunk, self._compute_chunk(chunk)

    @torch.inference_mode()
    def _compute_chunk(self, questions: Sequence[Question]) -> torch.Tensor:
        chunk = _Chunk()
        keys: list[_Key] = []
        for mixture, prompt in questions:
            name = mixture.tobytes()
            chunk.mixtures[name] = mixture
            keys.append((name, prompt.path))
            self._plan(chunk, keys[-1])
        for trunk in (True, False):
            for depth in sorted(chunk.missing):
                wanted = {k: v for k, v in chunk.missing[depth].items() if (k[0] is None) == trunk}
                self._compute_level(chunk, wanted, trunk)
        return torch.stack([chunk.nodes[key].hidden for key in keys])

    def _plan(self, chunk: _Chunk, key: _Key, followed: bool = False) -> None:
        """Find a node, or note it as missing together with what it needs."""
        known = chunk.nodes.get(key)
        if known is None:
            known = self.budget.get((_KIND, *key))
        if known is not None and (known.past is not None or not followed):
            chunk.nodes[key] = known
            return
        name, path = key
        level = chunk.missing.setdefault(len(path), {})
        if level.get(key) in (True, followed):
            return
        level[key] = followed
        for depth in range(len(path) - 1, 0, -1):
            self._plan(chunk, self._ancestor(chunk, name, path[:depth]), followed=True)
        if name is not None:
            self._plan(chunk, (None, path))

    def _ancestor(self, chunk: _Chunk, name: bytes | None, path: Path) -> _Key:
        """Name a node as its followers see it: of the shared piece, what ordinary LoRA makes."""
        if name is None or len(path) > 1:
            return name, path
        acting = chunk.mixtures[name].copy()
        acting[:, self._activated] = 0
        chunk.mixtures[acting.tobytes()] = acting
        return acting.tobytes(), path

    def _compute_level(self, chunk: _Chunk, wanted: dict[_Key, bool], trunk: bool) -> None:
        """Compute nodes of one depth, whose ancestors are all there, in batches of one shape."""
        shapes: dict[tuple[bool, tuple[int, ...]], list[_Key]] = {}
        for key in wanted:
            cored = key[0] is not None and chunk.mixtures[key[0]].ndim > 2
            shapes.setdefault((cored, tuple(map(len, key[1]))), []).append(key)
        for (_, shape), keys in shapes.items():
            work = partial(self._compute, chunk, wanted)
            for batch in _pack_groups(keys, self._batch_rows(shape, trunk)):
                for nodes in self._batches.in_parts(batch, shape[-1], work):
                    chunk.nodes |= nodes
                    for key, node in nodes.items():
                        if node.past is not None or trunk:
                            self.budget.put((_KIND, *key), node)

    def _compute(
        self, chunk: _Chunk, wanted: dict[_Key, bool], keys: Sequence[_Key]
    ) -> dict[_Key, _Node]:
        """Run one batch; all keys have one depth, one shape, and are the trunk's or minds'."""
        paths, trunk = [path for _, path in keys], keys[0][0] is None
        tokens = len(paths[0][-1])
        if trunk:
            first, last = 0, self.decoder.first_adapted
            hidden = self.decoder.embed([path[-1] for _, path in keys])
        else:
            first, last = self.decoder.first_adapted, self.decoder.depth
            hidden = torch.stack([chunk.nodes[None, path].hidden for _, path in keys])
        prefix, prefix_of = self._prefixes(chunk, keys, first)
        near = self._near(chunk, keys, first)
        with nullcontext() if trunk else self._mixed(chunk, keys):
            hidden, own = self.decoder.run(hidden, first, last, prefix, near, prefix_of)
        if len(paths[0]) > 2:
            self.counters.trunk_rows += len(keys) if trunk else 0
            self.counters.tokens += 0 if trunk else len(keys) * tokens
        past = _pack(own, len(keys)) if any(wanted[key] for key in keys) else None
        states = hidden if trunk else hidden[:, -1]
        return {
            key: _Node(
                states[row].clone(),
                past[:, :, row : row + 1].clone() if past is not None and wanted[key] else None,
            )
            for row, key in enumerate(keys)
        }

    def _mixed(self, chunk: _Chunk, keys: Sequence[_Key]) -> AbstractContextManager[None]:
        """Let the adapters act in each row as its mind mixes them."""
        names = [name for name, _ in keys]
        if len(keys[0][1]) == 1 and all(self._activated):
            return nullcontext()  # the base's own, not adapters times zero
        distinct = names[:1] if len(set(names)) == 1 else names
        stacked = zip(*(split_cores(chunk.mixtures[name]) for name in distinct), strict=True)
        device = self.decoder.device
        coefficients, cores = (
            None if part[0] is None else torch.from_numpy(np.stack(part)).to(device)
            for part in stacked
        )
        return self.bank.mixed(coefficients, cores)

    def _prefixes(
        self, chunk: _Chunk, keys: Sequence[_Key], first: int
    ) -> tuple[Prefix | None, list[int] | None]:
        """Return what groups of rows share, shared piece and opening in one, and whose is which."""
        depths = range(1, min(len(keys[0][1]), 3))
        if not depths:
            return None, None
        groups: dict[tuple[_Key, ...], int] = {}
        prefix_of = []
        for name, path in keys:
            group = tuple(self._ancestor(chunk, name, path[:depth]) for depth in depths)
            prefix_of.append(groups.setdefault(group, len(groups)))
        pieces = []
        for column in zip(*groups, strict=True):
            same = len(set(column)) == 1
            pasts = [chunk.nodes[key].past for key in (column[:1] if same else column)]
            piece = torch.cat(pasts, dim=2)
            pieces.append(piece.expand(-1, -1, len(groups), -1, -1, -1))
        return _unpack(torch.cat(pieces, dim=4), first), prefix_of

    def _near(self, chunk: _Chunk, keys: Sequence[_Key], first: int) -> Prefix | None:
        """Return what stands between opening and piece, a row of it for each key."""
        pieces = []
        for depth in range(3, len(keys[0][1])):
            ancestors = {(name, path[:depth]): None for name, path in keys}
            place = {key: at for at, key in enumerate(ancestors)}
            stacked = torch.cat([chunk.nodes[key].past for key in ancestors], dim=2)
            index = torch.tensor([place[name, path[:depth]] for name, path in keys])
            pieces.append(stacked.index_select(2, index.to(stacked.device)))
        return _unpack(torch.cat(pieces, dim=4), first) if pieces else None

    def _token_bytes(self, layers: int) -> int:
        """Return the bytes of one token's keys and values in a number of layers."""
        config = self.decoder.model.config
        width = config.hidden_size // config.num_attention_heads
        return layers * 2 * config.num_key_value_heads * width * 4

    def _question_bytes(self, prompt: Prompt) -> int:
        """Bound the bytes of nodes that one question brings, shared with no other."""
        inner = sum(map(len, (prompt.opening, *prompt.steps[:-1])))
        if not all(self._activated):
            inner += len(prompt.shared)
        hidden = (inner + len(prompt.path[-1])) * self.decoder.model.config.hidden_size * 4
        return inner * self._token_bytes(self.decoder.depth) + hidden

    def _batch_rows(self, shape: tuple[int, ...], trunk: bool) -> int:
        """Choose rows of a batch by what each needs: activations, scores, keys and values.

        In the trunk all rows share the prefix; above, each may bring a mind's own.
        """
        config, first = self.decoder.model.config, self.decoder.first_adapted
        wide = 6 * config.hidden_size + 4 * config.intermediate_size
        scores = 4 * config.num_attention_heads * sum(shape)
        layers = first if trunk else self.decoder.depth - first
        past = sum(shape[2:] if trunk else shape) * self._token_bytes(layers)
        return self._batches.rows(shape[-1], shape[-1] * 4 * (wide + scores) + past)


def _pack_groups(keys: Sequence[_Key], most: int) -> Iterator[list[_Key]]:
    """Order rows by mind and put as many whole minds into a batch as it holds, largest first."""
    groups: dict[bytes | None, list[_Key]] = {}
    for key in keys:
        groups.setdefault(key[0], []).append(key)
    batch: list[_Key] = []
    for rows in sorted(groups.values(), key=len, reverse=True):
        if batch and len(batch) + len(rows) > most:
            yield batch
            batch = []
        batch += rows
        while len(batch) >= most:
            yield batch[:most]
            batch = batch[most:]
    if batch:
        yield batch


def _pack(own: Prefix, rows: int) -> torch.Tensor:
    """Put all layers' keys and values into one tensor [layers, 2, rows, heads, tokens, width]."""
    if not own.layers:
        return torch.zeros(0, 2, rows, 1, own.tokens, 1)
    pairs = [torch.stack(pair) for _, pair in sorted(own.layers.items())]
    return torch.stack([pair.to(pairs[0].device) for pair in pairs])


def _unpack(past: torch.Tensor, first: int) -> Prefix:
    """Undo `_pack`: layers from ``first`` on."""
    layers = {first + at: (pair[0], pair[1]) for at, pair in enumerate(past)}
    return Prefix(past.shape[4], layers)
