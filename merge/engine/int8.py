"""Linear layers with INT8 weights, for exact products on a processor and bf16 ones elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from evobourse.merge.engine.exact.products import Matrix
from evobourse.merge.engine.exact.weights import (
    dequantize_groups,
    matrix_of,
    quantize_groups,
    quantize_packed,
    unpack_groups,
)
from evobourse.merge.engine.low_rank import LowRankSite
from evobourse.merge.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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

    On a processor the weight is kept in the order in which exact products read it
    (`merge.engine.exact.products`): decoders multiply `matrix` with INT16 activations, and get the
    same bits on every machine and in every batch. Called as a module (by a GPU, and by training)
    the layer de-quantises to bf16 at each use and multiplies with bf16 activations.

    Parameters
    ----------
    linear
        The layer to quantise, weight [out, in].
    compiled
        Whether ``torch.compile`` fuses the de-quantisation into one kernel. The bits are its own.
    packed
        Whether the weight is kept for exact products, int8[blocks, in, 32], and its scales
        bf16[blocks, groups, 32]; else int8[out, in] and bf16[out, groups].
    """

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, linear: nn.Linear, compiled: bool = False, packed: bool = True):
        super().__init__(linear)
        self.compiled, self.packed = compiled, packed and not compiled
        for name, tensor in zip(
            ("weight", "scale"), self._quantized(linear.weight.detach()), strict=True
        ):
            self.register_buffer(name, tensor)

    @property
    def precision(self) -> str:  # type: ignore[override]
        """Name how products are computed."""
        return "w8a16 compiled" if self.compiled else "w8a16"

    @property
    def matrix(self) -> Matrix:
        """The packed weight, for exact products; it shares the layer's memory."""
        return matrix_of(self.weight, self.scale, self.in_features, self.out_features)

    def product(self, narrow: torch.Tensor) -> torch.Tensor:
        """Multiply bf16 [rows, tokens, in] with the de-quantised weight."""
        if narrow.requires_grad and torch.is_grad_enabled():
            return _train_through(narrow, self.weight, self.scale, self)
        multiply = _compiled_multiply() if self.compiled else multiply_groups
        return multiply(narrow, *self.plain(self.weight, self.scale))

    def plain(self, weight: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a weight and its scales of this layer's shape as int8[out, in], bf16[out, n]."""
        if not self.packed:
            return weight, scale
        return unpack_groups(weight, scale, self.in_features, self.out_features)

    def dequantized(self) -> torch.Tensor:
        """Return the weight that is multiplied with, bf16[out, in]."""
        return dequantize_groups(*self.plain(self.weight, self.scale))

    def set_weight(self, weight: torch.Tensor) -> None:
        """Quantise another weight into the same place."""
        refuse_meta(self.weight)
        quantised, scale = self._quantized(weight)
        self.weight.copy_(quantised)
        self.scale.copy_(scale)

    def _quantized(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return (quantize_packed if self.packed else quantize_groups)(weight)


def multiply_groups(
    narrow: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Multiply bf16 [..., in] with INT8 [out, in] under scales bf16 [out, groups]."""
    return functional.linear(narrow, dequantize_groups(weight, scale))


class _TrainedThrough(torch.autograd.Function):
    """The same product, for adapters below: INT8 is kept for the backward pass, not its bf16."""

    @staticmethod
    def forward(
        ctx: Any, narrow: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, layer: Int8Linear
    ) -> torch.Tensor:
        ctx.save_for_backward(weight, scale)
        ctx.layer = layer
        return multiply_groups(narrow, *layer.plain(weight, scale))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        weight = dequantize_groups(*ctx.layer.plain(*ctx.saved_tensors))
        return gradient @ weight, None, None, None


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
