"""What a model's folder holds: its weights, complete and finite, and its tokenizer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evobourse.merge.errors import ModelError, foreign_code
from evobourse.merge.model_config import read_config

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_DERIVED = re.compile(r"rotary_emb\.inv_freq$")
"""Tensors of old files that follow from the config."""


def read_tokenizer(name: str, path: str | Path) -> PreTrainedTokenizerBase:
    """Read a model's tokenizer.

    Raises
    ------
    ModelError
        It is missing or cannot be read.
    """
    from transformers import AutoTokenizer

    with foreign_code(f"base {name!r}: cannot be loaded, its tokenizer is not understood"):
        return AutoTokenizer.from_pretrained(path)


def load_whole(name: str, path: str | Path) -> PreTrainedModel:
    """Load all of a model as transformers does, in float32 on the processor.

    Raises
    ------
    ModelError
        See `read_config`; a weight is missing, left over, of another shape or not finite.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = read_config(name, path)
    with foreign_code(f"base {name!r}: cannot be loaded, its weights are not understood"):
        model, info = AutoModelForCausalLM.from_pretrained(
            path,
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    for key, held, expected in sorted(info["mismatched_keys"]):
        raise _other_shape(name, key, held, expected)
    _refuse_incomplete(name, config, info["missing_keys"], info["unexpected_keys"])
    # A file may hold another head than the embedding although its config ties them.
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    model.config.tie_word_embeddings = head is not None and head.weight is embedding.weight
    for key, tensor in model.state_dict().items():
        check_finite(f"base {name!r}", key, tensor)
    return model.eval()


def open_weights(name: str, folder: Path) -> tuple[PreTrainedModel, Callable[[str], torch.Tensor]]:
    """Open a model without memory for its weights, and what reads those one by one.

    Parameters
    ----------
    name
        For messages.
    folder
        The model's.

    Returns
    -------
    tuple
        The model, its parameters on ``meta`` and what is in no file at hand; and a function from a
        key of its state dict to a tensor as its file has it: mapped, not copied, its values not
        looked at. Where the files are not safetensors of just these keys, all of them are read at
        once, in float32.

    Raises
    ------
    ModelError
        As `load_whole`, partly once a tensor is read.
    """
    config = read_config(name, folder)
    with foreign_code(f"base {name!r}: cannot be loaded, its weights are not understood"):
        places = _places(folder)
    if places and config.tie_word_embeddings and {HEAD, EMBEDDING} <= set(places):
        head, embedding = (_stored(name, folder, places, key) for key in (HEAD, EMBEDDING))
        config.tie_word_embeddings = head.equal(embedding)
    model = empty_model(name, config)
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    found = {key for key in places or () if not _DERIVED.search(key)}
    tied = bool(config.tie_word_embeddings)
    if found - {HEAD} != set(shapes) - {HEAD} or not (tied or HEAD in found):
        # Of other names transformers knows what they stand for, or what is missing.
        whole = load_whole(name, folder)
        model = empty_model(name, whole.config)
        return model, whole.state_dict().__getitem__

    def read(key: str) -> torch.Tensor:
        tensor = _stored(name, folder, places or {}, EMBEDDING if tied and key == HEAD else key)
        if tensor.shape != shapes[key]:
            raise _other_shape(name, key, tensor.shape, shapes[key])
        if not tensor.is_floating_point():
            raise ModelError(
                f"base {name!r}: {key} is of {tensor.dtype}, expected floating point; use the "
                "model in full precision"
            )
        return tensor

    return model, read


def check_weights(name: str, folder: Path) -> None:
    """Read all of a model's weights once, see `open_weights`."""
    model, read = open_weights(name, folder)
    for key in model.state_dict():
        check_finite(f"base {name!r}", key, read(key))


def settle_head(folder: Path) -> None:
    """Let a config say untied where its model has a head of its own, as some merges do."""
    file = folder / "config.json"
    told, places = json.loads(file.read_text()), _places(folder) or {}
    if told.get("tie_word_embeddings") and {HEAD, EMBEDDING} <= set(places):
        head, embedding = (_stored(str(folder), folder, places, k) for k in (HEAD, EMBEDDING))
        if not head.equal(embedding):
            file.write_text(json.dumps({**told, "tie_word_embeddings": False}, indent=2) + "\n")


def empty_model(name: str, config: PretrainedConfig) -> PreTrainedModel:
    """Build a causal language model whose parameters are on ``meta`` and whose buffers are not."""
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    with (
        foreign_code(f"base {name!r}: cannot be loaded, its config.json makes no model"),
        init_empty_weights(include_buffers=False),  # those are in no file
    ):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if config.tie_word_embeddings:
        model.tie_weights()
    return model.eval()


def check_finite(
    what: str,
    key: str,
    tensor: torch.Tensor,
    cause: str = "its training diverged or the file is damaged: use another",
) -> None:
    """Refuse a weight that is not a number.

    Raises
    ------
    ModelError
        Some of its values are NaN or infinite.
    """
    if bool(tensor.sum().isfinite()):  # one pass; a sum of finite values may still overflow
        return
    odd = int((~tensor.isfinite()).sum())
    if odd:
        raise ModelError(
            f"{what}: not a number in {key} ({odd} of {tensor.numel()} values are NaN or "
            f"infinite); {cause}"
        )


def _places(folder: Path) -> dict[str, str] | None:
    """Return which file holds a tensor; None where there are no safetensors of one model."""
    from safetensors import safe_open

    if (folder / _INDEX).is_file():
        return dict(json.loads((folder / _INDEX).read_text())["weight_map"])
    if (folder / _WHOLE).is_file():
        with safe_open(folder / _WHOLE, "pt") as shard:
            return dict.fromkeys(shard.keys(), _WHOLE)
    return None


def _stored(name: str, folder: Path, places: dict[str, str], key: str) -> torch.Tensor:
    """Read a tensor as its file has it."""
    from safetensors import safe_open

    # Opened anew for each, so that no more of a shard stays mapped than one tensor.
    with (
        foreign_code(f"base {name!r}: cannot be loaded, {key} is not in {places[key]}"),
        safe_open(folder / places[key], "pt") as shard,
    ):
        tensor: torch.Tensor = shard.get_tensor(key)
        return tensor


def _refuse_incomplete(
    name: str, config: PretrainedConfig, missing: Collection[str], unexpected: Collection[str]
) -> None:
    """Refuse what transformers would draw at random, or leave out."""
    left_over = sorted(key for key in unexpected if not _DERIVED.search(key))
    if set(missing) == {HEAD} and not left_over:
        raise ModelError(
            f"base {name!r}: has no {HEAD}, and its config.json does not tie the head to the "
            "embedding; use a model with its head"
        )
    if missing:
        others = f"; it holds {_few(left_over)} beside" if left_over else ""
        raise ModelError(
            f"base {name!r}: lacks {_few(missing)}, which would be drawn at random{others}; "
            f"config.json says {config.num_hidden_layers} layers of {config.model_type}: fetch the "
            "model again, whole, or use the one that its files are of"
        )
    if left_over:
        raise ModelError(
            f"base {name!r}: holds {_few(left_over)}, which a {config.model_type} of "
            f"{config.num_hidden_layers} layers as its config.json says has no place for; use the "
            "model that its files are of"
        )


def _few(keys: Collection[str]) -> str:
    """Name a weight, and count the others."""
    first, rest = min(keys), len(keys) - 1
    return first + (f" and {rest} more weights" if rest > 1 else " and one more" if rest else "")


def _other_shape(name: str, key: str, held: Any, expected: Any) -> ModelError:
    return ModelError(
        f"base {name!r}: {key} is {tuple(held)} in its file, {tuple(expected)} by its "
        "config.json; use the config that belongs to the weights"
    )


def linear_layers(model: PreTrainedModel) -> dict[str, tuple[int, int]]:
    """List a model's linear layers before quantisation: name to (outputs, inputs)."""
    from torch import nn

    return {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
