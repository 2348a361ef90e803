"""How much of this processor the engine uses, and what takes the rest."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.observation import render_rules
from evobourse.experiments.benchmarks.minds.subject import Subject, real_prompts
from evobourse.merge.engine.int8 import Int8Linear
from evobourse.merge.engine.low_rank import LowRankSite

ROWS, TOKENS = 64, 24
SIZE = 2048
_LABEL = "evobourse:"


@dataclass(frozen=True)
class Ceilings:
    """Operations per second of square products of `SIZE`, the best of several."""

    int8: float
    bf16: float


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


def measure_ceilings(repeats: int) -> Ceilings:
    """Time `torch._int_mm` and the bf16 product."""
    rng = torch.Generator().manual_seed(0)
    left, right = (
        torch.randint(-127, 128, (SIZE, SIZE), generator=rng, dtype=torch.int8) for _ in "lr"
    )
    wide = left.to(torch.bfloat16), right.to(torch.bfloat16)
    ways: list[Callable[[], object]] = [
        lambda: torch._int_mm(left, right),
        lambda: torch.mm(*wide),
    ]
    int8, bf16 = (2 * SIZE**3 / _fastest(way, repeats) for way in ways)
    return Ceilings(int8, bf16)


def measure_throughput(subject: Subject, repeats: int) -> Throughput:
    """Time the bare INT8 base on real prompts."""
    run, tokens = _batch(subject)
    seconds = _fastest(run, repeats)
    linears = [m for m in subject.engine.decoder.model.modules() if isinstance(m, Int8Linear)]
    operations = 2 * tokens * sum(linear.weight.numel() for linear in linears)
    return Throughput(tokens / seconds, operations / seconds)


def profile_shares(subject: Subject) -> dict[str, float]:
    """Profile one pass with a mixture in every row: shares of the time, largest first."""
    run, _ = _batch(subject, mixed=True)
    run()
    with (
        _labelled(subject.engine),
        profile(activities=[ProfilerActivity.CPU], record_shapes=True) as recorded,
    ):
        began = time.perf_counter()
        run()
        seconds = time.perf_counter() - began
    spent: defaultdict[str, float] = defaultdict(float)
    for event in recorded.events():
        if not event.name.startswith(_LABEL) and event.self_cpu_time_total > 0:
            spent[_purpose(event)] += event.self_cpu_time_total / 1e6
    spent["Python and dispatch"] = max(seconds - sum(spent.values()), 0.0)
    total = sum(spent.values())
    largest = sorted(spent.items(), key=lambda item: item[1], reverse=True)
    return {purpose: share / total for purpose, share in largest}


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


def _purpose(event: torch.autograd.profiler_util.FunctionEvent) -> str:
    """Say what an operator's own time was for, from the modules around it."""
    around, parent = [], event.cpu_parent
    while parent is not None:
        if parent.name.startswith(_LABEL):
            around.append(parent.name.removeprefix(_LABEL))
        parent = parent.cpu_parent
    if "adapters" in around:
        return "adapters"
    if around[:1] != ["linear"]:
        return around[0] if around else "embedding, copies between layers"
    if event.name in ("aten::mm", "aten::addmm"):
        return "matrix products with weights (bf16)"
    # a shape an input; torch's own annotation says a number an input
    shapes: Sequence[Any] = event.input_shapes or ()
    on_weight = len(shapes) > 0 and len(shapes[0]) == 2
    if event.name == "aten::mul_" or (event.name == "aten::copy_" and on_weight):
        return "de-quantising weights"
    return "casting activations"


@contextmanager
def _labelled(engine: MindEngine) -> Iterator[None]:
    """Name what happens inside the engine's modules, in a profile, until the end."""
    kinds: dict[type[nn.Module], str] = {Int8Linear: "linear"}
    for layer in engine.decoder.model.model.layers:
        kinds |= {
            type(layer): "adding to the residual stream",
            type(layer.self_attn): "attention with its rotations",
            type(layer.mlp): "activation function",
            type(layer.input_layernorm): "norms",
        }
    opened: list[record_function] = []

    def enter(module: nn.Module, *_: object) -> None:
        opened.append(record_function(_LABEL + kinds[type(module)]))
        opened[-1].__enter__()

    def leave(*_: object) -> None:
        opened.pop().__exit__(None, None, None)

    add = LowRankSite.add

    def labelled_add(site: LowRankSite, out: torch.Tensor, narrow: torch.Tensor) -> torch.Tensor:
        with record_function(_LABEL + "adapters"):
            return add(site, out, narrow)

    with ExitStack() as until, mock.patch.object(LowRankSite, "add", labelled_add):
        for module in engine.decoder.model.modules():
            if type(module) in kinds:
                until.callback(module.register_forward_pre_hook(enter).remove)
                until.callback(module.register_forward_hook(leave).remove)
        yield
