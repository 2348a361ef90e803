"""A base and adapters of any shape with random weights: for speed and memory, never for judgement.

INT8 layers are made where they will stay, one after the other.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from evobourse.experiments.planner.roofline import ADAPTED
from evobourse.experiments.planner.shapes import ModelShape
from evobourse.merge.engine.int8 import Int8Linear
from evobourse.merge.peft.folder import Adapter

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
    config = LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_width,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
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
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config).to(device)
    model.eval()
    return model


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
