"""A decoder-only transformer run in pieces: some layers, over a prefix computed once.

Knows transformers' Llama-shaped models (Llama, Mistral, SmolLM, Qwen2 without sliding
windows), and that their layers may stand in another order, more than once and with scaled inputs.
Deliberately knows nothing of what the tokens say or who asks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from merge import prefix_attention
from merge.errors import ModelError
from merge.placement import execution_device
from merge.prefix_attention import Groups
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

    def at(self, layer: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a layer's keys and values on a device."""
        keys, values = self.layers[layer]
        return keys.to(device), values.to(device)

    def of_rows(self, rows: Sequence[int]) -> Prefix:
        """Choose rows, in this order."""
        index = list(rows)
        chosen = {layer: (k[index], v[index]) for layer, (k, v) in self.layers.items()}
        return Prefix(self.tokens, chosen)


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
        ids = torch.tensor(tokens, device=self.device)
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
        On a processor, a batch of fewer than `LEAST_TOKENS` tokens is filled up with copies of its
        rows: from there on the fp32 kernels of attention give a row the same bits in every batch.
        On a GPU the libraries choose a kernel, and with it the order of a sum, by the batch's
        shape: there all batches of one length are cut and filled to one shape, of ``tile_tokens``
        tokens.
        """
        rows, tokens = hidden.shape[:2]
        size = max(rows, -(-LEAST_TOKENS // tokens))
        if self.tile_tokens is not None:
            size = -(-self.tile_tokens // tokens)
        parts = []
        for at in range(0, rows, size):
            real = range(at, min(at + size, rows))
            chosen = list(itertools.islice(itertools.cycle(real), size))
            if chosen == list(range(rows)):
                return self._run(hidden, first, last, prefix, near, prefix_of)
            part = hidden[chosen], near.of_rows(chosen) if near else None
            whose = None if prefix_of is None else [prefix_of[row] for row in chosen]
            with self._mixtures_of(chosen, first, last):
                out, own = self._run(part[0], first, last, prefix, part[1], whose)
            parts.append((out[: len(real)], own.of_rows(range(len(real)))))
        if len(parts) == 1:
            return parts[0]
        joined = {
            place: tuple(torch.cat(pair) for pair in zip(*pairs, strict=True))
            for place in range(first, last)
            for pairs in [[own.layers[place] for _, own in parts]]
        }
        return torch.cat([out for out, _ in parts]), Prefix(tokens, joined)

    def _run(
        self,
        hidden: torch.Tensor,
        first: int,
        last: int,
        prefix: Prefix | None,
        near: Prefix | None,
        prefix_of: Sequence[int] | None,
    ) -> tuple[torch.Tensor, Prefix]:
        """Run layers over a batch as it is."""
        tokens = hidden.shape[1]
        before = (prefix.tokens if prefix else 0) + (near.tokens if near else 0)
        groups = None
        if prefix is not None and prefix_of is not None:
            config = self.model.config
            queries = tokens * config.num_attention_heads // config.num_key_value_heads
            groups = Groups.of(prefix_of, prefix.rows, queries, hidden.device)
        positions = torch.arange(before, before + tokens, device=hidden.device)[None]
        angles = self.model.model.rotary_emb(hidden, position_ids=positions)
        own = {}
        with self.attending(prefix_attention.NAME):
            for place, slot in enumerate(self.parts.slots[first:last], first):
                cache, here = _OwnKeys(), execution_device(slot.layer)
                hidden = slot.layer(
                    hidden if slot.scale == 1 else hidden * slot.scale,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    position_embeddings=angles,
                    shared=prefix.at(place, here) if prefix else None,
                    near=near.at(place, here) if near else None,
                    groups=groups.to(here) if groups else None,
                )
                own[place] = tuple(half.clone() for half in cache.pair)
        return hidden, Prefix(tokens, own)

    @contextmanager
    def _mixtures_of(self, rows: Sequence[int], first: int, last: int) -> Iterator[None]:
        """Give the adapters the chosen rows' mixtures, in that order."""
        layers = [slot.layer for slot in self.parts.slots[first:last]]
        parts = (part for layer in layers for part in layer.modules())
        sites = [site for part in parts if (site := getattr(part, "site", None))]
        chosen = torch.tensor(rows)
        for site in sites:
            site.rows = chosen
        try:
            yield
        finally:
            for site in sites:
                site.rows = None

    @contextmanager
    def attending(self, name: str) -> Iterator[None]:
        """Let the layers attend by a function registered under a name, until the end."""
        config = self.model.config
        usual = config._attn_implementation
        config._attn_implementation = name
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
        with _weights_at_hand(self.parts.head):
            head = self.parts.head.weight[list(options)].to(normed.device).float()
        return (normed[:, None, :] * head[None]).sum(-1)

    @torch.inference_mode()
    def likeliest(self, hidden: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the tokens that are likeliest to follow, from last-layer states [rows, width].

        Returns
        -------
        tuple
            int64[rows, count] token ids, ascending, and their logits float32[rows, count]. The
            bf16 product over the vocabulary, the same bits in every batch, says which; their
            logits are then taken as `option_logits` takes them.
        """
        normed = self.parts.norm(hidden)
        with _weights_at_hand(self.parts.head):
            weight = self.parts.head.weight
            rough = functional.linear(normed.to(torch.bfloat16), weight.to(torch.bfloat16))
            tokens = rough.topk(count, dim=-1).indices.sort(dim=-1).values
            rows = weight[tokens].float()
        return tokens, (normed[:, None, :] * rows).sum(-1)


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
