"""INT8 weights with bf16 activations (W8A16), exact in every batch.

Knows how to replace a model's linear layers and how a mixture of low-rank adapters joins
their output. Deliberately knows nothing of prompts or of where the weights come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from merge.adapters import LowRankSite


class Int8Linear(nn.Module):
    """A linear layer stored as INT8 with one fp32 scale per output channel.

    The product is taken in bf16 on the de-quantised integers, which bf16 holds exactly, and
    scaled in fp32. The bf16 matrix product gives a row the same bits alone and in any batch
    (``tests/merge/test_int8.py``); torch's dynamic quantisation and fp32 products do not.

    Parameters
    ----------
    linear
        The layer to quantise, weight [out, in].
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        quantised, scale = quantize_rows(linear.weight.detach())
        self.register_buffer("weight", quantised)
        self.register_buffer("scale", scale)
        bias = linear.bias
        self.register_buffer("bias", None if bias is None else bias.detach().float())
        self.site: LowRankSite | None = None

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return int(self.weight.shape[1])

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return int(self.weight.shape[0])

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map [rows, tokens, in] to fp32 [rows, tokens, out], adapters included."""
        narrow = hidden.to(torch.bfloat16)
        out = functional.linear(narrow, self.weight.to(torch.bfloat16)).float() * self.scale
        if self.bias is not None:
            out = out + self.bias
        if self.site is not None:
            out = self.site.add(out, narrow)
        return out


def quantize_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round a matrix [out, in] to INT8 with one scale per row (symmetric, absolute maximum).

    Returns
    -------
    tuple
        int8 [out, in] in -127..127 and fp32 [out].
    """
    weight = weight.float()
    scale = weight.abs().amax(dim=1).clamp_min(1e-12) / 127.0
    return torch.round(weight / scale[:, None]).clamp_(-127, 127).to(torch.int8), scale


def quantize_int8(model: nn.Module) -> nn.Module:
    """Replace every linear layer of the decoder stack by `Int8Linear`, in place.

    Embeddings, norms and the output head keep their precision: the head is read for a
    handful of option tokens only.

    Parameters
    ----------
    model
        A transformers causal language model whose decoder layers stand in ``model.model.layers``.

    Returns
    -------
    nn.Module
        The same object.
    """
    for parent in list(model.model.layers.modules()):  # type: ignore[union-attr]
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child))
    return model


def load_weights(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Put full-precision weights into a quantised model, quantising where it holds INT8.

    Parameters
    ----------
    model
        A model after `quantize_int8`.
    state
        A state dict of the model before quantisation; a merge's result.
    """
    modules = dict(model.named_modules())
    with torch.no_grad():
        for key, tensor in state.items():
            owner, _, leaf = key.rpartition(".")
            module = modules[owner]
            if isinstance(module, Int8Linear) and leaf == "weight":
                quantised, scale = quantize_rows(tensor)
                module.weight.copy_(quantised)
                module.scale.copy_(scale)
            else:
                getattr(module, leaf).copy_(tensor)
