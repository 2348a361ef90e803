"""How much of this processor the engine uses, and what takes the rest."""

from __future__ import annotations

import cProfile
import pstats
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evobourse.agents.observation import render_rules
from evobourse.experiments.benchmarks.minds.mixed_batch import alternate
from evobourse.experiments.benchmarks.minds.subject import Subject, real_prompts
from evobourse.merge.engine.exact import kernels
from evobourse.merge.engine.exact.products import Matrix, multiply, quantize
from evobourse.merge.engine.exact.weights import to_matrix
from evobourse.merge.engine.int8 import Int8Linear

ROWS, TOKENS = 64, 24
_PURPOSES = {
    "add_exactly": "adapters",
    "attend": "attention",
    "turn": "rotary positions",
    "normalize_quantize": "norms, rounded to INT16",
    "gate_quantize": "activation function, rounded to INT16",
    "add_scaled": "adding to the residual stream",
}
_PURPOSES_BY_CALLER = {
    ("_project", "multiply"): "matrix products with weights",
    ("run_layer", "quantize"): "rounding to INT16",
}


@dataclass(frozen=True)
class Products:
    """Seconds of one product in each precision, the fastest of several that took turns.

    Attributes
    ----------
    rows, inputs, outputs
        Its shape.
    exact, fp32, bf16
        Exact integers, rounding of activations included; torch's own.
    """

    rows: int
    inputs: int
    outputs: int
    exact: float
    fp32: float
    bf16: float

    @property
    def operations(self) -> float:
        """Count multiplications and additions."""
        return 2.0 * self.rows * self.inputs * self.outputs


@dataclass(frozen=True)
class Throughput:
    """One pass over all layers.

    Attributes
    ----------
    tokens_per_second
        Of the private tokens of a batch, over rules read before.
    operations_per_second
        Of its matrix products with weights alone: two a weight and token.
    """

    tokens_per_second: float
    operations_per_second: float


def measure_products(shapes: Sequence[tuple[int, int, int]], repeats: int) -> list[Products]:
    """Time products of rows, inputs and outputs in three precisions, in turns."""
    rng, found = torch.Generator().manual_seed(0), []
    for rows, inputs, outputs in shapes:
        x = torch.randn(rows, inputs, generator=rng)
        weight = torch.randn(outputs, inputs, generator=rng)
        matrix, plain, out = to_matrix(weight), x.numpy(), np.empty((rows, outputs), np.float32)
        ways: list[Callable[[], None]] = [
            partial(_multiply_exactly, plain, matrix, out),
            partial(_multiply_in_torch, x, weight),
            partial(_multiply_in_torch, x.bfloat16(), weight.bfloat16()),
        ]
        best = [min(own) for own in alternate(ways, repeats)]
        found.append(Products(rows, inputs, outputs, *best))
    return found


def _multiply_exactly(x: NDArray[np.float32], matrix: Matrix, out: NDArray[np.float32]) -> None:
    multiply(quantize(x), matrix, out)


def _multiply_in_torch(x: torch.Tensor, weight: torch.Tensor) -> None:
    torch.nn.functional.linear(x, weight)


def measure_throughput(subject: Subject, repeats: int) -> Throughput:
    """Time the bare INT8 base on real prompts."""
    run, tokens = _batch(subject)
    seconds = _fastest(run, repeats)
    linears = [m for m in subject.engine.decoder.model.modules() if isinstance(m, Int8Linear)]
    operations = 2 * tokens * sum(x.in_features * x.out_features for x in linears)
    return Throughput(tokens / seconds, operations / seconds)


def profile_shares(subject: Subject) -> dict[str, float]:
    """Profile one pass with a mixture in every row: shares of the time, largest first."""
    run, _ = _batch(subject, mixed=True)
    run()
    profile = cProfile.Profile()
    profile.runcall(run)
    stats: Any = pstats.Stats(profile)
    spent: defaultdict[str, float] = defaultdict(float)
    for (file, _, name), (_, _, _, cumulated, callers) in stats.stats.items():
        if file == kernels.__file__:  # inside a function of the same name
            continue
        if name in _PURPOSES:
            spent[_PURPOSES[name]] += cumulated
        for (_, _, caller), (_, _, _, own) in callers.items():
            if (caller, name) in _PURPOSES_BY_CALLER:
                spent[_PURPOSES_BY_CALLER[caller, name]] += own
    spent["the rest: Python, copies, embedding"] = max(stats.total_tt - sum(spent.values()), 0.0)
    largest = sorted(spent.items(), key=lambda item: item[1], reverse=True)
    return {purpose: seconds / stats.total_tt for purpose, seconds in largest}


def _batch(subject: Subject, mixed: bool = False) -> tuple[Callable[[], None], int]:
    """Build one pass of all layers, and count its tokens."""
    engine = subject.engine
    decoder, bank = engine.decoder, engine.bank
    rules = decoder.embed([list(subject.tokens(render_rules()))])
    _, prefix = decoder.run(rules, 0, decoder.depth)
    hidden = decoder.embed(real_prompts(subject, ROWS, TOKENS))
    rng = torch.Generator().manual_seed(0)
    minds = torch.randn(ROWS, bank.blocks, len(bank.adapters), generator=rng)

    def run() -> None:
        with bank.mixed(minds if mixed else None):
            decoder.run(hidden, 0, decoder.depth, prefix)

    return run, hidden.shape[0] * hidden.shape[1]


def _fastest(way: Callable[[], object], repeats: int) -> float:
    way()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        way()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
