"""Token sequences of any lengths run together, each over keys and values of its own.

Linear layers take all sequences' tokens at once, attention takes each sequence by itself: no
padding is needed, and no sequence's bits depend on the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AttentionInterface

from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.batch_size import MOST_TOKENS
from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.engine.exact.attention import Array, ExactLayout, Heads, attend, turn
from evobourse.merge.engine.layer_rows import LEAST_TOKENS
from evobourse.merge.engine.prompt import Token
from evobourse.merge.engine.shared_prefix_attention import Places, Rows
from evobourse.merge.errors import ModelError
from evobourse.merge.peft.mind_vector import Mixture, join_cores, split_cores

NAME = "evobourse_sequences"
STEP_TILE = 64
_GROWTH = 64


class TokenSequence:
    """Tokens that were read, and their keys and values in every layer.

    Attributes
    ----------
    tokens
        Ids or soft tokens, as read.
    state
        float32[width], the last token's above the last layer; None where it was rewound.
    """

    def __init__(self) -> None:
        self.tokens: list[Token] = []
        self.state: torch.Tensor | None = None
        self._pasts: list[torch.Tensor] = []  # a layer each: [2, kv heads, capacity, width]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values, room to grow included."""
        return sum(past.nbytes for past in self._pasts)

    def rewind(self, length: int) -> None:
        """Forget all tokens from a place on."""
        if length < len(self.tokens):
            del self.tokens[length:]
            self.state = None

    def fork(self) -> TokenSequence:
        """Return a copy that goes its own way."""
        other = TokenSequence()
        other.tokens, other.state = list(self.tokens), self.state
        other._pasts = [past[:, :, : len(self)].clone() for past in self._pasts]
        return other

    def held(self, place: int, like: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a layer's keys and values, float32[2, kv heads, at least len(self), width]."""
        if place == len(self._pasts):
            return np.empty((*like.shape[:2], 0, like.shape[3]), np.float32)
        return self._pasts[place].numpy()

    def extend(self, place: int, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Put a layer's new keys and values, [kv heads, n, width], behind those of `tokens`.

        Returns
        -------
        torch.Tensor
            [2, kv heads, len(self) + n, width], all of them.
        """
        before = len(self)
        end = before + keys.shape[1]
        if place == len(self._pasts):
            self._pasts.append(keys.new_empty(2, keys.shape[0], 0, keys.shape[2]))
        past = self._pasts[place]
        if past.shape[2] < end:
            room = -(-(end + end // 4) // _GROWTH) * _GROWTH
            grown = keys.new_empty(2, keys.shape[0], room, keys.shape[2])
            grown[:, :, :before] = past[:, :, :before]
            self._pasts[place] = past = grown
        past[0, :, before:end], past[1, :, before:end] = keys, values
        return past[:, :, :end]


Span = tuple[TokenSequence, int, int]


class SequenceReader:
    """Reads tokens into sequences, many at once, as each one's mixture of adapters reads them.

    Parameters
    ----------
    decoder, bank
        The base and its adapters.

    Attributes
    ----------
    computed, stepped
        Tokens that have passed through the layers, as pieces and step by step.
    """

    def __init__(self, decoder: Decoder, bank: AdapterBank):
        self.decoder, self.bank = decoder, bank
        self.computed = self.stepped = 0
        self._most = MOST_TOKENS.get(decoder.device.type, MOST_TOKENS["cuda"])
        self._longest = int(decoder.model.config.max_position_embeddings)

    def read(
        self,
        sequences: Sequence[TokenSequence],
        pieces: Sequence[Sequence[Token]],
        mixtures: Sequence[Mixture],
        step: bool = False,
    ) -> None:
        """Read a piece of tokens into each sequence.

        Parameters
        ----------
        sequences
            All different.
        pieces
            At least one token each. A piece is computed as a whole: cut otherwise, the same tokens
            may get other bits.
        mixtures
            How each piece is read, see `merge.peft.mind_vector.Mixture`.
        step
            Whether this is one of many single tokens: chooses the shape of batches on a GPU.

        Raises
        ------
        ModelError
            A piece is empty, or a sequence grows longer than the model's positions.
        """
        for sequence, piece in zip(sequences, pieces, strict=True):
            if not piece:
                raise ModelError("prompt: a piece of 0 tokens, expected at least 1")
            if len(sequence) + len(piece) > self._longest:
                raise ModelError(
                    f"prompt: {len(sequence) + len(piece)} tokens, and the base has "
                    f"{self._longest} positions; ask for shorter texts or less memory"
                )
        tile = self.decoder.tile_tokens
        if tile is not None and step:
            tile = min(tile, STEP_TILE)
        for batch in _batches([len(piece) for piece in pieces], tile or self._most):
            self._read(
                [sequences[row] for row in batch],
                [pieces[row] for row in batch],
                [mixtures[row] for row in batch],
                tile,
            )
        if step:
            self.stepped += len(sequences)
        else:
            self.computed += sum(map(len, pieces))

    def option_logits(
        self, sequences: Sequence[TokenSequence], options: Sequence[int]
    ) -> NDArray[np.float32]:
        """Return the logits of a few tokens behind each sequence: float32[n, options]."""
        states = torch.stack([_state(sequence) for sequence in sequences])
        return self.decoder.option_logits(states, options).cpu().numpy()

    def likeliest(
        self, sequences: Sequence[TokenSequence], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return each sequence's likeliest next tokens, int64[n, count], and their logits."""
        states = [_state(sequence) for sequence in sequences]
        fill = self._filling(len(states), self.decoder.tile_tokens and STEP_TILE)
        found = self.decoder.likeliest(torch.stack(states + states[:1] * fill), count)
        tokens, logits = (part[: len(states)].cpu().numpy() for part in found)
        return tokens, logits

    @torch.inference_mode()
    def _read(
        self,
        sequences: Sequence[TokenSequence],
        pieces: Sequence[Sequence[Token]],
        mixtures: Sequence[Mixture],
        tile: int | None,
    ) -> None:
        decoder = self.decoder
        ends = np.cumsum([len(piece) for piece in pieces]).tolist()
        spans = [(s, end - len(p), end) for s, p, end in zip(sequences, pieces, ends, strict=True)]
        ids = [token for piece in pieces for token in piece]
        places = [at for s, p in zip(sequences, pieces, strict=True) for at in _places(s, p)]
        fill = self._filling(len(ids), tile)
        hidden = decoder.embed([[token] for token in ids + ids[:1] * fill])
        with self._mixed(mixtures, pieces, fill):
            if decoder.exact:
                counts = [len(piece) for piece in pieces]
                hidden = self._run_exactly(hidden[:, 0], np.array(places), counts, spans)[:, None]
            else:
                hidden = self._run(hidden, places + [0] * fill, spans)
        for sequence, piece, end in zip(sequences, pieces, ends, strict=True):
            sequence.tokens += piece
            sequence.state = hidden[end - 1, 0].clone()

    def _run(self, hidden: torch.Tensor, places: list[int], spans: list[Span]) -> torch.Tensor:
        decoder = self.decoder
        positions = torch.tensor(places, device=hidden.device)[:, None]
        angles = decoder.model.model.rotary_emb(hidden, position_ids=positions)
        with decoder.attending(NAME):
            for place, slot in enumerate(decoder.parts.slots):
                hidden = slot.layer(
                    hidden if slot.scale == 1 else hidden * slot.scale,
                    position_ids=positions,
                    position_embeddings=angles,
                    place=place,
                    spans=spans,
                )
        return hidden

    def _run_exactly(
        self, hidden: torch.Tensor, places: Places, counts: list[int], spans: list[Span]
    ) -> torch.Tensor:
        nothing = np.empty((1, 0), np.int64)
        layouts = [
            ExactLayout.of(
                [np.arange(len(sequence))],
                [Rows(stop - start, nothing, np.zeros(1, np.int64))],
            )
            for sequence, start, stop in spans
        ]

        def attention(place: int, projected: Array, heads: Heads, table: Array) -> Array:
            own = turn(projected, heads, table)
            met = np.empty((len(projected), heads.queries * heads.width), np.float32)
            for (sequence, start, stop), layout in zip(spans, layouts, strict=True):
                pair = np.ascontiguousarray(own[:, :, start:stop])
                known = sequence.held(place, pair)
                met[start:stop] = attend(projected[start:stop], known, pair, layout, heads)
                keys, values = torch.from_numpy(pair)
                sequence.extend(place, keys, values)
            return met

        row_of = np.repeat(np.arange(len(counts)), counts)
        rows = self.decoder.run_layers(hidden, 0, self.decoder.depth, places, row_of, attention)
        return torch.from_numpy(rows)

    def _filling(self, count: int, tile: int | None) -> int:
        """Return how many copies make a batch one of the shapes in which rows have the same bits.

        Exact arithmetic has no such shapes.
        """
        if self.decoder.exact:
            return 0
        return max(0, LEAST_TOKENS - count) if tile is None else -count % tile

    def _mixed(
        self, mixtures: Sequence[Mixture], pieces: Sequence[Sequence[Token]], fill: int
    ) -> AbstractContextManager[None]:
        """Let the adapters act in each token as its sequence's mixture says."""
        parts = [split_cores(mixture) for mixture in mixtures]
        if not any(coefficients.any() for coefficients, _ in parts):
            return nullcontext()
        if any(cores is not None for _, cores in parts):  # those without get the identity
            rank = max(cores.shape[-1] for _, cores in parts if cores is not None)
            one = np.broadcast_to(np.eye(rank, dtype=np.float32), (*parts[0][0].shape, rank, rank))
            whole = [join_cores(c, one if cores is None else cores) for c, cores in parts]
            parts = [split_cores(mixture) for mixture in whole]
        counts = [len(piece) for piece in pieces]
        rows = np.repeat(np.arange(len(parts)), counts)
        rows = np.append(rows, np.zeros(fill, np.int64))
        if self.decoder.exact:  # each token is told its row
            rows = np.arange(len(parts))
        columns = ([own for own, _ in parts], [core for _, core in parts if core is not None])
        stacked = (torch.from_numpy(np.stack(column)[rows]) for column in columns if column)
        return self.bank.mixed(*(part.to(self.decoder.device) for part in stacked))


def attend_each(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    place: int,
    spans: Sequence[Span],
    **unused: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each sequence, by itself: the same products whoever else is in the batch.

    Parameters
    ----------
    module, attention_mask, unused
        What the layer passes on beside.
    query
        float32[tokens, heads, 1, width], all sequences' tokens in a row.
    key, value
        float32[tokens, kv heads, 1, width].
    scaling
        Of the scores.
    place
        Of the layer in the decoder's order.
    spans
        Sequences, and where the tokens of each begin and end. Tokens of no span are filling.

    Returns
    -------
    tuple
        float32[tokens, 1, heads, width], and None for the weights.
    """
    total, heads, _, width = query.shape
    out = query.new_zeros(total, 1, heads, width)
    for sequence, start, stop in spans:
        tokens = stop - start
        keys, values = sequence.extend(
            place, key[start:stop, :, 0].transpose(0, 1), value[start:stop, :, 0].transpose(0, 1)
        )
        kv_heads, seen = keys.shape[:2]
        rows = (query[start:stop, :, 0] * scaling).transpose(0, 1)
        # Through one dimension: where sizes are 1, strides that mean nothing choose a kernel.
        rows = rows.reshape(-1).view(kv_heads, -1, width)
        scores = rows @ keys.transpose(1, 2)
        if tokens > 1:
            later = torch.ones(tokens, seen, dtype=torch.bool, device=query.device)
            later = later.triu(1 + seen - tokens).repeat(heads // kv_heads, 1)
            scores = scores.masked_fill(later, float("-inf"))
        met = torch.softmax(scores, dim=-1) @ values
        out[start:stop, 0] = met.reshape(heads, tokens, width).transpose(0, 1)
    return out, None


def _state(sequence: TokenSequence) -> torch.Tensor:
    if sequence.state is None:
        raise ModelError("sequence: rewound, and nothing read since; read a piece into it first")
    return sequence.state


def _places(sequence: TokenSequence, piece: Sequence[Token]) -> range:
    return range(len(sequence), len(sequence) + len(piece))


def _batches(sizes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Put rows into batches of so many tokens, in order; one larger than that is alone."""
    batch: list[int] = []
    held = 0
    for row, size in enumerate(sizes):
        if batch and held + size > most:
            yield batch
            batch, held = [], 0
        batch.append(row)
        held += size
    if batch:
        yield batch


AttentionInterface.register(NAME, attend_each)
