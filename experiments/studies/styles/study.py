"""Do the trained styles hold, can words do the same, do mixtures interpolate.

The adapters' model cards are written as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.styles import teach
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.studies.run import Page, Study
from evobourse.experiments.studies.styles.page import Blend, draw_styles
from evobourse.experiments.styles.cards import percent, write_cards
from evobourse.experiments.styles.measures import (
    StyleMeasure,
    heldout_views,
    measure_styles,
    open_styles,
)
from evobourse.experiments.styles.supervised import read_teachers
from evobourse.experiments.sweep.setup import SHIPPED

if TYPE_CHECKING:
    from evobourse.agents.minds.engine import MindEngine

STUDY = Study(
    question="do the trained styles hold, can words do the same, do mixtures interpolate?",
    minutes=15,
    page="docs/studies/styles.md",
)

QUICKSTART = Path(__file__).parents[2] / "quickstart.yaml"
LEAST_MARGIN = 0.30
PICTURE = "styles.png"


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes
    ----------
    adapters
        Folder of the style adapters, whose cards are written.
    views, mixed_views
        Held out, for each style and for each mixture.
    steps
        From one style of a pair to the other.
    attention
        Signs that an agent attends to at most, as in training.
    """

    adapters: Path = SHIPPED / "adapters"
    views: int = 2000
    mixed_views: int = 500
    steps: int = 10
    attention: int = 3


def run(settings: Settings, report: Report) -> Page:
    """Measure the adapters and their mixtures, and write the cards."""
    config = load_config(QUICKSTART, [f"minds.attention={settings.attention}"])
    engine = open_styles(config, settings.adapters)
    measures = measure_styles(config, settings.adapters, engine, settings.views)
    write_cards(settings.adapters, measures)
    views = heldout_views(config, settings.mixed_views)
    blends = mix_pairs(engine, measures, views, settings.steps)
    tell(measures, blends, report)
    page = render_page(measures, blends, settings, report.command)
    return Page(page, {PICTURE: draw_styles(measures, blends)})


def mix_pairs(
    engine: MindEngine, measures: Sequence[StyleMeasure], views: NDArray[np.int64], steps: int
) -> list[Blend]:
    """Ask every pair of styles, mixed from one to the other in equal steps."""
    grid = np.linspace(0.0, 1.0, steps + 1)
    pairs = list(combinations(range(len(measures)), 2))

    def mind(pair: tuple[int, int], part: float) -> NDArray[np.float32]:
        mixed = np.zeros((engine.bank.blocks, len(measures)), np.float32)
        mixed[:, pair[0]], mixed[:, pair[1]] = part, 1.0 - part
        return mixed

    for pair in pairs:
        for part in grid:
            engine.ask(mind(pair, part), views)
    blends = []
    for pair in pairs:
        labels = [
            teach(measures[k].style, views, read_teachers(measures[k].provenance)) for k in pair
        ]
        choices = [engine.answer(mind(pair, part), views).argmax(axis=1) for part in grid]
        agreement = np.array([[(c == label).mean() for c in choices] for label in labels])
        first, second = (measures[k].style for k in pair)
        blends.append(Blend(first, second, grid, agreement, len(views)))
    return blends


def tell(measures: Sequence[StyleMeasure], blends: Sequence[Blend], report: Report) -> None:
    """Tell the figures."""

    def figure(
        name: str, value: float, unit: str, peer: str | None = None, ratio: float | None = None
    ) -> None:
        report.figure(name, round(value, 4), unit, peer, None if ratio is None else round(ratio, 3))

    for m in measures:
        trained = m.trained.value
        for peer, share in (("bare base", m.bare), ("prompt alone", m.prompted)):
            against = f"{peer}: {share.value:.4f}"
            figure(f"{m.style}, agreement", trained, "share", against, trained / share.value)
        asked = f"at least {LEAST_MARGIN} over both"
        figure(f"{m.style}, margin", m.margin, "share", asked, m.margin / LEAST_MARGIN)
        figure(f"{m.style}, calibration error", m.error, "probability")
        if m.predictive is not None:
            worth, p = f"{m.style}, rank correlation with returns", m.predictive
            against = f"95 % interval [{p.low:.4f}, {p.high:.4f}]"
            figure(worth, p.correlation, "Spearman's rho", against)
    short = [m.style for m in measures if m.margin < LEAST_MARGIN]
    figure("styles short of the margin", len(short), "count", ", ".join(short) or None)
    monotone = sum(not blend.falls for blend in blends)
    name, pairs = "pairs that mix monotonously", len(blends)
    figure(name, monotone, "count", f"{pairs} pairs", monotone / pairs)
    deepest = max((fall for b in blends for _, _, fall in b.falls), default=0.0)
    figure("deepest fall in mixing", deepest, "share")


