"""Minds against the peers' ways and against this machine, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from evobourse.evolve.durable import replace_bytes
from evobourse.experiments.benchmarks.minds.agents import (
    SIZES,
    MarketTime,
    plot_distinct_work,
    time_market,
)
from evobourse.experiments.benchmarks.minds.fidelity import bytes_per_weight, measure_fidelity
from evobourse.experiments.benchmarks.minds.ladder import (
    PEER,
    Ladder,
    Rung,
    climb,
    peer_rung,
    side_by_side,
)
from evobourse.experiments.benchmarks.minds.machine import (
    measure_products,
    measure_throughput,
    profile_shares,
)
from evobourse.experiments.benchmarks.minds.mixed_batch import (
    LARGE,
    large_overhead,
    peft_times,
    small_overhead,
)
from evobourse.experiments.benchmarks.minds.subject import (
    Subject,
    morning_questions,
    open_subject,
    prompt_of,
    real_mornings,
    real_views,
    sixteen_minds,
    softmax,
)
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.figures import figure_bytes, new_figure

BENCHMARK = Benchmark(
    measures="minds against the peers' ways and against this machine",
    minutes=10,
)

MORNINGS, DAYS, TURNS = 5, 10, 3
# Rows, inputs and outputs of SmolLM2-135M's products and of a 7B's; one row, few, many.
SHAPES = [
    (rows, *shape)
    for rows in (1, 16, 512)
    for shape in ((576, 576), (576, 1536), (1536, 576), (4096, 4096))
]
Part = Literal["a", "b", "c", "d", "e"]


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes
    ----------
    only
        Parts: a, a morning of a thousand agents; b, 64 minds in a batch; c, markets of 100 to
        100,000 agents; d, the processor's ceilings; e, INT8 against fp32.
    agents, few
        Agents of part a, and those of them who are asked one by one.
    picture
        Where part c draws.
    """

    only: tuple[Part, ...] = ("a", "b", "c", "d", "e")
    agents: int = 1_000
    few: int = 12
    picture: Path = Path("docs/minds_distinct_work.png")


def run(settings: Settings, report: Report) -> None:
    """Measure the parts asked for."""
    subject = open_subject()
    parts: dict[Part, Callable[[Subject, Settings, Report], None]] = {
        "a": part_a,
        "b": part_b,
        "c": part_c,
        "d": part_d,
        "e": part_e,
    }
    for part in settings.only:
        parts[part](subject, settings, report)


