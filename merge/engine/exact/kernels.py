"""The exact arithmetic's loops, compiled: sums stand in a written order, and no library is called.

A library's functions differ among processors in their last bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from evobourse.merge.engine.exact.tiles import (
    COLUMNS,
    FEW,
    GROUP,
    LANES,
    LOWEST,
    MANY,
    QUERIES,
    STEP,
    float_of,
    float_tile,
    lane_fold,
    power_of_two,
    product_tile,
)

ARITHMETIC = "INT8 by INT16 in groups of 64, exact, 1"
"""Names the arithmetic in the memo's key: another number where a bit of it changes.

It stands here because Numba renews what it keeps on disk when this file changes, and not when
another does, whose functions are compiled into these.
"""

SILU, GELU_TANH = 0, 1
CHUNK_BYTES = 1 << 19  # of activations that meet all weights before the next: they stay in L2
BLOCK = 24  # queries whose scores are held at once


_sum, _maximum = lane_fold("sum"), lane_fold("maximum")


# Numbers


@njit(inline="always")
def nearest(x: Any) -> Any:
    """Round a float32 below 2**22 to the nearest whole number, halves to even, by one addition."""
    return (x + np.float32(12582912)) - np.float32(12582912)


@njit(inline="always")
def exponential(x: Any) -> Any:
    """Return e**x of float32, within 2 units in the last place; -87 and below as -87, 88 above.

    Cody and Waite's reduction and the polynomial of Moshier's Cephes (expf).
    """
    x = min(max(x, np.float32(-87)), np.float32(88))
    shifted = x * np.float32(1.44269504) + np.float32(12582912)
    n = shifted - np.float32(12582912)
    r = (x - n * np.float32(0.693359375)) - n * np.float32(-2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    return ((p * r) * r + r + np.float32(1)) * power_of_two(shifted)


@njit(inline="always")
def hyperbolic_tangent(x: Any) -> Any:
    """Return tanh of float32, within 2e-7."""
    return np.float32(1) - np.float32(2) / (exponential(np.float32(2) * x) + np.float32(1))


@njit(inline="always")
def _activate(x: Any, kind: Any) -> Any:
    if kind == SILU:
        turned = -x
    else:  # x (1 + tanh(u)) / 2 is x / (1 + e**-2u)
        inner = x + np.float32(0.044715) * (x * x * x)
        turned = np.float32(-2 * 0.7978845608028654) * inner
    return x / (np.float32(1) + exponential(turned))


@njit(inline="always")
def total(lanes: Any) -> Any:
    """Add up the lanes, from the first to the last."""
    summed = lanes[0]
    for lane in range(1, LANES):
        summed += lanes[lane]
    return summed


@njit(inline="always")
def inner_product(left: Any, right: Any, lanes: Any) -> Any:
    """Return the sum of products of two rows float32[n]; lane k has places k, k + 16, ..."""
    whole = len(left) // LANES * LANES
    _sum(left.ctypes.data, right.ctypes.data, whole // LANES, lanes.ctypes.data)
    for lane in range(len(left) - whole):
        lanes[lane] += left[whole + lane] * right[whole + lane]
    return total(lanes)


@njit(inline="always")
def normalize_row(row: Any, weight: Any, epsilon: Any, offset: Any, lanes: Any, out: Any) -> Any:
    """Divide a row by its root mean square and multiply it with ``offset + weight``."""
    mean = inner_product(row, row, lanes) / np.float32(len(row))
    turn = np.float32(1) / np.sqrt(mean + epsilon)
    for k in range(len(row)):
        out[k] = (row[k] * turn) * (offset + weight[k])


@njit(cache=True, nogil=True, error_model="numpy")
def normalize(
    rows: Any, weight: Any, epsilon: Any, offset: Any, out: Any, start: Any, stop: Any
) -> Any:
    """Norm rows ``start`` to ``stop - 1`` into ``out``."""
    lanes = np.zeros(LANES, np.float32)
    for row in range(start, stop):
        normalize_row(rows[row], weight, epsilon, offset, lanes, out[row])


@njit(cache=True, nogil=True, error_model="numpy")
def normalize_quantize(
    rows: Any,
    weight: Any,
    epsilon: Any,
    offset: Any,
    values: Any,
    scale: Any,
    start: Any,
    stop: Any,
) -> Any:
    """Norm rows and round them, see `quantize_rows`."""
    lanes, normed = np.zeros(LANES, np.float32), np.empty(rows.shape[1], np.float32)
    for row in range(start, stop):
        normalize_row(rows[row], weight, epsilon, offset, lanes, normed)
        quantize_row(normed, values[row], scale[row])


@njit(cache=True, nogil=True, error_model="numpy")
def gate_quantize(gated: Any, kind: Any, values: Any, scale: Any, start: Any, stop: Any) -> Any:
    """Multiply the activation of a row's first half with its second, and round it."""
    width = gated.shape[1] // 2
    acted = np.empty(width, np.float32)
    for row in range(start, stop):
        for k in range(width):
            acted[k] = _activate(gated[row, k], kind) * gated[row, width + k]
        quantize_row(acted, values[row], scale[row])


