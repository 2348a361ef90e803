"""Scoreboards of the same sweep with several seeds: how far a row's score is the seed's luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from evobourse.experiments.reports.intervals import t_interval, write_interval
from evobourse.experiments.reports.scores import CHAMPION, SPLITS, as_score, score_form


def spread(boards: Mapping[int, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Summarise each row of several scoreboards.

    Parameters
    ----------
    boards
        Rows of ``scoreboard.json`` by seed.

    Returns
    -------
    list of dict
        ``name``, ``asset``, ``split``; ``seeds`` whose score is finite; ``mean`` with ``ci_low``
        and ``ci_high`` (95 %, Student's t), ``least``, ``most`` and ``scores`` by seed, null
        where a market failed; ``ends_lower``, a mean.
    """
    found: dict[tuple[str, str, str], dict[int, Mapping[str, Any]]] = {}
    for seed, rows in boards.items():
        for row in rows:
            found.setdefault((row["asset"], row["split"], row["name"]), {})[seed] = row
    summary = []
    for (asset, split, name), by_seed in found.items():
        scores = {seed: as_score(row["score"]) for seed, row in by_seed.items()}
        finite = np.array([score for score in scores.values() if np.isfinite(score)])
        mean, low, high = t_interval(finite) if len(finite) else (np.nan,) * 3
        numbers = {
            "mean": mean,
            "ci_low": low,
            "ci_high": high,
            "least": finite.min(initial=np.inf),
            "most": finite.max(initial=-np.inf),
            "ends_lower": np.mean([as_score(row.get("ends_lower")) for row in by_seed.values()]),
        }
        summary.append(
            {
                "name": name,
                "asset": asset,
                "split": split,
                "seeds": len(finite),
                **{key: _finite(value) for key, value in numbers.items()},
                "scores": {str(seed): _finite(score) for seed, score in scores.items()},
            }
        )
    return summary


def print_spread(summary: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print one table an asset and split, the best mean first."""
    places = dict.fromkeys((row["asset"], row["split"]) for row in summary)
    for asset, split in sorted(places, key=lambda place: (place[0], list(SPLITS).index(place[1]))):
        members = [row for row in summary if (row["asset"], row["split"]) == (asset, split)]
        console.print(f"[bold]{SPLITS[split]}, {asset}[/]: J/J95 over sweep seeds")
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
        table.add_column("name", no_wrap=True)
        table.add_column("mean [95 %]", no_wrap=True)
        for heading in ("least", "most", "lower", "seeds"):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in sorted(members, key=lambda row: as_score(row["mean"])):
            style = "bold" if row["name"] == CHAMPION else ""
            table.add_row(row["name"], *_cells(row), style=style)
        console.print(table)
        console.print()


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["mean"] is None:
        return "inf", "-", "-", "-", "0"
    mean, low, high = (row[key] for key in ("mean", "ci_low", "ci_high"))
    form = score_form(mean)
    whole = f"{mean:{form}}" if low is None else write_interval((mean, low, high))
    lower = "-" if row["ends_lower"] is None else f"{row['ends_lower']:.0%}"
    return whole, f"{row['least']:{form}}", f"{row['most']:{form}}", lower, str(row["seeds"])


def _finite(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return float(value) if np.isfinite(value) else None
