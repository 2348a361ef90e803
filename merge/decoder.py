"""A decoder-only transformer run in pieces: some layers, over a prefix computed once.

Knows transformers' Llama-shaped models (Llama, Mistral, SmolLM, Qwen2 without sliding
windows), and that their layers may stand in another order, more than once and with scaled inputs.
Deliberately knows nothing of what the tokens say or who asks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

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
        Place of a layer in the decoder's order to keys and values, each float32[n, heads, P, head
        width]; n is 1, or as many as there are rows or groups of rows.
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


@dataclass(frozen=True)
class Slot:
    """A place in a decoder's order of layers.

    Attributes
    ----------
    layer
        A transformers decoder layer; it may stand in several slots.
    scale
        Factor on its input.
    """

    layer: nn.Module
    scale: float = 1.0


@dataclass(frozen=True)
class Parts:
    """What a token passes: embedding, slots from the bottom up, final norm, output head."""

    embedding: nn.Module
    slots: tuple[Slot, ...]
    norm: nn.Module
    head: nn.Module


class _OwnKeys:
    """What a decoder layer asks of a transformers cache: here it only keeps the new part."""

    pair: tuple[torch.Tensor, torch.Tensor]

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.pair = (keys, values)
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
        needed = ("embed_tokens", "layers", "norm", "rotary_emb")
        missing = [part for part in needed if not hasattr(inner, part)]
        if missing or getattr(inner, "has_sliding_layers", False):
            kind = type(model).__name__
            raise ModelError(
                f"base: {kind} is not a plain Llama-shaped decoder "
                f"(missing {', '.join(missing) or 'full attention'}); use Llama, Mistral or SmolLM"
            )
        self.model = model
        self._own = Parts(
            inner.embed_tokens, tuple(map(Slot, inner.layers)), inner.norm, model.lm_head
        )
        self.run_on(None)

    def run_on(self, parts: Parts | None) -> None:
        """Run on parts of the model's widths, which still lends config and device; None: its own.

        Whoever keeps keys and values of other parts must forget them.
        """
        self.parts = parts or self._own
        self.depth = len(self.parts.slots)

    @property
    def first_adapted(self) -> int:
        """The lowest slot whose layer has adapters, or the depth: below it all minds are one."""
        return next(
            (
                place
                for place, slot in enumerate(self.parts.slots)
                if any(getattr(part, "site", None) is not None for part in slot.layer.modules())
            ),
            self.depth,
        )

    @torch.inference_mode()
    def embed(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Embed token ids of equal length: float32[rows, tokens, width]."""
        ids = torch.tensor(tokens, device=self.model.device)
        return self.parts.embedding(ids).float()

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
        """Run the layers in slots ``first`` to ``last - 1``.

        Parameters
        ----------
        hidden
            float32[rows, tokens, width], input of slot ``first``; every row has the same
            number of real tokens (no padding), which stand behind the prefix.
        first, last
            Span of slots.
        prefix
            Keys and values that stand before the tokens of every row, or of every row of a group.
        near
            Keys and values of each row's own that stand between the prefix and its tokens.
        prefix_of
            Number of each row's group among the prefixes; None where all rows share one.

        Returns
        -------
        tuple
            float32[rows, tokens, width], input of slot ``last``, and the tokens' own keys
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
        own = {}
        with self._shared_prefix_attention():
            for place, slot in enumerate(self.parts.slots[first:last], first):
                cache = _OwnKeys()
                hidden = slot.layer(
                    hidden if slot.scale == 1 else hidden * slot.scale,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    position_embeddings=angles,
                    shared=prefix.layers[place] if prefix else None,
                    near=near.layers[place] if near else None,
                    groups=groups,
                )
                keys, values = cache.pair
                own[place] = (keys[:rows].clone(), values[:rows].clone())
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
        normed = self.parts.norm(hidden)
        head = self.parts.head.weight[list(options)].float()
        return (normed[:, None, :] * head[None]).sum(-1)
