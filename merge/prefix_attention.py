"""Attention of many short rows over one shared prefix, without a copy of the prefix per row.

Knows grouped-query attention in two parts with one softmax. Deliberately knows nothing of
layers or caches.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface

NAME = "evobourse_shared_prefix"


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    shared: tuple[torch.Tensor, torch.Tensor] | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to a prefix that all rows share and, causally, to the row's own tokens.

    The queries of all rows meet the prefix as one long sequence: one matrix product for the
    batch, where a prefix expanded to every row would be copied for each of them.

    Parameters
    ----------
    module
        The attention layer, unused.
    query
        float32[rows, heads, tokens, width].
    key, value
        float32[rows, kv heads, tokens, width], the rows' own.
    attention_mask
        Ignored: rows are causal among themselves and see the whole prefix.
    scaling
        Of the scores.
    shared
        The prefix's keys and values, float32[1, kv heads, prefix, width] each.

    Returns
    -------
    tuple
        float32[rows, tokens, heads, width], and None for the weights.
    """
    # On the strided views that a layer hands over, the product's bits depend on a row's place.
    key, value = key.contiguous(), value.contiguous()
    rows, heads, tokens, width = query.shape
    groups = key.shape[1]
    repeat = heads // groups
    grouped = (query * scaling).reshape(rows, groups, repeat * tokens, width)
    own = grouped @ key.transpose(2, 3)  # [rows, groups, repeat * tokens, tokens]
    later = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device).triu(1)
    own = own.masked_fill(later.repeat(repeat, 1), float("-inf"))
    peak = own.amax(dim=3, keepdim=True)
    if shared is not None:
        prefix_key, prefix_value = shared[0][0], shared[1][0]  # [groups, prefix, width]
        queries = grouped.transpose(0, 1).reshape(groups, rows * repeat * tokens, width)
        far = (queries @ prefix_key.transpose(1, 2)).reshape(groups, rows, repeat * tokens, -1)
        peak = torch.maximum(peak, far.amax(dim=3, keepdim=True).transpose(0, 1))
        far = torch.exp(far - peak.transpose(0, 1))
        far_read = far.reshape(groups, rows * repeat * tokens, -1) @ prefix_value
        mixed = far_read.view(groups, rows, repeat * tokens, width).transpose(0, 1)
        total = far.sum(dim=3, keepdim=True).transpose(0, 1)
    else:
        mixed, total = torch.zeros_like(grouped), torch.zeros_like(peak)
    own = torch.exp(own - peak)
    out = (mixed + own @ value) / (total + own.sum(dim=3, keepdim=True))
    return out.reshape(rows, heads, tokens, width).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attend)
