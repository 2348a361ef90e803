"""Words, digits and soft tokens for one window, on the same examples."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from evobourse.agents.encodings.encoded_minds import EncodedMinds
from evobourse.agents.encodings.encoding import (
    ENCODINGS,
    Encoding,
    EncodingName,
    from_bins,
    to_bins,
)
from evobourse.agents.encodings.window import IS_PRICE, levels_of, widen
from evobourse.agents.minds.engine import engine_of
from evobourse.agents.observation import decode_view
from evobourse.agents.styles import teach
from evobourse.agents.training.supervised import PROVENANCE
from evobourse.evolve.bases.opening import open_model
from evobourse.evolve.markets import World, play_market
from evobourse.experiments.config.experiment import ExperimentConfig, load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.simulate.bundle import begin
from evobourse.experiments.studies.run import Page, Study
from evobourse.experiments.styles.agreement import Agreement, heldout_examples, measure_agreement
from evobourse.experiments.styles.supervised import Examples, StylePlan, train_styles
from evobourse.merge.sources import adapter_folders

STUDY = Study(
    question="words, digits or soft tokens: how should past prices be put to a mind?",
    minutes=240,
    page="docs/studies/encodings.md",
)

QUICKSTART = Path(__file__).parents[1] / "quickstart.yaml"
ONE_ASSET = ("training.series=[sp500]",)
CONVERGED = 0.2
AGENTS = 100
SECONDS = "seconds.json"


@dataclass(frozen=True)
class Settings:
    """What is trained and measured.

    Attributes
    ----------
    config
        Of the base, the training and the market.
    folder
        Of the adapters; those that are there are not trained again.
    styles, encodings
        Whom to train, and how prices are put to them.
    steps, longer
        Of each training, and times as many where it has not converged; 1 for no more.
    views, speed_views
        Held out, for the agreement and for the speed.
    days
        Of the market.
    """

    config: Path = QUICKSTART
    folder: Path = Path("runs/encodings")
    styles: tuple[str, ...] = ("momentum", "contrarian")
    encodings: tuple[EncodingName, ...] = ENCODINGS
    steps: int = 100
    longer: int = 3
    views: int = 1000
    speed_views: int = 200
    days: int = 20


@dataclass(frozen=True)
class Trained:
    """One adapter: its encoding, style and steps, the mean loss of its last ten, and its time.

    Seconds of the processor; NaN for an adapter that was trained by another command.
    """

    encoding: EncodingName
    style: str
    steps: int
    loss: float
    seconds: float
    agreement: Agreement


@dataclass(frozen=True)
class Speed:
    """One encoding's cost of a decision.

    Attributes
    ----------
    tokens
        Private tokens of a decision's prompt, mean over held-out views.
    heldout
        Decisions a second on held-out views, each of a day of its own.
    market
        Decisions a second in a market of `AGENTS` over `DAYS` days, where a day is shared.
    computed
        Answers that the market's minds had to compute.
    """

    tokens: float
    heldout: float
    market: float
    computed: int


def run(settings: Settings, report: Report) -> Page:
    """Train what is missing, and measure all."""
    config = load_config(settings.config, ONE_ASSET)
    found: list[Trained] = []
    for name in settings.encodings:
        steps = settings.steps
        rows = train_and_measure(config, settings, name, settings.styles, steps, report)
        late = [row.style for row in rows if row.loss > CONVERGED]
        if late and settings.longer > 1:
            steps *= settings.longer
            rows += train_and_measure(config, settings, name, late, steps, report)
        found += rows
    examples = heldout_examples(config, settings.views, True)
    ceilings = {style: ceiling(examples, style) for style in settings.styles}
    speeds = {name: measure_speed(settings, name) for name in settings.encodings}
    tell(found, ceilings, speeds, report)
    return Page(page(found, ceilings, speeds, config, settings, report.command))


def train_and_measure(
    config: ExperimentConfig,
    settings: Settings,
    name: EncodingName,
    styles: Sequence[str],
    steps: int,
    report: Report,
) -> list[Trained]:
    """Train the styles that are not there yet, and measure all of one encoding and budget."""
    config = replace(config, minds=replace(config.minds, encoding=name))
    out = place(settings.folder, name, steps)

    def on_step(style: str, step: int, steps: int, loss: float) -> None:
        if step % 10 == 0 or step == steps:
            report.say(f"{name} {style}: step {step} of {steps}, loss {loss:.3f}")

    for style in styles:
        began = time.process_time()
        plan = StylePlan(only=(style,), steps=steps, widened=True)
        made = train_styles(config, out, plan, on_step)
        if made:
            seconds = {"processor_seconds": time.process_time() - began}
            (out / style / SECONDS).write_text(json.dumps(seconds) + "\n")
    rows = []
    for row in measure_agreement(config, out, settings.views, widened=True):
        record = json.loads((out / row.style / PROVENANCE).read_text())
        timed = out / row.style / SECONDS
        spent = json.loads(timed.read_text())["processor_seconds"] if timed.is_file() else np.nan
        rows.append(Trained(name, row.style, steps, record["loss_last"], spent, row))
    return rows


def place(folder: Path, name: EncodingName, steps: int) -> Path:
    """Name the folder of the adapters of one encoding and budget."""
    return folder / f"{name}-{steps}"


def ceiling(examples: Examples, style: str) -> dict[str, float]:
    """Measure what the window keeps of the teacher's signs, exact and in two digits.

    Returns
    -------
    dict
        ``window`` and ``digits``: how often the teacher, who reads the price signs off those
        numbers alone, decides as the teacher who sees the prices.
    """
    own = decode_view(examples.views)
    right = teach(style, examples.views)

    def agree(windows: Sequence[NDArray[np.float64]]) -> float:
        read = np.array([levels_of(window) for window in windows])
        views = widen(examples.views, np.where(IS_PRICE, read, own))
        return float((teach(style, views) == right).mean())

    return {
        "window": agree(list(examples.windows)),
        "digits": agree([from_bins(to_bins(window)) for window in examples.windows]),
    }


def measure_speed(settings: Settings, name: EncodingName) -> Speed:
    """Time one encoding on held-out views, and in a market of its minds and the bare base's."""
    config, encoding = load_config(settings.config, ONE_ASSET), Encoding(name)
    adapters = place(settings.folder, name, settings.steps)
    folders = adapter_folders(adapters)
    engine = open_model(config.minds.base, folders, ()).engine
    minds = EncodedMinds(engine, encoding, folders)
    drawn = heldout_examples(config, settings.speed_views, True)
    mind = np.eye(len(folders), dtype=np.float32)[:1]
    prompts = [engine.view_prompt(view) for view in drawn.views.tolist()]
    if encoding.numeric:
        prompts = minds.prompts(mind, drawn.views, drawn.windows)
    tokens = float(np.mean([sum(map(len, prompt.steps)) for prompt in prompts]))
    minds.answer(mind, drawn.views[:1], drawn.windows[:1])  # the rules and the invocation
    began = time.perf_counter()
    minds.answer(mind, drawn.views, drawn.windows)
    heldout = settings.speed_views / (time.perf_counter() - began)

    personas = [{"name": folder.name, "style": folder.name} for folder in folders]
    changed = [
        f"minds.encoding={name}",
        f"minds.adapters={adapters}",
        "minds.recipe_blocks=0",
        f"personas={json.dumps([*personas, {'name': 'amateur', 'style': None}])}",
    ]
    bundle, bases, _ = begin(settings.config, changed)
    engine = engine_of(bases.serve(None), "study-encodings")
    minds = EncodedMinds(engine, encoding, folders)
    world = World(bundle.offsets, bundle.rules, AGENTS, settings.days)
    began = time.perf_counter()
    play_market(world, (bundle.population, bundle.history, 1), minds, "full")
    market = AGENTS * settings.days / (time.perf_counter() - began)
    return Speed(tokens, heldout, market, engine.counters.computed)


