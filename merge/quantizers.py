"""Other libraries' INT8 layers behind the same door as ours.

Knows torchao's weight-only layer and bitsandbytes' LLM.int8(). Deliberately imports neither before
one is asked for: both are extras.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from merge.errors import ModelError
from merge.int8 import Int8Linear, QuantizedLinear
from merge.placement import Storage


class TorchaoLinear(QuantizedLinear):
    """torchao's ``Int8WeightOnlyConfig``: one scale an output channel, activations in bf16."""

    def __init__(self, linear: nn.Linear, device: torch.device | str = "cpu"):
        super().__init__(linear)
        self.precision = f"torchao {version('torchao')} int8 weight-only"
        self.weight = nn.Parameter(_torchao(linear.weight).to(device), requires_grad=False)

    def product(self, narrow: torch.Tensor) -> torch.Tensor:
        """Multiply bf16 [rows, tokens, in] with torchao's tensor."""
        return functional.linear(narrow, self.weight)

    def set_weight(self, weight: torch.Tensor) -> None:
        """Quantise another weight into this one's place."""
        fresh = _torchao(weight).to(self.weight.device)
        self.weight = nn.Parameter(fresh, requires_grad=False)


class BitsandbytesLinear(QuantizedLinear):
    """bitsandbytes' LLM.int8() without its outlier columns: W8A8, activations scaled by token.

    Which columns are outliers is decided over a whole batch, so that with them a row's answer
    would depend on its neighbours (``tests/merge/test_quantizers.py``); ``threshold=0`` has none.
    """

    def __init__(
        self, linear: nn.Linear, device: torch.device | str = "cpu", threshold: float = 0.0
    ):
        super().__init__(linear)
        self.precision = f"bitsandbytes {version('bitsandbytes')} int8 threshold {threshold:g}"
        bnb = import_module("bitsandbytes")
        self.inner = bnb.nn.Linear8bitLt(
            self.in_features,
            self.out_features,
            bias=False,
            has_fp16_weights=False,
            threshold=threshold,
            device="meta",
        )
        self.inner.eval()
        self._set(linear.weight, device)

    def product(self, narrow: torch.Tensor) -> torch.Tensor:
        """Multiply bf16 [rows, tokens, in] with bitsandbytes' layer, which works in fp16."""
        return self.inner(narrow.half())

    def set_weight(self, weight: torch.Tensor) -> None:
        """Quantise another weight into this one's place."""
        self._set(weight, self.inner.weight.device)

    def _set(self, weight: torch.Tensor, device: torch.device | str) -> None:
        bnb = import_module("bitsandbytes")
        # It quantises on the way from the processor to a device, and nowhere else.
        whole = weight.detach().cpu().clone()
        parameter = bnb.nn.Int8Params(whole, requires_grad=False, has_fp16_weights=False)
        self.inner.weight = parameter.to(device)


def linear_maker(storage: Storage) -> Callable[[nn.Linear, str], QuantizedLinear]:
    """Return what turns a linear layer on the processor into a quantised one on a device.

    Raises
    ------
    ModelError
        The library is not installed.
    """
    if storage.quantizer == "groups":
        return lambda linear, device: Int8Linear(linear, storage.compiled).to(device)
    try:
        import_module(storage.quantizer)
    except ImportError as error:
        raise ModelError(
            f"minds.quantizer: is {storage.quantizer!r}, which is not installed ({error}); "
            f"pip install 'evobourse[{storage.quantizer}]', or set minds.quantizer: groups"
        ) from error
    return TorchaoLinear if storage.quantizer == "torchao" else BitsandbytesLinear


def precision_of(model: nn.Module) -> str:
    """Name how a model's products are computed, for the memo's key."""
    found = {m.precision for m in model.modules() if isinstance(m, QuantizedLinear)}
    return " and ".join(sorted(found)) or "unquantised"


def _torchao(weight: torch.Tensor) -> Any:
    quantization: Any = import_module("torchao.quantization")
    carrier = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    carrier.weight = nn.Parameter(weight.detach().to(torch.bfloat16), requires_grad=False)
    config = quantization.Int8WeightOnlyConfig(set_inductor_config=False)
    quantization.quantize_(carrier, config)
    return carrier.weight.data
