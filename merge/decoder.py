"""A decoder-only transformer run in pieces: some layers, over a prefix computed once.

Knows transformers' Llama-shaped models (Llama, Mistral, SmolLM, Qwen2 without sliding
windows). Deliberately knows nothing of what the tokens say or who asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from merge.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Prefix:
    """Keys and values of a token prefix.

    Attributes
    ----------
    tokens
        Length P.
    layers
        Layer index to keys and values, each float32[rows or 1, heads, P, head width].
    """

    tokens: int
    layers: dict[int, tuple[torch.Tensor, torch.Tensor]]


class _JoinedCache:
    """What a decoder layer asks of a transformers cache: join the prefix, keep the new part."""

    def __init__(self, prefix: Prefix | None):
        self.prefix = prefix
        self.fresh: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.fresh[layer] = (keys, values)
        if self.prefix is None:
            return keys, values
        shape = (keys.shape[0], -1, -1, -1)
        old_keys, old_values = self.prefix.layers[layer]
        return (
            torch.cat([old_keys.expand(shape), keys], dim=2),
            torch.cat([old_values.expand(shape), values], dim=2),
        )


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
        self, hidden: torch.Tensor, first: int, last: int, prefix: Prefix | None = None
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
            Keys and values that stand before the tokens, one row for all or one each.

        Returns
        -------
        tuple
            float32[rows, tokens, width], input of layer ``last``, and the tokens' own keys
            and values as a `Prefix`.
        """
        inner = self.model.model
        before = prefix.tokens if prefix else 0
        count = hidden.shape[1]
        positions = torch.arange(before, before + count, device=hidden.device)[None]
        angles = inner.rotary_emb(hidden, position_ids=positions)
        seen = torch.arange(before + count, device=hidden.device)
        mask = (seen[None, :] <= positions[0][:, None])[None, None]
        cache = _JoinedCache(prefix)
        for layer in inner.layers[first:last]:
            hidden = layer(
                hidden,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                position_embeddings=angles,
            )
        return hidden, Prefix(count, cache.fresh)

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
