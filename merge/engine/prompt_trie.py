"""A trie of prompts: each common beginning computed once, for a mind or for all of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.batch_size import BatchSize
from evobourse.merge.engine.byte_budget import ByteBudget
from evobourse.merge.engine.decoder import AnyLayout, Decoder
from evobourse.merge.engine.parts import Prefix
from evobourse.merge.engine.prompt import Prompt, Token
from evobourse.merge.engine.shared_prefix_attention import Rows
from evobourse.merge.peft.mind_vector import Mixture, split_cores

CHUNK_QUESTIONS = 4096
STEPS_MEET = 1
"""Pieces that steps behind the first meet as a prefix: other sums, and so other bits, with more."""

_KIND = "node"

Path = tuple[tuple[Token, ...], ...]
Question = tuple[Mixture, Prompt]
_Key = tuple[bytes | None, Path]
_Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Node:
    """One piece of prompts as some layers computed it.

    Attributes
    ----------
    hidden
        float32[tokens, width] below the first adapted layer; float32[width], the last token's,
        above the last layer, and None where nobody asked for it.
    past
        Keys and values float32[layers, 2, kv heads, tokens, head width]; None where nothing
        follows.
    """

    hidden: torch.Tensor | None
    past: torch.Tensor | None

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.hidden, self.past) if part is not None)


class _Piece(tuple[Token, ...]):
    """A long piece, which stands in every key: its hash is taken once."""

    _hash: int

    @classmethod
    def of(cls, tokens: tuple[Token, ...]) -> _Piece:
        piece = cls(tokens)
        piece._hash = hash(tokens)
        return piece

    def __hash__(self) -> int:
        return self._hash


@dataclass
class _Chunk:
    """Nodes at hand, and those missing: whether something follows them, whether they are asked."""

    nodes: dict[_Key, _Node] = field(default_factory=dict)
    missing: dict[_Key, bool] = field(default_factory=dict)
    mixtures: dict[bytes, Mixture] = field(default_factory=dict)
    asked: set[_Key] = field(default_factory=set)
    pieces: dict[tuple[Token, ...], _Piece] = field(default_factory=dict)
    planned: set[_Key] = field(default_factory=set)  # with all that stands before them
    sharing: dict[bytes, bytes] = field(default_factory=dict)  # mixture to the shared piece's


@dataclass
class TrieCounters:
    """What was computed: the trunk's private pieces, the adapted layers' tokens, last states."""

    trunk_rows: int = 0
    tokens: int = 0
    states: int = 0


class PromptTrie:
    """Last states of prompts for mixtures of a bank's adapters.

    A prompt's pieces (`merge.engine.prompt.Prompt`) are the trie's nodes. A node is computed over
    its ancestors' keys and values: by the layers below the first adapted one once for all mixtures
    (the trunk), by those above once a mixture. Nodes of all shapes and depths share passes,
    whoever's they are: in every layer a node's keys and values are there before its followers
    attend to them. On a GPU, where a batch's shape decides the bits, a pass has nodes of one shape.

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
            shared = chunk.pieces.get(prompt.shared)
            if shared is None:
                shared = chunk.pieces[prompt.shared] = _Piece.of(prompt.shared)
            keys.append((name, (shared, *prompt.path[1:])))
            chunk.asked.add(keys[-1])
            self._plan(chunk, keys[-1])
        # What all minds share comes before the minds, those one by one, and ancestors first.
        minds = {name: place for place, name in enumerate(chunk.mixtures)}
        missing = sorted(
            chunk.missing,
            key=lambda key: (len(key[1]) > 1, minds.get(key[0] or b"", 0), len(key[1])),
        )
        for trunk in (True, False):
            wanted = [key for key in missing if (key[0] is None) == trunk]
            for together in self._passes(chunk, wanted):
                self._compute_pass(chunk, together)
        return torch.stack([_planned(chunk.nodes[key].hidden) for key in keys])

    def _plan(self, chunk: _Chunk, key: _Key, followed: bool = False) -> None:
        """Find a node, or note it as missing together with what it needs."""
        known = chunk.nodes.get(key)
        if known is None:
            held = self.budget.get((_KIND, *key))
            known = held if isinstance(held, _Node) else None
        if known is not None:
            followed |= known.past is not None  # computed again, it must bring what it had
            stated = known.hidden is not None or key not in chunk.asked
            if stated and (known.past is not None or not followed):
                chunk.nodes[key] = known
                return
        name, path = key
        if chunk.missing.get(key) in (True, followed):
            return
        chunk.missing[key] = followed
        for depth in range(len(path) - 1, 0, -1):
            ancestor = self._ancestor(chunk, name, path[:depth])
            if ancestor in chunk.planned:
                break
            chunk.planned.add(ancestor)
            self._plan(chunk, ancestor, followed=True)
        if name is not None:
            self._plan(chunk, (None, path))

    def _ancestor(self, chunk: _Chunk, name: bytes | None, path: Path) -> _Key:
        """Name a node as its followers see it: of the shared piece, what ordinary LoRA makes."""
        if name is None or len(path) > 1:
            return name, path
        if name not in chunk.sharing:
            acting = chunk.mixtures[name].copy()
            acting[:, self._activated] = 0
            chunk.sharing[name] = acting.tobytes()
            chunk.mixtures[acting.tobytes()] = acting
        return chunk.sharing[name], path

    def _passes(self, chunk: _Chunk, wanted: Iterable[_Key]) -> Iterator[list[_Key]]:
        """Put nodes into passes, ancestors first; on a GPU each is of one shape of rows."""
        tile = self.decoder.tile_tokens
        groups: dict[tuple[bool, _Shape | None], list[_Key]] = {}
        for key in wanted:
            cored = key[0] is not None and chunk.mixtures[key[0]].ndim > 2
            groups.setdefault((cored, None if tile is None else _shape(key)), []).append(key)
        for keys in groups.values():
            if tile is not None:
                rows = -(-tile // len(keys[0][1][-1]))
                yield from (keys[at : at + rows] for at in range(0, len(keys), rows))
                continue
            most = self._most_tokens({_shape(key) for key in keys}, trunk=keys[0][0] is None)
            ends = np.cumsum([len(key[1][-1]) for key in keys])
            begun = np.unique((ends - 1) // most, return_index=True)[1].tolist()
            yield from (keys[at:end] for at, end in itertools.pairwise([*begun, len(keys)]))

    def _compute_pass(self, chunk: _Chunk, keys: Sequence[_Key]) -> None:
        """Compute nodes whose ancestors are known or come before them."""
        tokens = sum(len(path[-1]) for _, path in keys)
        work = partial(self._compute, chunk)
        for nodes in self._batches.in_parts(keys, -(-tokens // len(keys)), work):
            chunk.nodes |= nodes
            for key, node in nodes.items():
                if node.past is not None or key[0] is None:
                    self.budget.put((_KIND, *key), node)

    def _compute(self, chunk: _Chunk, keys: Sequence[_Key]) -> dict[_Key, _Node]:
        """Run one pass; all keys are the trunk's, or all are minds'."""
        trunk = keys[0][0] is None
        adapted = self.decoder.first_adapted
        if self.decoder.tile_tokens is not None:
            [keys] = self.decoder.tiles(keys, len(keys[0][1][-1]))
        # Prefixes of one length beside each other, and in those rows of as many tokens.
        keys = sorted(keys, key=lambda key: (sum(map(len, _prefix(key))), *_shape(key)[::-1]))
        if trunk:
            first, last = 0, adapted
            hidden = self.decoder.embed([[t] for _, path in keys for t in path[-1]])[:, 0]
        else:
            first, last = adapted, self.decoder.depth
            hidden = torch.cat([_planned(chunk.nodes[None, path].hidden) for _, path in keys])
        known = self._known(chunk, keys)
        layout = self._lay_out(chunk, known, keys)
        past = [_planned(chunk.nodes[key].past) for key in known]
        joined = torch.cat(past, dim=3) if past else None
        before = None if joined is None else dict(enumerate(joined, first))
        lengths = [len(path[-1]) for _, path in keys]
        ends = np.cumsum(lengths)
        asked = [key in chunk.asked or self.decoder.tile_tokens is not None for key in keys]
        read = None if trunk else torch.from_numpy(ends[asked] - 1).to(hidden.device)
        with nullcontext() if trunk else self._mixed(chunk, keys):
            hidden, own = self.decoder.run_pass(hidden, first, last, layout, before, read)
        packed = _pack(own) if any(chunk.missing[key] for key in keys) else None
        states = iter(hidden.split(lengths) if trunk else hidden)
        pasts = packed.split(lengths, dim=3) if packed is not None else [None] * len(keys)
        nodes: dict[_Key, _Node] = {}
        for key, tokens, past, is_asked in zip(keys, lengths, pasts, asked, strict=True):
            state = next(states) if trunk or is_asked else None
            if key in nodes:
                continue
            follows = past is not None and chunk.missing[key]
            nodes[key] = _Node(
                None if state is None else state.clone(), past.clone() if follows else None
            )
            if len(key[1]) > 2:
                self.counters.trunk_rows += trunk
                self.counters.tokens += 0 if trunk else tokens
            self.counters.states += not trunk and key in chunk.asked
        return nodes

    def _known(self, chunk: _Chunk, keys: Sequence[_Key]) -> list[_Key]:
        """List the ancestors that are not in the pass themselves."""
        found = dict.fromkeys(keys)
        for name, path in keys:
            for depth in range(len(path) - 1, 0, -1):
                ancestor = self._ancestor(chunk, name, path[:depth])
                if ancestor in found:
                    break  # and so are all before it
                found[ancestor] = None
        return list(found)[len(set(keys)) :]

    def _lay_out(self, chunk: _Chunk, known: Sequence[_Key], keys: Sequence[_Key]) -> AnyLayout:
        """Say where keys and values of every piece stand, and what each row sees of them.

        What stands between its prefix and a row is the row's own.
        """
        places = dict(zip(known, _starts(known, 0), strict=True))
        held = sum(len(path[-1]) for _, path in known)
        places |= dict(zip(reversed(keys), reversed(_starts(keys, held)), strict=True))

        def text(name: bytes | None, path: Path) -> NDArray[np.int64]:
            """Places of all tokens of a text, in their order."""
            if not path:
                return np.empty(0, np.int64)
            key = self._ancestor(chunk, name, path)
            found = texts.get(key)
            if found is None:
                own = np.arange(places[key], places[key] + len(path[-1]))
                found = texts[key] = np.concatenate([text(name, path[:-1]), own])
            return found

        texts: dict[_Key, NDArray[np.int64]] = {}
        prefixes: dict[_Key, tuple[int, NDArray[np.int64]]] = {}
        rows = []
        for shape, same in itertools.groupby(keys, _shape):
            near, prefix_of = [], []
            for name, path in same:
                before = text(name, path[:-1])
                prefix = _prefix((name, path))
                met = self._ancestor(chunk, name, prefix)
                shared = before[: sum(map(len, prefix))]
                prefix_of.append(prefixes.setdefault(met, (len(prefixes), shared))[0])
                near.append(before[len(shared) :])
            rows.append(Rows(shape[-1], np.stack(near), np.array(prefix_of)))
        seen = [shared for _, shared in prefixes.values()]
        return self.decoder.lay_out(held, seen, rows)

    def _mixed(self, chunk: _Chunk, keys: Sequence[_Key]) -> AbstractContextManager[None]:
        """Let the adapters act in each row as its mind mixes them."""
        names = [name for name, _ in keys if name is not None]
        if not any(chunk.mixtures[name].any() for name in set(names)):
            return nullcontext()  # the base's own, not adapters times zero
        distinct = names[:1] if len(set(names)) == 1 else names
        stacked = zip(*(split_cores(chunk.mixtures[name]) for name in distinct), strict=True)
        device = self.decoder.device
        coefficients, cores = (
            None if part[0] is None else torch.from_numpy(np.stack(part)).to(device)
            for part in stacked
        )
        return self.bank.mixed(coefficients, cores)

    def _token_bytes(self, layers: int) -> int:
        """Return the bytes of one token's keys and values in a number of layers."""
        config = self.decoder.model.config
        width = int(config.hidden_size // config.num_attention_heads)
        return layers * 2 * int(config.num_key_value_heads) * width * 4

    def _question_bytes(self, prompt: Prompt) -> int:
        """Bound the bytes of nodes that one question brings, shared with no other."""
        inner = sum(map(len, (prompt.opening, *prompt.steps[:-1])))
        if not all(self._activated):
            inner += len(prompt.shared)
        width = int(self.decoder.model.config.hidden_size)
        hidden = (inner + len(prompt.path[-1])) * width * 4
        return inner * self._token_bytes(self.decoder.depth) + hidden

    def _most_tokens(self, shapes: Iterable[_Shape], trunk: bool) -> int:
        """Choose a pass's tokens by what each needs: activations, scores, keys and values.

        In the trunk all rows share the prefix; above, each may bring a mind's own.
        """
        config, first = self.decoder.model.config, self.decoder.first_adapted
        wide = 6 * config.hidden_size + 4 * config.intermediate_size
        layers = first if trunk else self.decoder.depth - first
        needed = 1
        for shape in shapes:
            scores = 4 * config.num_attention_heads * sum(shape)
            past = sum(shape[2:] if trunk else shape) * self._token_bytes(layers)
            needed = max(needed, 4 * (wide + scores) + past // shape[-1])
        return self._batches.rows(1, needed)


def _planned(part: torch.Tensor | None) -> torch.Tensor:
    """Return a part that the plan has made sure of."""
    assert part is not None
    return part


def _shape(key: _Key) -> _Shape:
    """Return the lengths of a node's pieces."""
    return tuple(map(len, key[1]))


def _prefix(key: _Key) -> Path:
    """Return the pieces that a node meets as a prefix: what stands before it, as far as many share.

    What is shared serves all minds' steps at once; the opening is then their own. A first step,
    such as a market's views are, meets its opening with it.
    """
    path = key[1]
    return path[:-1] if len(path) < 4 else path[:STEPS_MEET]


def _starts(keys: Sequence[_Key], first: int) -> list[int]:
    """Return where each node's tokens begin when they stand one after another."""
    lengths = [len(path[-1]) for _, path in keys]
    return list(itertools.accumulate(lengths, initial=first))[:-1]


def _pack(own: Prefix) -> torch.Tensor:
    """Put all layers' keys and values into one tensor [layers, 2, kv heads, tokens, width]."""
    if not own.layers:
        return torch.zeros(0, 2, 1, own.tokens, 1)
    pairs = [pair for _, pair in sorted(own.layers.items())]
    return torch.stack([pair.to(pairs[0].device) for pair in pairs])
