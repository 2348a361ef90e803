"""What a decoder consists of, and what it keeps of the tokens that it has read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Prefix:
    """Keys and values of tokens: those of one text, or of several rows one after another.

    Attributes
    ----------
    tokens
        Their number P.
    layers
        Place of a layer in the decoder's order to keys and values, float32[2, kv heads, P, head
        width].
    """

    tokens: int
    layers: Mapping[int, torch.Tensor]

    def first(self, tokens: int) -> Prefix:
        """Return those of the first tokens."""
        return Prefix(tokens, {at: pair[:, :, :tokens] for at, pair in self.layers.items()})

    def followed_by(self, other: Prefix) -> Prefix:
        """Append another prefix's tokens, layer by layer."""
        pairs = {at: torch.cat([own, other.layers[at]], dim=2) for at, own in self.layers.items()}
        return Prefix(self.tokens + other.tokens, pairs)


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
