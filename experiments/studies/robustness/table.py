"""A robustness report as a table of the terminal, in 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from evobourse.experiments.reports.scores import SPLITS, format_score
from evobourse.experiments.studies.robustness.standings import Standing, survivors
from evobourse.fitness.moments import MOMENT_LABELS

COLOURS = {
    "worse": "yellow",
    "better": "green",
    "original": "bold",
    "undecided": "",
    "degenerate": "red",
}


def print_robustness(standings: Sequence[Standing], console: Console | None = None) -> None:
    """Print, for training and validation windows, what stays of a population and what evaporates.

    Parameters
    ----------
    standings
        See `experiments.studies.robustness.standings.judge_variants`.
    console
        Where to write; standard output by default.
    """
    console = console or Console()
    for split in ("train", "validation"):
        mine = [s for s in standings if s.row["split"] == split]
        if mine:
            windows = f"{SPLITS[split]} windows, {mine[0].row['asset']}"
            console.print(f"[bold]{windows}[/]: J / J95, lower is closer to the real market")
            console.print(_table(mine))
            for line in _fates(mine):
                console.print(line, highlight=False)
            console.print()
    console.print(
        "log ratio: mean over groups of log(J/J95) less the original's, same seeds but for "
        "other_seeds; above 0 the original is better. A moment is real where its mean is inside "
        "95 % of real windows.",
        style="dim",
    )


def _table(standings: Sequence[Standing]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in ("name", "score [95 %]", "log ratio [95 %]", "verdict"):
        table.add_column(column, no_wrap=True)
    for standing in standings:
        row, against = standing.row, standing.against
        table.add_row(
            row["name"],
            format_score(row),
            "" if against is None else "{:+.2f} [{:+.2f}, {:+.2f}]".format(*against),
            standing.verdict,
            style=COLOURS[standing.verdict],
        )
    return table


def _fates(standings: Sequence[Standing]) -> list[str]:
    """Say of each moment that the original or a variant has right what becomes of it."""
    lines = []
    for name, fates in survivors(standings).items():
        told = [f"{fate} {len(names)}" for fate, names in fates.items()]
        lost = ", ".join(fates.get("evaporates", ()))
        gained = ", ".join(fates.get("appears", ()))
        notes = [f"gone with {lost}" if lost else "", f"new with {gained}" if gained else ""]
        lines.append(
            f"{MOMENT_LABELS[name]:<24} {', '.join(told)}"
            + "".join(f"; {note}" for note in notes if note)
        )
    return lines
