"""Scoreboards: rows, their names, scores with intervals, verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

MEANINGS = {
    "evolved": "evolved market",
    "unevolved": "before evolution",
    "random_tendencies": "random tendencies",
    "rule_based": "rule-based traders",
    "gbm": "random walk",
    "gbm-history": "conditional walk",
    "garch_t": "GARCH-t",
    "gjr_garch_t": "GJR-GARCH-t",
    "garch_t-history": "conditional GARCH-t",
    "fw": "Franke-Westerhoff",
    "fw_published": "published F.-W.",
    "fw_t": "F.-W., Student noise",
    "stochastic_volatility": "stochastic volatility",
    "bootstrap_train": "real training days",
    "bootstrap_target": "real held-out days",
}


SPLITS = {"train": "Training", "validation": "Validation", "heldout": "Held out"}


Row = Mapping[str, Any]


def print_scoreboard(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print one table an asset and split, each sorted by score, held-out years last.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of ``scoreboard.json``; a null or NaN score counts as infinite. A row is rejected if
        its score is above 1 and its p-value, corrected for the rows beside it, 5 % or less.
    console : Console, optional
        Where to write; standard output by default.
    """
    console = console or Console()
    order = list(SPLITS)

    def place(row: Row) -> tuple[str, int]:
        split = row["split"]
        return str(row["asset"]), order.index(split) if split in order else len(order)

    for (asset, _), group in groupby(sorted(rows, key=place), place):
        members = sorted(group, key=lambda row: as_score(row["score"]))
        split = SPLITS.get(members[0]["split"], members[0]["split"])
        console.print(f"[bold]{split}, {asset}[/]: J / J95, lower is closer to the real market")
        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            padding=0,
        )
        table.add_column("name", no_wrap=True)
        table.add_column("score [95 %]", no_wrap=True)
        table.add_column("MCR", justify="right", no_wrap=True)
        table.add_column("seeds", justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        table.add_column("what it is", style="dim")
        for row in members:
            table.add_row(*_cells(row), style="bold" if row["name"] == "evolved" else "")
        console.print(table)
        for row in members:
            if row.get("verdict", "ok") != "ok":
                console.print(f"{row['name']}: {row['verdict']}", style="red", highlight=False)
        console.print()


def describe(name: str) -> str:
    """Say in a few words what a scoreboard row is, as in ``evolved, no masks``."""
    return MEANINGS.get(name) or name.replace("-", ", ").replace("_", " ")


def as_score(value: Any) -> float:
    """Read a score; null and NaN, which JSON leaves of a degenerate market, are infinite."""
    return math.inf if value is None or math.isnan(value) else float(value)


def format_score(row: Row) -> str:
    """Print a row's score with its interval, as in ``0.84 [0.61, 1.08]``."""
    score, low, high = (as_score(row[key]) for key in ("score", "ci_low", "ci_high"))
    if not math.isfinite(score):
        return "inf"
    form = score_form(score)
    return f"{score:{form}} [{low:{form}}, {high:{form}}]"


def score_form(score: float) -> str:
    """Return the format of a score and its interval: three or four digits."""
    return ".2f" if score < 10 else ".1f" if score < 100 else ".0f" if score < 10_000 else ".1e"


def _cells(row: Row) -> tuple[str | Text, ...]:
    verdict = Text(*conclude(row))
    mcr, seeds = row.get("mcr"), row.get("seeds")
    share = "-" if mcr is None or math.isnan(mcr) else f"{mcr:.2f}"
    known = "-" if seeds is None else str(seeds)
    meaning, tried = describe(row["name"]), row.get("tried", 1)
    if tried > 1:
        meaning += f", best of {tried:,}"
    return row["name"], format_score(row), share, known, verdict, meaning


def conclude(row: Row) -> tuple[str, str]:
    """Say whether a row is rejected at 5 %, given how many rows the table has, and its colour."""
    if as_score(row["score"]) <= 1.0:
        return "not rejected", "green"
    p_holm = row.get("p_holm")
    return ("rejected", "yellow") if p_holm is None or p_holm <= 0.05 else ("undecided", "cyan")
