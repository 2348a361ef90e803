"""Where the layers of known architectures differ: one table, no class each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Traits:
    """Where a kind of layer differs from Llama's, beside what its config says.

    Attributes
    ----------
    norms
        Names of the norms before and behind attention, before and behind the network; None where
        there is none.
    norm_offset
        Added to the weights of norms.
    head_norms
        Whether queries and keys are normed.
    fused
        Whether queries, keys and values are one product, and gate and up another.
    every_window
        Whether ``sliding_window`` holds in every layer; else where ``layer_types`` says so.
    scaled_embedding
        Whether embeddings are multiplied with the root of their width.
    """

    norms: tuple[str | None, str | None, str | None, str | None] = (
        "input_layernorm", None, "post_attention_layernorm", None,
    )  # fmt: skip
    norm_offset: float = 0.0
    head_norms: bool = False
    fused: bool = False
    every_window: bool = False
    scaled_embedding: bool = False


_SANDWICH = (
    "input_layernorm", "post_attention_layernorm",
    "pre_feedforward_layernorm", "post_feedforward_layernorm",
)  # fmt: skip
_BEHIND = (None, "post_attention_layernorm", None, "post_feedforward_layernorm")

ARCHITECTURES: Mapping[str, Traits] = {
    "llama": Traits(),
    "mistral": Traits(every_window=True),
    "qwen2": Traits(),
    "qwen3": Traits(head_norms=True),
    "gemma": Traits(norm_offset=1.0, scaled_embedding=True),
    "gemma2": Traits(_SANDWICH, norm_offset=1.0, scaled_embedding=True),
    "gemma3_text": Traits(_SANDWICH, norm_offset=1.0, head_norms=True, scaled_embedding=True),
    "phi3": Traits(fused=True, every_window=True),
    "granite": Traits(),
    "olmo2": Traits(_BEHIND, head_norms=True),
}
"""By ``model_type``; SmolLM2 and Llama 3 are ``llama``, Qwen2.5 is ``qwen2``."""
