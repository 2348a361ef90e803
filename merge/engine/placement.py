"""How a base's weights are kept: on which devices, and in which precision.

No weights are loaded here, and torch is imported only where a model is placed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from evobourse.merge.engine.devices import DISK, DeviceMap
from evobourse.merge.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Quantizer = Literal["groups", "torchao", "bitsandbytes"]
_DEVICE = re.compile(r"cpu|cuda(:\d+)?|auto|balanced")


@dataclass(frozen=True)
class Storage:
    """Where a base's weights lie and how they are quantised.

    Attributes
    ----------
    device
        ``cpu``, ``cuda``, ``cuda:1``; ``auto`` fills one GPU after the other, then the processor's
        memory, then the disk; ``balanced`` spreads the layers evenly over the GPUs.
    max_memory
        Of ``auto`` and ``balanced``: device (``cuda:0``, ``cpu``) to the most it may hold, as in
        ``20GiB``; those not named: nothing. Empty: what is free.
    quantizer
        ``groups``: `merge.engine.int8.Int8Linear`, ``torchao`` and ``bitsandbytes``:
        `merge.engine.quantizers`.
    compiled
        Of ``groups``: de-quantise in one kernel by ``torch.compile``.

    Raises
    ------
    ModelError
        No such device, or compiled where nothing can be.
    """

    device: str = "cpu"
    max_memory: Mapping[str, str] = field(default_factory=dict)
    quantizer: Quantizer = "groups"
    compiled: bool = False

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise ModelError(
                f"device is {self.device!r}, expected cpu, cuda, cuda:1, auto or balanced"
            )
        if self.compiled and self.quantizer != "groups":
            raise ModelError(
                f"compiled is true, and the quantizer is {self.quantizer!r}, which has "
                "kernels of its own; set minds.quantizer: groups or minds.compiled: false"
            )
        for name, size in self.max_memory.items():
            known = re.fullmatch(r"cpu|cuda:\d+", name)
            if not known or not re.fullmatch(r"\d+(\.\d+)?([KMG]i?B)", size):
                raise ModelError(
                    f"max_memory has {name}: {size!r}, expected a device (cpu, cuda:0) and "
                    "a size as in 20GiB"
                )
        if self.max_memory and self.device not in ("auto", "balanced"):
            raise ModelError(
                f"max_memory is given, and minds.device is {self.device!r}; set it to auto "
                "or balanced"
            )


def place(model: PreTrainedModel, storage: Storage) -> DeviceMap:
    """Say which device each part of a model goes to.

    Parameters
    ----------
    model
        The model before quantisation, its weights on ``meta``.
    storage
        What was asked for.

    Returns
    -------
    Mapping
        Module name to ``cpu``, ``cuda:0`` ... or ``disk``; ``{"": device}`` for one device.

    Raises
    ------
    ModelError
        The machine has no such device.
    """
    import torch

    if storage.device not in ("auto", "balanced"):
        found = torch.cuda.device_count()
        if storage.device != "cpu" and int(storage.device.partition(":")[2] or 0) >= found:
            raise ModelError(
                f"minds.device: is {storage.device!r}, and torch {torch.__version__} sees {found} "
                "CUDA devices; set minds.device: cpu, or install a CUDA build of torch"
            )
        return {"": "cuda:0" if storage.device == "cuda" else storage.device}
    return _spread(model, storage)


def _spread(model: PreTrainedModel, storage: Storage) -> DeviceMap:
    """Ask accelerate; no decoder layer is split."""
    import torch
    from accelerate import infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    from evobourse.merge.engine.int8 import quantize_int8

    with torch.device("meta"):
        model = quantize_int8(type(model)(model.config))  # only its sizes count
    whole = list(getattr(model, "_no_split_modules", None) or [])
    limits: dict[int | str, str] | None = None
    if storage.max_memory:
        limits = {_number(name): size for name, size in storage.max_memory.items()}
    if storage.device == "balanced":
        limits = get_balanced_memory(model, max_memory=limits, no_split_module_classes=whole)
    spread = infer_auto_device_map(
        model, max_memory=limits, no_split_module_classes=whole, offload_buffers=True
    )
    named = {part: f"cuda:{d}" if isinstance(d, int) else str(d) for part, d in spread.items()}
    devices = set(named.values())
    return {"": devices.pop()} if len(devices) == 1 and DISK not in devices else named


def _number(device: str) -> int | str:
    return int(device.removeprefix("cuda:")) if device.startswith("cuda:") else device
