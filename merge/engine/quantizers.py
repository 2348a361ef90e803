"""Other libraries' INT8 layers behind the same door as ours: torchao and bitsandbytes, both extras.

Neither is imported before one is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from evobourse.merge.engine.int8 import Int8Linear, QuantizedLinear, refuse_meta
from evobourse.merge.engine.placement import Storage
from evobourse.merge.errors import ModelError

_BLOCK = 256


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
    """bitsandbytes' 8-bit blocks: its dynamic code over 256 weights, de-quantised at each use.

    Not its LLM.int8(): which columns are outliers is decided there over a whole batch, and without
    outliers its answers are far off (docs/decisions/056).
    """

    weight: torch.Tensor
    scale: torch.Tensor
    code: torch.Tensor

    def __init__(self, linear: nn.Linear, device: torch.device | str = "cpu"):
        super().__init__(linear)
        self.precision = f"bitsandbytes {version('bitsandbytes')} blocks of {_BLOCK}"
        codes, state = _bitsandbytes(linear.weight)
        self.register_buffer("weight", codes.to(device))
        self.register_buffer("scale", state.absmax.to(device))
        self.register_buffer("code", state.code.to(device))

    def product(self, narrow: torch.Tensor) -> torch.Tensor:
        """Multiply bf16 [rows, tokens, in] with the de-quantised weight."""
        functions: Any = import_module("bitsandbytes.functional")
        state = functions.QuantState(
            absmax=self.scale, code=self.code, blocksize=_BLOCK, dtype=torch.bfloat16
        )
        return functional.linear(narrow, functions.dequantize_blockwise(self.weight, state))

    def set_weight(self, weight: torch.Tensor) -> None:
        """Quantise another weight into the same place."""
        refuse_meta(self.weight)
        codes, state = _bitsandbytes(weight)
        self.weight.copy_(codes)
        self.scale.copy_(state.absmax)


def linear_maker(storage: Storage) -> Callable[[nn.Linear, str], QuantizedLinear]:
    """Return what turns a linear layer on the processor into a quantised one on a device.

    Raises
    ------
    ModelError
        The library is not installed.
    """
    if storage.quantizer == "groups":
        return lambda linear, device: Int8Linear(
            linear, storage.compiled, packed=device == "cpu"
        ).to(device)
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


def _bitsandbytes(weight: torch.Tensor) -> tuple[torch.Tensor, Any]:
    """Quantise on the processor, whose rounding then holds everywhere."""
    functions: Any = import_module("bitsandbytes.functional")
    whole = weight.detach().cpu().float().contiguous()
    codes, state = functions.quantize_blockwise(whole, blocksize=_BLOCK)
    return codes, state


def _torchao(weight: torch.Tensor) -> Any:
    quantization: Any = import_module("torchao.quantization")
    carrier = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    carrier.weight = nn.Parameter(weight.detach().to(torch.bfloat16), requires_grad=False)
    config = quantization.Int8WeightOnlyConfig(set_inductor_config=False)
    quantization.quantize_(carrier, config)
    return carrier.weight.data
