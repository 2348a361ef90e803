"""A scored series on the terminal: score, moments and stylised facts in 80 columns."""

from __future__ import annotations

import math

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evobourse.experiments.scoring.series import SeriesScore
from evobourse.fitness.fact_table import OF_SETS, FactRow
from evobourse.fitness.moments import MOMENT_LABELS

FACT_MEANINGS = {
    "mean_abs_acf": " 1 |ACF| of r, lags 1-10",
    "excess_kurtosis": " 2 heavy tails, kurtosis",
    "skewness": " 3 gain/loss, skewness",
    "aggregational_gaussianity": " 4 kurtosis, day - week",
    "fano_factor": " 5 bursts, Fano factor",
    "volatility_clustering": " 6 ACF |r|, lags 1-10",
    "conditional_kurtosis": " 7 kurtosis after GARCH",
    "decay_exponent": " 8 decay of ACF |r|, power",
    "acf_abs_month": " 8 ACF |r|, lags 20-30",
    "acf_abs_quarter": " 8 ACF |r|, lags 45-55",
    "leverage": " 9 leverage, r to later r²",
    "volume_volatility": "10 volume with |r|, rank",
    "coarse_fine_asymmetry": "11 coarse leads fine",
    "quantile_distance": "   W1 of quantiles, sd",
    "max_drawdown": "   maximum drawdown",
    "signature_mmd": "   signature MMD, as a set",
}
"""Numbered as in Cont (2001), section 2."""

CONCLUSIONS = {
    "not rejected": "green",
    "undecided": "cyan",
    "rejected": "yellow",
    "degenerate": "red",
}
NOTABLE_ERRORS = 3.0
WIDEST_MEANING = max(map(len, (*MOMENT_LABELS.values(), *FACT_MEANINGS.values())))
COLUMN_WIDTHS = {"scored": 6, "real": 6, "95 % of real": 15, "in band": 7, "off by": 9}


def print_score(result: SeriesScore, console: Console | None = None) -> None:
    """Print a series' score, its moments and its facts beside the real ones.

    Parameters
    ----------
    result
        What `experiments.scoring.series.score_series` found.
    console
        Where to write; standard output by default.
    """
    console = console or Console()
    target, score = result.target, result.score
    console.print(f"[bold]{result.series.name}[/], {result.series.span}", highlight=False)
    console.print(f"against [bold]{result.real.name}[/], {result.real.span}", highlight=False)
    many = "window" if target.paths == 1 else "windows"
    console.print(f"{target.paths} {many} of {target.window_days} days\n", highlight=False)
    conclusion = Text(result.conclusion, f"bold {CONCLUSIONS[result.conclusion]}")
    if score.verdict != "ok":
        found = Text.assemble("J/J95  inf  degenerate: ", (score.verdict, "bold red"))
        console.print(found, soft_wrap=True)
    else:
        grid = Table.grid(padding=(0, 2))
        resamples = len(target.j_real)
        among = f", best of {result.tried:,} tried" if result.tried > 1 else ""
        ratio = Text.assemble((f"{score.ratio:.2f}", "bold"), "  ", conclusion, among)
        grid.add_row("J/J95", ratio, f"J {score.j:.1f}, J95 {target.j95:.1f} of real years apart")
        grid.add_row("p", _p(score.p_value, resamples), f"real years as far; worst: {score.worst}")
        within = f"windows with all moments in the bands; real {result.real_mcr:.2f}"
        grid.add_row("MCR", f"{result.mcr:.2f}", within)
        console.print(grid, highlight=False)
    console.print(Text(_tells(result)))
    console.print()
    console.print(_table("moment", result.moments, MOMENT_LABELS))
    console.print()
    console.print(_table("stylised fact", result.facts, FACT_MEANINGS))
    console.print()
    legend = "in band: share of windows; off by: in standard errors of as many real windows"
    console.print(Text(legend, "dim"))
    for note in (*result.notes, *_undefined(result)):
        console.print(Text(f"note: {note}", "dim"))


def _tells(result: SeriesScore) -> str:
    """Say what a score of so many windows can tell."""
    days, count = result.target.window_days, result.target.paths
    of = f"{count} windows" if count > 1 else "one window"
    needed = result.resolution.windows_needed
    takes = "more than 64 windows" if needed is None else f"{needed} x {days} days"
    return (
        f"Gaussian random walks of {of} pass in {result.resolution.walk_passes:.0%} of cases; "
        f"to tell them in four of five takes {takes}."
    )


def _table(title: str, rows: tuple[FactRow, ...], meanings: dict[str, str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(title, no_wrap=True, width=WIDEST_MEANING)
    for name, width in COLUMN_WIDTHS.items():
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for row in rows:
        if row.defined or not math.isnan(row.real):
            table.add_row(meanings[row.name], *_cells(row))
    return table


def _undefined(result: SeriesScore) -> list[str]:
    """Say on how many windows numbers are defined, where that is not on all of them."""
    paths, sound = result.target.paths, result.moments[0].defined
    nowhere = [row for row in result.facts if not row.defined and math.isnan(row.real)]
    partly = [row for row in result.facts if row.defined < sound and row not in nowhere]
    notes = [f"all numbers are of the {sound} sound windows of {paths}"] if sound < paths else []
    notes += [
        f"{FACT_MEANINGS[row.name].strip()}: defined on {row.defined} of {sound} windows"
        for row in partly
    ]
    if nowhere:
        names = "; ".join(FACT_MEANINGS[row.name].strip() for row in nowhere)
        notes.append(f"not defined on {result.target.window_days} days: {names}")
    return notes


def _cells(row: FactRow) -> tuple[str | Text, ...]:
    band = "-" if math.isnan(row.low) else f"{_number(row.low)} .. {_number(row.high)}"
    inside = "-" if math.isnan(row.coverage) or not row.defined else f"{row.coverage:.2f}"
    if (row.paths == 1 or row.name in OF_SETS) and row.defined:
        inside = {"1.00": "yes", "0.00": "no"}.get(inside, inside)
    off = Text("-")
    if math.isfinite(row.standard_errors):
        notable = abs(row.standard_errors) > NOTABLE_ERRORS
        off = Text(f"{row.standard_errors:+.1f} se", "yellow" if notable else "")
    return _number(row.simulated), _number(row.real), band, inside, off


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.3g}"


def _p(value: float, resamples: int) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if value * resamples >= 1 else f"< {1 / resamples:g}"