def tell(
    found: Sequence[Trained],
    ceilings: dict[str, dict[str, float]],
    speeds: Mapping[EncodingName, Speed],
    report: Report,
) -> None:
    """Tell what was measured, against words where they were measured too."""

    def add(figure: str, value: float, unit: str, peer: str, against: float) -> None:
        report.figure(figure, value, unit, peer, value / against if against else None)

    for row in found:
        what = f"{row.encoding}, {row.style}, {row.steps} steps"
        add(f"held-out agreement, {what}", row.agreement.trained, "1", "bare", row.agreement.bare)
        words = [r for r in found if (r.encoding, r.style) == ("words", row.style)]
        if words and not np.isnan([row.seconds, words[0].seconds]).any():
            peer = f"words, {words[0].steps} steps"
            add(f"training time, {what}", row.seconds, "s", peer, words[0].seconds)
    for style, kept in ceilings.items():
        for name, part in kept.items():
            add(f"teacher who reads the {name} alone, {style}", part, "1", "its signs", 1.0)
    for name, speed in speeds.items():
        words_speed = speeds.get("words", speed)
        for what in ("tokens", "heldout", "market"):
            unit = "1" if what == "tokens" else "1/s"
            label = {"tokens": "private tokens", "heldout": "decisions, days of their own"}.get(
                what, f"decisions, market of {AGENTS}"
            )
            add(f"{label}, {name}", getattr(speed, what), unit, "words", getattr(words_speed, what))


