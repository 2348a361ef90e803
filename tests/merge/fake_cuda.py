"""The whole path from a folder to an engine on CUDA devices that are not there.

Run as a script, with the folder of a no-op device guard's library, a model and an adapter: under
torch's ``FakeTensorMode`` tensors have a device and a shape and no data. `OneDevice` refuses every
operation on tensors of two devices, also those that fake tensors let through.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import big_modeling
from safetensors import safe_open
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ALLOWED = ("_to_copy", "copy_", "set_", "detach", "lift_fresh")


class OneDevice(TorchDispatchMode):
    """Every operation's tensors lie on one device; processor scalars and copies apart."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        devices = {t.device for t in tensors if t.dim() or t.device.type != "cpu"}
        name = func.overloadpacket.__name__
        if len(devices) > 1 and name not in ALLOWED:
            raise RuntimeError(f"{name} on {sorted(map(str, devices))}")
        self.seen |= {str(d) for d in devices}
        return func(*args, **(kwargs or {}))


class Zeros:
    """What `Tensor.cpu().numpy()` is asked for, with memory of its own.

    Under the mode a real tensor's ``numpy()`` would be a fake one's, which has none.
    """

    def __init__(self, shape):
        self.shape = tuple(shape)

    def cpu(self):
        return self

    def numpy(self):
        return np.zeros(self.shape, np.float32)


def shaped(name, folder, places, key):
    """Give a tensor's shape without its data."""
    with safe_open(folder / places[key], "pt") as shard:
        return torch.empty(shard.get_slice(key).get_shape())


def pretend_two_gpus():
    """Answer for CUDA what a machine with two GPUs would, and keep hashes and logits real."""
    from evobourse.agents.minds import engine as minds
    from evobourse.merge import model_folder
    from evobourse.merge.engine import batch_size, decoder, loading

    fake_tensor.CONSTANT_NUMEL_LIMIT = 0  # single numbers would really be sent to the device
    torch.cuda.is_available = lambda: False
    torch.cuda.device_count = lambda: 2
    torch.cuda.get_device_name = lambda device=None: "pretended"
    batch_size.free_bytes = minds.free_bytes = lambda device: 8 << 30
    loading.hash_tensor = lambda *_: None
    model_folder._stored = shaped
    loading.check_finite = lambda *_: None  # by values
    loading._narrow = lambda _, tensor: tensor  # by values, which fake tensors lack
    big_modeling.find_tied_parameters = lambda _: []  # by addresses, which fake tensors lack
    exact = decoder.Decoder.option_logits

    def option_logits(self, hidden, options):
        logits = exact(self, hidden, options)
        assert logits.device.type == "cuda", logits.device
        assert logits.dtype == torch.float32
        return Zeros(logits.shape)

    decoder.Decoder.option_logits = option_logits


def main(library: Path, model: str, adapter: Path) -> None:
    ctypes.CDLL(str(library))
    pretend_two_gpus()
    from evobourse.agents.minds.engine import MindEngine
    from evobourse.merge.engine.adapter_bank import AdapterBank
    from evobourse.merge.engine.decoder import TILE_TOKENS
    from evobourse.merge.engine.loading import load_quantized
    from evobourse.merge.engine.placement import Storage
    from evobourse.merge.peft.folder import read_adapter

    read = read_adapter(adapter)
    for storage in (
        Storage("cuda:1"),
        Storage("auto", {"cuda:0": "190MB", "cuda:1": "900MB"}),
    ):
        with FakeTensorMode(allow_non_fake_inputs=True), OneDevice() as mode:
            loaded, tokenizer, _ = load_quantized(model, storage)
            bank = AdapterBank(loaded, (read, read))
            engine = MindEngine(loaded, tokenizer, bank, "")
            mode.seen.clear()
            mind = np.zeros((1, 2), np.float32)
            engine.answer(mind, np.arange(40))
            rows = engine.decoder.embed([[1, 2, 3]] * 400)
            with bank.mixed(torch.zeros(400, 1, 2)):
                rows, own = engine.decoder.run(rows, 0, engine.decoder.depth)
            assert rows.shape == (400, 3, 576)
            assert own.layers[29].shape[2] == 400 * 3
            assert engine.decoder.tile_tokens == TILE_TOKENS
            assert engine.decoder.engine == f"w8a16 in tiles of {TILE_TOKENS}"
        print(storage.device, *sorted(mode.seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
