"""One deliberate day of twenty agents, timed and counted in tokens."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from evobourse.agents.deliberation.thinking import MARKET, Thinker
from evobourse.agents.deliberation.writer import Ask, BatchWriter
from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.observation import INVOCATION, render_view, view_words
from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.scenario import Scenario, Size, load_scenario
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.simulate.bundle import open_bundle
from evobourse.experiments.simulate.exchange import run_scenario
from evobourse.experiments.simulate.thinkers import open_thinker
from evobourse.experiments.studies.run import Page, Study
from evobourse.market.book.order_events import Kind
from evobourse.merge.engine.prompt import Token
from evobourse.merge.sources import load_model

STUDY = Study(
    question="what does a day of agents who think in words take, and what do they write?",
    minutes=5,
    page="docs/studies/deliberate_day.md",
)

TABLES = ("texts", "decisions", "orders", "fills", "readings")
PEER = "transformers generate, bf16, bare base, one agent at a time"


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    bundle
        Whose agents deliberate.
    scenario
        Where; it has a section ``deliberation``.
    agents, days, seed
        Of the market; its last day is measured.
    sample
        Prompts that the peer answers, about.
    """

    bundle: Path = Path("runs/quickstart/bundle")
    scenario: Path = Path(__file__).parents[1] / "scenarios" / "deliberate.yaml"
    agents: int = 20
    days: int = 2
    seed: int = 1
    sample: int = 40


@dataclass(frozen=True)
class Prompted:
    """One thing that was asked: its whole prompt in tokens, and how many it was answered with."""

    prompt: tuple[Token, ...]
    generated: int
    text: bool


class WatchedWriter(BatchWriter):
    """A writer that remembers every prompt as a model without a memory would read it."""

    def __init__(self, engine: MindEngine):
        super().__init__(engine)
        self.seen: list[Prompted] = []

    def write(self, asks: Sequence[Ask], cue: str, *further: Any) -> Any:
        """Write, and remember."""
        written = super().write(asks, cue, *further)
        for ask, text in zip(asks, written, strict=True):
            words = "".join(f" {word}" for word in view_words(ask.view)) + cue
            self.seen.append(Prompted(self._prompt(ask, words), text.generated_tokens, True))
        return written

    def choose(self, asks: Sequence[Ask], *further: Any, **named: Any) -> Any:
        """Choose, and remember."""
        for ask in asks:
            words = render_view(ask.view).removeprefix(INVOCATION)
            self.seen.append(Prompted(self._prompt(ask, words), 0, False))
        return super().choose(asks, *further, **named)

    def _prompt(self, ask: Ask, words: str) -> tuple[Token, ...]:
        return tuple(token for piece in self.pieces(ask, words) for token in piece)


def run(settings: Settings, report: Report) -> Page:
    """Play the day, and let the peer answer a sample of its prompts."""
    bundle, bases = open_bundle(settings.bundle)
    scenario = load_scenario(settings.scenario)
    size = Size(settings.agents, settings.days, settings.seed)
    day = play(scenario, bundle, bases.serve(bundle.recipe), size, report)
    peer = time_peer(bundle.base, day.prompts, settings.sample, report)
    tell(day, peer, report)
    page = PAGE.format(
        agents=settings.agents,
        turns=len(scenario.turns),
        day=settings.days - 1,
        table=figure_table(day, peer),
        peer=PEER,
        stages="\n".join(f"| {name} | {took:.1f} |" for name, took in day.stages.items()),
        counts=count_rows(day.tables),
        excerpt=excerpt(day.tables["texts"]),
        command=report.command,
    )
    return Page(page)


@dataclass(frozen=True, eq=False)
class Day:
    """The last day of a deliberate market.

    Attributes
    ----------
    seconds
        Of all of it.
    stages
        Seconds of each stage; what is none of them, the market itself, is ``market``.
    tokens
        See `agents.deliberation.thinking.Thinker.tokens`, of this day.
    prompts
        All that was asked on it.
    tables
        The day's rows of the tape's tables.
    """

    seconds: float
    stages: dict[str, float]
    tokens: dict[str, int]
    prompts: list[Prompted]
    tables: dict[str, pd.DataFrame]


