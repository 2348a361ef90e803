"""Products of INT8 weights and INT16 activations, whose sums are exact: the same bits anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.merge.engine.exact import kernels
from evobourse.merge.engine.exact.threads import in_threads
from evobourse.merge.engine.exact.tiles import COLUMNS, GROUP, MANY

FEW_ROWS = 64  # up to so many rows, threads share out the outputs, above it the rows
THREAD_WORK = 1 << 19  # multiplications that are worth a thread


@dataclass(frozen=True)
class Matrix:
    """A weight in INT8, in the order in which products read it.

    Attributes
    ----------
    weight
        int8[blocks, in, 32], in pairs of inputs: [blocks, in / 2, 32, 2]; ``in`` is filled up to
        whole groups, outputs to whole blocks, with zeros.
    scale
        uint16[blocks, groups, 32], the upper halves of float32 (bf16).
    inputs, outputs
        Of the matrix itself.
    """

    weight: NDArray[np.int8]
    scale: NDArray[np.uint16]
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Activations:
    """Rows in INT16, a scale for each group: x is about ``values * scale``.

    Attributes
    ----------
    values
        int16[rows, in], filled up with zeros to whole groups.
    scale
        float32[rows, groups].
    """

    values: NDArray[np.int16]
    scale: NDArray[np.float32]

    def of(self, rows: NDArray[np.int64]) -> Activations:
        """Return some of the rows."""
        return Activations(self.values[rows], self.scale[rows])


def groups_of(inputs: int) -> int:
    """Count the groups of a number of inputs."""
    return -(-inputs // GROUP)


def quantize(rows: NDArray[np.float32]) -> Activations:
    """Round rows float32[n, in] to INT16 by each group's absolute maximum."""
    count, inputs = rows.shape
    made = empty_activations(count, inputs)
    rows = np.ascontiguousarray(rows)
    in_threads(
        lambda start, stop: kernels.quantize_rows(rows, made.values, made.scale, start, stop),
        count,
        64,
    )
    return made


def empty_activations(rows: int, inputs: int) -> Activations:
    """Return room for rows."""
    groups = groups_of(inputs)
    values = np.empty((rows, groups * GROUP), np.int16)
    return Activations(values, np.empty((rows, groups), np.float32))


def multiply(
    x: Activations, matrix: Matrix, out: NDArray[np.float32], column: int = 0, add: bool = False
) -> None:
    """Write, or add, the product of rows with a matrix into columns of an array.

    Each group of 64 inputs is summed in int32, exactly. The groups' sums, times both scales, are
    added in float32 in their order, by multiplications and additions of their own: neither a tile
    nor a cut among threads changes a bit.

    Parameters
    ----------
    x
        Rows.
    matrix
        Its outputs go to columns ``column`` and following.
    out
        float32[rows, at least column + outputs], C-contiguous.
    add
        Whether the product is added to what is there.
    """
    rows, blocks = len(x.values), len(matrix.weight)
    work = rows * matrix.weight.shape[1] * COLUMNS  # of one block

    inner = (x.values, x.scale, matrix.weight, matrix.scale)

    def of_blocks(start: int, stop: int) -> None:
        kernels.multiply(*inner, out, column, matrix.outputs, add, 0, rows, start, stop)

    def of_rows(start: int, stop: int) -> None:
        kernels.multiply(*inner, out, column, matrix.outputs, add, start, stop, 0, blocks)

    if rows <= FEW_ROWS:
        in_threads(of_blocks, blocks, max(1, THREAD_WORK // max(work, 1)))
    else:
        in_threads(of_rows, rows, MANY)
