"""What every law without agents scores on a series, in sample and held out: the bar to clear."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.scores import score_form
from evobourse.fitness.baselines.calibration import calibrate_franke_westerhoff
from evobourse.fitness.baselines.franke_westerhoff import FrankeWesterhoff
from evobourse.fitness.baselines.laws import LAW_NAMES, reference_laws
from evobourse.fitness.comparisons import holm, pool_scores
from evobourse.fitness.distance import SplitScore, Target, make_target, score_groups
from evobourse.fitness.moments import MOMENTS, measured
from evobourse.market.series.prices import PriceSeries
from evobourse.market.series.splits import LEAST_EMBARGO_DAYS

SPLITS = {"train": "In sample", "heldout": "Held out"}
LEVEL = 0.05
POOLED = "all, pooled"


@dataclass(frozen=True)
class BaselineRow:
    """A law on one half of a series, or on that of several, pooled.

    Attributes
    ----------
    law, asset, split
        What was scored and where.
    ratio, ci_low, ci_high
        Mean J/J95 over the groups with its 95 % interval over seeds; none for a pooled row.
    p_value, p_holm
        Share of real resamples whose J is at or above the mean, and after Holm's correction
        for the laws beside it.
    mcr, coverage
        Joint moment coverage ratio, and that of each moment alone (empty for a pooled row).
    verdict
        ``ok``, or which path is degenerate.
    """

    law: str
    asset: str
    split: str
    ratio: float
    ci_low: float
    ci_high: float
    p_value: float
    p_holm: float
    mcr: float
    coverage: tuple[float, ...]
    verdict: str

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values; null stands for infinite and for not defined."""
        values = asdict(self)
        undefined = {k: None for k, v in values.items() if isinstance(v, float) and not isfinite(v)}
        return {**values, **undefined}


@dataclass(frozen=True)
class Budget:
    """Days of a window, paths averaged in one score, and scores of each law."""

    window_days: int = 1000
    paths: int = 4
    groups: int = 50


def baseline_rows(
    assets: Sequence[PriceSeries], budget: Budget, seed: int, on_law: Callable[[], None]
) -> list[BaselineRow]:
    """Fit the laws on the first half of each series and score them on both halves.

    Parameters
    ----------
    assets
        Series to halve, with an embargo between the halves.
    budget
        Size of the simulations.
    seed
        Of every draw.
    on_law
        Called after each law, on each half of each series.

    Returns
    -------
    list of BaselineRow
        By split, then asset, then law; several assets are also pooled.

    Raises
    ------
    ConfigError
        A half is shorter than two windows.
    """
    scored: dict[tuple[str, str, str], tuple[SplitScore, Target]] = {}
    for key, series in enumerate(assets):
        stream = np.random.SeedSequence((seed, key))
        for split, law, score, target in _score_laws(series, budget, stream):
            scored[split, series.name, law] = (score, target)
            on_law()
    rows = []
    for split in SPLITS:
        for series in assets:
            here = {law: scored[split, series.name, law] for law in LAW_NAMES}
            corrected = holm([score.p_value for score, _ in here.values()])
            rows += [
                BaselineRow(
                    law,
                    series.name,
                    split,
                    score.ratio,
                    score.ci_low,
                    score.ci_high,
                    score.p_value,
                    float(p_holm),
                    score.mcr,
                    tuple(map(float, score.coverage)),
                    score.verdict,
                )
                for (law, (score, _)), p_holm in zip(here.items(), corrected, strict=True)
            ]
        if len(assets) > 1:
            rows += _pooled(split, [series.name for series in assets], scored)
    return rows


def _pooled(
    split: str, assets: list[str], scored: dict[tuple[str, str, str], tuple[SplitScore, Target]]
) -> list[BaselineRow]:
    nan = float("nan")
    pooled = {
        law: pool_scores({asset: scored[split, asset, law] for asset in assets})
        for law in LAW_NAMES
    }
    corrected = holm([score.p_value for score in pooled.values()])
    return [
        BaselineRow(
            law, POOLED, split, score.ratio, nan, nan, score.p_value, float(p_holm), score.mcr, (),
            score.verdict,
        )
        for (law, score), p_holm in zip(pooled.items(), corrected, strict=True)
    ]  # fmt: skip


