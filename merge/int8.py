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


GROUP = 64


class Int8Linear(nn.Module):
    """A linear layer stored as INT8 with one bf16 scale per output channel and input group.

    The weight is de-quantised to bf16 at each use and multiplied with bf16 activations; the
    result joins the fp32 residual stream. The bf16 matrix product gives a row the same bits
    alone and in any batch (``tests/merge/test_int8.py``); torch's dynamic quantisation and
    fp32 products do not.

    Parameters
    ----------
    linear
        The layer to quantise, weight [out, in].
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        quantised, scale = quantize_groups(linear.weight.detach())
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
        groups = self.weight.to(torch.bfloat16).unflatten(1, (self.scale.shape[1], -1))
        weight = groups.mul_(self.scale[:, :, None]).flatten(1)
        out = functional.linear(narrow, weight).float()
        if self.bias is not None:
            out = out + self.bias
        if self.site is not None:
            out = self.site.add(out, narrow)
        return out


def quantize_groups(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round a matrix to INT8, symmetrically, by the absolute maximum of each group.

    Parameters
    ----------
    weight
        [out, in]; groups are runs of `GROUP` inputs, or whole rows where `GROUP` does not
        divide ``in``.

    Returns
    -------
    tuple
        int8 [out, in] in -127..127 and bf16 [out, groups].
    """
    size = GROUP if weight.shape[1] % GROUP == 0 else weight.shape[1]
    groups = weight.float().unflatten(1, (-1, size))
    scale = (groups.abs().amax(dim=2).clamp_min(1e-12) / 127.0).to(torch.bfloat16)
    quantised = torch.round(groups / scale.float()[:, :, None]).clamp_(-127, 127)
    return quantised.to(torch.int8).flatten(1), scale


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
                quantised, scale = quantize_groups(tensor)
                module.weight.copy_(quantised)
                module.scale.copy_(scale)
            else:
                getattr(module, leaf).copy_(tensor)