def page(
    found: Sequence[Trained],
    ceilings: dict[str, dict[str, float]],
    speeds: Mapping[EncodingName, Speed],
    config: ExperimentConfig,
    settings: Settings,
    command: str,
) -> str:
    """Lay out the page."""
    lines = [
        "| style | encoding | steps | agreement, held out | bare base | window's ceiling "
        "| loss at the end | training, s | against words |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(found, key=lambda r: (r.style, r.steps)):
        words = [r for r in found if (r.encoding, r.style) == ("words", row.style)]
        times = f"{row.seconds / words[0].seconds:.1f}" if words else "-"
        kept = ceilings[row.style].get("digits" if row.encoding == "digits" else "window", 1.0)
        shown = "100 %" if row.encoding == "words" else f"{kept:.1%}"
        late = "" if row.loss <= CONVERGED else ", not converged"
        lines.append(
            f"| {row.style} | {row.encoding} | {row.steps} | {_with_interval(row.agreement)} "
            f"| {row.agreement.bare:.1%} | {shown} | {row.loss:.2f}{late} | {row.seconds:.0f} "
            f"| {times} |"
        )
    lines += [
        "",
        "| encoding | private tokens | decisions a second against words, days of their own "
        f"| in a market of {AGENTS} agents | answers computed there |",
        "|---|---|---|---|---|",
    ]
    for name, speed in speeds.items():
        words_speed = speeds.get("words", speed)
        lines.append(
            f"| {name} | {speed.tokens:.1f} | {speed.heldout / words_speed.heldout:.2f} "
            f"| {speed.market / words_speed.market:.2f} | {speed.computed:,} |"
        )
    return PAGE.format(
        command=command,
        views=settings.views,
        days=settings.days,
        attention=config.minds.attention,
        train=" to ".join(config.splits.train),
        heldout=" to ".join(config.splits.heldout),
        series=config.series[0],
        table="\n".join(lines),
    )


def _with_interval(row: Agreement) -> str:
    interval = binomtest(round(row.trained * row.views), row.views).proportion_ci(method="wilson")
    return f"{row.trained:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


PAGE = """# Three encodings of a window of returns

Written by `{command}`; do not edit.

What past prices become for a mind, `minds.encoding`: *words* (four signs in a word each), *digits*
(25 returns of the year before, finer towards today, each in its own usual size and two digits), or
*patches* (the same 25 numbers, five at a time through a small projector into five soft tokens).
The four price signs are one field here for all three, words included: shown together or not at all,
which is how the numbers are msettings. At most {attention} of six signs are attended to at first;
crowd and news stay words everywhere.

All three train on the same 6,000 examples of {series}, {train}, with the same masks, batches and
steps, and are measured on the same {views:,} views of {heldout}, INT8 base: exact five-way
agreement with the teacher, 95 % Wilson intervals; the bare base in the same encoding (patches:
zeros in the place of soft tokens) is the floor. The *window's ceiling* is how often the teacher
himself, reading the four signs off the same numbers, agrees with the one who saw the prices; words
hand him the signs.
*Not converged*: the last ten steps' mean loss is above 0.2.

{table}

To use one: `evobourse train-styles CONFIG --encoding patches --out FOLDER`, then
`evobourse simulate CONFIG --set minds.encoding=patches --set minds.adapters=FOLDER`, alone or
with `--scenario`; sweeps take words (docs/decisions/085).

The market runs {days} days with the trained minds and the bare base as personas, all minds asked
as it goes; its window is shared by all who see it, and what its minds are asked to take off their
lean counts (words: every view). Times are of one run, processor seconds for training.
"""
