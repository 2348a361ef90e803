"""Devices by name, accelerate's maps, and every tensor on the device of its layer."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from evobourse.merge.engine.devices import device_of
from evobourse.merge.engine.placement import Storage, place
from evobourse.merge.errors import ModelError

ROOT = Path(__file__).parents[3]
GUARD = """#include <c10/core/impl/DeviceGuardImplInterface.h>
using namespace c10;
static impl::DeviceGuardImplRegistrar guard(
    DeviceType::CUDA, new impl::NoOpDeviceGuardImpl<DeviceType::CUDA>());
"""


@pytest.fixture(scope="module")
def empty():
    config = LlamaConfig(
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=8,
        num_attention_heads=4,
        vocab_size=1000,
    )
    with torch.device("meta"):
        return LlamaForCausalLM(config)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"device": "gpu"}, "device is 'gpu', expected cpu, cuda, cuda:1, auto or balanced"),
        ({"device": "cuda:x"}, "device is 'cuda:x'"),
        ({"compiled": True, "quantizer": "torchao"}, "compiled is true"),
        ({"max_memory": {"cpu": "3GB"}}, "max_memory is given, and minds.device is 'cpu'"),
        ({"device": "auto", "max_memory": {"gpu": "3GB"}}, "max_memory has gpu: '3GB'"),
        ({"device": "auto", "max_memory": {"cpu": "much"}}, "a size as in 20GiB"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(wrong, said):
    with pytest.raises(ModelError) as caught:
        Storage(**wrong)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_not_there_is_refused(empty):
    there = torch.cuda.device_count()
    with pytest.raises(ModelError, match=f"sees {there} CUDA devices; set minds.device: cpu"):
        place(empty, Storage(f"cuda:{there}"))


def test_a_base_that_fits_has_one_device(empty):
    limits = {"cpu": "1GB"}
    assert place(empty, Storage()) == {"": "cpu"}
    for device in ("auto", "balanced"):
        assert place(empty, Storage(device, limits)) == {"": "cpu"}


def test_layers_fill_one_device_after_the_other_and_none_is_split(empty):
    layer = 256 * 256 * 4 + 3 * 256 * 512  # bytes in INT8, and a little more for scales and norms
    limits = {"cuda:0": f"{(1000 * 256 * 4 + 4.5 * layer) / 1e3:.0f}KB", "cuda:1": "2MB"}
    found = place(empty, Storage("auto", {**limits, "cpu": "2MB"}))
    where = [device_of(found, f"model.layers.{n}.mlp.up_proj.weight") for n in range(8)]
    assert where == sorted(where, key=["cuda:0", "cuda:1", "cpu", "disk"].index)
    assert where[0] == "cuda:0"
    assert {"cuda:1", "cpu"} <= set(where)
    assert device_of(found, "model.embed_tokens.weight") == "cuda:0"
    assert device_of(found, "lm_head.weight") == "disk"
    assert all(name.count(".") <= 2 for name in found if name.startswith("model.layers."))


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++ for torch's device guard")
def test_on_cuda_every_operation_meets_tensors_of_one_device(smol, style_folders, tmp_path):
    """No GPU is needed: shapes and devices alone are computed, by torch's own rules."""
    library, source = tmp_path / "guard.so", tmp_path / "guard.cpp"
    source.write_text(GUARD)
    home = Path(torch.__file__).parent
    flags = ["-shared", "-fPIC", "-std=c++20", f"-I{home / 'include'}", f"-L{home / 'lib'}"]
    subprocess.run(["g++", *flags, source, "-o", library, "-lc10"], check=True)
    script = Path(__file__).parents[1] / "fake_cuda.py"
    done = subprocess.run(
        [sys.executable, script, library, smol[0].config._name_or_path, style_folders["value"]],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["cuda:1 cpu cuda:1", "auto cpu cuda:0 cuda:1"]
