"""What minds will cost on a chip, before any is loaded: memory by part, decisions a second, hours.

The engine's bytes and operations meet a roofline; how far the engine stays under it was measured
once, `EFFICIENCY`, and `evobourse bench planner` measures it again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from evobourse.agents.observation import LEVELS, VIEWS
from evobourse.experiments.planner.chips import Chip
from evobourse.experiments.planner.shapes import ModelShape

EFFICIENCY = 0.45
"""Share of the roofline that the engine reached with SmolLM2-135M on a processor (decision 051)."""

MARKET_DECISIONS_PER_SECOND = 2.0e6
"""Agents times days a second that one core trades once all answers are known."""

SHARED_TOKENS = 122
"""Of a prompt in SmolLM2's vocabulary: the rules and the invocation, computed once a mind."""

BATCH_ROWS = 256
OPENINGS = 64
MEMO_MINDS = 512
GROUP_BYTES = 2 / 64
"""A bf16 scale for each 64 INT8 weights."""

UNFUSED_BYTES = 9.0
"""Bytes moved for a weight at each use: 1 read, 2 written as bf16, 4 to scale them, 2 read."""

ADAPTED = ("q_proj", "v_proj", "o_proj", "down_proj")


@dataclass(frozen=True)
class Load:
    """What a plan is made for.

    Attributes
    ----------
    minds
        Distinct minds that are asked.
    views
        Distinct observations that each meets.
    shared_tokens, private_tokens
        Of a prompt: the prefix of all, and what is each question's own.
    adapters, rank, adapted_share
        Styles in the bank, their rank, and the share of layers (the topmost) that they act on.
    blocks
        Coefficients an adapter has.
    batch_rows
        Questions in a batch at most.
    """

    minds: int
    views: int
    shared_tokens: int = 120
    private_tokens: int = 24
    adapters: int = 7
    rank: int = 8
    adapted_share: float = 0.2
    blocks: int = 1
    batch_rows: int = BATCH_ROWS


def count_views(attention: int) -> int:
    """Count the views that show at most ``attention`` fields."""
    ways = [1] + [0] * len(LEVELS)  # coefficients of the product of (1 + levels x)
    for levels in LEVELS:
        ways = [w + levels * (ways[n - 1] if n else 0) for n, w in enumerate(ways)]
    return sum(ways[: attention + 1])


def private_tokens(attention: int) -> int:
    """Count the longest private part in tokens: a word a field, and the cue."""
    return attention + 1


def memory_parts(shape: ModelShape, load: Load, rows: int) -> dict[str, float]:
    """Count the bytes that the engine holds on the chip, by part, for a batch of ``rows``."""
    return {
        "base, INT8 layers": shape.layers * shape.layer_weights * (1 + GROUP_BYTES),
        "embedding and head, fp32": 4.0 * shape.embedding_weights,
        f"{load.adapters} adapters, fp32": _adapter_bytes(shape, load),
        "one layer as bf16, while it is used": 2.0 * max(a * b for a, b in shape.linears.values()),
        "keys and values of the shared prefix": _kv_bytes(shape) * load.shared_tokens,
        f"openings of {min(load.minds, OPENINGS)} minds": min(load.minds, OPENINGS)
        * opening_bytes(shape, load),
        "trunk, one row a view": 4.0 * shape.hidden * load.private_tokens * load.views,
        f"activations, {rows} rows": rows * row_bytes(shape, load),
    }


def memo_bytes(load: Load) -> dict[str, float]:
    """Count the memo's bytes: in the host's memory, and on disk if it is kept there."""
    return {
        "memo in host memory": min(load.minds, MEMO_MINDS) * VIEWS * 21.0,
        "memo on disk": 100.0 * load.minds * load.views,
    }


def opening_bytes(shape: ModelShape, load: Load) -> float:
    """Count what one mind holds while it answers: upper keys and values, its coefficients."""
    upper = _kv_bytes(shape) * load.adapted_share * load.shared_tokens
    return upper + 4.0 * load.adapters * load.blocks


def row_bytes(shape: ModelShape, load: Load) -> float:
    """Count the activations of one question at their peak, in fp32: the wider of two moments."""
    tokens = load.private_tokens
    inside_mlp = 4.0 * tokens * (2 * shape.hidden + 3 * shape.intermediate)
    keys = 2 * shape.kv_heads * shape.head_width * tokens
    scores = 2 * shape.heads * tokens * (load.shared_tokens + tokens)
    inside_attention = 4.0 * (4 * tokens * shape.hidden + keys + scores)
    return max(inside_mlp, inside_attention)


def fitting_rows(shape: ModelShape, load: Load, memory: float) -> int:
    """Return the largest batch that fits beside everything else, at most the load's; 0 for none."""
    rest = memory - sum(memory_parts(shape, load, 0).values())
    return max(0, min(load.batch_rows, int(rest / row_bytes(shape, load))))


def fitting_minds(shape: ModelShape, load: Load, memory: float, rows: int) -> int:
    """Return how many minds could have their openings on the chip at once."""
    parts = memory_parts(shape, load, rows)
    openings = sum(size for name, size in parts.items() if name.startswith("openings"))
    rest = memory - sum(parts.values()) + openings
    return max(0, int(rest / opening_bytes(shape, load)))


def paper_rate(chip: Chip, parameters: float, tokens: int) -> float:
    """Return decisions a second on paper: two INT8 operations a parameter and token, no more."""
    return chip.int8 / (2.0 * parameters * tokens)


def layer_seconds(shape: ModelShape, load: Load, chip: Chip, rows: int) -> float:
    """Return the roofline's time of one layer for a batch: the slower of operations and bytes.

    W8A16 as it is today: products at the bf16 rate, every weight de-quantised in memory at each
    use (`UNFUSED_BYTES`), attention over prefix and own tokens in fp32.
    """
    tokens = rows * load.private_tokens
    keys = load.shared_tokens + load.private_tokens / 2
    operations = 2.0 * tokens * shape.layer_weights
    operations += 4.0 * tokens * keys * shape.heads * shape.head_width
    moved = UNFUSED_BYTES * shape.layer_weights
    widths = sum(2 * inputs + 4 * outputs for inputs, outputs in shape.linears.values())
    moved += tokens * widths + _kv_bytes(shape) / shape.layers * load.shared_tokens
    return max(operations / chip.bf16, moved / chip.bandwidth)


def questions_seconds(shape: ModelShape, load: Load, chip: Chip, rows: int) -> float:
    """Return the roofline's time for all minds' answers to all views.

    The layers below the lowest adapted one run once a view, those above once a question; a mind's
    views fill batches of their own.
    """
    upper = math.ceil(load.adapted_share * shape.layers)
    below = (shape.layers - upper) * _batched_seconds(shape, load, chip, rows)
    return below + upper * load.minds * _batched_seconds(shape, load, chip, rows)


def _batched_seconds(shape: ModelShape, load: Load, chip: Chip, rows: int) -> float:
    """Return one layer's time for all views of one mind."""
    full, rest = divmod(load.views, rows)
    seconds = full * layer_seconds(shape, load, chip, rows)
    return seconds + (layer_seconds(shape, load, chip, rest) if rest else 0.0)


def _adapter_bytes(shape: ModelShape, load: Load) -> float:
    widths = sum(sum(shape.linears[name]) for name in ADAPTED)
    layers = math.ceil(load.adapted_share * shape.layers)
    return 4.0 * load.adapters * load.rank * widths * layers


def _kv_bytes(shape: ModelShape) -> float:
    """Count a token's keys and values in all layers, fp32."""
    return 4.0 * 2 * shape.layers * shape.kv_heads * shape.head_width
