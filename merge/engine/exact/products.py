"""Products of INT8 weights and INT16 activations, whose sums are exact: one bit pattern anywhere.

The vector code is portable LLVM IR in lanes of 16; each processor gets its own instructions of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray

from evobourse.merge.engine.exact.threads import in_threads

GROUP = 64
"""Inputs that share a scale. 64 * 127 * 32767 is below 2**31: no sum of a group overflows."""

LANES, COLUMNS = 16, 32
CHUNK_BYTES = 1 << 19  # of activations that meet all weights before the next: they stay in L2
FEW_ROWS = 64  # up to so many rows, threads share out the outputs, above it the rows
THREAD_WORK = 1 << 19  # multiplications that are worth a thread

# Wide registers hold 12 rows of two vectors, the 16 narrow ones of others 4 rows of one. Tiles
# decide about speed alone.
_WIDE = "+avx512bw" in cpu_target.target_context.codegen()._tm_features
MANY, VECTORS = (12, 2) if _WIDE else (4, 1)
STEP = VECTORS * LANES
FEW = 4 if _WIDE else 2

_I8, _I16, _I32, _I64, _F32 = (*(ir.IntType(bits) for bits in (8, 16, 32, 64)), ir.FloatType())
_VI, _VF = ir.VectorType(_I32, LANES), ir.VectorType(_F32, LANES)


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
        lambda start, stop: quantize_rows(rows, made.values, made.scale, start, stop), count, 64
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

    def of_blocks(start: int, stop: int) -> None:
        _multiply(x.values, x.scale, matrix.weight, matrix.scale, out, column, matrix.outputs, add,
                  0, rows, start, stop)  # fmt: skip

    def of_rows(start: int, stop: int) -> None:
        _multiply(x.values, x.scale, matrix.weight, matrix.scale, out, column, matrix.outputs, add,
                  start, stop, 0, blocks)  # fmt: skip

    if rows <= FEW_ROWS:
        in_threads(of_blocks, blocks, max(1, THREAD_WORK // max(work, 1)))
    else:
        in_threads(of_rows, rows, MANY)


# Kernels


def _tile(rows: int) -> Callable[..., Any]:
    """Return a product of so many rows with `STEP` outputs, all groups, as LLVM IR.

    Addresses are integers: of rows int16 and their distance in bytes, of their scales and those'
    distance, of packed weights and their scales, of the results and their distance.
    """

    @intrinsic
    def tile(
        context, x, x_step, scale, scale_step, weight, weight_scale, groups, out, out_step, add
    ):  # type: ignore[no-untyped-def]
        signature = types.void(*[types.int64] * 9, types.boolean)

        def generate(context, build, signature, arguments):  # type: ignore[no-untyped-def]
            _write_tile(build, rows, *arguments)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _write_tile(
    build: Any, rows: int, x: Any, x_step: Any, scale: Any, scale_step: Any, weight: Any,
    weight_scale: Any, groups: Any, out: Any, out_step: Any, add: Any,
) -> None:  # fmt: skip
    wide = 2 * LANES
    narrow, paired, product = (ir.VectorType(t, wide) for t in (_I8, _I16, _I32))
    even, odd = (ir.Constant(_VI, [2 * lane + k for lane in range(LANES)]) for k in (0, 1))
    over_rows, over_vectors = range(rows), range(VECTORS)

    def number(value: int) -> Any:
        return ir.Constant(_I64, value)

    def load(address: Any, kind: Any, align: int) -> Any:
        loaded = build.load(build.inttoptr(address, kind.as_pointer()))
        loaded.align = align
        return loaded

    def spread(value: Any, kind: Any) -> Any:
        empty = ir.Constant(kind, ir.Undefined)
        first = build.insert_element(empty, value, ir.Constant(_I32, 0))
        return build.shuffle_vector(first, empty, ir.Constant(_VI, None))

    def multiply_pairs(left: Any, right: Any) -> Any:
        """int16 pairs to int32 sums of two: LLVM knows its instruction (pmaddwd, vpdpwssd)."""
        both = build.mul(build.sext(left, product), build.sext(right, product))
        empty = ir.Constant(product, ir.Undefined)
        halves = (build.shuffle_vector(both, empty, half) for half in (even, odd))
        return build.add(*halves)

    def row_of(address: Any, step: Any, row: int) -> Any:
        return build.add(address, build.mul(step, number(row)))

    entry = build.block
    each_group, each_pair, after, write, summed, done = (
        build.function.append_basic_block(name)
        for name in ("group", "pair", "after", "write", "add", "done")
    )
    build.branch(each_group)

    build.position_at_end(each_group)
    group = build.phi(_I64)
    group.add_incoming(number(0), entry)
    sums = [[build.phi(_VF) for _ in over_vectors] for _ in over_rows]
    for phi in (phi for row in sums for phi in row):
        phi.add_incoming(ir.Constant(_VF, None), entry)
    group_weight = build.add(weight, build.mul(group, number(GROUP * COLUMNS)))
    group_x = build.add(x, build.mul(group, number(2 * GROUP)))
    build.branch(each_pair)

    # Sums of one group, two inputs a step. Unrolled by hand, LLVM would regroup the additions and
    # miss the instruction that multiplies and adds.
    build.position_at_end(each_pair)
    pair = build.phi(_I64)
    pair.add_incoming(number(0), each_group)
    exact = [[build.phi(_VI) for _ in over_vectors] for _ in over_rows]
    for phi in (phi for row in exact for phi in row):
        phi.add_incoming(ir.Constant(_VI, None), each_group)
    at_weight = build.add(group_weight, build.mul(pair, number(2 * COLUMNS)))
    at_x = build.add(group_x, build.mul(pair, number(4)))
    weights = [
        build.sext(load(build.add(at_weight, number(wide * v)), narrow, 1), paired)
        for v in over_vectors
    ]
    grown = []
    for row in over_rows:
        both = load(row_of(at_x, x_step, row), _I32, 2)
        inputs = build.bitcast(spread(both, _VI), paired)
        grown.append(
            [build.add(exact[row][v], multiply_pairs(inputs, weights[v])) for v in over_vectors]
        )
    next_pair = build.add(pair, number(1))
    pair.add_incoming(next_pair, each_pair)
    for row in over_rows:
        for v in over_vectors:
            exact[row][v].add_incoming(grown[row][v], each_pair)
    build.cbranch(build.icmp_signed("<", next_pair, number(GROUP // 2)), each_pair, after)

    # Scaled and added to the groups before.
    build.position_at_end(after)
    at_scale = build.add(weight_scale, build.mul(group, number(2 * COLUMNS)))
    halves = ir.VectorType(_I16, LANES)
    scales = []
    for v in over_vectors:
        bits = build.zext(load(build.add(at_scale, number(2 * LANES * v)), halves, 2), _VI)
        shifted = build.shl(bits, ir.Constant(_VI, [16] * LANES))
        scales.append(build.bitcast(shifted, _VF))
    totals = []
    for row in over_rows:
        at_row = build.add(row_of(scale, scale_step, row), build.mul(group, number(4)))
        own = spread(load(at_row, _F32, 4), _VF)
        totals.append(
            [
                build.fadd(
                    sums[row][v],
                    build.fmul(build.sitofp(grown[row][v], _VF), build.fmul(own, scales[v])),
                )
                for v in over_vectors
            ]
        )
    next_group = build.add(group, number(1))
    group.add_incoming(next_group, after)
    for row in over_rows:
        for v in over_vectors:
            sums[row][v].add_incoming(totals[row][v], after)
    build.cbranch(build.icmp_signed("<", next_group, groups), each_group, write)

    build.position_at_end(write)
    targets = [
        [
            build.inttoptr(
                build.add(row_of(out, out_step, row), number(4 * LANES * v)), _VF.as_pointer()
            )
            for v in over_vectors
        ]
        for row in over_rows
    ]
    plain = build.function.append_basic_block("plain")
    build.cbranch(add, summed, plain)
    for block, adding in ((summed, True), (plain, False)):
        build.position_at_end(block)
        for row in over_rows:
            for v in over_vectors:
                value = totals[row][v]
                if adding:
                    held = build.load(targets[row][v])
                    held.align = 4
                    value = build.fadd(held, value)
                build.store(value, targets[row][v]).align = 4
        build.branch(done)
    build.position_at_end(done)


_many, _few, _one = _tile(MANY), _tile(FEW), _tile(1)


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _multiply(
    x, scale, weight, weight_scale, out, column, outputs, add, first, last, start, stop
):  # type: ignore[no-untyped-def]
    """Multiply rows ``first`` to ``last - 1`` with blocks ``start`` to ``stop - 1``."""
    inputs, groups, width = x.shape[1], scale.shape[1], out.shape[1]
    chunk = max(MANY, CHUNK_BYTES // (2 * inputs) // MANY * MANY)
    edge = np.zeros((MANY, COLUMNS), np.float32)  # of a block that is filled up
    for begin in range(first, last, chunk):
        end = min(last, begin + chunk)
        for block in range(start, stop):
            whole = outputs - block * COLUMNS >= COLUMNS
            for part in range(0, COLUMNS, STEP):
                at_weight = weight.ctypes.data + block * inputs * COLUMNS + 2 * part
                at_scale = weight_scale.ctypes.data + 2 * (block * groups * COLUMNS + part)
                row = begin
                while row < end:
                    at_x = x.ctypes.data + 2 * row * inputs
                    at_own = scale.ctypes.data + 4 * row * groups
                    target, step = edge.ctypes.data + 4 * part, 4 * COLUMNS
                    if whole:
                        target = out.ctypes.data + 4 * (
                            row * width + column + block * COLUMNS + part
                        )
                        step = 4 * width
                    joined = add and whole
                    done = 1
                    if end - row >= MANY:
                        _many(at_x, 2 * inputs, at_own, 4 * groups, at_weight, at_scale, groups,
                              target, step, joined)  # fmt: skip
                        done = MANY
                    elif end - row >= FEW:
                        _few(at_x, 2 * inputs, at_own, 4 * groups, at_weight, at_scale, groups,
                             target, step, joined)  # fmt: skip
                        done = FEW
                    else:
                        _one(at_x, 2 * inputs, at_own, 4 * groups, at_weight, at_scale, groups,
                             target, step, joined)  # fmt: skip
                    if not whole:
                        stops = min(part + STEP, outputs - block * COLUMNS)
                        for k in range(done):
                            for c in range(part, stops):
                                place = column + block * COLUMNS + c
                                if add:
                                    out[row + k, place] += edge[k, c]
                                else:
                                    out[row + k, place] = edge[k, c]
                    row += done


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def quantize_rows(rows, values, scale, start, stop):  # type: ignore[no-untyped-def]
    """Round rows ``start`` to ``stop - 1``, see `quantize`."""
    for row in range(start, stop):
        quantize_row(rows[row], values[row], scale[row])


@njit(cache=True, nogil=True, error_model="numpy", inline="never")  # type: ignore[untyped-decorator]
def quantize_row(row, values, scale):  # type: ignore[no-untyped-def]
    """Round one row float32[in] to int16[groups * 64] and float32[groups]."""
    bits, whole = row.view(np.int32), len(row) // GROUP
    for group in range(len(scale)):
        start = group * GROUP
        if group < whole:  # of a known length, which compiles to vectors
            scale[group] = _quantize_group(
                row[start:], bits[start:], values[start:], GROUP
            )
        else:
            values[start:] = 0
            scale[group] = _quantize_group(
                row[start:], bits[start:], values[start:], len(row) - start
            )


@njit(inline="always")  # type: ignore[untyped-decorator]
def _quantize_group(row, bits, values, length):  # type: ignore[no-untyped-def]
    # Magnitudes order as their bits do; a maximum of integers is free to be a vector's.
    largest = np.int32(0)
    for k in range(length):
        largest = max(largest, np.int32(bits[k] & np.int32(0x7FFFFFFF)))
    most = float_of(largest)
    turn = np.float32(0)
    if most > np.float32(1e-30):
        turn = np.float32(32767) / most
    for k in range(length):
        values[k] = np.int16(nearest(row[k] * turn))
    return most * np.float32(1 / 32767)


@intrinsic  # type: ignore[untyped-decorator]
def float_of(context, bits):  # type: ignore[no-untyped-def]
    """Read an int32's bits as a float32."""

    def generate(context, build, signature, arguments):  # type: ignore[no-untyped-def]
        return build.bitcast(arguments[0], _F32)

    return types.float32(types.int32), generate


@njit(inline="always")  # type: ignore[untyped-decorator]
def nearest(x):  # type: ignore[no-untyped-def]
    """Round a float32 below 2**22 to the nearest whole number, halves to even, by one addition."""
    return (x + np.float32(12582912)) - np.float32(12582912)
