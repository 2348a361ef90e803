"""Scoreboards: rows, their names, scores with intervals, verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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


CHAMPION, REAL_TRAIN, REAL_TARGET = "evolved", "bootstrap_train", "bootstrap_target"
POOLED = "pooled"
"""The asset of rows that are of all assets."""

SPLITS = {"train": "Training", "validation": "Validation", "heldout": "Held out"}


Row = Mapping[str, Any]
WIDE = 106
"""Columns of a terminal from which on a scoreboard says what each row is."""


def print_scoreboard(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print one table an asset and split, sorted by score; held-out years and pooled rows last.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of ``scoreboard.json``; a null or NaN score counts as infinite. A row is rejected if
        its p-value, corrected for the rows beside it, is 5 % or less. Skill is the score over that
        of real training days, ``past`` the energy score given real pasts over that of GARCH-t told
        the same, ``lower`` the share of paths that end lower.
    console : Console, optional
        Where to write; standard output by default.
    """
    console = console or Console()
    order = list(SPLITS)

    def place(row: Row) -> tuple[bool, str, int]:
        asset, split = str(row["asset"]), row["split"]
        return asset == POOLED, asset, order.index(split) if split in order else len(order)

    for (_, asset, _), group in groupby(sorted(rows, key=place), place):
        members = sorted(group, key=lambda row: as_score(row["score"]))
        split = SPLITS.get(members[0]["split"], members[0]["split"])
        known = members[0].get("seeds")
        paths = f" of {known} paths" if known else ""
        console.print(f"[bold]{split}, {asset}[/]: J/J95{paths}, less is closer to the real market")
        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            padding=0,
        )
        table.add_column("name", no_wrap=True)
        table.add_column("score [95 %]", no_wrap=True)
        shown = [key for key in _SHARES if any(row.get(key) is not None for row in members)]
        for key in shown:
            table.add_column(_SHARES[key][0], justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        wide = console.width >= WIDE
        if wide:
            table.add_column("what it is", style="dim")
        for row in members:
            cells = _cells(row, shown)
            style = "bold" if row["name"] == "evolved" else ""
            table.add_row(*(cells if wide else cells[:-1]), style=style)
        console.print(table)
        for row in members:
            if not wide and row.get("tried", 1) > 1:
                console.print(f"{row['name']}: {_chosen_from(row)}", highlight=False)
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


def given_pasts(row: Row) -> str:
    """Print a row's skill given real pasts with its p-value, as in ``1.08 (p 0.03)``."""
    skill, p_value = (as_score(row.get(f"conditional_{key}")) for key in ("skill", "p"))
    if not math.isfinite(skill):
        return "-"
    return f"{skill:.2f}" + (f" (p {p_value:.2g})" if math.isfinite(p_value) else "")


_SHARES: dict[str, tuple[str, Callable[[float], str]]] = {
    "skill": ("skill", lambda skill: f"{skill:{score_form(skill)}}"),
    "conditional_skill": ("past", lambda skill: f"{skill:{score_form(skill)}}"),
    "mcr": ("MCR", lambda share: f"{share:.2f}"),
    "ends_lower": ("lower", lambda share: f"{share:.0%}"),
}
"""Columns beside the score: what each is called, and how it is printed."""


def _cells(row: Row, shown: Sequence[str]) -> tuple[str | Text, ...]:
    values = {key: as_score(row.get(key)) for key in shown}
    beside = [_SHARES[k][1](value) if math.isfinite(value) else "-" for k, value in values.items()]
    meaning = describe(row["name"])
    if row.get("tried", 1) > 1:
        meaning += f", {_chosen_from(row)}"
    return row["name"], format_score(row), *beside, Text(*conclude(row)), meaning


def _chosen_from(row: Row) -> str:
    return f"best of {row['tried']:,}"


def conclude(row: Row) -> tuple[str, str]:
    """Say whether a row is rejected at 5 %, given how many rows the table has, and its colour.

    By its p-value; where there is none, by a score above 1.
    """
    p_value = row.get("p_value")
    if as_score(row["score"]) <= 1.0 if p_value is None else p_value > 0.05:
        return "not rejected", "green"
    p_holm = row.get("p_holm")
    return ("rejected", "yellow") if p_holm is None or p_holm <= 0.05 else ("undecided", "cyan")
