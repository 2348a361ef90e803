"""INT8 weights with bf16 activations (W8A16), exact in every batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from evobourse.merge.engine.low_rank import LowRankSite
from evobourse.merge.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GROUP = 64


class QuantizedLinear(nn.Module, ABC):
    """A linear layer with INT8 weights: bf16 goes in, fp32 comes out, and adapters may join.

    Parameters
    ----------
    linear
        The layer to quantise, weight [out, in].
    """

    precision: str
    """Names how products are computed, for the memo's key."""

    bias: torch.Tensor | None

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        bias = linear.bias
        self.register_buffer("bias", None if bias is None else bias.detach().float())
        self.site: LowRankSite | None = None

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map [rows, tokens, in] to fp32 [rows, tokens, out], adapters included."""
        narrow = hidden.to(torch.bfloat16)
        out = self.product(narrow).float()
        if self.bias is not None:
            out = out + self.bias
        if self.site is not None:
            out = self.site.add(out, narrow)
        return out

    @abstractmethod
    def product(self, narrow: torch.Tensor) -> torch.Tensor:
        """Multiply bf16 [rows, tokens, in] with the weight alone."""

    @abstractmethod
    def set_weight(self, weight: torch.Tensor) -> None:
        """Exchange the weight for another one in full precision, [out, in]."""


class Int8Linear(QuantizedLinear):
    """A linear layer stored as INT8 with one bf16 scale per output channel and input group.

    The weight is de-quantised to bf16 at each use and multiplied with bf16 activations; the
    result joins the fp32 residual stream. On a processor the bf16 matrix product gives a row the
    same bits in any batch of two rows or more (``tests/merge/engine/test_int8.py``); a single row
    mostly, but 9 of 43,200 elements differed at 1536 x 576, so that decoders fill small batches up.
    torch's dynamic quantisation and fp32 products give other bits in other batches.

    Parameters
    ----------
    linear
        The layer to quantise, weight [out, in].
    compiled
        Whether ``torch.compile`` fuses the de-quantisation into one kernel. The bits are its own.
    """

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, linear: nn.Linear, compiled: bool = False):
        super().__init__(linear)
        quantised, scale = quantize_groups(linear.weight.detach())
        self.register_buffer("weight", quantised)
        self.register_buffer("scale", scale)
        self.compiled = compiled

    @property
    def precision(self) -> str:  # type: ignore[override]
        """Name how products are computed."""
        return "w8a16 compiled" if self.compiled else "w8a16"

    def product(self, narrow: torch.Tensor) -> torch.Tensor:
        """Multiply bf16 [rows, tokens, in] with the de-quantised weight."""
        if narrow.requires_grad and torch.is_grad_enabled():
            return _train_through(narrow, self.weight, self.scale)
        multiply = _compiled_multiply() if self.compiled else multiply_groups
        return multiply(narrow, self.weight, self.scale)

    def set_weight(self, weight: torch.Tensor) -> None:
        """Quantise another weight into the same place."""
        refuse_meta(self.weight)
        quantised, scale = quantize_groups(weight)
        self.weight.copy_(quantised)
        self.scale.copy_(scale)


def multiply_groups(
    narrow: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Multiply bf16 [..., in] with INT8 [out, in] under scales bf16 [out, groups]."""
    return functional.linear(narrow, dequantize_groups(weight, scale))


def dequantize_groups(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Undo `quantize_groups` up to its rounding: bf16 [out, in]."""
    groups: torch.Tensor = weight.to(torch.bfloat16).unflatten(1, (scale.shape[1], -1))
    return groups.mul_(scale[:, :, None]).flatten(1)


class _TrainedThrough(torch.autograd.Function):
    """The same product, for adapters below: INT8 is kept for the backward pass, not its bf16."""

    @staticmethod
    def forward(
        ctx: Any, narrow: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(weight, scale)
        return multiply_groups(narrow, weight, scale)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradient @ dequantize_groups(*ctx.saved_tensors), None, None


_train_through: Callable[..., torch.Tensor] = _TrainedThrough.apply


@cache
def _compiled_multiply() -> Callable[..., torch.Tensor]:
    return torch.compile(multiply_groups, dynamic=True)


def refuse_meta(weight: torch.Tensor) -> None:
    """Refuse to change what accelerate keeps elsewhere.

    Raises
    ------
    ModelError
        The weight has no memory here.
    """
    if weight.is_meta:
        raise ModelError(
            "base: some layers lie outside the device's memory and their weights cannot be "
            "exchanged; give it memory for the whole base, or set minds.recipe_blocks: 0"
        )


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


def quantize_int8(model: PreTrainedModel, compiled: bool = False) -> PreTrainedModel:
    """Replace every linear layer of the decoder stack by `Int8Linear`, in place.

    Embeddings, norms and the output head keep their precision: the head is read for a
    handful of option tokens only.

    Parameters
    ----------
    model
        A transformers causal language model whose decoder layers stand in ``model.model.layers``.
    compiled
        See `Int8Linear`.

    Returns
    -------
    PreTrainedModel
        The same object.
    """
    for parent in list(model.model.layers.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child, compiled))
    return model


def load_weights(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Put full-precision weights into a quantised model, quantising where it holds INT8.

    Parameters
    ----------
    model
        A quantised model.
    state
        A state dict of the model before quantisation; a merge's result.

    Raises
    ------
    ModelError
        Some of them lie outside the device's memory.
    """
    modules = dict(model.named_modules())
    with torch.no_grad():
        for key, tensor in state.items():
            owner, _, leaf = key.rpartition(".")
            module = modules[owner]
            if isinstance(module, QuantizedLinear) and leaf == "weight":
                module.set_weight(tensor)
            else:
                held = getattr(module, leaf)
                refuse_meta(held)
                if held.dtype == torch.bfloat16:  # what was exact for another weight
                    held = nn.Parameter(held.float(), requires_grad=False)
                    setattr(module, leaf, held)
                held.copy_(tensor)
