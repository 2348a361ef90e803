"""The shapes of language models: layers, widths, heads, as their published configs say.

Five bases are known by heart, others by a local folder's config or the hub's; no weights are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evobourse.experiments.errors import ConfigError
from evobourse.merge.engine.exact.traits import ARCHITECTURES
from evobourse.merge.model_config import quantization_of
from evobourse.merge.sources import DEFAULT_BASE

GIVE = "--layers --hidden --intermediate --heads --kv-heads --vocabulary"


@dataclass(frozen=True)
class ModelShape:
    """A Llama-shaped decoder.

    Attributes
    ----------
    name, source
        Which model, and where the figures are from.
    layers, hidden, intermediate, heads, kv_heads, head_width, vocabulary
        As in a transformers config.
    tied
        Whether the output head is the embedding.
    query_bias
        Whether queries, keys and values have biases (Qwen2).
    """

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    tied: bool
    source: str
    query_bias: bool = False

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Name one layer's linear maps: inputs and outputs of each."""
        queries, keys = self.heads * self.head_width, self.kv_heads * self.head_width
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def layer_weights(self) -> int:
        """Count the weights of one layer's linear maps."""
        return sum(inputs * outputs for inputs, outputs in self.linears.values())

    @property
    def embedding_weights(self) -> int:
        """Count the weights of embedding and output head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """Count every parameter, norms and biases included."""
        biases = (self.heads + 2 * self.kv_heads) * self.head_width if self.query_bias else 0
        small = self.layers * (2 * self.hidden + biases) + self.hidden
        return self.layers * self.layer_weights + self.embedding_weights + small


def _hub(name: str) -> str:
    return f"config.json of huggingface.co/{name}"


KNOWN: dict[str, ModelShape] = {
    shape.name: shape
    for shape in (
        ModelShape(
            "mistralai/Mistral-7B-v0.3", 32, 4096, 14336, 32, 8, 128, 32768, False,
            _hub("mistralai/Mistral-7B-v0.3"),
        ),
        ModelShape(
            "meta-llama/Llama-2-7b-hf", 32, 4096, 11008, 32, 32, 128, 32000, False,
            _hub("meta-llama/Llama-2-7b-hf"),
        ),
        ModelShape(
            "meta-llama/Meta-Llama-3-8B", 32, 4096, 14336, 32, 8, 128, 128256, False,
            _hub("meta-llama/Meta-Llama-3-8B"),
        ),
        ModelShape(
            "Qwen/Qwen2.5-7B", 28, 3584, 18944, 28, 4, 128, 152064, False,
            _hub("Qwen/Qwen2.5-7B"), query_bias=True,
        ),
        ModelShape(
            DEFAULT_BASE, 30, 576, 1536, 9, 3, 64, 49152, True,
            _hub("HuggingFaceTB/SmolLM2-135M-Instruct"),
        ),
    )
}  # fmt: skip


def find_shape(base: str) -> ModelShape:
    """Find a base's shape: in a local folder, in `KNOWN`, or in the hub's config.

    Raises
    ------
    ConfigError
        It is nowhere, or its config is not Llama-shaped.
    """
    folder = Path(base).expanduser()
    if (folder / "config.json").is_file():
        try:
            told = json.loads((folder / "config.json").read_text())
        except ValueError as error:
            raise ConfigError(
                f"base {base!r}: {folder}/config.json is no JSON ({error})"
            ) from error
        return read_shape(told, base, str(folder))
    if base in KNOWN:
        return KNOWN[base]
    known = ", ".join(KNOWN)
    if base.count("/") != 1 or base.startswith((".", "/", "~", "http")):
        raise ConfigError(
            f"base {base!r}: no folder with a config.json, no hub id and none of {known}; "
            f"name one, or give its shape: {GIVE}"
        )
    try:
        from huggingface_hub import hf_hub_download

        file = hf_hub_download(base, "config.json", etag_timeout=5)
    except Exception as error:  # a dozen kinds of offline, private, gated and misspelt
        reason = str(error).strip().splitlines()[0][:120]
        raise ConfigError(
            f"base {base!r}: not among {known}, and the hub gives no config.json ({reason}); "
            f"give its shape: {GIVE}"
        ) from error
    return read_shape(json.loads(Path(file).read_text()), base, _hub(base))


def read_shape(config: Mapping[str, Any], name: str, source: str) -> ModelShape:
    """Read a transformers config.

    Raises
    ------
    ConfigError
        A figure is missing, the weights are quantised already, or the engine does not know the
        architecture.
    """
    if isinstance(config, Mapping):
        kind, method = config.get("model_type"), quantization_of(config)
        if method:
            raise ConfigError(
                f"base {name!r}: its weights are quantised already (quantization_config: "
                f"{method}); use the model in full precision"
            )
        if kind is not None and kind not in ARCHITECTURES:
            raise ConfigError(
                f"base {name!r}: model_type {kind!r} is not known; known: "
                f"{', '.join(ARCHITECTURES)}"
            )
    try:
        heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
        return ModelShape(
            name,
            int(config["num_hidden_layers"]),
            hidden,
            int(config["intermediate_size"]),
            heads,
            int(config.get("num_key_value_heads") or heads),
            int(config.get("head_dim") or hidden // heads),
            int(config["vocab_size"]),
            bool(config.get("tie_word_embeddings", False)),
            source,
            config.get("model_type") == "qwen2" or bool(config.get("attention_bias")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"base {name!r}: {source} is not Llama-shaped ({error!r}); give its shape: {GIVE}"
        ) from error
