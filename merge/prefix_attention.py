"""Attention of many short rows over shared prefixes, without a copy of the prefix per row.

Knows grouped-query attention in two parts with one softmax. Deliberately knows nothing of
layers or caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface

NAME = "evobourse_shared_prefix"
LEAST_QUERIES = 16


@dataclass(frozen=True)
class Groups:
    """Which rows of a batch share which of several prefixes, and how they meet them.

    Attributes
    ----------
    prefix_of
        int64[rows], each row's prefix.
    members
        int64[prefixes, n], the rows of each prefix, filled up with copies. None where each row
        meets a copy of its prefix alone: that product has the same shape whoever shares what,
        and on a GPU the shape decides the bits.
    places
        int64[rows], where in the flattened members each row stands.
    """

    prefix_of: torch.Tensor
    members: torch.Tensor | None = None
    places: torch.Tensor | None = None

    @classmethod
    def of(
        cls, prefix_of: Sequence[int], count: int, queries: int, device: torch.device
    ) -> Groups | None:
        """Group rows by their prefix.

        Parameters
        ----------
        prefix_of
            Each row's prefix, 0 .. ``count`` - 1.
        count
            Number of prefixes.
        queries
            Queries that a row brings a group of heads: tokens times heads a group. Groups are
            filled up to `LEAST_QUERIES`, from where on a processor's fp32 products give a row the
            same bits in groups of every size.
        device
            Where the rows are.

        Returns
        -------
        Groups or None
            None on a processor where there is one prefix.
        """
        index = torch.tensor(prefix_of, device=device)
        if device.type != "cpu":
            return cls(index)
        if count == 1:
            return None
        rows: list[list[int]] = [[] for _ in range(count)]
        at = []
        for row, group in enumerate(prefix_of):
            at.append(len(rows[group]))
            rows[group].append(row)
        size = max(*map(len, rows), -(-LEAST_QUERIES // queries))
        members = [own + (own[-1:] or [0]) * (size - len(own)) for own in rows]
        return cls(index, torch.tensor(members), index * size + torch.tensor(at))


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    shared: tuple[torch.Tensor, torch.Tensor] | None = None,
    near: tuple[torch.Tensor, torch.Tensor] | None = None,
    groups: Groups | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to a prefix that many rows share and, causally, to the row's own tokens.

    The queries of all rows of a group meet its prefix as one long sequence: one matrix product
    for the batch, where a prefix expanded to every row would be copied for each of them.

    Parameters
    ----------
    module
        The attention layer, unused.
    query
        float32[rows, heads, tokens, width].
    key, value
        float32[rows, kv heads, tokens, width], the rows' own.
    attention_mask
        Ignored: rows are causal among themselves and see all that stands before.
    scaling
        Of the scores.
    shared
        The prefixes' keys and values, float32[groups, kv heads, prefix, width] each.
    near
        Keys and values between the prefix and the tokens, float32[rows, kv heads, near, width].
    groups
        Which rows share which prefix, None where there is one.

    Returns
    -------
    tuple
        float32[rows, tokens, heads, width], and None for the weights.
    """
    rows, heads, tokens, width = query.shape
    if near is not None:
        key, value = torch.cat([near[0], key], dim=2), torch.cat([near[1], value], dim=2)
    # On the strided views that a layer hands over, the product's bits depend on a row's place.
    key, value = key.contiguous(), value.contiguous()
    kv_heads, seen = key.shape[1:3]
    repeat = heads // kv_heads
    grouped = (query * scaling).reshape(rows, kv_heads, repeat * tokens, width)
    own = grouped @ key.transpose(2, 3)  # [rows, kv heads, repeat * tokens, near + tokens]
    later = torch.ones(tokens, seen, dtype=torch.bool, device=query.device)
    own = own.masked_fill(later.triu(1 + seen - tokens).repeat(repeat, 1), float("-inf"))
    peak = own.amax(dim=3, keepdim=True)
    if shared is not None:
        far = _meet(grouped, shared[0].transpose(2, 3), groups)
        peak = torch.maximum(peak, far.amax(dim=3, keepdim=True))
        far = torch.exp(far - peak)
        mixed, total = _meet(far, shared[1], groups), far.sum(dim=3, keepdim=True)
    else:
        mixed, total = torch.zeros_like(grouped), torch.zeros_like(peak)
    own = torch.exp(own - peak)
    out = (mixed + own @ value) / (total + own.sum(dim=3, keepdim=True))
    return out.reshape(rows, heads, tokens, width).transpose(1, 2).contiguous(), None


def _meet(rows: torch.Tensor, shared: torch.Tensor, groups: Groups | None) -> torch.Tensor:
    """Multiply [rows, kv heads, m, k] by each row's prefix's [prefixes, kv heads, k, n]."""
    if groups is not None:
        if groups.members is None:
            return rows @ shared[groups.prefix_of]
        rows = rows[groups.members.flatten()]
    count, kv_heads, m, k = rows.shape
    number, together = shared.shape[0], count // shared.shape[0]
    long = rows.reshape(number, together, kv_heads, m, k).transpose(1, 2)
    met = long.reshape(number, kv_heads, together * m, k) @ shared
    met = met.view(number, kv_heads, together, m, -1).transpose(1, 2).flatten(0, 1)
    return met if groups is None else met[groups.places]


AttentionInterface.register(NAME, attend)