def part_a(subject: Subject, settings: Settings, report: Report) -> None:
    """One morning of a thousand agents, and twenty mornings in a row."""
    population = sixteen_minds(subject.styles)
    mornings = real_mornings(subject, population, settings.agents, MORNINGS)
    questions = morning_questions(subject, *mornings[0])
    private = float(np.mean([len(question.private) for question in questions]))
    shared = len(questions[0].prompt.shared)
    report.figure(f"private tokens, after {shared} shared ones", private, "1")
    rungs = climb(subject, population, questions, settings.few, report.say)
    peer, *own = rungs
    for below, rung in zip(rungs[:-1], own, strict=True):
        name, rate = f"factor of: {rung.name}", settings.agents / rung.seconds
        report.figure(name, below.seconds / rung.seconds, "1", below.name)
        report.figure(f"decisions: {rung.name}", rate, "1/s", PEER, peer.seconds / rung.seconds)
    moved = max(_moved(rung, own[-1]) for rung in own if rung.logits is not None)
    report.figure("largest move of a probability between own ways", moved, "1")
    peers, first = side_by_side(subject, population, questions, settings.few, TURNS, report.say)
    ratios = peers / first
    turns = np.argsort(ratios)
    for what, turn in (("median", turns[TURNS // 2]), ("lowest", turns[0]), ("highest", turns[-1])):
        name = f"decisions: the first morning, nothing known, {what} of {TURNS} turns"
        rate, ratio = settings.agents / float(first[turn]), float(ratios[turn])
        report.figure(name, rate, "1/s", PEER, ratio)
    middle = turns[TURNS // 2]
    report.figure("cold_morning_vs_peers", settings.agents / float(first[middle]), "1/s", PEER,
                  float(ratios[middle]))  # fmt: skip
    report.say(f"{MORNINGS} mornings in a row")
    ladder = Ladder(subject.fresh_engine(), population)
    seconds = []
    for morning in mornings:
        asked = morning_questions(subject, *morning)
        began = time.perf_counter()
        ladder.by_engine(asked)
        seconds.append(time.perf_counter() - began)
    name = f"decisions: a market's mornings, mean of the first {MORNINGS}"
    mean = float(np.mean(seconds))
    report.figure(name, settings.agents / mean, "1/s", PEER, float(np.median(peers)) / mean)


def part_b(subject: Subject, settings: Settings, report: Report) -> None:
    """Sixty-four minds in a batch."""
    depth = subject.engine.decoder.depth
    what = "64 mixtures of 8 adapters of rank 8, time over the bare INT8 base"
    for layers in (range(depth), range(subject.engine.bank.first_layer, depth)):
        report.say(f"64 minds, adapters on {len(layers)} of {depth} layers")
        small = small_overhead(subject, layers, repeats=5)
        name = f"{what}, 135M, {len(layers)} of {depth} layers"
        report.figure(name, small.ratio, "1", "limit 1.1", small.ratio / 1.1)
        if len(layers) == depth:
            report.figure("minds64_vs_bare", small.mixed, "s", "the bare INT8 base", small.ratio)
    report.say(f"two layers of {LARGE}'s shape, random weights")
    large = large_overhead(layers=2, repeats=3)
    name = f"{what}, two layers of {LARGE}'s shape with random weights"
    report.figure(name, large.ratio, "1", "limit 1.1", large.ratio / 1.1)
    report.say("PEFT in bf16, adapter names and merge and swap")
    small, peft = small_overhead(subject, range(depth), repeats=2), peft_times(subject)
    for name, seconds in (("adapter_names", peft.names), ("merge and swap", peft.swap)):
        report.figure(f"PEFT {name} over its bare bf16 base", seconds / peft.bare, "1")
        name = f"64 minds, PEFT {name}"
        report.figure(name, seconds, "s", "this engine, same rows", seconds / small.mixed)
    report.figure("PEFT, making 64 mixtures (here: none)", peft.build, "s")


def part_c(subject: Subject, settings: Settings, report: Report) -> None:
    """Markets of 100 to 100,000 agents with the same minds."""
    population = sixteen_minds(subject.styles, attention=2)
    time_market(subject, population, 100, 2, subject.fresh_engine())  # compiles and warms up
    runs: dict[int, list[MarketTime]] = {agents: [] for agents in SIZES}
    for turn in (1, 2):
        for agents, own in runs.items():
            report.say(f"a market of {agents:,} agents, turn {turn} of 2")
            engine = subject.fresh_engine()
            own.append(time_market(subject, population, agents, DAYS, engine))
    times = [min(own, key=lambda t: t.model_seconds) for own in runs.values()]
    for agents in SIZES:
        met = real_mornings(subject, population, agents, 1)[0]
        distinct = len(set(zip(*(column.tolist() for column in met), strict=True)))
        name = f"different questions of one morning, {agents:,} agents"
        report.figure(name, distinct, "1", "agents", distinct / agents)
    asked = morning_questions(subject, *real_mornings(subject, population, settings.few, 1)[0])
    peer = len(asked) / peer_rung(subject, asked, len(asked)).seconds
    least = min(t.model_seconds for t in times)
    for t in times:
        name = f"model time, {t.agents:,} agents, {t.days} days, {t.computed:,} questions"
        report.figure(name, t.model_seconds, "s", "least of the sizes", t.model_seconds / least)
        name = f"decisions, {t.agents:,} agents, market included"
        rate = t.decisions / (t.model_seconds + t.market_seconds)
        report.figure(name, rate, "1/s", PEER, rate / peer)
    spread = max(t.model_seconds for t in times) / least
    report.figure("model time, largest over least", spread, "1", "limit 1.3", spread / 1.3)
    figure_of_times = new_figure(6.4, 4.0)
    plot_distinct_work(times, peer, figure_of_times.subplots())
    settings.picture.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(settings.picture, figure_bytes(figure_of_times))
    report.say(f"drawn: {settings.picture}")


def part_d(subject: Subject, settings: Settings, report: Report) -> None:
    """Tokens a second against the processor's ceilings, and where the time goes."""
    report.say("matrix products, in turns with torch's")
    found = measure_products(SHAPES, repeats=7)
    for shape in found:
        name = f"products: {shape.rows} rows, {shape.inputs} to {shape.outputs}"
        rate = shape.operations / shape.exact / 1e9
        for peer, seconds in (("torch fp32", shape.fp32), ("torch bf16", shape.bf16)):
            report.figure(name, rate, "Gop/s", peer, seconds / shape.exact)
    many = [shape for shape in found if shape.rows == 512]
    exact, fp32, bf16 = (
        sum(getattr(shape, kind) for shape in many) for kind in ("exact", "fp32", "bf16")
    )
    rate = sum(shape.operations for shape in many) / exact / 1e9
    report.figure("products_vs_fp32", rate, "Gop/s", "torch fp32, 512 rows", fp32 / exact)
    report.figure("products_vs_bf16", rate, "Gop/s", "torch bf16, 512 rows", bf16 / exact)
    report.say("the bare base, 64 rows of 24 tokens")
    done = measure_throughput(subject, repeats=3)
    report.figure(
        "tokens a second, all layers, rules read before", done.tokens_per_second, "1/s",
        "share of the products' rate", done.operations_per_second / rate / 1e9,
    )  # fmt: skip
    report.say("profile of 64 mixtures")
    for purpose, share in profile_shares(subject).items():
        report.figure(f"time in: {purpose}", share, "1")


def part_e(subject: Subject, settings: Settings, report: Report) -> None:
    """INT8 against fp32, and what it weighs."""
    views = real_views(subject, 3)[:200]
    short = [subject.engine.view_prompt(int(view)) for view in views]
    long = [prompt_of(subject, int(view)) for view in views]
    one = np.eye(len(subject.styles), dtype=np.float32)
    bare = {"bare base": 0 * one[0]}
    styles = dict(zip(subject.styles, one, strict=True))
    blends = {
        f"0.5 {first} + 0.5 {second}": 0.5 * (one[k] + one[k - 1])
        for k, (first, second) in enumerate(
            zip(subject.styles, np.roll(subject.styles, 1), strict=True)
        )
        if k % 3 == 0
    }
    for kind, minds, prompts in (
        ("the market's prompts", bare | styles | blends, short),
        ("prompts in words", bare, long),
    ):
        report.say(f"{len(minds)} minds, {len(views)} real views, {kind}")
        for row in measure_fidelity(subject, minds, prompts):
            name = f"{row.name}, {kind}"
            report.figure(f"total variation, mean: {name}", row.mean, "1", "limit 0.01",
                   row.mean / 0.01)  # fmt: skip
            if row.mean_bf16:
                report.figure(f"total variation, mean: {name}", row.mean, "1",
                              "bf16 activations", row.mean / row.mean_bf16)  # fmt: skip
            report.figure(f"total variation, worst: {name}", row.worst, "1")
            report.figure(f"correlation of p(buy) - p(sell): {name}", row.correlation, "1",
                   "limit 0.98", row.correlation / 0.98)  # fmt: skip
    decoder, whole = bytes_per_weight(subject.engine)
    report.figure("bytes a decoder weight, scales included", decoder, "B", "bf16", decoder / 2)
    report.figure("bytes a parameter, whole model", whole, "B", "bf16", whole / 2)


def _moved(rung: Rung, last: Rung) -> float:
    """Return the largest difference of a probability between two ways of answering."""
    assert rung.logits is not None  # only the peer has none
    assert last.logits is not None
    ours, theirs = softmax(rung.logits), softmax(last.logits[: rung.asked])
    return float(np.abs(ours - theirs).max())
