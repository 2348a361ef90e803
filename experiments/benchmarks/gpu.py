"""A 7B in INT8 with a thousand minds, against this chip's own ceilings.

Weights are random: this is speed and memory, not judgement. Without CUDA the same code runs a tiny
shape, and says so.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch.nn import functional

from evobourse.experiments.benchmarks.gpu_steps import StepGraph, halve_until_it_fits
from evobourse.experiments.benchmarks.random_base import TINY, random_adapters, random_base
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.planner.chips import Chip
from evobourse.experiments.planner.roofline import (
    EFFICIENCY,
    Load,
    memory_parts,
    paper_rate,
    questions_seconds,
)
from evobourse.experiments.planner.shapes import ModelShape, find_shape
from evobourse.experiments.reports.figure_lines import Report
from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.engine.batch_invariance import varying_length
from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.engine.int8 import Int8Linear, multiply_groups
from evobourse.merge.engine.parts import Prefix

BENCHMARK = Benchmark(
    measures="a 7B in INT8 with a thousand minds against this GPU; a tiny one where there is none",
    minutes=5,
)

SHARED, PRIVATE = 120, 24
ADAPTERS, RANK, SHARE = 16, 8, 0.2
MINDS = (300, 1000)
BATCH_MINDS = 64
GIGABYTES = 9.0
LEAST_SECONDS = 0.2
OPTIONS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes
    ----------
    shape
        Model whose shape the base has, by name, or ``tiny``; a 7B by default where there is CUDA.
    views
        That every mind answers; 64 where there is CUDA, 2 where there is none.
    tile
        Tokens in every batch.
    eager
        Leave torch.compile out.
    """

    shape: str | None = None
    views: int | None = None
    tile: int | None = None
    eager: bool = False


def run(settings: Settings, report: Report) -> None:
    """Measure everything on the device that there is."""
    cuda = torch.cuda.is_available()
    name = settings.shape or ("mistralai/Mistral-7B-v0.3" if cuda else "tiny")
    views = settings.views or (64 if cuda else 2)
    shape = TINY if name == "tiny" else find_shape(name)
    device = torch.device("cuda" if cuda else "cpu")
    what = f"{shape.name} with random weights on {_name(device)}"
    report.say(f"{what}: speed and memory, not judgement")
    if not cuda:
        report.say("no CUDA device: the same code at a tiny size, which says nothing about a GPU")
    bench = Bench(shape, device, views, settings.tile, report)
    bench.ceilings()
    bench.memory()
    bench.products(compiled=not settings.eager)
    bench.exactness()
    bench.mixtures()
    bench.ways()
    for minds in MINDS:
        bench.decisions(minds)
    bench.out_of_memory()
    bench.slices()


