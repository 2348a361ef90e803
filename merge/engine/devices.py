"""On which device a module's weights lie and its work is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from evobourse.merge.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

DeviceMap = Mapping[str, str]
DISK = "disk"


def device_of(device_map: DeviceMap, name: str) -> str:
    """Look up where a tensor goes by its name."""
    part = name
    while part not in device_map:
        if not part:
            raise ModelError(f"base: no device for {name}")
        part = part.rpartition(".")[0]
    return device_map[part]


def execution_device(module: nn.Module) -> torch.device:
    """Say where a module computes: where its tensors are, or where accelerate brings them."""
    import torch

    hook = getattr(module, "_hf_hook", None)
    device = getattr(hook, "execution_device", None)
    if device is not None:
        return torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    tensors = [*module.parameters(), *module.buffers()]
    return tensors[0].device
