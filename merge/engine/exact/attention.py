"""Attention of rows of any lengths in one pass, each token's sums in the order of what it sees.

How a text is cut into prefix, middle and own tokens, and who shares a prefix, moves no bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from evobourse.merge.engine.exact.arithmetic import (
    Norm,
    exponential,
    hyperbolic_tangent,
    normalize_row,
    total,
)
from evobourse.merge.engine.exact.products import COLUMNS, LANES, MANY, THREAD_WORK
from evobourse.merge.engine.exact.threads import in_threads
from evobourse.merge.engine.shared_prefix_attention import Rows

Array = NDArray[np.float32]
Places = NDArray[np.int64]
QUERIES = 8 if MANY > 4 else 4  # of a tile; it decides about speed alone
VECTORS = 2 if MANY > 4 else 1
BLOCK = 24  # queries whose scores are held at once
SHARED_TOKENS = 96  # that meet one copy of their prefix; more are another thread's to take
NO_WINDOW = 1 << 40

_F32, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VF = ir.VectorType(_F32, LANES)


@dataclass(frozen=True)
class ExactLayout:
    """What every token of a pass sees.

    Attributes
    ----------
    positions, row_of
        int64[tokens], each one's place in its own text, and its row.
    rows
        int64[rows, 6]: first token and number of tokens; first place and number of places before
        them, of the prefix's and, from there, of the row's own.
    places
        int64[...], places that ``rows`` point into: of keys known before the pass, then of the
        pass's own tokens.
    blocks
        int64[blocks, 2], spans of rows that share a prefix.
    longest
        Most places that a token sees, itself included.
    """

    positions: torch.Tensor
    row_of: torch.Tensor
    rows: Places
    places: Places
    blocks: Places
    longest: int

    @classmethod
    def of(cls, prefixes: Sequence[Places], parts: Sequence[Rows]) -> ExactLayout:
        """Lay out a pass, as `merge.engine.shared_prefix_attention.Layout.of` does."""
        lengths = np.array([len(prefix) for prefix in prefixes], np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        pieces = [np.asarray(prefix, np.int64) for prefix in prefixes]
        made, positions, token, place = [], [], 0, int(starts[-1])
        for part in parts:
            count, between = part.near.shape
            pieces.append(np.asarray(part.near, np.int64).ravel())
            before = lengths[part.prefix_of]
            rows = np.empty((count, 6), np.int64)
            rows[:, 0] = token + part.tokens * np.arange(count)
            rows[:, 1] = part.tokens
            rows[:, 2], rows[:, 3] = starts[part.prefix_of], before
            rows[:, 4], rows[:, 5] = place + between * np.arange(count), between
            made.append(rows)
            own = (before + between)[:, None] + np.arange(part.tokens)
            positions.append(own.ravel())
            token, place = token + count * part.tokens, place + count * between
        rows = np.concatenate(made)
        row_of = np.repeat(np.arange(len(rows)), rows[:, 1])
        order = np.lexsort((rows[:, 2], rows[:, 3]))
        rows = rows[order]
        return cls(
            torch.from_numpy(np.concatenate(positions)), torch.from_numpy(row_of), rows, np.concatenate(pieces), _blocks(rows),
            int((rows[:, 1] + rows[:, 3] + rows[:, 5]).max(initial=0)),
        )  # fmt: skip


def _blocks(rows: Places) -> Places:
    """Cut rows, sorted by prefix, into spans of one prefix and not too many tokens."""
    spans, start, held = [], 0, 0
    for row in range(len(rows)):
        other = row > start and (rows[row, 2:4] != rows[start, 2:4]).any()
        if other or held >= SHARED_TOKENS:
            spans.append((start, row))
            start, held = row, 0
        held += rows[row, 1]
    return np.array([*spans, (start, len(rows))], np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class Heads:
    """How a layer attends.

    Attributes
    ----------
    queries, keys, width
        Number of heads of queries and of keys, and a head's width.
    scaling
        Of the scores.
    window
        Most places that a token sees, itself included; None for all.
    soft_cap
        Scores are softened to between minus and plus this; None for not at all.
    query_norm, key_norm
        Norms of each head or, where they have its width, of all heads together; None for none.
    """

    queries: int
    keys: int
    width: int
    scaling: float
    window: int | None = None
    soft_cap: float | None = None
    query_norm: Norm | None = None
    key_norm: Norm | None = None


def turn(projected: Array, heads: Heads, table: Array) -> Array:
    """Norm and turn queries and keys in their place, and return keys and values.

    Parameters
    ----------
    projected
        float32[tokens, (queries + 2 keys) * width]: queries, keys and values.
    heads
        Of the layer.
    table
        float32[tokens, 2, turned / 2], cosines and sines of each token's position.

    Returns
    -------
    numpy.ndarray
        float32[2, keys, tokens, width].
    """
    own = np.empty((2, heads.keys, len(projected), heads.width), np.float32)
    none = np.zeros(0, np.float32)
    norms = [
        (none, np.float32(0), np.float32(0)) if n is None else (n.weight, n.epsilon, n.offset)
        for n in (heads.query_norm, heads.key_norm)
    ]

    def work(start: int, stop: int) -> None:
        _turn(projected, heads.queries, heads.keys, heads.width, *norms[0], *norms[1], table, own,
              start, stop)  # fmt: skip

    in_threads(work, len(projected), 16)
    return own


def attend(projected: Array, known: Array, own: Array, layout: ExactLayout, heads: Heads) -> Array:
    """Attend to what each token sees.

    Parameters
    ----------
    projected
        float32[tokens, at least queries * width], turned queries first.
    known
        Keys and values before the pass, float32[2, keys, n, width], C-contiguous.
    own
        Those of the pass, float32[2, keys, tokens, width]; the layout's places count the known ones
        first, up to ``n``.
    layout, heads
        Of the pass and of the layer.

    Returns
    -------
    numpy.ndarray
        float32[tokens, queries * width].
    """
    out = np.empty((len(projected), heads.queries * heads.width), np.float32)
    window = NO_WINDOW if heads.window is None else heads.window
    cap = np.float32(heads.soft_cap or 0)

    def work(start: int, stop: int) -> None:
        _attend(projected, known, own, layout.rows, layout.places, layout.blocks, layout.longest,
                heads.queries // heads.keys, np.float32(heads.scaling), window, cap, out,
                start, stop)  # fmt: skip

    items = len(layout.blocks) * heads.keys
    each = len(projected) * layout.longest * heads.width * heads.queries // max(items, 1)
    in_threads(work, items, max(1, THREAD_WORK // max(each, 1)))
    return out


# Kernels


def _tile(rows: int) -> Callable[..., Any]:
    """Return a product of so many rows with `VECTORS` times 16 columns, in float32.

    Each result is one sum from the first to the last of ``depth``, a multiplication and an addition
    a step. Addresses and distances are in bytes.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(context, left, left_step, right, right_step, depth, out, out_step):  # type: ignore[no-untyped-def]
        signature = types.void(*[types.int64] * 7)

        def generate(context, build, signature, arguments):  # type: ignore[no-untyped-def]
            _write_tile(build, rows, *arguments)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _write_tile(
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


_many, _one = _tile(QUERIES), _tile(1)


@njit(inline="always")  # type: ignore[untyped-decorator]
def _multiply(left, rows, right, depth, columns, out):  # type: ignore[no-untyped-def]
    """Multiply the first rows [rows, depth] with [depth, columns], columns filled up to tiles."""
    left_step, right_step, out_step = 4 * left.shape[1], 4 * right.shape[1], 4 * out.shape[1]
    for column in range(0, columns, VECTORS * LANES):
        at_right = right.ctypes.data + 4 * column
        row = 0
        while row < rows:
            at_left = left.ctypes.data + row * left_step
            at_out = out.ctypes.data + row * out_step + 4 * column
            if rows - row >= QUERIES:
                _many(at_left, left_step, at_right, right_step, depth, at_out, out_step)
                row += QUERIES
            else:
                _one(at_left, left_step, at_right, right_step, depth, at_out, out_step)
                row += 1


@njit(inline="always")  # type: ignore[untyped-decorator]
def _weigh(scores, first, stop, cap, lanes):  # type: ignore[no-untyped-def]
    """Turn a row of scores into weights of places ``first`` to ``stop - 1``; return their sum.

    Weights of other places, up to whole lanes, become 0.
    """
    lowest = np.float32(-3.4e38)
    end = (stop + LANES - 1) // LANES * LANES
    if cap > 0:
        for k in range(first, stop):
            scores[k] = cap * hyperbolic_tangent(scores[k] / cap)
    lanes[:] = lowest
    for start in range(first // LANES * LANES, end, LANES):
        for lane in range(LANES):
            k = start + lane
            score = scores[k] if first <= k < stop else lowest
            lanes[lane] = score if score > lanes[lane] else lanes[lane]
    peak = lanes[0]
    for lane in range(1, LANES):
        peak = lanes[lane] if lanes[lane] > peak else peak
    lanes[:] = 0
    scores[: first // LANES * LANES] = 0
    for start in range(first // LANES * LANES, end, LANES):
        for lane in range(LANES):
            k = start + lane
            weight = exponential(scores[k] - peak)
            weight = weight if first <= k < stop else np.float32(0)
            scores[k] = weight
            lanes[lane] += weight
    return total(lanes)


@njit(inline="always")  # type: ignore[untyped-decorator]
def _gather(places, known, own, head, at, keys, values):  # type: ignore[no-untyped-def]
    """Copy keys, turned, and values of places behind those that are there."""
    held, width = known.shape[2], own.shape[3]
    for n in range(len(places)):
        place = places[n]
        source = known[:, head, place] if place < held else own[:, head, place - held]
        for k in range(width):
            keys[k, at + n] = source[0, k]
            values[at + n, k] = source[1, k]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _attend(
    projected, known, own, rows, places, blocks, longest, group, scaling, window, cap, out,
    start, stop,
):  # type: ignore[no-untyped-def] # fmt: skip
    """Attend for blocks of rows and heads of keys, numbered ``start`` to ``stop - 1``."""
    heads, width, held = own.shape[1], own.shape[3], known.shape[2]
    room = (longest + COLUMNS - 1) // COLUMNS * COLUMNS
    filled = (width + COLUMNS - 1) // COLUMNS * COLUMNS
    keys, values = np.zeros((width, room), np.float32), np.zeros((room, filled), np.float32)
    queries, scores = np.zeros((BLOCK, width), np.float32), np.zeros((BLOCK, room), np.float32)
    mixed, lanes = np.zeros((BLOCK, filled), np.float32), np.zeros(LANES, np.float32)
    sums = np.zeros(BLOCK, np.float32)
    for item in range(start, stop):
        block, head = item // heads, item % heads
        first_row = blocks[block, 0]
        shared_at, shared = rows[first_row, 2], rows[first_row, 3]
        _gather(places[shared_at : shared_at + shared], known, own, head, 0, keys, values)
        for row in range(first_row, blocks[block, 1]):
            token, tokens, between_at, between = rows[row, 0], rows[row, 1], rows[row, 4], rows[row, 5]
            _gather(places[between_at : between_at + between], known, own, head, shared, keys, values)
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
                _multiply(queries, count, keys, width, limit, scores)
                for n in range(count):
                    seen = before + (begin + n) // group + 1
                    sums[n] = _weigh(scores[n], max(0, seen - window), seen, cap, lanes)
                    scores[n, (seen + LANES - 1) // LANES * LANES : limit] = 0
                _multiply(scores, count, values, limit, width, mixed)
                for n in range(count):
                    t, h = (begin + n) // group, (begin + n) % group
                    at = (head * group + h) * width
                    for k in range(width):
                        out[token + t, at + k] = mixed[n, k] / sums[n]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _turn(
    projected, query_heads, key_heads, width, query_norm, query_epsilon, query_offset, key_norm,
    key_epsilon, key_offset, table, own, start, stop,
):  # type: ignore[no-untyped-def] # fmt: skip
    lanes = np.zeros(LANES, np.float32)
    half = table.shape[2]
    for token in range(start, stop):
        whole = projected[token]
        for kind in range(2):
            heads = query_heads if kind == 0 else key_heads
            row = whole[: heads * width] if kind == 0 else whole[query_heads * width :][: heads * width]
            weight = query_norm if kind == 0 else key_norm
            epsilon = query_epsilon if kind == 0 else key_epsilon
            offset = query_offset if kind == 0 else key_offset
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