def play(scenario: Scenario, bundle: Bundle, minds: object, size: Size, report: Report) -> Day:
    """Play days and measure the last one, on which everything is at work: memory, posts, links."""
    settings = scenario.deliberation
    if settings is None:
        raise ConfigError("the scenario has no section 'deliberation'; name one that has")
    clock: list[tuple[float, str]] = []
    started: dict[str, Any] = {}
    days = size.days
    with report.steps("a deliberate market", days * len(scenario.turns)) as step:

        def on_stage(stage: str) -> None:
            clock.append((time.perf_counter(), stage))
            if stage == "reason":
                step()

        thinker = open_thinker(settings, bundle, minds, on_stage)
        writers = watched(thinker)

        def on_day(day: int) -> None:
            if day == days - 2:
                clock.clear()
                started.update(thinker.tokens(), began=time.perf_counter())
                for writer in writers:
                    writer.seen.clear()

        started.update(dict.fromkeys(thinker.tokens(), 0), began=time.perf_counter())
        with tempfile.TemporaryDirectory(prefix="deliberate-day-") as scratch:
            tape = run_scenario(scenario, bundle, thinker, size, Path(scratch) / "tape", on_day)
            ended = time.perf_counter()
            tables = {name: of_day(tape.frame(name), days - 1) for name in TABLES}
    stages: dict[str, float] = {}
    times = [(started["began"], MARKET), *clock, (ended, "")]
    for (begin, name), (end, _) in pairwise(times):
        stages[name] = stages.get(name, 0.0) + end - begin
    tokens = {name: count - started[name] for name, count in thinker.tokens().items()}
    prompts = [prompted for writer in writers for prompted in writer.seen]
    return Day(ended - started["began"], stages, tokens, prompts, tables)


def watched(thinker: Thinker) -> list[WatchedWriter]:
    """Put writers that remember their prompts in place of a thinker's own, and return them."""
    writers = [WatchedWriter(thinker.writer.engine)]
    if thinker.advisers is not thinker.writer:
        writers.append(WatchedWriter(thinker.advisers.engine))
    thinker.writer, thinker.advisers = writers[0], writers[-1]
    return writers


def of_day(rows: pd.DataFrame, day: int) -> pd.DataFrame:
    """Return a day's rows of a table."""
    return rows[rows["day"] == day].drop(columns="day").reset_index(drop=True)