@njit(cache=True, nogil=True, error_model="numpy")
def multiply_rows(rows: Any, others: Any, out: Any, start: Any, stop: Any) -> Any:
    """Take the inner products of each row with its others, [n or 1, m, width]."""
    lanes = np.zeros(LANES, np.float32)
    for row in range(start, stop):
        for column in range(out.shape[1]):
            out[row, column] = inner_product(rows[row], others[row % len(others), column], lanes)


@njit(cache=True, nogil=True, error_model="numpy")
def soften(logits: Any, cap: Any) -> Any:
    """Bring logits between minus and plus a cap."""
    for k in range(len(logits)):
        logits[k] = cap * hyperbolic_tangent(logits[k] / cap)


@njit(cache=True, nogil=True, error_model="numpy")
def add_scaled(hidden: Any, more: Any, factor: Any, start: Any, stop: Any) -> Any:
    """Add rows, times a factor, to others."""
    for row in range(start, stop):
        for k in range(hidden.shape[1]):
            hidden[row, k] += more[row, k] * factor


# Rows of activations


@njit(cache=True, nogil=True, error_model="numpy")
def quantize_rows(rows: Any, values: Any, scale: Any, start: Any, stop: Any) -> Any:
    """Round rows ``start`` to ``stop - 1``, see `quantize`."""
    for row in range(start, stop):
        quantize_row(rows[row], values[row], scale[row])


@njit(cache=True, nogil=True, error_model="numpy")
def quantize_row(row: Any, values: Any, scale: Any) -> Any:
    """Round one row float32[in] to int16[groups * 64] and float32[groups]."""
    bits, whole = row.view(np.int32), len(row) // GROUP
    for group in range(len(scale)):
        start = group * GROUP
        if group < whole:  # of a known length, which compiles to vectors
            scale[group] = _quantize_group(row[start:], bits[start:], values[start:], GROUP)
        else:
            values[start:] = 0
            scale[group] = _quantize_group(
                row[start:], bits[start:], values[start:], len(row) - start
            )


@njit(inline="always")
def _quantize_group(row: Any, bits: Any, values: Any, length: Any) -> Any:
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


# Products of INT16 and INT8


_many, _few, _one = product_tile(MANY), product_tile(FEW), product_tile(1)


@njit(cache=True, nogil=True, error_model="numpy")
def multiply(
    x: Any,
    scale: Any,
    weight: Any,
    weight_scale: Any,
    out: Any,
    column: Any,
    outputs: Any,
    add: Any,
    first: Any,
    last: Any,
    start: Any,
    stop: Any,
) -> Any:
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


# Attention


_float_many, _float_one = float_tile(QUERIES), float_tile(1)


@njit(inline="always")
def _multiply_floats(left: Any, rows: Any, right: Any, depth: Any, columns: Any, out: Any) -> Any:
    """Multiply the first rows [rows, depth] with [depth, columns], columns filled up to tiles."""
    left_step, right_step, out_step = 4 * left.shape[1], 4 * right.shape[1], 4 * out.shape[1]
    for column in range(0, columns, STEP):
        at_right = right.ctypes.data + 4 * column
        row = 0
        while row < rows:
            at_left = left.ctypes.data + row * left_step
            at_out = out.ctypes.data + row * out_step + 4 * column
            if rows - row >= QUERIES:
                _float_many(at_left, left_step, at_right, right_step, depth, at_out, out_step)
                row += QUERIES
            else:
                _float_one(at_left, left_step, at_right, right_step, depth, at_out, out_step)
                row += 1


@njit(inline="always")
def _weigh(scores: Any, first: Any, stop: Any, cap: Any, ones: Any, lanes: Any) -> Any:
    """Turn a row of scores into weights of places ``first`` to ``stop - 1``; return their sum.

    Weights of other places, up to whole lanes, become 0.
    """
    begin, end = first // LANES * LANES, (stop + LANES - 1) // LANES * LANES
    if cap > 0:
        for k in range(first, stop):
            scores[k] = cap * hyperbolic_tangent(scores[k] / cap)
    scores[begin:first] = np.float32(LOWEST)
    scores[stop:end] = np.float32(LOWEST)
    at, count = scores.ctypes.data + 4 * begin, (end - begin) // LANES
    _maximum(at, at, count, lanes.ctypes.data)
    peak = lanes[0]
    for lane in range(1, LANES):
        peak = max(peak, lanes[lane])
    for k in range(begin, end):
        scores[k] = exponential(scores[k] - peak)
    scores[:first] = 0
    scores[stop:end] = 0
    _sum(at, ones.ctypes.data, count, lanes.ctypes.data)
    return total(lanes)


