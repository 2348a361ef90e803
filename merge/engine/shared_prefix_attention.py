"""Attention of rows of any lengths in one pass, without a copy of a shared prefix per row.

Grouped-query attention in two parts, the prefix's and the row's own, with one softmax.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from math import isqrt
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AttentionInterface

NAME = "evobourse_shared_prefix"
LEAST_QUERIES = 16
"""From 4 on, a processor's fp32 products give a query the same bits among any others."""

LEAST_PRODUCTS = 4
"""A product of one matrix alone may be summed in another order than one of several."""

FILLED = 32
"""Rows that follow own keys see a multiple of so many, so that rows of many lengths are alike."""

COPIED = 16
"""Tokens whose queries take as long as one more copy of their prefix: it decides no bits."""

BLOCK = 160
"""Tokens that meet a prefix in one product; so many or more, it decides no bits either."""

Places = NDArray[np.int64]
Part = TypeVar("Part", "_Near", "_Far", "Layout")


@dataclass(frozen=True)
class Rows:
    """Rows of one shape: the same number of tokens behind as much that they see.

    Places count keys and values: those known before the pass, then the pass's own tokens.

    Attributes
    ----------
    tokens
        Of each row.
    near
        int64[rows, n], each row's places between its prefix and its own tokens.
    prefix_of
        int64[rows], which of the pass's prefixes is each row's.
    """

    tokens: int
    near: Places
    prefix_of: NDArray[np.int64]


@dataclass(frozen=True)
class _Near:
    """Rows of one shape in a pass, and what each sees behind its prefix.

    Attributes
    ----------
    start, stop
        Their tokens in the pass are ``start`` to ``stop - 1``.
    rows
        Their number.
    seen
        int64[rows * n], places.
    later
        bool[rows, tokens, 1, n], which of them a token does not see: they come after it.
    """

    start: int
    stop: int
    rows: int
    seen: torch.Tensor
    later: torch.Tensor


@dataclass(frozen=True)
class _Far:
    """Tokens ``start`` to ``stop - 1``, whose prefixes are of one length, in blocks of one prefix.

    Attributes
    ----------
    blocks
        Their number.
    seen
        int64[blocks * P], places of each block's prefix.
    members
        int64[blocks * n], the tokens of each block, counted from ``start`` and filled up with
        copies; None where one block has all in their order.
    places
        int64[stop - start], where among the members each token stands.
    """

    start: int
    stop: int
    blocks: int
    seen: torch.Tensor
    members: torch.Tensor | None
    places: torch.Tensor | None