def time_peer(
    base: str, prompts: Sequence[Prompted], sample: int, report: Report
) -> dict[str, float]:
    """Let transformers answer every so manieth prompt, from nothing each: seconds of a prompt.

    Parameters
    ----------
    base
        The population's base, here in bf16 and without adapters.
    prompts
        All prompts of the day; choices and texts are sampled apart.
    sample
        Prompts to answer, about.

    Returns
    -------
    dict
        Mean seconds of a ``choice`` and of a ``text``, and ``answered``, their number.
    """
    opened, tokenizer = load_model(base)
    model: Any = opened.bfloat16()  # its class promises no `generate`
    kinds = {"choice": [p for p in prompts if not p.text], "text": [p for p in prompts if p.text]}
    answered, seconds = 0.0, {}
    chosen_of = {kind: asked[:: max(1, 2 * len(asked) // sample)] for kind, asked in kinds.items()}
    total = sum(map(len, chosen_of.values()))
    with torch.inference_mode(), report.steps("the peer's prompts", total) as step:
        for kind, chosen in chosen_of.items():
            spent = 0.0
            for prompted in chosen:
                ids = torch.tensor([prompted.prompt])
                began = time.perf_counter()
                if prompted.text:
                    length = max(1, prompted.generated)
                    model.generate(
                        ids,
                        attention_mask=torch.ones_like(ids),
                        min_new_tokens=length,
                        max_new_tokens=length,
                        do_sample=False,
                        pad_token_id=tokenizer.eos_token_id,
                    )
                else:
                    model(ids, logits_to_keep=1)
                spent += time.perf_counter() - began
                step()
            seconds[kind] = spent / max(1, len(chosen))
            answered += len(chosen)
    return {**seconds, "answered": answered}


def peer_seconds(day: Day, peer: dict[str, float]) -> float:
    """Return the seconds that the peer would take for all prompts of the day."""
    texts = sum(prompted.text for prompted in day.prompts)
    return texts * peer["text"] + (len(day.prompts) - texts) * peer["choice"]


def tell(day: Day, peer: dict[str, float], report: Report) -> None:
    """Tell the figures."""
    thinking = day.seconds - day.stages[MARKET]
    theirs, tokens = peer_seconds(day, peer), day.tokens
    saved = tokens["prompt"] - tokens["computed"]
    for name, value, unit in (
        ("texts", float(sum(prompted.text for prompted in day.prompts)), "1"),
        ("choices", float(sum(not prompted.text for prompted in day.prompts)), "1"),
        ("prompt tokens", float(tokens["prompt"]), "1"),
        ("prompt tokens computed", float(tokens["computed"]), "1"),
        ("prompt tokens saved by known beginnings", float(saved), "1"),
        ("generated tokens", float(tokens["generated"]), "1"),
        ("the market itself", day.stages[MARKET], "s"),
        ("peer, prompts answered", peer["answered"], "1"),
        ("peer, a choice", peer["choice"], "s"),
        ("peer, a text", peer["text"], "s"),
    ):
        report.figure(name, value, unit)
    report.figure("a day", day.seconds, "s")
    report.figure("thinking", thinking, "s", PEER, theirs / thinking)
    rate = tokens["generated"] / thinking
    report.figure("generated tokens, all of thinking", rate, "1/s", PEER, theirs / thinking)


def figure_table(day: Day, peer: dict[str, float]) -> str:
    """Lay out what the day took as rows of Markdown."""
    thinking, theirs, tokens = (
        day.seconds - day.stages[MARKET],
        peer_seconds(day, peer),
        day.tokens,
    )
    texts = sum(prompted.text for prompted in day.prompts)
    rows = [
        ("texts written", f"{texts:,}"),
        ("choices made (withdrawals count twice)", f"{len(day.prompts) - texts:,}"),
        ("tokens of all prompts", f"{tokens['prompt']:,}"),
        ("of these computed", f"{tokens['computed']:,}"),
        (
            "saved, since their beginning was known",
            f"{1 - tokens['computed'] / tokens['prompt']:.1%}",
        ),
        ("tokens generated", f"{tokens['generated']:,}"),
        ("seconds of thinking", f"{thinking:.1f}"),
        ("seconds of the market itself", f"{day.stages['market']:.1f}"),
        (f"the peer's seconds, from {peer['answered']:.0f} of its prompts", f"{theirs:.1f}"),
        ("times faster than the peer", f"{theirs / thinking:.1f}"),
    ]
    return "\n".join(f"| {name} | {value} |" for name, value in rows)


def count_rows(tables: dict[str, pd.DataFrame]) -> str:
    """Say what the day did, and how far thinking moved choices."""
    texts, rows, orders = tables["texts"], tables["decisions"], tables["orders"]
    written = texts[texts["kind"] != "page"]
    kinds = written.groupby("kind")["generated_tokens"]
    lengths = ", ".join(f"{kind} {mean:.1f}" for kind, mean in kinds.mean().items())
    empty = (written["generated_tokens"] == 0).mean()
    repeated = 1 - written["text"].nunique() / len(written)
    moved = (rows["advised"] - rows["own"]).abs().mean()
    limits = (orders["agent"] >= 0) & (orders["kind"] == Kind.LIMIT)
    cancels = (orders["agent"] >= 0) & (orders["kind"] == Kind.CANCEL)
    return (
        f"{limits.sum()} orders, {cancels.sum()} withdrawn, {len(tables['fills'])} trades, "
        f"{len(tables['readings'])} posts read. Mean tokens of a text: {lengths}; {empty:.1%} of "
        f"the texts ended before their first token and {repeated:.1%} repeat another's. "
        f"Advice and second thoughts moved the mean tendency of a choice, between -2 and 2, by "
        f"{moved:.2f} on average; its spread among agents is {rows['own'].std():.2f}."
    )


def excerpt(texts: pd.DataFrame) -> str:
    """Return the whole day of the agent whose texts are of median length, the first of several."""
    written = texts[texts["kind"] != "page"]
    lengths = written.groupby("agent")["generated_tokens"].sum().sort_values(kind="stable")
    agent = int(lengths.index[len(lengths) // 2])
    lines = [f"Agent {agent}"]
    own = texts[texts["agent"] == agent]
    for turn, kind, text in zip(own["turn"], own["kind"], own["text"], strict=True):
        indented = text.replace("\n", "\n    ")
        lines.append(f"[{turn + 1}] {kind}: {indented}")
    return "\n".join(lines)


PAGE = """# A deliberate day

Written by `{command}`; do not edit.

Day {day} of a market of {agents} agents who deliberate in all of its
{turns} turns, on SmolLM2-135M in INT8, with everything at work: reasons, the expert's advice,
second thoughts, withdrawals, reflection, memory, news and rumours, links and posts.

| | |
|---|---|
{table}

The peer is {peer}: the same prompts from nothing each, and as many tokens in reply. It answers a
sample, every so manieth prompt, and its seconds are those of the sample times the number.

| Stage | Seconds |
|---|---|
{stages}

{counts}

## What an agent read and thought

The agent whose texts are of median length, on that day, from the tape's table `texts`, nothing left
out. Nobody chose it for what it says, and no one should expect sense: a model of 135 million
parameters writes sentences about a market but does not reason about it, and nothing here shows
that its choices are better for them.

```
{excerpt}
```
"""
