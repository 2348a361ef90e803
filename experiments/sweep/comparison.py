"""Two runs side by side: what was set, what it cost to get how far, how they scored, which genes.

No difference is called significant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from evobourse.evolve.budget import count_paths
from evobourse.evolve.errors import RunError
from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.reports.ancestry import best_candidate, gene_table
from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.experiments.reports.scores import SPLITS, as_score, describe, format_score
from evobourse.experiments.sweep.resume import open_run
from evobourse.fitness.palette import COLOURS, INK

SHOWN_GENES = 20
SMALLEST_SCORE = 1e-3
_NAMES = ("name", "asset", "split")


@dataclass(frozen=True)
class FinishedSweep:
    """A run's files, read.

    Attributes
    ----------
    folder : RunFolder
    config : ExperimentConfig
    candidates : list of Candidate
    champion : Candidate
        The chosen one, or the best training score so far.
    rows : list of dict
        Of the scoreboard; none before the end.
    stopped : str or None
        Why the search ended, in words.
    """

    folder: RunFolder
    config: ExperimentConfig
    candidates: list[Candidate]
    champion: Candidate
    rows: list[dict[str, Any]]
    stopped: str | None

    @property
    def decisions(self) -> NDArray[np.int64]:
        """Agents' decisions taken when each candidate had been scored, int64[n]."""
        market = self.config.market
        paths = np.cumsum(count_paths(self.candidates, self.config.search.memetic))
        return np.asarray(paths * len(self.config.series) * market.agents * market.days)

    @property
    def best(self) -> NDArray[np.float64]:
        """The best training score by then, float64[n]; infinite before there is one."""
        scores = [math.inf if c.score is None else c.score for c in self.candidates]
        return np.asarray(np.minimum.accumulate(scores))


def read_sweep(folder: RunFolder) -> FinishedSweep:
    """Read a run's folder, also of a run that is not done.

    Raises
    ------
    RunError
        When there is no run, or a file is damaged.
    EvolveError
        When no candidate has a score yet.
    """
    config = open_run(folder)
    candidates = Lineage(folder.lineage).read()
    if not candidates:
        raise RunError(f"{folder} holds no candidates yet; wait for its first generation")
    champion = best_candidate(candidates, folder.read_champion())
    rows = folder.read_scoreboard()
    return FinishedSweep(folder, config, candidates, champion, rows, folder.read_stop())


def compare(one: FinishedSweep, other: FinishedSweep) -> dict[str, Any]:
    """Line up two runs.

    Returns
    -------
    dict
        Plain JSON: ``runs`` (folder, champion, stop, decisions), ``settings`` that differ,
        ``curves`` (decisions and best training score where it fell), ``scoreboard`` rows of both
        by name, asset and split, and ``genes`` of the champions that differ, by how far of the
        range that both sweeps have tried. Infinite scores are null.
    """
    return {
        "runs": [_about(run) for run in (one, other)],
        "settings": _settings(one.config, other.config),
        "curves": [_curve(run) for run in (one, other)],
        "scoreboard": _rows(one, other),
        "genes": _genes(one, other),
    }


def draw_comparison(one: FinishedSweep, other: FinishedSweep) -> Figure:
    """Draw both runs' best training scores over decisions, and their held-out scoreboards."""
    figure = new_figure(13.0, 5.5)
    curves, board = figure.subplots(1, 2, width_ratios=(1.3, 1.0))
    names = _labels(one, other)
    for run, name, colour in zip((one, other), names, COLOURS, strict=False):
        known = np.isfinite(run.best)
        best = np.maximum(run.best[known], SMALLEST_SCORE)
        curves.step(run.decisions[known] / 1e6, best, where="post", color=colour, label=name)
        if len(best):
            curves.plot(run.decisions[known][-1] / 1e6, best[-1], "o", color=colour)
    curves.axhline(1.0, color=INK, linewidth=0.9)
    curves.set(yscale="log", xlabel="decisions (million)")
    curves.set_ylabel("best training score so far, J / J95 (lower is closer to real)")
    curves.legend(frameon=False)
    rows = [row for row in _rows(one, other) if row["split"] == "heldout"]
    for y, row in enumerate(rows):
        for shift, side, colour in ((-0.16, "one", COLOURS[0]), (0.16, "other", COLOURS[1])):
            if (found := row[side]) is None or not math.isfinite(as_score(found["score"])):
                continue
            ends = [max(as_score(found[key]), SMALLEST_SCORE) for key in ("ci_low", "ci_high")]
            board.hlines(y + shift, *ends, color=colour, linewidth=2.5, alpha=0.6)
            board.plot(max(as_score(found["score"]), SMALLEST_SCORE), y + shift, "o", color=colour)
    if rows:
        board.set(xscale="log", ylim=(len(rows) - 0.4, -0.6))
        board.axvline(1.0, color=INK, linewidth=0.9)
        board.set_yticks(range(len(rows)), labels=[describe(row["name"]) for row in rows])
        board.set_xlabel("held-out score, J / J95, 95 % interval")
    else:
        board.text(0.5, 0.5, "no held-out scores yet", ha="center", transform=board.transAxes)
        board.set_axis_off()
    plain_axes(curves, board, grid="both")
    return figure


