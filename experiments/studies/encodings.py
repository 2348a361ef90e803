"""`make bench-encodings`: words, digits and soft tokens for one window, on the same examples."""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
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
from evobourse.evolve.durable import replace_bytes
from evobourse.evolve.markets import World, play_market
from evobourse.experiments.config.experiment import ExperimentConfig, load_config
from evobourse.experiments.simulate.bundle import begin
from evobourse.experiments.styles.agreement import Agreement, heldout_examples, measure_agreement
from evobourse.experiments.styles.supervised import Examples, StylePlan, train_styles
from evobourse.merge.sources import adapter_folders

CONFIG = Path(__file__).parents[1] / "quickstart.yaml"
DOCUMENT = Path(__file__).parents[3] / "docs" / "encodings.md"
STYLES = ("momentum", "contrarian")
ONE_ASSET = ("training.series=[sp500]",)
STEPS, LONGER = 100, 3
CONVERGED = 0.2
SPEED_VIEWS, AGENTS, DAYS = 200, 100, 20
SECONDS = "seconds.json"


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, measure all, print a JSON line a figure, and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m evobourse.experiments.studies.encodings",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--folder", type=Path, default=Path("runs/encodings"), help="of adapters")
    parser.add_argument("--styles", nargs="+", default=STYLES)
    parser.add_argument("--encodings", nargs="+", default=ENCODINGS, choices=ENCODINGS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument(
        "--longer", type=int, default=LONGER, help="times the steps where not converged; 1 for none"
    )
    parser.add_argument("--views", type=int, default=1000, help="held out")
    parser.add_argument("--speed-views", type=int, default=SPEED_VIEWS)
    parser.add_argument("--days", type=int, default=DAYS, help="of the market")
    parser.add_argument("--out", type=Path, default=DOCUMENT, help="Markdown page to write")
    asked = parser.parse_args(arguments)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore")
    config = load_config(asked.config, ONE_ASSET)
    found: list[Trained] = []
    for name in asked.encodings:
        rows = train_and_measure(config, asked.folder, name, asked.styles, asked.steps, asked.views)
        late = [row.style for row in rows if row.loss > CONVERGED]
        if late and asked.longer > 1:
            steps = asked.steps * asked.longer
            rows += train_and_measure(config, asked.folder, name, late, steps, asked.views)
        found += rows
    examples = heldout_examples(config, asked.views, True)
    ceilings = {style: ceiling(examples, style) for style in asked.styles}
    speeds = {
        name: measure_speed(asked.config, place(asked.folder, name, asked.steps), name, asked)
        for name in asked.encodings
    }
    for line in figures(found, ceilings, speeds):
        print(json.dumps({"bench": "encodings", **line}), flush=True)
    text = page(found, ceilings, speeds, config, asked.views, asked.days)
    replace_bytes(asked.out, text.encode())
    print(f"written to {asked.out}")


def train_and_measure(
    config: ExperimentConfig,
    folder: Path,
    name: EncodingName,
    styles: Sequence[str],
    steps: int,
    views: int,
) -> list[Trained]:
    """Train the styles that are not there yet, and measure all of one encoding and budget."""
    config = replace(config, minds=replace(config.minds, encoding=name))
    out = place(folder, name, steps)
    for style in styles:
        began = time.process_time()
        plan = StylePlan(only=(style,), steps=steps, widened=True)
        made = train_styles(config, out, plan, report(name))
        if made:
            seconds = {"processor_seconds": time.process_time() - began}
            (out / style / SECONDS).write_text(json.dumps(seconds) + "\n")
    rows = []
    for row in measure_agreement(config, out, views, widened=True):
        record = json.loads((out / row.style / PROVENANCE).read_text())
        timed = out / row.style / SECONDS
        spent = json.loads(timed.read_text())["processor_seconds"] if timed.is_file() else np.nan
        rows.append(Trained(name, row.style, steps, record["loss_last"], spent, row))
    return rows


def place(folder: Path, name: EncodingName, steps: int) -> Path:
    """Name the folder of the adapters of one encoding and budget."""
    return folder / f"{name}-{steps}"


def report(name: str) -> Callable[[str, int, int, float], None]:
    """Print every tenth step."""

    def on_step(style: str, step: int, steps: int, loss: float) -> None:
        if step % 10 == 0 or step == steps:
            print(f"{name} {style}: step {step} of {steps}, loss {loss:.3f}", flush=True)

    return on_step


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


def measure_speed(
    file: Path, adapters: Path, name: EncodingName, asked: argparse.Namespace
) -> Speed:
    """Time one encoding on held-out views, and in a market of its minds and the bare base's."""
    config, encoding = load_config(file, ONE_ASSET), Encoding(name)
    folders = adapter_folders(adapters)
    engine = open_model(config.minds.base, folders, ()).engine
    minds = EncodedMinds(engine, encoding, folders)
    drawn = heldout_examples(config, asked.speed_views, True)
    mind = np.eye(len(folders), dtype=np.float32)[:1]
    prompts = [engine.view_prompt(view) for view in drawn.views.tolist()]
    if encoding.numeric:
        prompts = minds.prompts(mind, drawn.views, drawn.windows)
    tokens = float(np.mean([sum(map(len, prompt.steps)) for prompt in prompts]))
    minds.answer(mind, drawn.views[:1], drawn.windows[:1])  # the rules and the invocation
    began = time.perf_counter()
    minds.answer(mind, drawn.views, drawn.windows)
    heldout = asked.speed_views / (time.perf_counter() - began)

    personas = [{"name": folder.name, "style": folder.name} for folder in folders]
    changed = [
        f"minds.encoding={name}",
        f"minds.adapters={adapters}",
        "minds.recipe_blocks=0",
        f"personas={json.dumps([*personas, {'name': 'amateur', 'style': None}])}",
    ]
    bundle, bases, _ = begin(file, changed)
    engine = engine_of(bases.serve(None), "bench-encodings")
    minds = EncodedMinds(engine, encoding, folders)
    world = World(bundle.offsets, bundle.rules, AGENTS, asked.days)
    began = time.perf_counter()
    play_market(world, (bundle.population, bundle.history, 1), minds, "full")
    market = AGENTS * asked.days / (time.perf_counter() - began)
    return Speed(tokens, heldout, market, engine.counters.computed)


def figures(
    found: Sequence[Trained], ceilings: dict[str, dict[str, float]], speeds: dict[str, Speed]
) -> list[dict[str, object]]:
    """List what was measured, against words where they were measured too."""
    lines: list[dict[str, object]] = []

    def add(figure: str, value: float, unit: str, peer: str, against: float) -> None:
        ratio = value / against if against else None
        lines.append({"figure": figure, "value": value, "unit": unit, "peer": peer, "ratio": ratio})

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
    return lines


def page(
    found: Sequence[Trained],
    ceilings: dict[str, dict[str, float]],
    speeds: dict[str, Speed],
    config: ExperimentConfig,
    views: int,
    days: int,
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
        views=views,
        days=days,
        attention=config.minds.attention,
        train=" to ".join(config.splits.train),
        heldout=" to ".join(config.splits.heldout),
        series=config.series,
        table="\n".join(lines),
    )


def _with_interval(row: Agreement) -> str:
    interval = binomtest(round(row.trained * row.views), row.views).proportion_ci(method="wilson")
    return f"{row.trained:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


PAGE = """# Three encodings of a window of returns

Written by `make bench-encodings` (`python -m evobourse.experiments.studies.encodings`); do not
edit.

What past prices become for a mind, `minds.encoding`: *words* (four signs in a word each), *digits*
(25 returns of the year before, finer towards today, each in its own usual size and two digits), or
*patches* (the same 25 numbers, five at a time through a small projector into five soft tokens).
The four price signs are one field here for all three, words included: shown together or not at all,
which is how the numbers are masked. At most {attention} of six signs are attended to at first;
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

if __name__ == "__main__":
    main()
