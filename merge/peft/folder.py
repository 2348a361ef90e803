"""PEFT adapter folders: reading one, and which layer belongs to which block."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from evobourse.merge.errors import AdapterError

if TYPE_CHECKING:
    import torch

_KEY = re.compile(r"\.layers\.(\d+)\.(.+)\.lora_([AB])\.weight$")


@dataclass(frozen=True)
class Adapter:
    """One LoRA adapter as read from its PEFT folder.

    Attributes
    ----------
    name
        The folder's name.
    factors
        ``(layer, module) -> (A [rank, in], B [out, rank])``, B already times alpha / rank.
    invocation_tokens
        Token ids that switch an activated adapter on, None for ordinary LoRA.
    content_hash
        sha256 of the weights and the config.
    """

    name: str
    factors: Mapping[tuple[int, str], tuple[torch.Tensor, torch.Tensor]]
    invocation_tokens: tuple[int, ...] | None
    content_hash: str


def read_adapter(folder: Path) -> Adapter:
    """Read a PEFT LoRA folder.

    Raises
    ------
    AdapterError
        Files are missing or unreadable, the adapter is not LoRA, or carries extra weights.
    """
    from safetensors.torch import load_file  # torch: seconds, and a recipe is read without it

    config_file, weight_file = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    try:
        config = json.loads(config_file.read_text())
        weights = load_file(weight_file)
    except (OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise AdapterError(f"adapter {folder}: cannot be read ({reason})") from error
    extras = [key for key in ("use_dora", "modules_to_save", "alpha_pattern") if config.get(key)]
    if config.get("peft_type") != "LORA" or "lora_alpha" not in config or extras:
        raise AdapterError(
            f"adapter {folder}: only plain LoRA is supported, and {config_file.name} says "
            f"{', '.join(extras) or 'peft_type ' + repr(config.get('peft_type'))}"
        )
    halves: dict[tuple[int, str], dict[str, torch.Tensor]] = {}
    for key, tensor in weights.items():
        match = _KEY.search(key)
        if match is None:
            raise AdapterError(f"adapter {folder}: unexpected weight {key!r} in {weight_file.name}")
        halves.setdefault((int(match[1]), match[2]), {})[match[3]] = tensor.float()
    factors = {}
    for (layer, module), pair in sorted(halves.items()):
        if set(pair) != {"A", "B"} or pair["A"].shape[0] != pair["B"].shape[1]:
            raise AdapterError(f"adapter {folder}: layer {layer} {module}: A and B do not match")
        rank = pair["A"].shape[0]
        scaling = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)
        factors[layer, module] = (pair["A"], pair["B"] * scaling)
    tokens = config.get("alora_invocation_tokens")
    digest = hashlib.sha256(weight_file.read_bytes() + config_file.read_bytes()).hexdigest()
    return Adapter(folder.name, factors, tuple(tokens) if tokens else None, digest)


def read_rank(folder: Path) -> int:
    """Read an adapter's highest rank from its config alone.

    Raises
    ------
    AdapterError
        The config is missing or unreadable.
    """
    file = folder / "adapter_config.json"
    try:
        config = json.loads(file.read_text())
        return max(map(int, (config["r"], *(config.get("rank_pattern") or {}).values())))
    except (OSError, ValueError, KeyError) as error:
        raise AdapterError(f"adapter {folder}: {file.name} tells no rank ({error!r})") from error


def block_of(layer: int, touched: Sequence[int], blocks: int) -> int:
    """Say which of a number of equal blocks of the adapted layers a layer belongs to."""
    return touched.index(layer) * blocks // len(touched)
