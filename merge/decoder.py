"""A decoder-only transformer run in pieces: some layers, over a prefix computed once.

Knows transformers' Llama-shaped models (Llama, Mistral, SmolLM, Qwen2 without sliding
windows). Deliberately knows nothing of what the tokens say or who asks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from merge import prefix_attention
from merge.errors import ModelError
from merge.prefix_attention import Groups

if TYPE_CHECKING:
    from transformers import PreTrainedModel


LEAST_TOKENS = 64
Row = TypeVar("Row")


@dataclass(frozen=True)
class Prefix:
    """Keys and values of a token prefix.

    Attributes
    ----------
    tokens
        Length P.
    layers
        Layer index to keys and values, each float32[n, heads, P, head width]; n is 1, or as many
        as there are rows or groups of rows.
    """

    tokens: int
    layers: dict[int, tuple[torch.Tensor, torch.Tensor]]

    @property
    def rows(self) -> int:
        """Count n; 1 where there are no layers."""
        return next((len(keys) for keys, _ in self.layers.values()), 1)

    def followed_by(self, other: Prefix) -> Prefix:
        """Append another prefix's tokens, layer by layer."""
        joined = {
            layer: (torch.cat([keys, more_keys], dim=2), torch.cat([values, more_values], dim=2))
            for layer, (keys, values) in self.layers.items()
            for more_keys, more_values in [other.layers[layer]]
        }
        return Prefix(self.tokens + other.tokens, joined)

    def of_rows(self, rows: Sequence[int]) -> Prefix:
        """Choose rows, in this order."""
        index = list(rows)
        chosen = {layer: (k[index], v[index]) for layer, (k, v) in self.layers.items()}
        return Prefix(self.tokens, chosen)


def fill_up(rows: Sequence[Row], tokens: int) -> list[Row]:
    """Repeat rows of a number of tokens each until there are `LEAST_TOKENS` tokens."""
    missing = max(0, -(-LEAST_TOKENS // tokens) - len(rows))
    return [*rows, *itertools.islice(itertools.cycle(rows), missing)]


class _OwnKeys:
    """What a decoder layer asks of a transformers cache: here it only keeps the new part."""

    def __init__(self) -> None:
        self.layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.layers[layer] = (keys, values)
        return keys, values


class Decoder:
    """A causal language model whose layers can be run a span at a time.

    Parameters
    ----------
    model
        A transformers model with ``model.embed_tokens``, ``model.layers``, ``model.norm``,
        ``model.rotary_emb`` and ``lm_head``.

    Raises
    ------
    ModelError
        The model is of another shape.
    """

    def __init__(self, model: PreTrainedModel):
        inner = getattr(model, "model", None)
        parts = ("embed_tokens", "layers", "norm", "rotary_emb")
        missing = [part for part in parts if not hasattr(inner, part)]
        if missing or getattr(inner, "has_sliding_layers", False):
            kind = type(model).__name__
            raise ModelError(
                f"base: {kind} is not a plain Llama-shaped decoder "
                f"(missing {', '.join(missing) or 'full attention'}); use Llama, Mistral or SmolLM"
            )
        self.model = model
        self.depth = len(inner.layers)

    @torch.inference_mode()
    def embed(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Embed token ids of equal length: float32[rows, tokens, width]."""
        ids = torch.tensor(tokens, device=self.model.device)
        return self.model.model.embed_tokens(ids).float()

    @torch.inference_mode()
    def run(
        self,
        hidden: torch.Tensor,
        first: int,
        last: int,
        prefix: Prefix | None = None,
        near: Prefix | None = None,
        prefix_of: Sequence[int] | None = None,
    ) -> tuple[torch.Tensor, Prefix]:
        """Run layers ``first`` to ``last - 1``.

        Parameters
        ----------
        hidden
            float32[rows, tokens, width], input of layer ``first``; every row has the same
            number of real tokens (no padding), which stand behind the prefix.
        first, last
            Span of layers.
        prefix
            Keys and values that stand before the tokens of every row, or of every row of a group.
        near
            Keys and values of each row's own that stand between the prefix and its tokens.
        prefix_of
            Number of each row's group among the prefixes; None where all rows share one.

        Returns
        -------
        tuple
            float32[rows, tokens, width], input of layer ``last``, and the tokens' own keys
            and values (a `Prefix` where there is one row).

        Notes
        -----
        A batch of fewer than `LEAST_TOKENS` tokens is filled up with copies of its rows: from
        there on the fp32 kernels of attention give a row the same bits in every batch. Where rows
        have coefficients of their own (`merge.adapters.AdapterBank.mixed`), `fill_up` comes first.
        """
        inner = self.model.model
        rows, tokens = hidden.shape[:2]
        before = (prefix.tokens if prefix else 0) + (near.tokens if near else 0)
        filled = fill_up(list(range(rows)), tokens)
        if len(filled) > rows:
            hidden, near = hidden[filled], near.of_rows(filled) if near else None
        groups = None
        if prefix is not None and prefix_of is not None:
            config = self.model.config
            queries = tokens * config.num_attention_heads // config.num_key_value_heads
            chosen = [prefix_of[row] for row in filled]
            groups = Groups.of(chosen, prefix.rows, queries, hidden.device)
        positions = torch.arange(before, before + tokens, device=hidden.device)[None]
        angles = inner.rotary_emb(hidden, position_ids=positions)
        cache = _OwnKeys()
        with self._shared_prefix_attention():
            for index, layer in enumerate(inner.layers[first:last], first):
                hidden = layer(
                    hidden,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    position_embeddings=angles,
                    shared=prefix.layers[index] if prefix else None,
                    near=near.layers[index] if near else None,
                    groups=groups,
                )
        own = {i: (k[:rows].clone(), v[:rows].clone()) for i, (k, v) in cache.layers.items()}
        return hidden[:rows], Prefix(tokens, own)

    @contextmanager
    def _shared_prefix_attention(self) -> Iterator[None]:
        config = self.model.config
        usual = config._attn_implementation
        config._attn_implementation = prefix_attention.NAME
        try:
            yield
        finally:
            config._attn_implementation = usual

    @torch.inference_mode()
    def option_logits(self, hidden: torch.Tensor, options: Sequence[int]) -> torch.Tensor:
        """Read the logits of a few tokens from last-layer states [rows, width].

        Returns
        -------
        torch.Tensor
            float32[rows, options]. Product and sum are taken per element, not as a matrix
            product, so that a row's logits are the same bits in every batch.
        """
        normed = self.model.model.norm(hidden)
        head = self.model.lm_head.weight[list(options)].float()
        return (normed[:, None, :] * head[None]).sum(-1)