@dataclass(frozen=True)
class Layout:
    """What every token of a pass sees.

    Attributes
    ----------
    positions
        int64[tokens], each one's place in its own text.
    row_of
        int64[tokens], the row that it belongs to.
    near, far
        The rows' own part, and their prefixes.
    """

    positions: torch.Tensor
    row_of: torch.Tensor
    near: tuple[_Near, ...]
    far: tuple[_Far, ...]

    @classmethod
    def of(
        cls,
        known: int,
        prefixes: Sequence[Places],
        parts: Sequence[Rows],
        queries: int,
        alone: bool = False,
    ) -> Layout:
        """Lay out a pass.

        Parameters
        ----------
        known
            Keys and values there before the pass.
        prefixes
            int64[P] places each; one may be empty.
        parts
            Rows in the order of the pass's tokens. Neighbours with prefixes of one length meet them
            in one product.
        queries
            That a token brings each head of keys.
        alone
            Whether each row meets a copy of its prefix alone: on a GPU the shape of a product
            chooses its bits, and must not depend on who shares what.
        """
        lengths = np.array([len(prefix) for prefix in prefixes])
        near, positions, owners = [], [], []
        at = 0
        for (tokens, width), same in itertools.groupby(parts, _own_shape):
            seen, later, start = [], [], at
            for part in same:
                rows, between = part.near.shape
                own = np.arange(known + at, known + at + rows * tokens).reshape(rows, tokens)
                filling = own[:, [-1] * (width - between - tokens)]
                seen.append(np.concatenate([part.near, own, filling], axis=1))
                after = np.arange(width) > between + np.arange(tokens)[:, None]
                later.append(np.broadcast_to(after, (rows, tokens, width)))
                before = lengths[part.prefix_of] + between
                positions.append((before[:, None] + np.arange(tokens)).ravel())
                owners.append(np.repeat(part.prefix_of, tokens))
                at += rows * tokens
            places = torch.from_numpy(np.concatenate(seen).ravel())
            unseen = torch.from_numpy(np.concatenate(later))[:, :, None]
            near.append(_Near(start, at, len(unseen), places, unseen))
        far, start = [], 0
        least = parts[0].tokens if alone else -(-LEAST_QUERIES // queries)
        owner = np.concatenate(owners)
        for length, same_length in itertools.groupby(lengths[owner]):
            stop = start + len(list(same_length))
            if length:
                far += _in_blocks(start, owner[start:stop], prefixes, least, alone)
            start = stop
        counts = np.repeat([part.tokens for part in parts], [len(part.near) for part in parts])
        row_of = np.repeat(np.arange(len(counts)), counts)
        return cls(
            torch.from_numpy(np.concatenate(positions)), torch.from_numpy(row_of),
            tuple(near), tuple(far),
        )  # fmt: skip

    @cached_property
    def tokens(self) -> int:
        """Count the pass's tokens."""
        return len(self.positions)

    def to(self, device: torch.device) -> Layout:
        """Return the layout on a device."""
        if self.positions.device == device:
            return self
        moved = _moved(self, device)
        return replace(
            moved,
            near=tuple(_moved(part, device) for part in self.near),
            far=tuple(_moved(part, device) for part in self.far),
        )


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    layout: Layout,
    known: torch.Tensor | None = None,
    **unused: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to prefixes that many rows share and, causally, to what is the row's own.

    The queries of all rows that share a prefix meet it as one long sequence: one matrix product
    for the pass, where a prefix expanded to every row would be copied for each of them.

    Parameters
    ----------
    module, unused
        The attention layer and what else it passes on.
    query
        float32[tokens, heads, 1, width], all rows' tokens one after another. Those behind the
        layout's last are filling, and see nothing.
    key, value
        float32[tokens, kv heads, 1, width].
    attention_mask
        Ignored: the layout says what a token sees.
    scaling
        Of the scores.
    layout
        Of the pass.
    known
        Keys and values before the pass, float32[2, kv heads, known, width]; None for none.

    Returns
    -------
    tuple
        float32[tokens, 1, heads, width], and None for the weights.
    """
    total, heads, _, width = query.shape
    kv_heads = key.shape[1]
    pair = (new[: layout.tokens, :, 0].transpose(0, 1) for new in (key, value))
    keys, values = (
        new.contiguous() if known is None else torch.cat([old, new], dim=1)
        for old, new in zip(known if known is not None else (None, None), pair, strict=True)
    )
    grouped = (query[: layout.tokens, :, 0] * scaling).view(-1, kv_heads, heads // kv_heads, width)
    grouped = grouped.transpose(0, 1).contiguous()  # [kv heads, tokens, heads a group, width]
    scores = [_own_scores(grouped, keys, part) for part in layout.near]
    peak = torch.cat([_by_token(own.amax(dim=4, keepdim=True)) for own in scores], dim=1)
    mixed, summed = torch.zeros_like(grouped), torch.zeros_like(peak)
    for part in layout.far:
        span = slice(part.start, part.stop)
        peak[:, span], mixed[:, span], summed[:, span] = _meet_prefixes(
            grouped[:, span], keys, values, peak[:, span], part
        )
    for rows, own in zip(layout.near, scores, strict=True):
        span = slice(rows.start, rows.stop)
        own.sub_(peak[:, span].view(*own.shape[:4], 1)).exp_()
        seen = _take(values, rows.seen).view(kv_heads, rows.rows, -1, width)
        mixed[:, span] += _by_token(_multiply(own.flatten(2, 3), seen).view(*own.shape[:4], width))
        summed[:, span] += _by_token(own.sum(dim=4, keepdim=True))
    out = query.new_zeros(total, 1, heads, width)
    out[: layout.tokens, 0] = mixed.div_(summed).transpose(0, 1).flatten(1, 2)
    return out, None


def _own_scores(grouped: torch.Tensor, keys: torch.Tensor, part: _Near) -> torch.Tensor:
    """Score rows' own part: [kv heads, rows, tokens, heads a group, seen]."""
    kv_heads, _, repeat, width = grouped.shape
    tokens = part.later.shape[1]
    rows = grouped[:, part.start : part.stop].reshape(kv_heads, part.rows, -1, width)
    seen = _take(keys, part.seen).view(kv_heads, part.rows, -1, width)
    scores = _multiply(rows, seen, turned=True).view(kv_heads, part.rows, tokens, repeat, -1)
    return scores.masked_fill_(part.later, float("-inf"))


def _meet_prefixes(
    grouped: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    peak: torch.Tensor,
    part: _Far,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Attend to the prefixes: the highest score so far, the mixed values and their weights' sum."""
    kv_heads, _, repeat, width = grouped.shape
    if part.members is not None:
        grouped, peak = (_take(x, part.members) for x in (grouped, peak))
    blocks = (kv_heads, part.blocks, -1)
    near_keys, near_values = (_take(x, part.seen).view(*blocks, width) for x in (keys, values))
    scores = grouped.reshape(*blocks, width) @ near_keys.transpose(2, 3)
    peak = torch.maximum(peak.reshape(*blocks, 1), scores.amax(dim=3, keepdim=True))
    scores.sub_(peak).exp_()
    found = peak, scores @ near_values, scores.sum(dim=3, keepdim=True)
    peak, mixed, summed = (x.view(kv_heads, -1, repeat, x.shape[3]) for x in found)
    if part.places is None:
        return peak, mixed, summed
    return tuple(_take(x, part.places) for x in (peak, mixed, summed))  # type: ignore[return-value]


def _multiply(left: torch.Tensor, right: torch.Tensor, turned: bool = False) -> torch.Tensor:
    """Multiply [a, b, m, k] with [a, b, k, n], or [a, b, n, k] turned, whatever b to equal bits."""
    rows = left.shape[1]
    if left.shape[0] * rows < LEAST_PRODUCTS:
        left, right = (x.repeat(1, LEAST_PRODUCTS, 1, 1) for x in (left, right))
    return (left @ (right.transpose(2, 3) if turned else right))[:, :rows]


def _take(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Select from the second of an array's dimensions; as one of rows it takes half the time."""
    heads, count = x.shape[:2]
    rows = (torch.arange(heads, device=x.device)[:, None] * count + places).flatten()
    return x.reshape(heads * count, -1).index_select(0, rows).view(heads, -1, *x.shape[2:])


def _own_shape(part: Rows) -> tuple[int, int]:
    """Return a row's tokens, and how much of its own it sees, filled up where there is more.

    How far it is filled up is the row's own, not the pass's: other lengths may give other bits.
    """
    own = part.near.shape[1] + part.tokens
    return part.tokens, -(-own // FILLED) * FILLED if part.near.shape[1] else own


def _by_token(rows: torch.Tensor) -> torch.Tensor:
    """Give [kv heads, rows, tokens, heads a group, n] the pass's shape [kv heads, tokens, ...]."""
    return rows.flatten(1, 2)


def _in_blocks(
    start: int, owners: Places, prefixes: Sequence[Places], least: int, alone: bool
) -> list[_Far]:
    """Cut tokens into blocks of one prefix; ``least`` tokens each, or exactly so many if alone."""
    stop, different = start + len(owners), np.unique(owners)
    if not alone and len(different) == 1 and len(owners) >= least:
        # Several products of like size keep all cores at work.
        blocks = max(1, len(owners) // BLOCK)
        seen = np.tile(np.asarray(prefixes[different[0]], np.int64), blocks)
        whole = len(owners) // blocks * blocks
        met = _Far(start, start + whole, blocks, torch.from_numpy(seen), None, None)
        if whole == len(owners):
            return [met]
        return [met, *_in_blocks(start + whole, owners[whole:], prefixes, least, alone)]
    # A block costs a copy of its prefix, as dear as the work for COPIED tokens; filling costs a
    # prefix half a block on average, and never more than there are tokens.
    even = -(-len(owners) // len(different))
    size = least if alone else max(least, min(even, isqrt(2 * COPIED * even)))
    order = np.argsort(owners, kind="stable")
    members: list[Places] = []
    seen_by: list[Places] = []
    places, at = np.empty(len(owners), np.int64), 0
    for prefix, count in zip(*np.unique(owners, return_counts=True), strict=True):
        own = order[at : at + count]
        places[own] = len(members) * size + np.arange(count)
        for block in range(0, count, size):
            held = own[block : block + size]
            members.append(np.pad(held, (0, size - len(held)), mode="edge"))
            seen_by.append(prefixes[prefix])
        at += count
    met = _Far(
        start, stop, len(members), torch.from_numpy(np.concatenate(seen_by)),
        torch.from_numpy(np.concatenate(members)), torch.from_numpy(places),
    )  # fmt: skip
    return [met]


def _moved(part: Part, device: torch.device) -> Part:
    held = {f.name: getattr(part, f.name) for f in fields(part)}
    moved: dict[str, Any] = {
        k: v.to(device) for k, v in held.items() if isinstance(v, torch.Tensor)
    }
    return replace(part, **moved)


AttentionInterface.register(NAME, attend)
