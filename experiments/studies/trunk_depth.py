"""How many layers style adapters should touch: agreement lost against the time of a round.

The same styles are trained at several depths; what follows stands in docs/decisions/058.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.observation import possible_views
from evobourse.evolve.bases.opening import open_model
from evobourse.experiments.config.experiment import ExperimentConfig, load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.studies.run import Page, Study
from evobourse.experiments.styles.measures import measure_styles
from evobourse.experiments.styles.supervised import StylePlan, train_styles
from evobourse.merge.sources import adapter_folders

STUDY = Study(
    question="how many layers should style adapters touch?",
    minutes=120,
    page="runs/studies/trunk_depth.md",
)

QUICKSTART = Path(__file__).parents[1] / "quickstart.yaml"
STYLES = ("momentum", "news-driven")
WIDER = 3


@dataclass(frozen=True)
class Settings:
    """What is trained.

    Attributes
    ----------
    folder
        Of the adapters; those that are there are not trained again.
    depths
        Numbers of uppermost layers.
    steps
        Of each training.
    attention
        Signs that an agent attends to at most.
    """

    folder: Path = Path("runs/trunk-depth")
    depths: tuple[int, ...] = (3, 6, 10, 15, 30)
    steps: int = 40
    attention: int = 2


def run(settings: Settings, report: Report) -> Page:
    """Train what is missing at every depth, then measure all."""
    config = load_config(QUICKSTART)
    config = replace(config, minds=replace(config.minds, attention=settings.attention))
    for depth in settings.depths:
        train_depth(config, settings.folder, depth, settings.steps, report)
    found = {
        depth: measure_depth(config, settings.folder, depth, report) for depth in settings.depths
    }
    names = list(next(iter(found.values())))
    lines = [f"| top layers | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for depth, figures in found.items():
        lines.append(f"| {depth} | {' | '.join(f'{x:.3f}' for x in figures.values())} |")
    page = PAGE.format(command=report.command, steps=settings.steps, table="\n".join(lines))
    return Page(page)


def train_depth(
    config: ExperimentConfig, folder: Path, depth: int, steps: int, report: Report
) -> None:
    """Train the styles on the uppermost layers, unless their folders are there."""

    def on_step(name: str, step: int, steps: int, loss: float) -> None:
        if step % 10 == 0 or step == steps:
            report.say(f"top {depth} {name}: step {step} of {steps}, loss {loss:.3f}")

    plan = StylePlan(only=STYLES, steps=steps, top_layers=depth)
    train_styles(config, depth_folder(folder, depth), plan, on_step)


def measure_depth(
    config: ExperimentConfig, folder: Path, depth: int, report: Report
) -> dict[str, float]:
    """Measure agreement with the teachers on held-out days, and the time of sixteen minds."""
    folder = depth_folder(folder, depth)
    figures: dict[str, float] = {}
    for attention, count in ((config.minds.attention, 1000), (WIDER, 300)):
        wider = replace(config, minds=replace(config.minds, attention=attention))
        for row in measure_styles(wider, folder, count=count):
            name, trained, bare = f"{row.style}, up to {attention} signs", row.trained, row.bare
            figures |= {name: trained.value, f"{name}, bare": bare.value}
            name = f"agreement with the teacher, {name}, top {depth} layers"
            report.figure(name, trained.value, "1", "bare", trained.value / bare.value)
    engine = open_model(config.minds.base, adapter_folders(folder), ()).engine
    one, four = seconds_of_minds(engine, 1), seconds_of_minds(engine, 4)
    figures["seconds, one mind"] = one
    # The trunk is computed once, the rest once a mind.
    figures["seconds, sixteen minds, from one and four"] = one + 15 * (four - one) / 3
    for name in ("seconds, one mind", "seconds, sixteen minds, from one and four"):
        report.figure(f"{name}, top {depth} layers", figures[name], "s")
    return figures


def seconds_of_minds(engine: MindEngine, minds: int) -> float:
    """Return processor seconds of new minds' answers to all views of two signs."""
    views, bank = possible_views(2), engine.bank
    drawn = np.random.default_rng(minds).normal(0, 0.5, (minds, bank.blocks, len(bank.adapters)))
    asked = drawn.astype(np.float32)
    engine.trie.clear()
    began = time.process_time()
    for mind in asked:
        engine.ask(mind, views)
    engine.answer(asked[0], views)
    return time.process_time() - began


def depth_folder(folder: Path, depth: int) -> Path:
    """Name the folder of the adapters of one depth."""
    return folder / f"top-{depth:02d}"


PAGE = """# How many layers style adapters should touch

Written by `{command}`; do not edit.

The same styles trained for {steps} steps on the uppermost layers alone. Agreement with the teacher
on held-out views, the bare base beside it; processor seconds of minds' answers to all views of two
signs. What follows stands in docs/decisions/058.

{table}
"""