def _score_laws(
    series: PriceSeries, budget: Budget, seed: np.random.SeedSequence
) -> Iterator[tuple[str, str, SplitScore, Target]]:
    days = budget.window_days
    half = (len(series.log_returns) - LEAST_EMBARGO_DAYS) // 2
    if half < 2 * days:
        raise ConfigError(
            f"{series.name}: {half} days on each side of the embargo, expected at least "
            f"{2 * days}, two windows: give more days or a smaller --window-days"
        )
    halves: dict[str, NDArray[np.float64]] = {
        "train": series.log_returns[:half],
        "heldout": series.log_returns[-half:],
    }
    of_targets, of_laws, of_search = seed.spawn(3)
    targets = {
        split: make_target(r, days, budget.paths, np.random.default_rng(child), split=split)
        for (split, r), child in zip(halves.items(), of_targets.spawn(len(halves)), strict=True)
    }

    @cache
    def calibrated(student: bool) -> FrankeWesterhoff:
        return calibrate_franke_westerhoff(targets["train"], of_search, student=student)

    for split, returns in halves.items():
        laws = reference_laws(halves["train"], returns, calibrated)
        for (name, law), child in zip(laws.items(), of_laws.spawn(len(laws)), strict=True):
            rng = np.random.default_rng(child)
            paths = law(budget.groups * budget.paths, days, rng)
            grouped = paths.reshape(budget.groups, budget.paths, days)
            yield split, name, score_groups(grouped, targets[split], rng), targets[split]


def print_rows(rows: Sequence[BaselineRow], console: Console) -> None:
    """Print a table each split and asset in 80 columns; the page has each moment's coverage."""
    for split, title in SPLITS.items():
        for asset in dict.fromkeys(row.asset for row in rows):
            table = Table(box=box.SIMPLE_HEAD, show_edge=False, title=f"{title}, {asset}")
            table.title_justify = "left"
            for column in ("law", "J/J95 [95 %]", "p", "Holm", "MCR"):
                table.add_column(
                    column, no_wrap=True, justify="left" if column == "law" else "right"
                )
            for row in rows:
                if (row.split, row.asset) == (split, asset):
                    cells = _p(row.p_value), _p(row.p_holm), f"{row.mcr:.2f}"
                    colour = "yellow" if row.p_holm <= LEVEL else "green"
                    table.add_row(LAW_NAMES[row.law], Text(_score(row), colour), *cells)
            console.print(table)
            console.print()
    for line in _checks(rows):
        console.print(line, highlight=False)


def render(rows: Sequence[BaselineRow], spans: Sequence[str], budget: Budget, command: str) -> str:
    """Write the page in Markdown."""
    lines = [
        "# What the laws without agents score",
        "",
        f"{'; '.join(spans)}. Laws are fitted on the first half of each series and scored on it "
        f"(in sample) and on the second, {LEAST_EMBARGO_DAYS} trading days later (held out): "
        f"{budget.groups} scores of {budget.paths} paths of {budget.window_days} days each.",
        f"Written by `{command}`.",
        "",
        "J/J95 is the distance of the moments over that of real years from each other; p is the "
        "share of real years as far as all paths together, in all moments or the worst, and Holm's "
        "is corrected for the laws of the table. MCR is the share of paths with all "
        "moments in the real windows' 95 % intervals, behind it each moment's own share.",
        "",
    ]
    for split, title in SPLITS.items():
        for asset in dict.fromkeys(row.asset for row in rows):
            members = [row for row in rows if (row.split, row.asset) == (split, asset)]
            lines += [f"## {title}, {asset}", "", *_table(members, budget.window_days), ""]
    return "\n".join([*lines, *_checks(rows), ""])


def _table(rows: Sequence[BaselineRow], days: int) -> Iterator[str]:
    known = measured(days, with_volume=False)
    names = [m.short for m in MOMENTS if m.name in known] if rows[0].coverage else []
    yield " | ".join(["| law", "J/J95 [95 %]", "p", "Holm", "MCR", *names]) + " |"
    yield f"|---|---:|---:|---:|---:|{'---:|' * len(names)}"
    for row in rows:
        shares = [f"{share:.2f}" for share in row.coverage]
        cells = [LAW_NAMES[row.law], _score(row), _p(row.p_value), _p(row.p_holm), f"{row.mcr:.2f}"]
        yield "| " + " | ".join([*cells, *shares]) + " |"


def _checks(rows: Sequence[BaselineRow]) -> Iterator[str]:
    """Say whether the yardstick tells a random walk from the real days themselves, everywhere."""
    yield "The yardstick itself:"
    for law, must in (("bootstrap_target", "must not"), ("gbm", "must")):
        wrong = [
            f"{row.asset}, {SPLITS[row.split].lower()}"
            for row in rows
            if row.law == law and (row.p_holm <= LEVEL) != (must == "must")
        ]
        how = f"is wrong about it: {'; '.join(wrong)}" if wrong else "is right about it everywhere"
        yield f"{LAW_NAMES[law]} {must} be rejected at 5 %, and the score {how}."


def _score(row: BaselineRow) -> str:
    if not np.isfinite(row.ratio):
        return row.verdict
    form = score_form(row.ratio)
    interval = "" if np.isnan(row.ci_low) else f" [{row.ci_low:{form}}, {row.ci_high:{form}}]"
    return f"{row.ratio:{form}}{interval}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.0005 else "< .001"