def print_comparison(compared: Mapping[str, Any], console: Console) -> None:
    """Print what `compare` found, in 100 columns."""
    runs = compared["runs"]
    names = [Path(run["folder"]).name for run in runs]
    if names[0] == names[1]:
        names = [run["folder"] for run in runs]
    table = _table("", *names)
    for key, say in _ABOUT.items():
        table.add_row(key, *(say(run) for run in runs))
    console.print(table)
    if compared["settings"]:
        console.print(Text("\nSettings that differ", "bold"))
        table = _table("setting", *names)
        for key, values in compared["settings"].items():
            table.add_row(key, *(Text(str(value)) for value in values))
        console.print(table)
    else:
        console.print("\nall settings are the same")
    if compared["scoreboard"]:
        console.print(Text("\nScoreboard, J / J95 with 95 % interval, lower is better", "bold"))
        table = _table("row", "split", *names)
        for row in compared["scoreboard"]:
            sides = ["-" if row[side] is None else format_score(row[side]) for side in _SIDES]
            split = SPLITS.get(row["split"], row["split"])
            table.add_row(row["name"], split, *sides)
        console.print(table)
    genes = compared["genes"]
    console.print(Text(f"\n{len(genes)} genes of the champions differ", "bold"))
    if genes:
        table = _table("gene", *names, "of range tried")
        for gene in genes[:SHOWN_GENES]:
            values = (_say(gene[side]) for side in _SIDES)
            share = "-" if gene["share"] is None else f"{gene['share']:.0%}"
            table.add_row(gene["gene"], *values, share)
        console.print(table)
        if len(genes) > SHOWN_GENES:
            console.print(f"and {len(genes) - SHOWN_GENES} more, see --json", style="dim")


_SIDES = ("one", "other")
_ABOUT: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "champion": lambda run: f"{run['champion']}, training score {run['score']:.2f}",
    "candidates": lambda run: f"{run['candidates']:,} in {run['generations']:,} generations",
    "decisions": lambda run: f"{run['decisions']:,}",
    "ended": lambda run: run["stopped"] or "not yet, or not noted",
}


def _about(run: FinishedSweep) -> dict[str, Any]:
    return {
        "folder": str(run.folder),
        "champion": run.champion.id,
        "score": run.champion.score,
        "candidates": len(run.candidates),
        "generations": len({c.generation for c in run.candidates}),
        "decisions": int(run.decisions[-1]),
        "stopped": run.stopped,
    }


def _settings(one: ExperimentConfig, other: ExperimentConfig) -> dict[str, list[Any]]:
    first, second = _flat(one.settings()), _flat(other.settings())
    return {
        key: [first.get(key), second.get(key)]
        for key in {**first, **second}
        if first.get(key) != second.get(key)
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, tuple | list) and value and isinstance(value[0], Mapping):
            flat |= _flat({str(i): item for i, item in enumerate(value)}, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = list(value) if isinstance(value, tuple) else value
    return flat


def _curve(run: FinishedSweep) -> dict[str, list[float]]:
    fell = np.flatnonzero(np.diff(run.best, prepend=math.inf) < 0)
    return {"decisions": run.decisions[fell].tolist(), "best": run.best[fell].tolist()}


def _rows(one: FinishedSweep, other: FinishedSweep) -> list[dict[str, Any]]:
    sides = [{tuple(row[k] for k in _NAMES): row for row in run.rows} for run in (one, other)]
    keys = list(dict.fromkeys([*sides[0], *sides[1]]))
    order = list(SPLITS)

    def place(key: tuple[str, ...]) -> tuple[int, float]:
        scores = [as_score(side[key]["score"]) for side in sides if key in side]
        return -order.index(key[2]) if key[2] in order else 1, min(scores)

    rows = []
    for key in sorted(keys, key=place):
        scores = [_scores(side.get(key)) for side in sides]
        rows.append(dict(zip((*_NAMES, *_SIDES), (*key, *scores), strict=True)))
    return rows


def _scores(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {k: row[k] for k in ("score", "ci_low", "ci_high")}


def _genes(one: FinishedSweep, other: FinishedSweep) -> list[dict[str, Any]]:
    """List the genes in which the champions differ, the most different first."""
    names, choices, values = gene_table([*one.candidates, *other.candidates])
    span = np.nanmax(values, axis=0) - np.nanmin(values, axis=0)
    first = values[one.candidates.index(one.champion)]
    second = values[len(one.candidates) + other.candidates.index(other.champion)]
    found = []
    for g, name in enumerate(names):
        gap = abs(second[g] - first[g])
        if gap == 0 or (np.isnan(first[g]) and np.isnan(second[g])):
            continue
        sides = [_value(row[g], choices[g]) for row in (first, second)]
        share = None if np.isnan(gap) else float(gap / span[g])
        found.append({"gene": name, "one": sides[0], "other": sides[1], "share": share})
    return sorted(found, key=lambda row: (row["share"] is None, -(row["share"] or 0.0)))


def _value(number: float, choices: Sequence[str] | None) -> float | str | None:
    if np.isnan(number):
        return None
    return choices[round(number)] if choices is not None else float(number)


def _say(value: float | str | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{round(value, 9):.3g}"


def _labels(one: FinishedSweep, other: FinishedSweep) -> tuple[str, str]:
    names = one.folder.path.resolve().name, other.folder.path.resolve().name
    return names if names[0] != names[1] else (str(one.folder), str(other.folder))


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
