"""A base straight into INT8: tensor by tensor from its shards, never whole in full precision."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import weakref
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from evobourse.merge.engine.devices import DISK, DeviceMap, device_of
from evobourse.merge.engine.exact.architecture import Architecture
from evobourse.merge.engine.int8 import QuantizedLinear
from evobourse.merge.engine.placement import Storage, place
from evobourse.merge.engine.quantizers import linear_maker
from evobourse.merge.errors import ModelError
from evobourse.merge.sources import cache_folder, load_model, resolve_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


def load_quantized(
    name: str,
    storage: Storage | None = None,
    keep: MutableMapping[str, torch.Tensor] | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Load a base with INT8 layers onto its device or devices.

    A base in safetensors is read tensor by tensor: beside what stays, memory holds one of them in
    float32 and its quantisation. Any other base is loaded whole first. Embedding and head are
    held in bf16 where that is exact, unless recipes are to be merged.

    Parameters
    ----------
    name
        See `merge.sources.resolve_model`.
    storage
        Devices and precision; None: ours on the processor.
    keep
        Filled with the whole base in float32, as its state dict: what recipes are merged from.

    Returns
    -------
    tuple
        The model, its tokenizer, and the hash of its float32 state dict, see `hash_tensor`.

    Raises
    ------
    ModelError
        The base cannot be found or read, the device or the quantiser is not there.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoTokenizer

    storage = storage or Storage()
    make = linear_maker(storage)
    path = resolve_model(name)
    try:
        folder = _local_folder(path)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = _empty_model(folder)
        order = list(model.state_dict())
        tied = bool(model.config.tie_word_embeddings)
        read = _reader(folder, order, tied) or load_model(name)[0].state_dict().__getitem__
        device_map = place(model, storage)
        spread = _Spread(model, device_map, storage)
        digest = hashlib.sha256()
        kept = {}
        for key in sorted(order):  # a bias before its weight
            tensor = read(key)
            hash_tensor(digest, key, tensor)
            if keep is not None:
                kept[key] = tensor.clone()
            if not (tied and key == _HEAD):
                spread.put(key, tensor if keep is not None else _narrow(tensor), make)
    except (OSError, ValueError, KeyError, SafetensorError, StrictDataclassError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"base {name!r}: cannot be loaded ({reason})") from error
    if keep is not None:
        keep.update({key: kept[key] for key in order})
    spread.finish(tied)
    return model, tokenizer, digest.hexdigest()


def _narrow(tensor: torch.Tensor) -> torch.Tensor:
    """Return a matrix in bf16 if that loses nothing: most bases are published so."""
    narrow = tensor.to(torch.bfloat16)
    return narrow if tensor.dim() == 2 and torch.equal(narrow.float(), tensor) else tensor


def hash_tensor(digest: Any, name: str, tensor: torch.Tensor) -> None:
    """Add a weight to a content hash: its name, shape, dtype and bytes."""
    held = tensor.detach().cpu().contiguous()
    digest.update(f"{name}{tuple(held.shape)}{held.dtype}".encode())
    digest.update(held.view(torch.uint8).numpy())


class _Spread:
    """A model of empty layers that fills up, each tensor on its device or on disk."""

    def __init__(self, model: PreTrainedModel, device_map: DeviceMap, storage: Storage):
        self.model, self.map = model, device_map
        self.on_disk = DISK in device_map.values()
        self.index: dict[str, Any] = {}
        self.folder: Path | None = None
        if self.on_disk and storage.quantizer == "torchao":
            raise ModelError(
                f"minds.device: {storage.device!r} leaves layers on disk, which torchao's tensors "
                "cannot; set minds.quantizer: groups, or give more memory"
            )
        if self.on_disk:
            parent = cache_folder() / "offload"
            parent.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(dir=parent))
            weakref.finalize(model, shutil.rmtree, self.folder, ignore_errors=True)

    def put(
        self, key: str, tensor: torch.Tensor, make: Callable[[nn.Linear, str], QuantizedLinear]
    ) -> None:
        """Install a float32 weight, in INT8 where a linear layer of the stack holds it."""
        owner, _, leaf = key.rpartition(".")
        module = self.model.get_submodule(owner)
        device = device_of(self.map, key)
        near = "cpu" if device == DISK else device
        if not owner.startswith("model.layers.") or not isinstance(module, nn.Linear):
            setattr(module, leaf, nn.Parameter(tensor.to(near), requires_grad=False))
        elif leaf == "bias":
            module.bias = nn.Parameter(tensor, requires_grad=False)
            return  # until the weight comes
        else:
            module.weight = nn.Parameter(tensor, requires_grad=False)
            parent, _, child = owner.rpartition(".")
            module = make(module, near)
            setattr(self.model.get_submodule(parent), child, module)
        if device == DISK:
            self._put_away(owner, module)

    def finish(self, tied: bool) -> None:
        """Tie the head, and let accelerate bring weights and states together where they part."""
        rotary = self.model.model.rotary_emb
        rotary.to(device_of(self.map, "model.rotary_emb").replace(DISK, "cpu"))
        if tied:
            self.model.tie_weights()
        if len(self.map) == 1 and not self.on_disk:
            return
        from accelerate import dispatch_model
        from accelerate.utils import save_offload_index

        if self.folder is not None:
            if tied and _EMBEDDING in self.index:
                self.index[_HEAD] = self.index[_EMBEDDING]
                (self.folder / f"{_HEAD}.dat").symlink_to(f"{_EMBEDDING}.dat")
            save_offload_index(self.index, str(self.folder))
        dispatch_model(
            self.model,
            dict(self.map),
            offload_dir=str(self.folder) if self.folder else None,
            offload_buffers=True,  # INT8 weights are buffers
        )

    def _put_away(self, owner: str, module: nn.Module) -> None:
        from accelerate.utils import offload_weight

        for leaf, tensor in module.state_dict().items():
            offload_weight(tensor, f"{owner}.{leaf}", str(self.folder), self.index)
        module.to("meta")


def _local_folder(path: str) -> Path:
    """Return the folder, or fetch a hub id's safetensors, configs and vocabulary."""
    if Path(path).is_dir():
        return Path(path)
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "model*.safetensors", "*.model", "*.txt"]
    return Path(snapshot_download(path, allow_patterns=patterns))


def _empty_model(folder: Path) -> PreTrainedModel:
    """Build the model without memory for its weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    Architecture(config)  # refuses others
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    inner: Any = model.model
    inner.rotary_emb = type(inner.rotary_emb)(config=config)  # what is in no file
    return model.eval()


def _reader(folder: Path, names: list[str], tied: bool) -> Callable[[str], torch.Tensor] | None:
    """Return what reads one tensor as float32, or None where the shards hold others."""
    if (folder / _INDEX).is_file():
        places = json.loads((folder / _INDEX).read_text())["weight_map"]
    elif (folder / _WHOLE).is_file():
        with safe_open(folder / _WHOLE, "pt") as shard:
            places = dict.fromkeys(shard.keys(), _WHOLE)
    else:
        return None
    if set(names) - {_HEAD} != set(places) - {_HEAD} or not (tied or _HEAD in places):
        return None

    def read(name: str) -> torch.Tensor:
        held = _EMBEDDING if tied and name == _HEAD else name
        # Opened anew for each, so that no more of a shard stays mapped than one tensor.
        with safe_open(folder / places[held], "pt") as shard:
            tensor: torch.Tensor = shard.get_tensor(held)
            return tensor.to(torch.float32, copy=True)

    return read
