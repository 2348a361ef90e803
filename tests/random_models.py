"""Small random models with a vocabulary of their own, sound and spoilt, as folders."""

from __future__ import annotations

import copy
import json
import shutil
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

Tensors = dict[str, torch.Tensor]
WIDTHS = {
    "vocab_size": 704,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@lru_cache
def trained_tokenizer(style: str = "byte-level") -> Any:
    """Train a vocabulary on the prompts: byte-level as GPT-2's, or pieces as SentencePiece's."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    from evobourse.agents.observation import OPTIONS, VIEWS, render_rules, render_view

    text = [render_rules() + render_view(view) for view in range(1, VIEWS, 97)]
    text += [f"the answer ->{option}" for option in OPTIONS] * 200
    special = ["<pad>", "<s>", "</s>"]
    if style == "pieces":
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<pad>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
        special += [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special)
    else:
        tokenizer = Tokenizer(models.BPE())
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=style == "byte-level")
        # As Llama 3 and Qwen split: what ends a sentence keeps its line end.
        stops = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+")
        tokenizer.pre_tokenizer = (
            level
            if style == "byte-level"
            else pre_tokenizers.Sequence([pre_tokenizers.Split(stops, "isolated"), level])
        )
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=700,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
    tokenizer.train_from_iterator(text, trainer)
    return tokenizer.to_str()


def make_tokenizer(style: str = "byte-level", ends: str = "") -> PreTrainedTokenizerFast:
    """Make a tokenizer whose post-processor puts ``<s>`` first (ends "b"), ``</s>`` last ("e")."""
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_str(trained_tokenizer(style))
    if ends:
        first, last = "<s> " * ("b" in ends), " </s>" * ("e" in ends)
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first}$A{last}", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def make_model(kind: str = "llama", seed: int = 0, **config: Any) -> PreTrainedModel:
    """Draw a model's weights so wide that every part of it shows in the logits."""
    told = AutoConfig.for_model(kind, **{**WIDTHS, **config})
    model = AutoModelForCausalLM.from_config(told, dtype=torch.float32)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=draw)
            if weight.dim() > 1:
                weight.copy_(0.15 * noise)
            elif "norm" in key and key.endswith("weight"):
                weight.add_(0.1 * noise)
            else:
                weight.copy_(0.1 * noise)
    return model.eval()


def write_base(
    folder: Path,
    model: PreTrainedModel | None = None,
    tokenizer: PreTrainedTokenizerFast | None = None,
    change: Callable[[Tensors], Tensors] | None = None,
    form: str = "safetensors",
    **config: Any,
) -> Path:
    """Write a model as a base's folder, its tensors and its config changed afterwards."""
    model = make_model() if model is None else model
    model.save_pretrained(folder)
    (tokenizer or make_tokenizer()).save_pretrained(folder)
    file = folder / "model.safetensors"
    if change is not None or form == "bin":
        tensors = load_file(file)
        tensors = change(tensors) if change else tensors
        file.unlink()
        if form == "bin":
            torch.save(tensors, folder / "pytorch_model.bin")
        else:
            save_file(tensors, file, metadata={"format": "pt"})
    if config:
        told = folder / "config.json"
        told.write_text(json.dumps({**json.loads(told.read_text()), **config}))
    return folder


def write_adapter(
    folder: Path,
    base: PreTrainedModel,
    change: Callable[[Tensors], Tensors] | None = None,
    seed: int = 1,
    told: dict[str, Any] | None = None,
    **lora: Any,
) -> Path:
    """Write a random PEFT adapter of a model; ``told``: fields of its config changed afterwards."""
    from peft import LoraConfig, get_peft_model

    settings = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM", "init_lora_weights": False}
    config = LoraConfig(**{**settings, "target_modules": list(MODULES), **lora})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned = get_peft_model(copy.deepcopy(base), config)
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in tuned.parameters():
                if weight.requires_grad:
                    weight.copy_(0.1 * torch.randn(weight.shape, generator=draw))
        tuned.save_pretrained(folder)
    file, config_file = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    if change is not None:
        save_file(change(load_file(file)), file, metadata={"format": "pt"})
    if told:
        config_file.write_text(json.dumps({**json.loads(config_file.read_text()), **told}))
    return folder


def copy_base(source: Path, folder: Path) -> Path:
    """Copy a folder, to be spoilt."""
    shutil.copytree(source, folder)
    return folder


def without(*parts: str) -> Callable[[Tensors], Tensors]:
    """Leave out the tensors whose names hold one of the parts."""
    return lambda tensors: {k: t for k, t in tensors.items() if not any(p in k for p in parts)}


def with_nan(part: str, value: float = float("nan")) -> Callable[[Tensors], Tensors]:
    """Put one value that is no number into the first tensor whose name holds a part."""

    def change(tensors: Tensors) -> Tensors:
        key = next(key for key in sorted(tensors) if part in key)
        spoilt = tensors[key].clone()
        spoilt.view(-1)[-1] = value
        return {**tensors, key: spoilt}

    return change
