"""A base straight into INT8: tensor by tensor from its shards, never whole in full precision."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from evobourse.merge.engine.batch_size import give_back_freed_memory
from evobourse.merge.engine.devices import DISK, DeviceMap, device_of
from evobourse.merge.engine.exact.architecture import Architecture
from evobourse.merge.engine.int8 import QuantizedLinear
from evobourse.merge.engine.placement import Storage, place
from evobourse.merge.engine.quantizers import linear_maker
from evobourse.merge.errors import ModelError, foreign_code
from evobourse.merge.model_folder import EMBEDDING, HEAD, check_finite, open_weights, read_tokenizer
from evobourse.merge.sources import cache_folder, resolve_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_LAYERS = "model.layers."


def load_quantized(
    name: str,
    storage: Storage | None = None,
    keep: MutableMapping[str, torch.Tensor] | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Load a base with INT8 layers onto its device or devices.

    A base in safetensors is read tensor by tensor: beside what stays, memory holds one of them in
    float32. Any other base is loaded whole first. Embedding and head are held in bf16 where that is
    exact, mapped from their file where they lie there so, unless recipes are to be merged.

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
    storage = storage or Storage()
    make = linear_maker(storage)
    folder = local_folder(name)
    tokenizer = read_tokenizer(name, folder)
    model, read = open_weights(name, folder)
    Architecture(model.config)  # refuses what is not computed here
    order = list(model.state_dict())
    tied = bool(model.config.tie_word_embeddings)
    device_map = place(model, storage)
    spread = _Spread(model, device_map, storage)
    digest = hashlib.sha256()
    kept = {}
    for key in sorted(order):  # a bias before its weight
        tensor = read(key).float()
        check_finite(f"base {name!r}", key, tensor)
        hash_tensor(digest, key, tensor)
        if keep is not None:
            kept[key] = tensor.clone()
        if not (tied and key == HEAD):
            if keep is None and not key.startswith(_LAYERS):
                tensor = _narrow(read(key), tensor)  # read again: nothing of it is in memory yet
            spread.put(key, tensor, make)
        del tensor
        give_back_freed_memory()  # holes between what stays came to an eighth of a 7B
    if keep is not None:
        keep.update({key: kept[key] for key in order})
    spread.finish(tied)
    return model, tokenizer, digest.hexdigest()


def untie_head(model: PreTrainedModel) -> None:
    """Give the head a matrix of its own, equal to the embedding that it was.

    Raises
    ------
    ModelError
        It lies on disk.
    """
    head = model.get_output_embeddings()
    if head.weight.is_meta:
        raise ModelError(
            "base: its head is its embedding, on disk, and a source has a head of its own; give "
            "more memory"
        )
    head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    model.config.tie_word_embeddings = False


def _narrow(stored: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """Return a matrix in bf16 if that loses nothing; most bases are stored so, and stay mapped."""
    narrow = stored.to(torch.bfloat16)
    exact = stored.dtype == torch.bfloat16 or torch.equal(narrow.float(), tensor)
    return narrow if tensor.dim() == 2 and exact else tensor


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
        in_layers = owner.startswith(_LAYERS)
        if in_layers and tensor.dim() > 1 and not isinstance(module, nn.Linear):
            raise ModelError(
                f"base: {key} {tuple(tensor.shape)} is no linear layer's but "
                f"{type(module).__name__}'s, which would stay in full precision (experts do); use "
                "a dense model"
            )
        if not in_layers or not isinstance(module, nn.Linear):
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
        for owner, module in self.model.named_modules():
            for leaf in module._non_persistent_buffers_set:  # angles: in no file
                here = device_of(self.map, f"{owner}.{leaf}").replace(DISK, "cpu")
                module._buffers[leaf] = module._buffers[leaf].to(here)
        if tied:
            self.model.tie_weights()
        if len(self.map) == 1 and not self.on_disk:
            return
        from accelerate import dispatch_model
        from accelerate.utils import save_offload_index

        if self.folder is not None:
            if tied and EMBEDDING in self.index:
                self.index[HEAD] = self.index[EMBEDDING]
                (self.folder / f"{HEAD}.dat").symlink_to(f"{EMBEDDING}.dat")
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


def local_folder(name: str) -> Path:
    """Return a model's folder, see `merge.sources.resolve_model`; what is on a hub is fetched.

    Raises
    ------
    ModelError
        There is no such model, or the hub does not give it.
    """
    path = resolve_model(name)
    if Path(path).is_dir():
        return Path(path)
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "model*.safetensors", "*.model", "*.txt"]
    with foreign_code(f"base {name!r}: cannot be loaded from the hub"):
        return Path(snapshot_download(path, allow_patterns=patterns))
