"""The exact arithmetic's inner products, as portable vector IR in lanes of 16.

Each processor gets its own instructions of it, and the same bits. LLVM fuses no multiplication with
an addition unless told to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

GROUP = 64
"""Inputs that share a scale. 64 * 127 * 32767 is below 2**31: no sum of a group overflows."""

LANES, COLUMNS = 16, 32
LOWEST = -(2.0**127)  # a float32, below every score

# Wide registers hold 12 rows of two vectors, the 16 narrow ones of others 4 rows of one. Tiles
# decide about speed alone.
_WIDE = "+avx512bw" in cpu_target.target_context.codegen()._tm_features
MANY, FEW, QUERIES, VECTORS = (12, 4, 8, 2) if _WIDE else (4, 2, 4, 1)
STEP = VECTORS * LANES

_I8, _I16, _I32, _I64, _F32 = (*(ir.IntType(bits) for bits in (8, 16, 32, 64)), ir.FloatType())
_VI, _VF = ir.VectorType(_I32, LANES), ir.VectorType(_F32, LANES)


def product_tile(rows: int) -> Callable[..., Any]:
    """Return a product of so many rows with `STEP` outputs, all groups, as LLVM IR.

    Addresses are integers: of rows int16 and their distance in bytes, of their scales and those'
    distance, of packed weights and their scales, of the results and their distance.
    """

    @intrinsic
    def tile(
        context: Any,
        x: Any,
        x_step: Any,
        scale: Any,
        scale_step: Any,
        weight: Any,
        weight_scale: Any,
        groups: Any,
        out: Any,
        out_step: Any,
        add: Any,
    ) -> Any:
        signature = types.void(*[types.int64] * 9, types.boolean)

        def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
            _write_product_tile(build, rows, *arguments)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _write_product_tile(
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


def float_tile(rows: int) -> Callable[..., Any]:
    """Return a product of so many rows with `STEP` columns, in float32.

    Each result is one sum from the first to the last of ``depth``, a multiplication and an addition
    a step. Addresses and distances are in bytes.
    """

    @intrinsic
    def tile(
        context: Any,
        left: Any,
        left_step: Any,
        right: Any,
        right_step: Any,
        depth: Any,
        out: Any,
        out_step: Any,
    ) -> Any:
        signature = types.void(*[types.int64] * 7)

        def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
            _write_float_tile(build, rows, *arguments)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _write_float_tile(
    build: Any, rows: int, left: Any, left_step: Any, right: Any, right_step: Any, depth: Any,
    out: Any, out_step: Any,
) -> None:  # fmt: skip
    def number(value: int) -> Any:
        return ir.Constant(_I64, value)

    def load(address: Any, kind: Any) -> Any:
        loaded = build.load(build.inttoptr(address, kind.as_pointer()))
        loaded.align = 4
        return loaded

    entry = build.block
    each, done = (build.function.append_basic_block(name) for name in ("each", "done"))
    build.branch(each)
    build.position_at_end(each)
    step = build.phi(_I64)
    step.add_incoming(number(0), entry)
    sums = [[build.phi(_VF) for _ in range(VECTORS)] for _ in range(rows)]
    at_left = build.add(left, build.mul(step, number(4)))
    at_right = build.add(right, build.mul(step, right_step))
    vectors = [load(build.add(at_right, number(4 * LANES * v)), _VF) for v in range(VECTORS)]
    empty = ir.Constant(_VF, ir.Undefined)
    spread = ir.Constant(ir.VectorType(_I32, LANES), None)
    grown = []
    for row in range(rows):
        value = load(build.add(at_left, build.mul(left_step, number(row))), _F32)
        first = build.insert_element(empty, value, ir.Constant(_I32, 0))
        both = build.shuffle_vector(first, empty, spread)
        grown.append(
            [build.fadd(sums[row][v], build.fmul(both, vectors[v])) for v in range(VECTORS)]
        )
    following = build.add(step, number(1))
    step.add_incoming(following, each)
    for row in range(rows):
        for v in range(VECTORS):
            sums[row][v].add_incoming(ir.Constant(_VF, None), entry)
            sums[row][v].add_incoming(grown[row][v], each)
    build.cbranch(build.icmp_signed("<", following, depth), each, done)
    build.position_at_end(done)
    for row in range(rows):
        for v in range(VECTORS):
            offset = build.add(build.mul(out_step, number(row)), number(4 * LANES * v))
            place = build.inttoptr(build.add(out, offset), _VF.as_pointer())
            build.store(grown[row][v], place).align = 4


def lane_fold(kind: str) -> Any:
    """Return what folds rows into 16 lanes, lane k from places k, k + 16, ..., in their order.

    Of two addresses of float32, a number of times 16 places, and the address of the lanes: their
    products' ``sum``, or the first row's ``maximum`` (the second is not read).
    """

    @intrinsic
    def fold(context: Any, left: Any, right: Any, count: Any, out: Any) -> Any:
        signature = types.void(*[types.int64] * 4)

        def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
            _write_fold(build, kind, *arguments)
            return context.get_dummy_value()

        return signature, generate

    return fold


def _write_fold(build: Any, kind: str, left: Any, right: Any, count: Any, out: Any) -> None:
    def load(address: Any) -> Any:
        loaded = build.load(build.inttoptr(address, _VF.as_pointer()))
        loaded.align = 4
        return loaded

    entry = build.block
    check, each, done = (
        build.function.append_basic_block(name) for name in ("check", "each", "done")
    )
    start = ir.Constant(_VF, [0.0 if kind == "sum" else LOWEST] * LANES)
    build.branch(check)
    build.position_at_end(check)
    step, lanes = build.phi(_I64), build.phi(_VF)
    step.add_incoming(ir.Constant(_I64, 0), entry)
    lanes.add_incoming(start, entry)
    build.cbranch(build.icmp_signed("<", step, count), each, done)
    build.position_at_end(each)
    offset = build.mul(step, ir.Constant(_I64, 4 * LANES))
    value = load(build.add(left, offset))
    if kind == "sum":
        value = build.fmul(value, load(build.add(right, offset)))
        grown = build.fadd(lanes, value)
    else:
        grown = build.select(build.fcmp_ordered(">", value, lanes), value, lanes)
    step.add_incoming(build.add(step, ir.Constant(_I64, 1)), each)
    lanes.add_incoming(grown, each)
    build.branch(check)
    build.position_at_end(done)
    build.store(lanes, build.inttoptr(out, _VF.as_pointer())).align = 4


def _float_of(context: Any, bits: Any) -> Any:
    """Read an int32's bits as a float32."""

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        return build.bitcast(arguments[0], _F32)

    return types.float32(types.int32), generate


float_of: Any = intrinsic(_float_of)


def _power_of_two(context: Any, shifted: Any) -> Any:
    """Return 2**n of n + 1.5 * 2**23, whose lowest bits hold n, -126 to 127."""
    whole = ir.IntType(32)

    def generate(context: Any, build: Any, signature: Any, arguments: Any) -> Any:
        bits = build.shl(build.bitcast(arguments[0], whole), ir.Constant(whole, 23))
        return build.bitcast(build.add(bits, ir.Constant(whole, 127 << 23)), ir.FloatType())

    return types.float32(types.float32), generate


power_of_two: Any = intrinsic(_power_of_two)
