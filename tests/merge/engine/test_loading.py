"""A base read tensor by tensor is the base loaded whole, in less memory and on any device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from evobourse.agents.minds.engine import MindEngine, hash_weights
from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.engine.int8 import load_weights, quantize_int8
from evobourse.merge.engine.loading import load_quantized
from evobourse.merge.engine.placement import Storage
from evobourse.merge.errors import ModelError
from evobourse.merge.peft.folder import read_adapter
from evobourse.merge.sources import DEFAULT_BASE, load_model
from tests.shared_weights import share_weights

ROOT = Path(__file__).parents[3]
SHARD = 60_000_000
PEAK = """
import json, re, sys
from pathlib import Path
import torch
from transformers import AutoTokenizer, LlamaForCausalLM
from evobourse.merge.engine.loading import load_quantized

def memory(field):
    return 1024 * int(re.search(field + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

AutoTokenizer.from_pretrained(sys.argv[1])
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
before = memory("VmRSS")
model, _, _ = load_quantized(sys.argv[1])
held = sum(t.nbytes for t in [*model.parameters(), *model.buffers()])
print(json.dumps({"peak": memory("VmHWM") - before, "held": held}))
"""


def same(first, second):
    """Compare values; embedding and head may be held in bf16."""
    assert first.keys() == second.keys()
    for key, tensor in first.items():
        wide = key in ("lm_head.weight", "model.embed_tokens.weight")
        assert torch.equal(tensor.float() if wide else tensor, second[key]), key


@pytest.fixture
def save(tokenizer, tmp_path):
    """Write a model as a base's folder."""

    def save(model, **options):
        model.to(torch.bfloat16).save_pretrained(tmp_path / "base", **options)
        tokenizer.save_pretrained(tmp_path / "base")
        return tmp_path / "base"

    return save


def test_tensor_by_tensor_is_the_whole_to_the_bit(smol, int8_model):
    kept = {}
    model, _, name = load_quantized(DEFAULT_BASE, keep=kept)
    assert model.model.embed_tokens.weight.dtype == torch.float32  # recipes may change it
    same(model.state_dict(), int8_model.state_dict())
    state = smol[0].state_dict()
    assert list(kept) == list(state)
    same(kept, state)
    assert name == hash_weights(state)
    decoders = [Decoder(m) for m in (model, int8_model)]
    ours, plain = (d.run(d.embed([[1, 2, 3]]), 0, d.depth)[0] for d in decoders)
    assert torch.equal(ours, plain)


TINY = {
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 500,
}


@pytest.mark.parametrize(
    ("kind", "config", "tied"),
    [
        (LlamaForCausalLM, LlamaConfig, False),
        (LlamaForCausalLM, LlamaConfig, True),
        (Qwen2ForCausalLM, Qwen2Config, False),  # has biases
    ],
)
@pytest.mark.parametrize("form", ["shards", "torch"])
def test_shards_heads_biases_and_older_files(kind, config, tied, form, save):
    torch.manual_seed(0)
    source = kind(config(**TINY, tie_word_embeddings=tied))
    folder = save(source, max_shard_size="100KB")
    if form == "torch":
        state = load_model(str(folder))[0].to(torch.bfloat16).state_dict()
        torch.save(state, folder / "pytorch_model.bin")
        for shard in folder.glob("*.safetensors*"):
            shard.unlink()
    else:
        assert len(list(folder.glob("*.safetensors"))) > 2
    whole = load_model(str(folder))[0]
    model, _, name = load_quantized(str(folder))
    assert name == hash_weights(whole.state_dict())
    same(model.state_dict(), quantize_int8(whole).state_dict())
    assert model.model.embed_tokens.weight.dtype == torch.bfloat16
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
    decoders = [Decoder(m) for m in (model, whole)]
    ours, plain = (d.run(d.embed([[1, 2, 3]]), 0, 2)[0] for d in decoders)
    assert torch.equal(ours, plain)
    logits = [d.option_logits(plain[:, -1], [3, 4]) for d in decoders]
    assert torch.equal(*logits)
    finer = {
        key: 1.001 * tensor for key, tensor in whole.state_dict().items() if "layers" not in key
    }
    load_weights(model, finer)
    same({key: model.state_dict()[key] for key in finer}, finer)


def test_a_base_stays_itself_when_its_files_are_replaced(save):
    torch.manual_seed(0)
    folder = save(LlamaForCausalLM(LlamaConfig(**TINY)))
    model, _, _ = load_quantized(str(folder))
    held = model.model.embed_tokens.weight
    assert held.dtype == torch.bfloat16
    expected = load_model(str(folder))[0].model.embed_tokens.weight  # the model's is not read yet
    save(LlamaForCausalLM(LlamaConfig(**TINY)))  # other weights
    assert torch.equal(held.float(), expected)
    assert not torch.equal(load_quantized(str(folder))[0].model.embed_tokens.weight, held)


def test_a_damaged_or_foreign_folder_is_refused_in_one_line(save, tmp_path):
    torch.manual_seed(0)
    folder = save(LlamaForCausalLM(LlamaConfig(**TINY)))
    shard = folder / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_quantized(str(folder))
    assert "\n" not in str(caught.value)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": "many"}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_quantized(str(folder))


def test_loading_takes_the_memory_of_int8_and_a_shard(save):
    """134 million random weights in shards of 60 MB: whole, they would take 540 MB in float32."""
    config = LlamaConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=8,
        num_attention_heads=8,
        vocab_size=4096,
    )
    with torch.device("meta"):
        source = LlamaForCausalLM(config)
    source = source.to_empty(device="cpu").to(torch.bfloat16)
    noise = torch.randn(1 << 22, generator=torch.Generator().manual_seed(0)).bfloat16()
    for parameter in source.parameters():
        parameter.data.view(-1).copy_(noise[: parameter.numel()])
    folder = save(source, max_shard_size=SHARD)
    whole = 4 * sum(p.numel() for p in source.parameters())
    del source
    done = subprocess.run(
        [sys.executable, "-c", PEAK, folder],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            # As for the larger tensors of real bases: what is freed goes back, and leaves no holes.
            "MALLOC_MMAP_THRESHOLD_": "1000000",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout)
    assert figures["held"] < 0.35 * whole
    assert figures["peak"] < 1.5 * (figures["held"] + 2 * SHARD)  # 2: bf16 to float32
    assert figures["peak"] < 0.6 * whole


def test_a_base_that_lies_half_on_disk_answers_with_the_same_bits(
    int8_model, tokenizer, style_folders, market_views
):
    spread, _, _ = load_quantized(DEFAULT_BASE, Storage("auto", {"cpu": "190MB"}))
    places = spread.hf_device_map
    assert {places[f"model.layers.{n}"] for n in (0, 29)} == {"cpu", "disk"}
    assert spread.model.layers[29].mlp.up_proj.weight.is_meta
    adapter = read_adapter(style_folders["value"])
    mind = np.array([[0.7]], np.float32)
    answers = []
    for model in (share_weights(int8_model), spread):
        engine = MindEngine(model, tokenizer, AdapterBank(model, (adapter,)), "bare")
        answers.append(engine.answer(mind, market_views[:12]))
    assert np.array_equal(*answers)
    assert engine.decoder.machine == Decoder(int8_model).machine
    key = "model.layers.29.mlp.up_proj.weight"
    with pytest.raises(ModelError, match="lie outside the device's memory"):
        load_weights(spread, {key: torch.zeros(1536, 576)})
    with pytest.raises(ModelError, match="lie outside the device's memory"):
        load_weights(spread, {"model.norm.weight": torch.zeros(576)})