def render_page(
    measures: Sequence[StyleMeasure],
    blends: Sequence[Blend],
    settings: Settings,
    command: str,
) -> str:
    """Write the page."""
    short = [m for m in measures if m.margin < LEAST_MARGIN]
    names = [m.style for m in measures]
    agreement = "\n".join(
        f"| {m.style} | {percent(m.trained)} | {percent(m.unseen)} | {percent(m.bare)} | "
        f"{percent(m.prompted)} | {100 * m.margin:+.1f} | {100 * m.error:.1f} |"
        for m in measures
    )
    confusion = "\n".join(
        f"| {m.style} | "
        + " | ".join(f"{100 * m.confusion[n]:.0f} ({100 * m.teachers[n]:.0f})" for n in names)
        + " |"
        for m in measures
    )
    falls = [
        f"| {b.first}, {b.second} | {name} | {part:.2f} | {100 * fall:.1f} |"
        for b in blends
        for name, part, fall in b.falls
    ]
    worth = [
        f"`{m.style}`: {p.correlation:+.3f} [{p.low:+.3f}, {p.high:+.3f}] over {p.days:,} days of "
        f"{', '.join(p.assets)}."
        for m in measures
        if (p := m.predictive)
    ]
    return PAGE.format(
        command=command,
        picture=PICTURE,
        views=f"{settings.views:,}",
        attention=settings.attention,
        mixed=settings.mixed_views,
        verdict=(
            "All adapters stand at least 30 points above both."
            if not short
            else "Short of 30 points above both: "
            + ", ".join(f"{m.style} ({100 * m.margin:+.1f})" for m in short)
            + "."
        ),
        agreement=agreement,
        worth="\n".join(worth) or "No adapter here has a fitted teacher.",
        head=" | ".join(names),
        rule="---|" * (len(names) + 1),
        confusion=confusion,
        pairs=len(blends),
        monotone=sum(not b.falls for b in blends),
        steps=settings.steps,
        falls="\n".join(
            ["| pair | teacher | at coefficient | points lost |", "|---|---|---|---|", *falls]
        )
        if falls
        else "nowhere.",
    )


PAGE = """# Trained styles, measured

Written by `{command}`; do not edit.

The shipped adapters on the INT8 base, held-out days (2010-12 to 2018-12, as far as a series
goes) of several assets, masked views of up to {attention} signs.

![agreement, confusion, mixtures and calibration]({picture})

## Agreement with the teacher

The same choice of five on {views} views, 95 % intervals (Wilson). *Bare* is the base alone, *words*
the base with the style as a sentence between the rules and the view; both are given the better of
their answers as they are and less their bias to one side. *New* are the views that the adapter's
training never showed. *Margin* is over the better of bare and words, in points; *error* the
expected calibration error at temperature 1.

| style | adapter | adapter, new views | bare | words | margin | error |
|---|---|---|---|---|---|---|
{agreement}

{verdict}

## What choices were worth

Rank correlation of the mean tendency with the standardised return of the next ten days, held-out
years, one masked view a day, for adapters whose teacher was fitted to returns (95 % intervals from
blocks of 30 days, all assets together). A style is no forecast.

{worth}

## Who chooses as whom

Adapter in rows, teacher in columns: how often they choose alike, %, and in brackets how often the
row's own teacher does.

| | {head} |
|{rule}
{confusion}

## Mixtures

Each pair of adapters mixed in {steps} equal steps, the coefficients adding up to 1, {mixed} views.
In {monotone} of {pairs} pairs agreement with both teachers never falls as their coefficient grows.
Where it falls from one step to the next:

{falls}
"""