@njit(inline="always")
def _gather(places: Any, known: Any, own: Any, head: Any, at: Any, keys: Any, values: Any) -> Any:
    """Copy keys, turned, and values of places behind those that are there."""
    held, width = known.shape[2], own.shape[3]
    for n in range(len(places)):
        place = places[n]
        source = known[:, head, place] if place < held else own[:, head, place - held]
        for k in range(width):
            keys[k, at + n] = source[0, k]
            values[at + n, k] = source[1, k]


@njit(cache=True, nogil=True, error_model="numpy")
def attend(
    projected: Any, known: Any, own: Any, layout: Any, group: Any, shape: Any, out: Any, start: Any,
    stop: Any,
) -> Any:  # fmt: skip
    """Attend for blocks of rows and heads of keys, numbered ``start`` to ``stop - 1``."""
    rows, places, blocks, longest = layout
    scaling, window, cap = shape
    heads, width = own.shape[1], own.shape[3]
    room = (longest + COLUMNS - 1) // COLUMNS * COLUMNS
    filled = (width + COLUMNS - 1) // COLUMNS * COLUMNS
    keys, values = np.zeros((width, room), np.float32), np.zeros((room, filled), np.float32)
    queries, scores = np.zeros((BLOCK, width), np.float32), np.zeros((BLOCK, room), np.float32)
    mixed, lanes = np.zeros((BLOCK, filled), np.float32), np.zeros(LANES, np.float32)
    sums, ones = np.zeros(BLOCK, np.float32), np.ones(room, np.float32)
    for item in range(start, stop):
        block, head = item // heads, item % heads
        first_row = blocks[block, 0]
        shared_at, shared = rows[first_row, 2], rows[first_row, 3]
        _gather(places[shared_at : shared_at + shared], known, own, head, 0, keys, values)
        for row in range(first_row, blocks[block, 1]):
            token, tokens, between_at, between = (
                rows[row, 0],
                rows[row, 1],
                rows[row, 4],
                rows[row, 5],
            )
            _gather(
                places[between_at : between_at + between], known, own, head, shared, keys, values
            )
            before = shared + between
            for n in range(tokens):
                for k in range(width):
                    keys[k, before + n] = own[0, head, token + n, k]
                    values[before + n, k] = own[1, head, token + n, k]
            whole = tokens * group  # queries, token by token
            for begin in range(0, whole, BLOCK):
                count = min(BLOCK, whole - begin)
                for n in range(count):
                    t, h = (begin + n) // group, (begin + n) % group
                    at = (head * group + h) * width
                    for k in range(width):
                        queries[n, k] = projected[token + t, at + k] * scaling
                limit = before + (begin + count - 1) // group + 1
                _multiply_floats(queries, count, keys, width, limit, scores)
                for n in range(count):
                    seen = before + (begin + n) // group + 1
                    sums[n] = _weigh(scores[n], max(0, seen - window), seen, cap, ones, lanes)
                    scores[n, (seen + LANES - 1) // LANES * LANES : limit] = 0
                _multiply_floats(scores, count, values, limit, width, mixed)
                for n in range(count):
                    t, h = (begin + n) // group, (begin + n) % group
                    at = (head * group + h) * width
                    for k in range(width):
                        out[token + t, at + k] = mixed[n, k] / sums[n]


@njit(cache=True, nogil=True, error_model="numpy")
def turn(
    projected: Any, shape: Any, norms: Any, table: Any, own: Any, start: Any, stop: Any
) -> Any:
    """Norm and turn queries and keys in their place; copy keys and values to ``own``."""
    query_heads, key_heads, width = shape
    lanes = np.zeros(LANES, np.float32)
    half = table.shape[2]
    for token in range(start, stop):
        whole = projected[token]
        for kind in range(2):
            heads = query_heads if kind == 0 else key_heads
            row = (
                whole[: heads * width]
                if kind == 0
                else whole[query_heads * width :][: heads * width]
            )
            weight, epsilon, offset = norms[kind]
            for at in range(0, heads * width, max(1, len(weight))):
                if len(weight) == 0:
                    break
                part = row[at : at + len(weight)]
                normalize_row(part, weight, epsilon, offset, lanes, part)
            for head in range(heads):
                part = row[head * width : head * width + width]
                for k in range(half):
                    cosine, sine = table[token, 0, k], table[token, 1, k]
                    left, right = part[k], part[half + k]
                    part[k] = left * cosine - right * sine
                    part[half + k] = right * cosine + left * sine
                if kind == 1:
                    own[0, head, token] = part
        values = whole[(query_heads + key_heads) * width :]
        for head in range(key_heads):
            own[1, head, token] = values[head * width : head * width + width]