class Bench:
    """One base, its bank, and the chip as measured in this process."""

    def __init__(
        self, shape: ModelShape, device: torch.device, views: int, tile: int | None, report: Report
    ):
        self.shape, self.device, self.views, self.report = shape, device, views, report
        generator = torch.Generator(device).manual_seed(0)
        self._start_peak()
        began = self._now()
        self.model = random_base(shape, device, generator)
        self.build_seconds = self._now() - began
        self.build_peak = self._peak()
        self.on_host = torch.Generator().manual_seed(0)
        self.adapters = random_adapters(shape, ADAPTERS, RANK, SHARE, self.on_host)
        self.bank = AdapterBank(self.model, self.adapters)
        self.decoder = Decoder(self.model, tile)
        self.first = self.bank.first_layer
        self.rows = self._tokens(views, PRIVATE)
        self.prefix = self._prefix()
        self.step: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = self.upper

    # What is measured

    def ceilings(self) -> None:
        """Measure products and copies at their best: what every later share is of."""
        side = 8192 if self.device.type == "cuda" else 768
        wide = torch.randn(side, side, device=self.device, dtype=torch.bfloat16)
        small = torch.randint(-9, 9, (side, side), device=self.device, dtype=torch.int8)
        block = torch.zeros(side * side * 4, device=self.device)
        target = torch.empty_like(block)
        turned = small.t()
        bf16 = 2 * side**3 / self._seconds(lambda: wide @ wide)
        int8 = 2 * side**3 / self._seconds(lambda: torch._int_mm(small, turned))
        bandwidth = 2 * block.nbytes / self._seconds(lambda: target.copy_(block))
        total = 0.0
        if self.device.type == "cuda":
            total = float(torch.cuda.get_device_properties(self.device).total_memory)
        self.chip = Chip("as measured", total, bandwidth, bf16, int8, "this process")
        self._tell("bf16 matrix products", bf16 / 1e12, "TFLOP/s", "none", math.nan)
        self._tell("INT8 matrix products", int8 / 1e12, "TOP/s", "bf16", bf16 / 1e12)
        self._tell("copying, bytes read and written", bandwidth / 1e9, "GB/s", "none", math.nan)

    def memory(self) -> None:
        """Count what base, adapters and minds hold, keys and values apart."""
        base = sum(t.nbytes for t in [*self.model.parameters(), *self.model.buffers()])
        sites = sum(site.down.nbytes + site.up.nbytes for site in self.bank.sites)
        minds = self._minds(max(MINDS)).nbytes
        planned = sum(
            size
            for part, size in memory_parts(self.shape, self._load(max(MINDS)), 0).items()
            if part.startswith(("base", "embedding", f"{ADAPTERS} adapters"))
        )
        self._tell("base made in INT8", self.build_seconds, "s", "none", math.nan)
        if self.build_peak:
            self._tell("peak while it is made", self.build_peak / 1e9, "GB", "held", base / 1e9)
        name = f"base, {ADAPTERS} adapters, {max(MINDS)} minds"
        held = (base + sites + minds) / 1e9
        self._tell(f"{name}: held", held, "GB", "limit", GIGABYTES)
        self._tell(f"{name}: held", held, "GB", "planned", planned / 1e9)

    def products(self, compiled: bool) -> None:
        """Time one INT8 linear layer's product in every way that this torch has."""
        layer = self.model.model.layers[0].mlp.down_proj
        assert isinstance(layer, Int8Linear)
        tokens = self.decoder.tile_tokens or 512
        hidden = torch.randn(tokens, layer.in_features, device=self.device).bfloat16()
        weight, scale = layer.plain(layer.weight, layer.scale)
        plain = torch.randn(weight.shape, device=self.device).bfloat16()
        whole = scale[:, 0].contiguous()
        turned = weight.t()
        narrow = hidden.to(torch.int8)
        ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
            "bf16 weights": lambda x: functional.linear(x, plain),
            "INT8, de-quantised": lambda x: multiply_groups(x, weight, scale),
            "INT8, torch._weight_int8pack_mm": lambda x: torch._weight_int8pack_mm(
                x, weight, whole
            ),
            "INT8 x INT8, torch._int_mm": lambda x: torch._int_mm(narrow[: len(x)], turned),
        }
        self.compiles = compiled
        if compiled:
            fused = torch.compile(multiply_groups, dynamic=True)
            ways["INT8, compiled"] = lambda x: fused(x, weight, scale)
        operations = 2 * tokens * layer.in_features * layer.out_features
        for name, way in ways.items():
            try:
                seconds = self._seconds(partial(way, hidden))
                exact = all(
                    torch.equal(way(hidden[:rows]), way(hidden)[:rows])
                    for rows in (24, 120, 408, tokens - 1)
                )
            except (RuntimeError, NotImplementedError) as error:
                self.report.say(
                    f"product, {name}: not on this device ({str(error).splitlines()[0][:80]})"
                )
                self.compiles = self.compiles and "compiled" not in name
                continue
            ceiling = self.chip.int8 if "x INT8" in name else self.chip.bf16
            rate = operations / seconds
            self._tell(f"product, {name}", rate / 1e12, "TFLOP/s", "ceiling", ceiling / 1e12)
            self._tell(f"product, {name}: same bits in any batch", float(exact), "1", "exact", 1.0)

    def exactness(self) -> None:
        """Say whether rows are the same bits in any batch, with tiles and without."""
        tile = self.decoder.tile_tokens
        for name, tokens in (("as it runs", tile), ("batches as they come", None)):
            self.decoder.tile_tokens = tokens
            exact = float(varying_length(self.decoder) is None)
            self._tell(f"same bits in any batch, {name}", exact, "1", "exact", 1.0)
        self.decoder.tile_tokens = tile

    def mixtures(self) -> None:
        """Time a batch of 64 minds against the bare base: adapted layers alone, and all."""
        rows = self._tokens(BATCH_MINDS, PRIVATE)
        mixture = self._minds(BATCH_MINDS)
        hidden = self._lower(rows)
        for name, first, start in (("adapted layers", self.first, hidden), ("all layers", 0, rows)):
            run = partial(self._run, start, first)
            with self.bank.mixed(mixture):
                mixed = self._seconds(run)
            bare = self._seconds(run)
            figure = f"{BATCH_MINDS} minds in a batch, {name}"
            self._tell(figure, 1e3 * mixed, "ms", "bare base", 1e3 * bare)

    def ways(self) -> None:
        """Time a tile of questions eagerly, compiled and as a CUDA graph; keep the fastest exact.

        What is kept answers `decisions`.
        """
        count = -(-(self.decoder.tile_tokens or 512) // PRIVATE)
        hidden = self._lower(self._tokens(count, PRIVATE))
        mixture = self._minds(count)
        eager = self._seconds(lambda: self.upper(hidden, mixture))
        self._tell("questions, eager", count / eager, "1/s", "eager", count / eager)
        best = eager
        linears = [m for m in self.model.modules() if isinstance(m, Int8Linear)]
        if self.compiles:
            for linear in linears:
                linear.compiled = True
            seconds = self._seconds(lambda: self.upper(hidden, mixture))
            exact = varying_length(self.decoder) is None
            self._tell("questions, compiled", count / seconds, "1/s", "eager", count / eager)
            self._tell(
                "questions, compiled: same bits in any batch", float(exact), "1", "exact", 1.0
            )
            if exact and seconds < best:
                best = seconds
            else:
                for linear in linears:
                    linear.compiled = False
        if self.device.type == "cuda":
            graph = StepGraph(self.upper, hidden, mixture)
            seconds = self._seconds(lambda: graph(hidden, mixture))
            same = torch.equal(graph(hidden, mixture), self.upper(hidden, mixture))
            self._tell("questions, CUDA graph", count / seconds, "1/s", "eager", count / eager)
            self._tell("questions, CUDA graph: the eager bits", float(same), "1", "exact", 1.0)
            if same and seconds < best:
                self.step = graph
        kept = "compiled" if linears[0].compiled else "eager"
        self.report.say(
            f"questions are answered {kept}{', as a CUDA graph' if self.step != self.upper else ''}"
        )

    def decisions(self, minds: int) -> None:
        """Time all minds' answers to all views: prefix and lower layers once, upper for each."""
        mixture = self._minds(minds)
        self._start_peak()
        began = self._now()
        self.prefix = self._prefix()
        trunk = self._lower(self.rows)
        pairs = torch.cartesian_prod(torch.arange(minds), torch.arange(self.views))
        size = -(-(self.decoder.tile_tokens or 512) // PRIVATE)
        for part in pairs.split(size):
            chosen = torch.cat([part, part[-1:].expand(size - len(part), 2)]).to(self.device)
            self.decoder.option_logits(
                self.step(trunk[chosen[:, 1]], mixture[chosen[:, 0]]), OPTIONS
            )
        seconds = self._now() - began
        rate = len(pairs) / seconds
        load = self._load(minds)
        roofline = minds * self.views / questions_seconds(self.shape, load, self.chip, size)
        name = f"{minds} minds, new answers a second"
        self._tell(name, rate, "1/s", "planned", EFFICIENCY * roofline)
        paper = paper_rate(self.chip, self.shape.parameters, PRIVATE)
        self._tell(name, rate, "1/s", "all layers for each, INT8 ceiling", paper)
        done = 2.0 * PRIVATE * self.shape.layer_weights
        upper = self.shape.layers - self.first
        done *= self.first * self.views + upper * len(pairs)
        done += 2.0 * SHARED * self.shape.layer_weights * self.shape.layers
        worked = f"{minds} minds, operations of the layers"
        self._tell(worked, done / seconds / 1e12, "TFLOP/s", "bf16 ceiling", self.chip.bf16 / 1e12)
        self._tell(worked, done / seconds / 1e12, "TFLOP/s", "INT8 ceiling", self.chip.int8 / 1e12)
        # Once a tile every upper weight is read, and as of now written and read again as bf16.
        passes = upper * -(-len(pairs) // size) + self.first * -(-self.views // size)
        read = self.shape.layer_weights * passes / seconds
        name, copied = f"{minds} minds, INT8 weights read", self.chip.bandwidth / 1e9
        self._tell(name, read / 1e9, "GB/s", "copying", copied)
        if peak := self._peak():
            held = sum(pair.nbytes for pair in self.prefix.layers.values())
            name = f"{minds} minds, peak memory, keys and values apart"
            self._tell(name, (peak - held) / 1e9, "GB", "limit", GIGABYTES)

    def out_of_memory(self) -> None:
        """Start with a batch that no chip holds and halve it until it runs."""
        limit = 1 << 22 if self.device.type == "cuda" else 1 << 10
        hidden = self._lower(self._tokens(1, PRIVATE))
        tile = self.decoder.tile_tokens
        self.decoder.tile_tokens = None

        def run(rows: int) -> None:
            if self.device.type != "cuda" and rows > 64:
                raise torch.OutOfMemoryError("as a chip without room would say")
            self._run(hidden.expand(rows, -1, -1), self.first)

        rows, halvings = halve_until_it_fits(run, limit)
        self.decoder.tile_tokens = tile
        self._tell("rows in the largest batch of powers of two", rows, "rows", "tried first", limit)
        self._tell("halvings after running out of memory", halvings, "1", "none", math.nan)

    def slices(self) -> None:
        """Say which slice of a GPU this is, if it is one."""
        name = _name(self.device)
        note = "a MIG slice" if "MIG" in name else "no MIG slice"
        self.report.say(
            f"{name} is {note}; for others: evobourse plan --base {self.shape.name} --gpu h100"
        )
        self.report.say(
            "in a slice, run this very command with CUDA_VISIBLE_DEVICES set to its MIG-... id"
        )

    # How

    def upper(self, hidden: torch.Tensor, mixture: torch.Tensor | None) -> torch.Tensor:
        """Run the adapted layers; return the last token's states [rows, width]."""
        with self.bank.mixed(mixture):
            return self._run(hidden, self.first)[:, -1]

    def _run(self, hidden: torch.Tensor, first: int) -> torch.Tensor:
        return self.decoder.run(hidden, first, self.decoder.depth, self.prefix)[0]

    def _lower(self, rows: torch.Tensor) -> torch.Tensor:
        return self.decoder.run(rows, 0, self.first, self.prefix)[0]

    def _prefix(self) -> Prefix:
        shared = self._tokens(1, SHARED)
        return self.decoder.run(shared, 0, self.decoder.depth)[1]

    def _tokens(self, rows: int, tokens: int) -> torch.Tensor:
        drawn = torch.randint(self.shape.vocabulary, (rows, tokens), generator=self.on_host)
        return self.decoder.embed(drawn.tolist())

    def _minds(self, count: int) -> torch.Tensor:
        drawn = torch.randn(count, 1, ADAPTERS, generator=self.on_host) / ADAPTERS
        return drawn.to(self.device)

    def _load(self, minds: int) -> Load:
        load = Load(minds, self.views, SHARED, PRIVATE, ADAPTERS, RANK, SHARE)
        return replace(load, batch_rows=-(-(self.decoder.tile_tokens or 512) // PRIVATE))

    def _tell(self, figure: str, value: float, unit: str, peer: str, against: float) -> None:
        ratio = None if math.isnan(against) else value / against
        self.report.figure(figure, value, unit, peer, ratio)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def _seconds(self, work: Callable[[], object]) -> float:
        """Return the shortest of repeated runs, after two to warm up."""
        work()
        work()
        best, end = math.inf, self._now() + LEAST_SECONDS
        while self._now() < end:
            began = self._now()
            work()
            best = min(best, self._now() - began)
        return best

    def _start_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def _peak(self) -> int:
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else 0


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "a processor"
