"""PEFT adapter folders: reading one, and which layer belongs to which block."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from evobourse.merge.errors import AdapterError

if TYPE_CHECKING:
    import torch

CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_KEY = re.compile(r"base_model\.model\.model\.layers\.(\d+)\.(.+)\.lora_([AB])\.weight")

_COMPUTED = "r lora_alpha use_rslora rank_pattern alpha_pattern alora_invocation_tokens"
_PLACED = "target_modules exclude_modules layers_to_transform layers_pattern"
_TOLD = (  # where it comes from, how it was trained, and settings of what is refused by itself
    "auto_mapping base_model_name_or_path revision peft_version inference_mode lora_dropout "
    "eva_config runtime_config ensure_weight_tying megatron_core qalora_group_size"
)
_ANY: Collection[Any] = ()
_UNDERSTOOD: Mapping[str, Collection[Any]] = {
    "peft_type": ("LORA",),
    "task_type": ("CAUSAL_LM", None),
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"),  # leave the base as it is
    **dict.fromkeys(_COMPUTED.split() + _PLACED.split() + _TOLD.split(), _ANY),
}
"""Fields of an adapter's config, and the values of each that are loaded as PEFT loads them."""

_FOLD = (
    "fold it into its base with PEFT (PeftModel.from_pretrained, merge_and_unload, "
    "save_pretrained) and name that folder as a base or a source"
)
_RESIDUAL = ("pissa", "olora", "corda", "loftq", "lora_ga")


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


def read_adapter(folder: Path, linears: Mapping[str, tuple[int, int]] | None = None) -> Adapter:
    """Read a PEFT LoRA folder.

    Parameters
    ----------
    folder
        With ``adapter_config.json`` and ``adapter_model.safetensors`` (or ``.bin``).
    linears
        The base's linear layers: name in the model to (outputs, inputs), see
        `merge.model_folder.linear_layers`. The adapter must fit them, and have weights for all
        that its config targets there. None: not compared.

    Raises
    ------
    AdapterError
        Files are missing or unreadable; the config has a field or a value that is not understood;
        weights are missing, left over, malformed or not finite, or do not fit the base.
    """
    config = _read_config(folder)
    file, weights = _read_weights(folder)
    halves: dict[tuple[int, str], dict[str, torch.Tensor]] = {}
    for key, tensor in sorted(weights.items()):
        match = _KEY.fullmatch(key)
        if match is None:
            raise AdapterError(
                f"adapter {folder}: unexpected weight {key!r} in {file.name}, expected those of "
                "linear layers in a causal language model's decoder"
            )
        if tensor.dim() != 2 or not tensor.numel():
            raise AdapterError(
                f"adapter {folder}: layer {match[1]} {match[2]}: lora_{match[3]} has shape "
                f"{tuple(tensor.shape)}, expected a matrix; save it again, gathered from all "
                "devices"
            )
        wide = tensor.float()
        if not bool(wide.isfinite().all()):
            raise AdapterError(
                f"adapter {folder}: not a number in layer {match[1]} {match[2]} lora_{match[3]}; "
                "its training diverged: use another"
            )
        halves.setdefault((int(match[1]), match[2]), {})[match[3]] = wide
    if not halves:
        raise AdapterError(
            f"adapter {folder}: {file.name} holds no weights; save the adapter again, gathered "
            "from all devices"
        )
    if linears is not None:
        _check_places(folder, config, halves, linears)
    factors = {}
    for (layer, module), pair in sorted(halves.items()):
        if set(pair) != {"A", "B"} or pair["A"].shape[0] != pair["B"].shape[1]:
            raise AdapterError(f"adapter {folder}: layer {layer} {module}: A and B do not match")
        rank = pair["A"].shape[0]
        outputs, inputs = (linears or {}).get(f"model.layers.{layer}.{module}", (None, None))
        own = pair["B"].shape[0], pair["A"].shape[1]
        if outputs is not None and own != (outputs, inputs):
            raise AdapterError(
                f"adapter {folder}: layer {layer} {module} maps {own[1]} to {own[0]}, the base "
                f"maps {inputs} to {outputs}; the adapter was trained on another model"
            )
        told, alpha = _rank_and_alpha(config, layer, module)
        if rank != told:
            raise AdapterError(
                f"adapter {folder}: layer {layer} {module}: has rank {rank}, {CONFIG} says {told}; "
                "use the config that belongs to the weights"
            )
        scaling = alpha / (rank**0.5 if config.get("use_rslora") else rank)
        factors[layer, module] = (pair["A"], pair["B"] * scaling)
    tokens = config.get("alora_invocation_tokens")
    digest = hashlib.sha256(file.read_bytes() + (folder / CONFIG).read_bytes()).hexdigest()
    return Adapter(folder.name, factors, tuple(tokens) if tokens else None, digest)


def read_rank(folder: Path) -> int:
    """Read an adapter's highest rank from its config alone.

    Raises
    ------
    AdapterError
        The config is missing, unreadable or not understood.
    """
    config = _read_config(folder)
    return int(max((config["r"], *(config.get("rank_pattern") or {}).values())))


