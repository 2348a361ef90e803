"""Layers of a transformers model, run by exact products and what stands between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evobourse.merge.engine.exact.architecture import Architecture
from evobourse.merge.engine.exact.arithmetic import (
    add_scaled,
    gate_quantize,
    normalize,
    normalize_quantize,
)
from evobourse.merge.engine.exact.attention import Heads
from evobourse.merge.engine.exact.products import Activations, multiply, quantize

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[np.float32]
Attend = Callable[[Array, Heads, Array], Array]
"""Of a layer's projections, heads and turn table; returns float32[tokens, width]."""

Attention = Callable[[int, Array, Heads, Array], Array]
"""The same of the layer at a place."""

_ATTENTION = ("q_proj", "k_proj", "v_proj"), ("qkv_proj",)
_GATED = ("gate_proj", "up_proj"), ("gate_up_proj",)


def run_layer(
    architecture: Architecture,
    layer: nn.Module,
    hidden: Array,
    tables: Mapping[str, Array],
    row_of: NDArray[np.int64],
    attend: Attend,
    read: NDArray[np.int64] | None = None,
) -> Array:
    """Run tokens through a layer.

    Parameters
    ----------
    architecture
        Of the layer.
    layer
        A transformers decoder layer, whose linear layers are `merge.engine.int8.Int8Linear`,
        packed.
    hidden
        float32[tokens, width], C-contiguous; overwritten.
    tables
        See `Architecture.turn_tables`.
    row_of
        int64[tokens], whose mixture of adapters acts on each token.
    attend
        Keeps keys and values, and attends.
    read
        Tokens whose state is wanted: of others no more than keys and values is computed. None for
        all.

    Returns
    -------
    numpy.ndarray
        float32[tokens or read ones, width].
    """
    fused = architecture.traits.fused
    before, behind, before_network, behind_network = architecture.traits.norms
    attention: Any = layer.self_attn
    network: Any = layer.mlp
    projected = _project(
        attention, _ATTENTION[fused], _enter(architecture, layer, before, hidden), row_of
    )
    table = tables[architecture.kind_of(int(attention.layer_idx))]
    met = attend(projected, architecture.heads_of(attention), table)
    if read is not None:
        hidden, met, row_of = hidden[read], met[read], row_of[read]
    out = _project(attention, ("o_proj",), quantize(met), row_of)
    _leave(architecture, layer, behind, out, hidden)
    entering = _enter(architecture, layer, before_network, hidden)
    gated = _project(network, _GATED[fused], entering, row_of)
    acted = gate_quantize(gated, architecture.activation)
    _leave(
        architecture,
        layer,
        behind_network,
        _project(network, ("down_proj",), acted, row_of),
        hidden,
    )
    return hidden


def _project(
    owner: nn.Module, names: Sequence[str], x: Activations, row_of: NDArray[np.int64]
) -> Array:
    """Multiply with linear layers, side by side: biases and adapters included."""
    linears: list[Any] = [owner.get_submodule(name) for name in names]
    out = np.empty((len(x.values), sum(linear.out_features for linear in linears)), np.float32)
    column = 0
    for linear in linears:
        multiply(x, linear.matrix, out, column)
        part = out[:, column : column + linear.out_features]
        if linear.bias is not None:
            part += linear.bias.numpy()
        if linear.site is not None:
            linear.site.add_exactly(x, out, column, row_of)
        column += linear.out_features
    return out


def _enter(
    architecture: Architecture, layer: nn.Module, name: str | None, hidden: Array
) -> Activations:
    if name is None:
        return quantize(hidden)
    return normalize_quantize(hidden, architecture.norm_of(layer.get_submodule(name)))


def _leave(
    architecture: Architecture, layer: nn.Module, name: str | None, out: Array, hidden: Array
) -> None:
    """Add what a part of a layer has computed to the residual stream."""
    if name is not None:
        out = normalize(out, architecture.norm_of(layer.get_submodule(name)))
    add_scaled(hidden, out, architecture.residual_scale)
