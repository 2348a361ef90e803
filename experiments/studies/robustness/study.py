"""What a bred market owes to what: one thing changed at a time, and what survives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.simulate.bundle import open_bundle
from evobourse.experiments.studies.robustness.standings import judge_variants
from evobourse.experiments.studies.robustness.table import print_robustness
from evobourse.experiments.studies.robustness.variants import (
    list_variants,
    open_other_adapters,
    open_other_base,
)
from evobourse.experiments.studies.run import Page, Study, as_block

STUDY = Study(
    question="what does a bred market owe to its masks, adapters, recipe, size and seeds?",
    minutes=10,
    page="runs/studies/robustness.md",
)


@dataclass(frozen=True)
class Settings:
    """What is changed.

    Attributes
    ----------
    bundle
        Whose market.
    config
        Its experiment; that of its run by default.
    groups
        Of paths a score; as on the run's scoreboard by default.
    adapters
        A folder of other adapters of the same names.
    base
        Another base model of the same shapes, by name or folder.
    """

    bundle: Path = Path("runs/quickstart/bundle")
    config: Path | None = None
    groups: int | None = None
    adapters: Path | None = None
    base: str | None = None


def run(settings: Settings, report: Report) -> Page:
    """Score the population with one thing changed at a time; held-out windows are not read."""
    config = load_config(settings.config or settings.bundle.resolve().parent / "config.yaml")
    groups = settings.groups or config.selection.heldout_groups
    bundle, bases = open_bundle(settings.bundle)
    others = open_other_adapters(bundle, settings.adapters) if settings.adapters else None
    elsewhere = open_other_base(bundle, settings.base) if settings.base else None
    variants = list_variants(bundle, bases, others, elsewhere)
    standings = []
    with report.steps("variants", 2 * len(variants)) as step:
        for standing in judge_variants(config, bundle, variants, groups):
            standings.append(standing)
            step()
    for standing in standings:
        row, against = standing.row, standing.against
        ratio = None if against is None else float(np.exp(against[0]))
        name = f"J/J95, {row['name']}, {row['split']} windows"
        report.figure(name, row["score"], "1", "the original", ratio)
    page = PAGE.format(
        command=report.command,
        bundle=settings.bundle,
        groups=groups,
        paths=groups * config.market.paths,
        changes="\n".join(f"- `{variant.name}`: {variant.change}" for variant in variants),
        table=as_block(lambda console: print_robustness(standings, console)),
    )
    return Page(page)


PAGE = """# What a bred market owes to what

Written by `{command}`; do not edit.

The population of `{bundle}` with one thing changed at a time, on training and validation windows,
{groups} groups of paths, {paths} paths a split:

{changes}

{table}
"""
