"""Attention of rows of any lengths in one pass, each token's sums in the order of what it sees.

How a text is cut into prefix, middle and own tokens, and who shares a prefix, moves no bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from evobourse.merge.engine.exact import kernels
from evobourse.merge.engine.exact.arithmetic import Norm
from evobourse.merge.engine.exact.products import THREAD_WORK
from evobourse.merge.engine.exact.threads import in_threads
from evobourse.merge.engine.shared_prefix_attention import Rows

Array = NDArray[np.float32]
Places = NDArray[np.int64]
SHARED_TOKENS = 96  # that meet one copy of their prefix; more are another thread's to take
NO_WINDOW = 1 << 40


@dataclass(frozen=True)
class ExactLayout:
    """What every token of a pass sees.

    Attributes
    ----------
    positions, row_of
        int64[tokens], each one's place in its own text, and its row.
    rows
        int64[rows, 6]: first token and number of tokens; first place and number of places before
        them, of the prefix's and, from there, of the row's own.
    places
        int64[...], places that ``rows`` point into: of keys known before the pass, then of the
        pass's own tokens.
    blocks
        int64[blocks, 2], spans of rows that share a prefix.
    longest
        Most places that a token sees, itself included.
    """

    positions: torch.Tensor
    row_of: torch.Tensor
    rows: Places
    places: Places
    blocks: Places
    longest: int

    @classmethod
    def of(cls, prefixes: Sequence[Places], parts: Sequence[Rows]) -> ExactLayout:
        """Lay out a pass, as `merge.engine.shared_prefix_attention.Layout.of` does."""
        lengths = np.array([len(prefix) for prefix in prefixes], np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        pieces = [np.asarray(prefix, np.int64) for prefix in prefixes]
        made, positions, token, place = [], [], 0, int(starts[-1])
        for part in parts:
            count, between = part.near.shape
            pieces.append(np.asarray(part.near, np.int64).ravel())
            before = lengths[part.prefix_of]
            rows = np.empty((count, 6), np.int64)
            rows[:, 0] = token + part.tokens * np.arange(count)
            rows[:, 1] = part.tokens
            rows[:, 2], rows[:, 3] = starts[part.prefix_of], before
            rows[:, 4], rows[:, 5] = place + between * np.arange(count), between
            made.append(rows)
            own = (before + between)[:, None] + np.arange(part.tokens)
            positions.append(own.ravel())
            token, place = token + count * part.tokens, place + count * between
        rows = np.concatenate(made)
        row_of = np.repeat(np.arange(len(rows)), rows[:, 1])
        order = np.lexsort((rows[:, 2], rows[:, 3]))
        rows = rows[order]
        return cls(
            torch.from_numpy(np.concatenate(positions)), torch.from_numpy(row_of), rows,
            np.concatenate(pieces), _blocks(rows),
            int((rows[:, 1] + rows[:, 3] + rows[:, 5]).max(initial=0)),
        )  # fmt: skip


def _blocks(rows: Places) -> Places:
    """Cut rows, sorted by prefix, into spans of one prefix and not too many tokens."""
    spans, start, held = [], 0, 0
    for row in range(len(rows)):
        other = row > start and (rows[row, 2:4] != rows[start, 2:4]).any()
        if other or held >= SHARED_TOKENS:
            spans.append((start, row))
            start, held = row, 0
        held += rows[row, 1]
    return np.array([*spans, (start, len(rows))], np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class Heads:
    """How a layer attends.

    Attributes
    ----------
    queries, keys, width
        Number of heads of queries and of keys, and a head's width.
    scaling
        Of the scores.
    window
        Most places that a token sees, itself included; None for all.
    soft_cap
        Scores are softened to between minus and plus this; None for not at all.
    query_norm, key_norm
        Norms of each head or, where they have its width, of all heads together; None for none.
    """

    queries: int
    keys: int
    width: int
    scaling: float
    window: int | None = None
    soft_cap: float | None = None
    query_norm: Norm | None = None
    key_norm: Norm | None = None


def turn(projected: Array, heads: Heads, table: Array) -> Array:
    """Norm and turn queries and keys in their place, and return keys and values.

    Parameters
    ----------
    projected
        float32[tokens, (queries + 2 keys) * width]: queries, keys and values.
    heads
        Of the layer.
    table
        float32[tokens, 2, turned / 2], cosines and sines of each token's position.

    Returns
    -------
    numpy.ndarray
        float32[2, keys, tokens, width].
    """
    own = np.empty((2, heads.keys, len(projected), heads.width), np.float32)
    none = np.zeros(0, np.float32)
    norms = tuple(
        (none, np.float32(0), np.float32(0)) if n is None else (n.weight, n.epsilon, n.offset)
        for n in (heads.query_norm, heads.key_norm)
    )
    shape = heads.queries, heads.keys, heads.width

    def work(start: int, stop: int) -> None:
        kernels.turn(projected, shape, norms, table, own, start, stop)

    in_threads(work, len(projected), 16)
    return own


def attend(projected: Array, known: Array, own: Array, layout: ExactLayout, heads: Heads) -> Array:
    """Attend to what each token sees.

    Parameters
    ----------
    projected
        float32[tokens, at least queries * width], turned queries first.
    known
        Keys and values before the pass, float32[2, keys, n, width], C-contiguous.
    own
        Those of the pass, float32[2, keys, tokens, width]; the layout's places count the known ones
        first, up to ``n``.
    layout, heads
        Of the pass and of the layer.

    Returns
    -------
    numpy.ndarray
        float32[tokens, queries * width].
    """
    out = np.empty((len(projected), heads.queries * heads.width), np.float32)
    window = NO_WINDOW if heads.window is None else heads.window
    shape = np.float32(heads.scaling), window, np.float32(heads.soft_cap or 0)
    seen = layout.rows, layout.places, layout.blocks, layout.longest
    group = heads.queries // heads.keys

    def work(start: int, stop: int) -> None:
        kernels.attend(projected, known, own, seen, group, shape, out, start, stop)

    items = len(layout.blocks) * heads.keys
    each = len(projected) * layout.longest * heads.width * heads.queries // max(items, 1)
    in_threads(work, items, max(1, THREAD_WORK // max(each, 1)))
    return out
