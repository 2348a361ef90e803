"""A decoder-only transformer run in pieces: some layers, over a prefix computed once.

Knows transformers' Llama-shaped models (Llama, Mistral, SmolLM, Qwen2 without sliding
windows). Deliberately knows nothing of what the tokens say or who asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from merge import prefix_attention
from merge.errors import ModelError
from merge.placement import execution_device
from merge.quantizers import precision_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


LEAST_TOKENS = 64
TILE_TOKENS = 2048


@dataclass(frozen=True)
class Prefix:
    """Keys and values of a token prefix.

    Attributes
    ----------
    tokens
        Length P.
    layers
        Layer index to keys and values, each float32[1, heads, P, head width].
    """

    tokens: int
    layers: dict[int, tuple[torch.Tensor, torch.Tensor]]

    def followed_by(self, other: Prefix) -> Prefix:
        """Append another prefix's tokens, layer by layer."""
        joined = {
            layer: (torch.cat([keys, more_keys], dim=2), torch.cat([values, more_values], dim=2))
            for layer, (keys, values) in self.layers.items()
            for more_keys, more_values in [other.layers[layer]]
        }
        return Prefix(self.tokens + other.tokens, joined)


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
    tile_tokens
        Tokens that every batch is cut and filled to, see `run`; None: `TILE_TOKENS` on a GPU, none
        on a processor.

    Raises
    ------
    ModelError
        The model is of another shape.
    """

    def __init__(self, model: PreTrainedModel, tile_tokens: int | None = None):
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
        self.tile_tokens = tile_tokens
        if tile_tokens is None and self.device.type != "cpu":
            self.tile_tokens = TILE_TOKENS

    @property
    def device(self) -> torch.device:
        """Where tokens enter."""
        return execution_device(self.model.model.embed_tokens)

    @cached_property
    def engine(self) -> str:
        """Name how the layers' products are computed and tiled, for the memo's key."""
        tiles = f" in tiles of {self.tile_tokens}" if self.tile_tokens else ""
        return precision_of(self.model) + tiles

    @cached_property
    def machine(self) -> str:
        """Name the chips whose kernels the answers come from, for the memo's key."""
        devices = {execution_device(layer) for layer in self.model.model.layers}
        return " + ".join(sorted(_name_chip(device) for device in devices))

    @torch.inference_mode()
    def embed(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Embed token ids of equal length: float32[rows, tokens, width]."""
        ids = torch.tensor(tokens, device=self.device)
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
            Keys and values that stand before the tokens of every row.

        Returns
        -------
        tuple
            float32[rows, tokens, width], input of layer ``last``, and the tokens' own keys
            and values (a `Prefix` where there is one row).

        Notes
        -----
        On a processor, a batch of fewer than `LEAST_TOKENS` tokens is filled up with copies of its
        last row: from there on the fp32 kernels of attention give a row the same bits in every
        batch. On a GPU the libraries choose a kernel, and with it the order of a sum, by the
        batch's shape: there all batches of one length are cut and filled to one shape,
        of ``tile_tokens`` tokens.
        """
        rows, tokens = hidden.shape[:2]
        if self.tile_tokens is None:
            size = max(rows, -(-LEAST_TOKENS // tokens))
        else:
            size = -(-self.tile_tokens // tokens)
        if size == rows:
            return self._run(hidden, first, last, prefix, rows)
        parts = []
        for at in range(0, rows, size):
            chosen = torch.arange(at, at + size, device=hidden.device).clamp_(max=rows - 1)
            with self._mixtures_of(chosen, first, last):
                count = min(size, rows - at)
                parts.append(self._run(hidden[chosen], first, last, prefix, count))
        if len(parts) == 1:
            return parts[0]
        own = {
            index: tuple(torch.cat(pair) for pair in zip(*pairs, strict=True))
            for index in range(first, last)
            for pairs in [[prefix.layers[index] for _, prefix in parts]]
        }
        return torch.cat([part for part, _ in parts]), Prefix(tokens, own)

    def _run(
        self, hidden: torch.Tensor, first: int, last: int, prefix: Prefix | None, rows: int
    ) -> tuple[torch.Tensor, Prefix]:
        """Run layers over a batch as it is, and return its first ``rows`` rows."""
        inner = self.model.model
        tokens = hidden.shape[1]
        before = prefix.tokens if prefix else 0
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
                )
        own = {i: (k[:rows].clone(), v[:rows].clone()) for i, (k, v) in cache.layers.items()}
        return hidden[:rows], Prefix(tokens, own)

    @contextmanager
    def _mixtures_of(self, rows: torch.Tensor, first: int, last: int) -> Iterator[None]:
        """Give the adapters the chosen rows' mixtures, in that order."""
        layers = self.model.model.layers[first:last]
        sites = [site for m in layers.modules() if (site := getattr(m, "site", None))]
        for site in sites:
            site.rows = rows
        try:
            yield
        finally:
            for site in sites:
                site.rows = None

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
        with _weights_at_hand(self.model.lm_head):
            head = self.model.lm_head.weight[list(options)].to(normed.device).float()
        return (normed[:, None, :] * head[None]).sum(-1)


def _name_chip(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"


def _weights_at_hand(module: nn.Module) -> AbstractContextManager[None]:
    """Bring weights that accelerate keeps elsewhere, for use without the module's forward."""
    if not hasattr(module, "_hf_hook"):
        return nullcontext()
    from accelerate.utils import align_module_device

    return align_module_device(module)
