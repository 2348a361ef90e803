"""Matrices rounded to INT8 in groups, and put into the order in which products read them."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from evobourse.merge.engine.exact.products import Matrix
from evobourse.merge.engine.exact.tiles import COLUMNS, GROUP

_PIECE = 1 << 20  # weights that are rounded at once


def quantize_groups(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round a matrix to INT8, symmetrically, by the absolute maximum of each group.

    Parameters
    ----------
    weight
        [out, in]; groups are runs of `GROUP` inputs, the last one of those that are left.

    Returns
    -------
    tuple
        int8 [out, in] in -127..127 and bf16 [out, groups].
    """
    inputs = weight.shape[1]
    filled = functional.pad(weight.float(), (0, -inputs % GROUP))
    groups = filled.unflatten(1, (-1, GROUP))
    scale = (groups.abs().amax(dim=2).clamp_min(1e-12) / 127.0).to(torch.bfloat16)
    quantised = torch.round(groups / scale.float()[:, :, None]).clamp_(-127, 127)
    return quantised.to(torch.int8).flatten(1)[:, :inputs].contiguous(), scale


def pack_groups(weight: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Put INT8 [out, in] and scales [out, groups] into the order in which products read them.

    Returns
    -------
    tuple
        int8 [blocks, in, 32] in pairs of inputs, [blocks, in / 2, 32, 2], and bf16
        [blocks, groups, 32]: outputs filled up to blocks of 32, inputs to groups, with zeros.
    """
    outputs, inputs = weight.shape
    more = -outputs % COLUMNS
    filled = functional.pad(weight, (0, -inputs % GROUP, 0, more))
    pairs = filled.view(-1, COLUMNS, filled.shape[1] // 2, 2).transpose(1, 2)
    scales = functional.pad(scale, (0, 0, 0, more)).view(-1, COLUMNS, scale.shape[1])
    return (
        pairs.reshape(-1, filled.shape[1], COLUMNS),
        scales.transpose(1, 2).contiguous(),
    )


def quantize_packed(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round a matrix [out, in] as `quantize_groups` does, and return it as `pack_groups` does.

    Some rows at a time: beside the result, memory holds a few copies of a piece, not of the whole.
    """
    outputs, inputs = weight.shape
    blocks, groups = -(-outputs // COLUMNS), -(-inputs // GROUP)
    packed = torch.empty(blocks, groups * GROUP, COLUMNS, dtype=torch.int8, device=weight.device)
    scale = torch.empty(blocks, groups, COLUMNS, dtype=torch.bfloat16, device=weight.device)
    step = max(1, _PIECE // (inputs * COLUMNS))
    for at in range(0, blocks, step):
        piece = quantize_groups(weight[at * COLUMNS : (at + step) * COLUMNS])
        packed[at : at + step], scale[at : at + step] = pack_groups(*piece)
    return packed, scale


def unpack_groups(
    weight: torch.Tensor, scale: torch.Tensor, inputs: int, outputs: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Undo `pack_groups`."""
    # Pairs move as one int16: half as many elements.
    pairs = weight.view(torch.int16).view(len(weight), -1, COLUMNS).transpose(1, 2)
    plain = pairs.contiguous().view(torch.int8).flatten(0, 1)
    scales = scale.transpose(1, 2).flatten(0, 1)
    return plain[:outputs, :inputs], scales[:outputs]


def dequantize_groups(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Undo `quantize_groups` up to its rounding: bf16 [out, in]."""
    inputs = weight.shape[1]
    filled = functional.pad(weight.to(torch.bfloat16), (0, -inputs % GROUP))
    groups: torch.Tensor = filled.unflatten(1, (scale.shape[1], GROUP))
    return groups.mul_(scale[:, :, None]).flatten(1)[:, :inputs]


def matrix_of(weight: torch.Tensor, scale: torch.Tensor, inputs: int, outputs: int) -> Matrix:
    """Return what `pack_groups` made as a product's matrix, in the same memory."""
    scales = scale.view(torch.int16).numpy().view(np.uint16)
    return Matrix(weight.numpy(), scales, inputs, outputs)


def to_matrix(weight: torch.Tensor) -> Matrix:
    """Round a matrix [out, in] on the processor to INT8, for products."""
    outputs, inputs = weight.shape
    return matrix_of(*quantize_packed(weight.detach()), inputs, outputs)
