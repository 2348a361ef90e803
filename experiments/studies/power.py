"""How long a simulation must be for a wrong market to be told from a real one.

A weak test is a finding: nothing here fails a build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from joblib import Parallel, cpu_count, delayed
from numpy.typing import NDArray

from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.studies.run import Page, Study
from evobourse.fitness.baselines.calibration import calibrate_franke_westerhoff
from evobourse.fitness.baselines.franke_westerhoff import FrankeWesterhoff
from evobourse.fitness.baselines.garch_fit import fit_garch_t
from evobourse.fitness.baselines.laws import LAW_NAMES, reference_laws
from evobourse.fitness.conditional.power import told_apart
from evobourse.fitness.distance import Score, score_paths
from evobourse.fitness.moments import measured, moments
from evobourse.fitness.target import Target, make_target, target_of_windows
from evobourse.market.series.named import load_series
from evobourse.market.series.splits import LEAST_EMBARGO_DAYS

STUDY = Study(
    question="how long must a simulation be for a wrong market to be told from a real one?",
    minutes=5,
    page="docs/studies/power.md",
)

WINDOW_DAYS = (125, 250, 500, 1000)
PATHS = (1, 10)
LEVEL = 0.05
WANTED_POWER = 0.8
STEP_DAYS = 21
QUARTERS = (20, 32, 64)
HELD_OUT = "real days, held out of the target"
LAWS = ("gbm", "garch_t", "gjr_garch_t", "fw_published", "fw", "bootstrap_target")
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """Shares rejected at 5 % among so many scores: by J/J95 above 1, and by p."""

    law: str
    days: int
    paths: int
    scores: int
    by_j: float
    by_p: float


@dataclass(frozen=True)
class Settings:
    """What is scored.

    Attributes
    ----------
    series
        The real one.
    window_days
        Lengths of a path.
    paths
        Simulated of each law and length: as many scores of one path, a tenth of ten.
    given_pasts
        Series simulated for the energy score given the past.
    workers
        Processes; the figures do not depend on it. All cores by default.
    """

    series: str = "sp500"
    window_days: tuple[int, ...] = WINDOW_DAYS
    paths: int = 2000
    given_pasts: int = 400
    workers: int | None = None


def run(settings: Settings, report: Report) -> Page:
    """Measure the power of every test."""
    series = load_series(settings.series, close_only=True)
    cells = measure_power(series.log_returns, settings, report)
    for cell in cells:
        figure = f"share rejected, {cell.law}, {cell.paths} x {cell.days} days"
        report.figure(figure, cell.by_j, "1", "J/J95 at 5 %", cell.by_j / LEVEL)
    law, rng = fit_garch_t(series.log_returns, 0), np.random.default_rng(0)
    told = told_apart(law, QUARTERS, settings.given_pasts, rng)
    for rival, shares in told.items():
        for quarters, share in zip(QUARTERS, shares.tolist(), strict=True):
            figure = f"share told from GARCH-t told the past, {rival}, {quarters} quarters"
            report.figure(figure, share, "1", "the level", share / LEVEL)
    span = f"{series.name}, {series.dates[0]} to {series.dates[-1]}"
    page = render(cells, span, report.command)
    return Page("\n".join([page, *given_pasts_section(told, settings.given_pasts), ""]))


def measure_power(real: Array, settings: Settings, report: Report) -> list[Cell]:
    """Score every law at every length against daily log returns, [T]."""
    lengths = settings.window_days
    tasks = [
        partial(_law_cells, real, law, days, settings.paths)
        for days in lengths[::-1]
        for law in LAWS
    ]
    tasks += [partial(_held_out_cells, real, days) for days in lengths]
    cells: list[Cell] = []
    with report.steps("scoring", len(tasks)) as step:
        parallel = Parallel(settings.workers or cpu_count(), return_as="generator")
        for found in parallel(delayed(_call)(task) for task in tasks):
            cells += found
            step()
    return sorted(cells, key=lambda c: ((*LAWS, HELD_OUT).index(c.law), c.days, c.paths))


def _call(task: Callable[[], list[Cell]]) -> list[Cell]:
    return task()


def _law_cells(real: Array, law: str, days: int, paths: int) -> list[Cell]:
    draw, bootstrap = np.random.SeedSequence((LAWS.index(law), days)).spawn(2)
    rng = np.random.default_rng(draw)
    targets = {n: make_target(real, days, n, np.random.default_rng(bootstrap)) for n in PATHS}

    # calibrated on the very windows and the statistic of one path: the hardest rival to tell
    def calibrate(student: bool) -> FrankeWesterhoff:
        return calibrate_franke_westerhoff(targets[1], np.random.SeedSequence(0), student=student)

    simulated = reference_laws(real, real, calibrate)[law](paths, days, rng)
    cells = []
    for n, target in targets.items():
        groups = simulated[: paths // n * n].reshape(-1, n, days)
        cells.append(_cell(law, target, [score_paths(group, target) for group in groups]))
    return cells


def _held_out_cells(real: Array, days: int) -> list[Cell]:
    """Score windows side by side against all that lie beyond an embargo on either side of them."""
    sigma = float(real.std())
    every = moments(np.lib.stride_tricks.sliding_window_view(real, days), sigma)
    rng = np.random.default_rng(np.random.SeedSequence((len(LAWS), days)))
    cells = []
    for n in PATHS:
        scores: list[Score] = []
        target = None
        for first in range(0, len(real) - n * days + 1, STEP_DAYS):
            last = first + n * days
            until, since = first - LEAST_EMBARGO_DAYS, last + LEAST_EMBARGO_DAYS
            starts = np.arange(len(every))
            known = every[(starts + days <= until) | (starts >= since)]
            known_days = max(until, 0) + max(len(real) - since, 0)
            if known_days < 2 * days:
                continue
            names = measured(days, with_volume=False)
            target = target_of_windows(
                known, names, sigma, days, n, known_days, rng, split=HELD_OUT
            )
            scores.append(score_paths(real[first:last].reshape(n, days), target))
        if target is not None:
            cells.append(_cell(HELD_OUT, target, scores))
    return cells


def _cell(law: str, target: Target, scores: list[Score]) -> Cell:
    by_p = float(np.mean([score.p_value <= LEVEL for score in scores]))
    by_j = float(np.mean([score.ratio > 1.0 for score in scores]))
    return Cell(law, target.window_days, target.paths, len(scores), by_j, by_p)


def render(cells: list[Cell], span: str, command: str) -> str:
    """Write the page in Markdown."""
    found = {(cell.law, cell.days, cell.paths): cell for cell in cells}
    simulated = max(cell.scores for cell in cells if cell.law in LAWS)
    lines = [
        "# How long a simulation must be",
        "",
        f"Written by `{command}`; do not edit.",
        "",
        f"Share of scores rejected at 5 % against {span}. Each law is simulated "
        f"{simulated:,} times at each length: as many scores of one path, a tenth as many of ten.",
        "",
        "## By J/J95 above 1, the number on every scoreboard",
        "",
        *_table(found, lambda cell: cell.by_j),
        "",
        "*Least days*: the smallest simulation of the table that is told from the real market with "
        f"a chance of {100 * WANTED_POWER:.0f} %. The last two rows are false alarms. *Redrawn* "
        "are 5 % by construction. *Held out* are real days in windows side by side, at all places "
        f"of the series {STEP_DAYS} days apart, scored against the windows that lie "
        f"{LEAST_EMBARGO_DAYS} days or more from them: what another regime alone costs. They "
        "overlap, so there are far fewer independent ones:",
        "",
        *_held_out_counts(found),
        "",
        "## By p, the verdict on every scoreboard",
        "",
        "All moments together or the worst alone is as far off as 5 % of real years are.",
        "",
        *_table(found, lambda cell: cell.by_p),
        "",
    ]
    return "\n".join(lines)


def given_pasts_section(told: Mapping[str, Array], series: int) -> Iterator[str]:
    """Write the section on the energy score given the past, of `told_apart`."""
    yield "## By the energy score given the past"
    yield ""
    yield (
        f"Days are drawn from GARCH-t fitted to the whole series, {series:,} times; share of tests "
        "at 5 % that tell a law from GARCH-t told the past, 16 paths a quarter. The first row are "
        "false alarms."
    )
    yield ""
    yield f"| held against it | {' | '.join(f'{n} quarters' for n in QUARTERS)} |"
    yield f"|---|{'---:|' * len(QUARTERS)}"
    for rival, shares in told.items():
        yield f"| {rival} | {' | '.join(f'{share:.0%}' for share in shares)} |"
    yield ""
    yield (
        "The held-out years of a sweep hold 32 quarters; see "
        "[decision 131](../decisions/131-what-follows-a-given-past.md)."
    )


def _table(
    found: Mapping[tuple[str, int, int], Cell], share: Callable[[Cell], float]
) -> Iterator[str]:
    lengths = sorted({days for _, days, _ in found})
    places = [(days, n) for n in PATHS for days in lengths]
    names = [f"{n} x {days}" for days, n in places]
    yield f"| paths x days | {' | '.join(names)} | least days |"
    yield f"|---|{'---:|' * len(places)}---|"
    for law in (*LAWS, HELD_OUT):
        cells = [found.get((law, days, n)) for days, n in places]
        shares = [float("nan") if cell is None else share(cell) for cell in cells]
        shown = ["-" if np.isnan(value) else f"{value:.0%}" for value in shares]
        enough = [
            (days * n, f"{n} x {days}")
            for (days, n), value in zip(places, shares, strict=True)
            if value >= WANTED_POWER
        ]
        null = law in ("bootstrap_target", HELD_OUT)
        least = "" if null else min(enough)[1] if enough else "more"
        yield f"| {LAW_NAMES.get(law, law)} | {' | '.join(shown)} | {least} |"


def _held_out_counts(found: Mapping[tuple[str, int, int], Cell]) -> Iterator[str]:
    yield "| paths x days | places | side by side |"
    yield "|---|---:|---:|"
    for n in PATHS:
        for days in sorted({days for _, days, _ in found}):
            if cell := found.get((HELD_OUT, days, n)):
                apart = 1 + (cell.scores - 1) * STEP_DAYS // (n * days)
                yield f"| {n} x {days} | {cell.scores} | {apart} |"
