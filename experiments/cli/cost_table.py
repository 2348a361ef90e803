"""What a sweep will cost, on the screen."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from evobourse.experiments.cli.progress import short_time


def print_estimate(cost: dict[str, Any], console: Console) -> None:
    """Print what `experiments.sweep.cost.estimate` found, in 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    headings = ("", "candidates", "markets", "decisions", "answers", "time")
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, part in {**cost["parts"], "total": cost["total"]}.items():
        table.add_row(
            name,
            f"{part['candidates']:,}" if part["candidates"] else "-",
            f"{part['markets']:,}",
            f"{part['decisions']:,}",
            f"{part['forward_passes']:,}",
            short_time(part["seconds"]),
            style="bold" if name == "total" else "",
        )
    console.print(table)
    rates = cost["rates"]
    lines = [
        f"generations: {cost['generations']}; the search ends: {cost['ends']}",
        "answers are at most so many new ones: they are remembered, one a mind and view",
        f"rates {rates['source']}: {1 / rates['answer_s']:,.0f} new answers/s, "
        f"{1 / rates['decision_s']:,.0f} decisions/s traded by {cost['workers']} workers, "
        f"{rates['merge_s']:.1f} s a merge, {rates['load_s']:.0f} s of loading (in the total)",
        f"disk: about {cost['disk_bytes'] / 1e6:,.0f} MB with MLflow and the bundle",
    ]
    if taught := cost.get("lessons"):
        lines.insert(
            1,
            f"lessons: {taught['count']:,} of {taught['steps']:,} training steps in all, on "
            f"{taught['markets']:,} recorded markets at {1 / rates['lesson_decision_s']:,.0f} "
            "decisions/s; "
            "no backward pass, their gradients are differences of answers; the other markets are "
            "those of pupils, as they were and as taught",
        )
    for line in lines:
        console.print(line, highlight=False)
