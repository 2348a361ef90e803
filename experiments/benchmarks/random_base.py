"""A base and adapters of any shape with random weights: for speed and memory, never for judgement.

INT8 layers are made where they will stay, one after the other; files are written a layer at a time.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from evobourse.experiments.planner.roofline import ADAPTED
from evobourse.experiments.planner.shapes import ModelShape
from evobourse.merge.engine.int8 import Int8Linear
from evobourse.merge.peft.folder import Adapter

NOISE, STRIDE = (1 << 24) - 3, 1_000_003  # no multiple of a row's length

TINY = ModelShape("tiny", 5, 128, 256, 4, 2, 32, 512, False, "made up, to run anywhere")


def random_base(
    shape: ModelShape, device: torch.device, generator: torch.Generator, compiled: bool = False
) -> PreTrainedModel:
    """Make a Llama-shaped model with random INT8 layers directly on a device.

    Parameters
    ----------
    shape
        Its layers and widths.
    device, generator
        Where the weights are drawn, and the device's stream.
    compiled
        See `merge.engine.int8.Int8Linear`.

    Returns
    -------
    PreTrainedModel
        As after `merge.engine.int8.quantize_int8`; at no time is a layer there in another
        precision.
    """
    model = _empty_model(shape)
    for parent in list(model.model.layers.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, _random_linear(child, device, generator, compiled))
    for module in [*model.modules()]:
        for name, parameter in list(module.named_parameters(recurse=False)):
            wide = parameter.dim() == 2
            dtype = torch.bfloat16 if wide else torch.float32  # as a published base is held
            fresh = torch.empty(parameter.shape, device=device, dtype=dtype)
            fresh = fresh.normal_(0, 0.02, generator=generator) if wide else fresh.fill_(1.0)
            setattr(module, name, nn.Parameter(fresh, requires_grad=False))
    model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(config=model.config).to(device)
    model.eval()
    return model


def write_random_base(shape: ModelShape, folder: Path, generator: torch.Generator) -> None:
    """Write a Llama-shaped model with random weights as an ordinary bf16 folder, without tokenizer.

    Memory holds one layer. Products are as wide as what goes in. All matrices are pieces of one run
    of random numbers, each begun elsewhere: to draw billions would take longer than to read them.

    Parameters
    ----------
    shape
        Its layers and widths.
    folder
        There already; ``config.json`` is written last, and tells that all is there.
    generator
        The processor's stream.
    """
    model = _empty_model(shape)
    files: dict[str, list[str]] = defaultdict(list)
    for key in model.state_dict():
        layer = key.split(".")[2] if key.startswith("model.layers.") else "others"
        files[f"model-{layer}.safetensors"].append(key)

    noise = torch.randn(NOISE, generator=generator)
    begin = 0

    def draw(size: torch.Size) -> torch.Tensor:
        nonlocal begin
        if len(size) == 1:
            return torch.ones(size, dtype=torch.bfloat16)
        scaled = (noise / math.sqrt(size[1])).bfloat16().roll(begin)
        begin += STRIDE
        return scaled.repeat(-(-size.numel() // NOISE))[: size.numel()].view(size)

    for file, keys in files.items():
        own = {key: draw(model.get_parameter(key).shape) for key in keys}
        save_file(own, folder / file, {"format": "pt"})
    places = {key: file for file, keys in files.items() for key in keys}
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    model.config.save_pretrained(folder)


def random_adapters(
    shape: ModelShape, count: int, rank: int, share: float, generator: torch.Generator
) -> tuple[Adapter, ...]:
    """Draw LoRA adapters on the topmost share of the layers, on the processor."""
    first = shape.layers - math.ceil(share * shape.layers)

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator) / math.sqrt(size[1])

    def place(name: str) -> str:
        return (
            f"mlp.{name}" if name in ("gate_proj", "up_proj", "down_proj") else f"self_attn.{name}"
        )

    return tuple(
        Adapter(
            f"random{k:04d}",
            {
                (layer, place(name)): (draw(rank, inputs), draw(outputs, rank))
                for layer in range(first, shape.layers)
                for name, (inputs, outputs) in shape.linears.items()
                if name in ADAPTED
            },
            None,
            "",
        )
        for k in range(count)
    )


def _empty_model(shape: ModelShape) -> LlamaForCausalLM:
    """Make a model of a shape whose weights have no memory."""
    config = LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_width,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
        architectures=["LlamaForCausalLM"],
        dtype="bfloat16",
    )
    with torch.device("meta"):
        return LlamaForCausalLM(config)


def _random_linear(
    linear: nn.Linear, device: torch.device, generator: torch.Generator, compiled: bool
) -> Int8Linear:
    """Draw INT8 weights evenly, scaled so that the output is as wide as the input."""
    made = Int8Linear(linear, compiled, packed=device.type == "cpu")  # on meta, as the layer is
    size = made.weight.shape
    made.weight = torch.randint(
        -127, 128, size, dtype=torch.int8, device=device, generator=generator
    )
    step = math.sqrt(3 / linear.in_features) / 127
    made.scale = torch.full(made.scale.shape, step, dtype=torch.bfloat16, device=device)
    return made
