"""What a model's config says, and whether it can be computed as it says."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evobourse.merge.errors import ModelError, foreign_code

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_HEADS = {
    "ForSequenceClassification": "a classifier or reward model",
    "ForTokenClassification": "a classifier of tokens",
    "ForQuestionAnswering": "a finder of answers in texts",
    "RewardModel": "a reward model",
    "ForConditionalGeneration": "an encoder-decoder, or a model of more than text",
    "ForMaskedLM": "an encoder",
    "Model": "a model without a head, such as one for embeddings",
}
_MATHEMATICAL = re.compile(
    r"scal(e|ing)|multiplier|soft_?cap|capping|clip|window|sinks?\b|rope|rotary|alibi|yarn|expert"
    r"|moe|interleave|residual|parallel_(attn|block)|qk_?(layer)?norm|(pre|post|sandwich)_?norm"
    r"|logit|attn_temperature|attention_(type|bias)|block_types?|recurrent|mamba"
)
"""Names of config fields that say how a model computes."""

_SHAPING = {"num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act", "rms_norm_eps"}
"""Fields whose difference need not show in the weights' shapes."""

_ELSEWHERE = {"rope_theta", "rope_scaling", "partial_rotary_factor", "rope_local_base_freq"}
"""Older names of what transformers keeps in ``rope_parameters``."""


def read_config(name: str, path: str | Path) -> PretrainedConfig:
    """Read a causal language model's config, and refuse one that cannot be computed as it says.

    Parameters
    ----------
    name
        For messages.
    path
        A folder or a hub id.

    Raises
    ------
    ModelError
        It cannot be read; the model is of another kind, quantised already, or needs code of its
        own; a field that transformers does not know says how the model computes.
    """
    from transformers import AutoConfig, PretrainedConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    with foreign_code(f"base {name!r}: cannot be loaded, its config.json is not understood"):
        raw, _ = PretrainedConfig.get_config_dict(path)
        config = AutoConfig.from_pretrained(path)
    if method := quantization_of(raw):
        raise ModelError(
            f"base {name!r}: its weights are quantised already (quantization_config: {method}); "
            "use the model in full precision, from which ours is made"
        )
    made = [str(kind) for kind in raw.get("architectures") or ()]
    if made and not any(kind.endswith(("ForCausalLM", "LMHeadModel")) for kind in made):
        says = next((told for end, told in _HEADS.items() if made[0].endswith(end)), "another kind")
        raise ModelError(
            f"base {name!r}: is {made[0]}, {says}; use a causal language model (...ForCausalLM)"
        )
    if config.is_encoder_decoder or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelError(
            f"base {name!r}: {config.model_type} is no causal language model of transformers; use "
            "one that is"
        )
    if odd := _unknown_mathematics(raw, config):
        raise ModelError(
            f"base {name!r}: config.json has {odd[0]}: {raw[odd[0]]!r}, which transformers' "
            f"{config.model_type} does not know; the model computes in another way than it would "
            "be computed here"
        )
    return config


def check_source(name: str, own: PretrainedConfig, base: PretrainedConfig) -> None:
    """Refuse a source whose weights mean something else than the base's, although they may fit.

    Raises
    ------
    ModelError
        It is of another architecture, or its config computes otherwise.
    """
    if own.model_type != base.model_type:
        raise ModelError(
            f"source {name!r}: is a {own.model_type} and the base a {base.model_type}; merge "
            "models of one architecture"
        )
    ours, theirs = own.to_dict(), base.to_dict()
    for key in sorted(ours):
        told, expected = ours[key], theirs.get(key)
        if (key in _SHAPING or _MATHEMATICAL.search(key)) and not _alike(told, expected):
            raise ModelError(
                f"source {name!r}: its config.json has {key} {told!r} and the base's {expected!r}; "
                "merged weights would be computed with the base's: merge models of one config"
            )


def quantization_of(raw: Mapping[str, Any]) -> str | None:
    """Name the method by which a config says that weights are quantised."""
    told = raw.get("quantization_config") or raw.get("compression_config")
    if not told:
        return None
    return str(told.get("quant_method", "unnamed")) if isinstance(told, dict) else str(told)


def _alike(first: Any, second: Any) -> bool:
    """Compare config values; some went through another float format."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_alike(first[k], second[k]) for k in first)
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=1e-6)
    return bool(first == second)


def _unknown_mathematics(raw: dict[str, Any], config: PretrainedConfig) -> list[str]:
    """List fields that transformers ignores, set to something, whose names say how to compute."""
    import dataclasses

    known = {field.name for field in dataclasses.fields(config)} | set(config.attribute_map)
    return [
        key
        for key, value in raw.items()
        if not key.startswith("_")
        and key not in known | _ELSEWHERE
        and _MATHEMATICAL.search(key)
        and "dropout" not in key
        and (value is True or value not in (None, False, 0, 1, [], {}, ""))
    ]
