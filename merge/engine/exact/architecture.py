"""What a decoder computes by its config, for each architecture that is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evobourse.merge.engine.exact.arithmetic import Norm
from evobourse.merge.engine.exact.attention import Heads
from evobourse.merge.engine.exact.kernels import GELU_TANH, SILU
from evobourse.merge.engine.exact.rotary import KINDS, frequencies, turn_table
from evobourse.merge.engine.exact.traits import ARCHITECTURES, Traits
from evobourse.merge.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

_ACTIVATIONS = {"silu": SILU, "swish": SILU, "gelu_pytorch_tanh": GELU_TANH}
_FULL, _SLIDING = "full_attention", "sliding_attention"


class Architecture:
    """A config, read once.

    Parameters
    ----------
    config
        Of a transformers model.

    Raises
    ------
    ModelError
        The architecture is not in the table, or the config asks for what is not there.
    """

    def __init__(self, config: Any):
        kind = str(config.model_type)
        if kind not in ARCHITECTURES:
            raise ModelError(
                f"base: model_type {kind!r} is not known; known: {', '.join(ARCHITECTURES)}"
            )
        self.config = config
        self.traits = ARCHITECTURES[kind]
        self.width = int(config.hidden_size)
        self.queries = int(config.num_attention_heads)
        self.keys = int(getattr(config, "num_key_value_heads", None) or self.queries)
        self.head_width = int(getattr(config, "head_dim", None) or self.width // self.queries)
        named = getattr(config, "hidden_activation", None) or config.hidden_act
        if named not in _ACTIVATIONS:
            raise self._refusal(f"activation {named!r}", ", ".join(_ACTIVATIONS))
        self.activation = _ACTIVATIONS[named]
        if getattr(config, "use_bidirectional_attention", None):
            raise self._refusal("use_bidirectional_attention", "causal attention")
        self.epsilon = np.float32(config.rms_norm_eps)
        self.embedding_scale = np.float32(
            self.width**0.5 if self.traits.scaled_embedding
            else getattr(config, "embedding_multiplier", 1.0)
        )  # fmt: skip
        self.residual_scale = float(getattr(config, "residual_multiplier", 1.0))
        self.logit_scale = float(getattr(config, "logits_scaling", 1.0))
        self.logit_cap = getattr(config, "final_logit_softcapping", None)
        scalar = getattr(config, "query_pre_attn_scalar", None) or self.head_width
        self.scaling = float(getattr(config, "attention_multiplier", None) or scalar**-0.5)
        self._tables: dict[str, NDArray[np.float32]] = {}
        self._kinds = sorted({self.kind_of(n) for n in range(int(config.num_hidden_layers))})
        for kind in self._kinds:
            self._rotary_settings(kind)

    @property
    def plain(self) -> bool:
        """Whether transformers' own layers, run by `Decoder`, are the whole of it."""
        scales = (self.logit_scale, getattr(self.config, "embedding_multiplier", 1.0))
        caps = (self.logit_cap, getattr(self.config, "attn_logit_softcapping", None))
        return self.traits.norms == Traits().norms and scales == (1, 1) and caps == (None, None)

    @property
    def least_window(self) -> int | None:
        """Return how many places a layer sees that does not see all."""
        return int(self.config.sliding_window) if _SLIDING in self._kinds else None

    def kind_of(self, number: int) -> str:
        """Say how a layer attends, by its number in the config."""
        kinds = getattr(self.config, "layer_types", None)
        if not kinds or self.traits.every_window:
            windowed = self.traits.every_window and self.config.sliding_window is not None
            return _SLIDING if windowed else _FULL
        kind = str(kinds[min(number, len(kinds) - 1)])
        if kind not in (_FULL, _SLIDING):
            raise self._refusal(f"layer type {kind!r}", f"{_FULL}, {_SLIDING}")
        return kind

    def heads_of(self, attention: nn.Module) -> Heads:
        """Describe how a transformers attention layer attends."""
        norms: list[Norm | None] = [None, None]
        if self.traits.head_norms:
            norms = [self.norm_of(attention.get_submodule(name)) for name in ("q_norm", "k_norm")]
        sliding = self.kind_of(int(attention.layer_idx)) == _SLIDING  # type: ignore[arg-type]
        return Heads(
            self.queries, self.keys, self.head_width, self.scaling,
            int(self.config.sliding_window) if sliding else None,
            getattr(self.config, "attn_logit_softcapping", None),
            *norms,
        )  # fmt: skip

    def norm_of(self, module: nn.Module) -> Norm:
        """Read a norm's weight and what the architecture adds to it."""
        weight = module.get_parameter("weight").detach().float().numpy()
        return Norm(weight, self.epsilon, np.float32(self.traits.norm_offset))

    def turn_tables(self, positions: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """Return cosines and sines of positions for each kind of layer."""
        kinds = {self.kind_of(n) for n in range(int(self.config.num_hidden_layers))}
        return {kind: self._table(kind, int(positions.max(initial=0)))[positions] for kind in kinds}

    def _table(self, kind: str, last: int) -> NDArray[np.float32]:
        held = self._tables.get(kind)
        if held is None or len(held) <= last:
            settings = self._rotary_settings(kind)
            width = int(self.head_width * settings.get("partial_rotary_factor", 1.0))
            inverse, scale = frequencies(settings, width)
            held = turn_table(inverse, np.arange(max(2 * last, 512)), scale)
            self._tables[kind] = held
        return held

    def _rotary_settings(self, kind: str) -> Mapping[str, Any]:
        settings = self.config.rope_parameters
        own: Mapping[str, Any] = settings.get(kind, settings)
        named = own.get("rope_type", "default")
        if named not in KINDS:
            raise self._refusal(f"rotary positions of type {named!r}", ", ".join(KINDS))
        return own

    def _refusal(self, asked: str, known: str) -> ModelError:
        return ModelError(
            f"base: {self.config.model_type} with {asked} is not known; known: {known}"
        )