def _read_config(folder: Path) -> dict[str, Any]:
    """Read an adapter's config, and refuse what in it is not understood, by its name."""
    try:
        config = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise AdapterError(f"adapter {folder}: cannot be read ({_reason(error)})") from error
    if not isinstance(config, dict) or "peft_type" not in config:
        raise AdapterError(f"adapter {folder}: {CONFIG} is none of PEFT's (no peft_type)")
    for name, value in config.items():
        allowed = _UNDERSTOOD.get(name, (None, False, [], {}, ""))
        if allowed is not _ANY and not any(value == v and type(value) is type(v) for v in allowed):
            kind = str(value).lower() if name == "init_lora_weights" else ""
            means = ", which changes the base's own weights" if kind.startswith(_RESIDUAL) else ""
            raise AdapterError(
                f"adapter {folder}: only plain LoRA is supported, and {CONFIG} says {name} "
                f"{value!r}{means}; {_FOLD}"
            )
    shapes: dict[str, tuple[type, ...]] = {
        "r": (int,),
        "lora_alpha": (int, float),
        "target_modules": (list, str),
    }
    for name, kinds in shapes.items():
        if not isinstance(config.get(name), kinds) or not config[name]:
            raise AdapterError(
                f"adapter {folder}: {CONFIG} says {name} {config.get(name)!r}, expected "
                f"{' or '.join(kind.__name__ for kind in kinds)}"
            )
    patterns = {**(config.get("rank_pattern") or {}), **(config.get("alpha_pattern") or {})}
    tokens = config.get("alora_invocation_tokens") or []
    if not all(isinstance(n, int | float) and n > 0 for n in (config["r"], *patterns.values())):
        raise AdapterError(f"adapter {folder}: {CONFIG} has ranks or alphas that are not above 0")
    if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
        raise AdapterError(
            f"adapter {folder}: {CONFIG} says alora_invocation_tokens {tokens!r}, expected token "
            "ids"
        )
    return config


def _read_weights(folder: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """Read the weights and say from which file; of a ``.bin`` nothing but tensors is unpickled."""
    import torch  # seconds, and a recipe is read without it
    from safetensors.torch import load_file

    file = next((p for p in map(folder.joinpath, _WEIGHTS) if p.is_file()), folder / _WEIGHTS[0])
    try:
        if file.suffix == ".bin":
            weights = torch.load(file, map_location="cpu", weights_only=True)
        else:
            weights = load_file(file)
    except (OSError, ValueError, RuntimeError, EOFError, SafetensorError, UnpicklingError) as error:
        raise AdapterError(f"adapter {folder}: cannot be read ({_reason(error)})") from error
    if not isinstance(weights, dict) or not all(map(torch.is_tensor, weights.values())):
        raise AdapterError(f"adapter {folder}: {file.name} holds other things than tensors")
    return file, weights


def _rank_and_alpha(config: Mapping[str, Any], layer: int, module: str) -> tuple[int, float]:
    """Return what a config says of one layer, as PEFT reads its patterns."""
    from peft.utils.other import get_pattern_key

    def told(pattern: str, otherwise: str) -> Any:
        own = config.get(pattern) or {}
        name = f"model.layers.{layer}.{module}"
        return own.get(get_pattern_key(list(own), name), config[otherwise])

    return int(told("rank_pattern", "r")), float(told("alpha_pattern", "lora_alpha"))


def _check_places(
    folder: Path,
    config: Mapping[str, Any],
    found: Collection[tuple[int, str]],
    linears: Mapping[str, tuple[int, int]],
) -> None:
    """Compare where an adapter has weights with where PEFT would look for them on the base."""
    from peft.tuners.tuners_utils import check_target_module_exists

    fields = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern")
    asked = SimpleNamespace(**{name: config.get(name) for name in fields}, target_parameters=None)
    if asked.target_modules == "all-linear":
        targeted = {name for name in linears if ".layers." in name}
    else:
        targeted = {name for name in linears if check_target_module_exists(asked, name)}
    held = {f"model.layers.{layer}.{module}" for layer, module in found}
    strange = sorted(held - set(linears))
    if strange:
        raise AdapterError(
            f"adapter {folder}: has weights for {strange[0]}, and the base has no such linear "
            "layer; the adapter was trained on another model"
        )
    if lost := sorted(targeted - held):
        raise AdapterError(
            f"adapter {folder}: has no weights for {lost[0]} ({len(lost)} of {len(targeted)} "
            f"layers that {CONFIG} targets on this base); save it again, whole, or use it on the "
            "base that it was trained on"
        )
    if extra := sorted(held - targeted):
        raise AdapterError(
            f"adapter {folder}: has weights for {extra[0]}, which {CONFIG} does not target; PEFT "
            "would leave them out: use the config that belongs to the weights"
        )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def block_of(layer: int, touched: Sequence[int], blocks: int) -> int:
    """Say which of a number of equal blocks of the adapted layers a layer belongs to."""
    return touched.index(layer) * blocks // len(touched)
