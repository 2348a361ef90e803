"""A sweep's lineage for a reader: its generations, and how its champion came about.

Knows how to follow the heaviest parent back to the first generation, and to tell and draw that.
Deliberately does not know how candidates were bred or scored, nor where a run keeps its files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evolve.errors import EvolveError
from evolve.lineage import Candidate
from fitness.distance import Target
from fitness.moments import MOMENT_NAMES
from fitness.plots import INK, MUTED, SIMULATED, plot_moments

SHOWN_GENES = 12
DRAWN_GENES = 24
FIGURE_INCHES = (12.0, 6.5)
SMALLEST_SCORE = 1e-3
"""Scores below this share the lower edge of the log axis."""

_SPREAD = 0.3  # half the width of a generation's column of dots

Ancestry = list[tuple[Candidate, float | None]]


def summarise(candidates: Sequence[Candidate], champion_id: str | None) -> RenderableType:
    """Tell a lineage: generations, the champion's ancestry, the genes that moved most.

    Parameters
    ----------
    candidates : sequence of Candidate
        The lineage, in order.
    champion_id : str or None
        The chosen one; None for the best training score so far.

    Returns
    -------
    RenderableType
        For a rich console of 80 columns or more.

    Raises
    ------
    EvolveError
        If the champion is not in the lineage.
    """
    if not candidates:
        return Text("no generation is finished yet")
    parts: list[RenderableType] = [Text("Generations", "bold"), _generations_table(candidates)]
    champion = _champion(candidates, champion_id)
    if champion is None:
        return Group(
            *parts, Text(f"every candidate failed, the last with: {candidates[-1].failure}")
        )
    line = ancestry(candidates, champion.id)
    named = "Champion" if champion_id else "Best so far"
    parts += [Text(f"\n{named} {champion.id}, by its heaviest parents", "bold"), _line_table(line)]
    start = line[-1][0]
    if start is not champion:
        title = f"\nGenes that moved most, {start.id} -> {champion.id}"
        parts += [Text(title, "bold"), _genes_table(candidates, start, champion)]
    return Group(*parts)


def ancestry(candidates: Sequence[Candidate], champion_id: str) -> Ancestry:
    """Follow the parent with the largest weight from the champion to the first generation.

    Returns
    -------
    list of (Candidate, float or None)
        The champion first, with None, then each ancestor with its weight in the one before it;
        of equal weights the parent named first. Ends early at a parent that is not recorded.

    Raises
    ------
    EvolveError
        If the champion is not in the lineage.
    """
    by_id = {candidate.id: candidate for candidate in candidates}
    if champion_id not in by_id:
        raise EvolveError(
            f"champion {champion_id!r} is not among the lineage's {len(by_id)} candidates; "
            "the lineage and the champion come from different runs"
        )
    line: Ancestry = [(by_id[champion_id], None)]
    while parents := line[-1][0].parents:
        parent, weight = max(parents, key=lambda parent: parent[1])
        if parent not in by_id or by_id[parent].generation >= line[-1][0].generation:
            break
        line.append((by_id[parent], weight))
    return line


def best_candidate(candidates: Sequence[Candidate], champion_id: str | None) -> Candidate:
    """Return the chosen candidate, or without one that with the best training score.

    Raises
    ------
    EvolveError
        If the chosen one is not in the lineage or failed, or all failed.
    """
    champion = _champion(candidates, champion_id)
    if champion is None:
        raise EvolveError("no candidate has a score yet; wait for a generation that has")
    return champion


def front(candidates: Sequence[Candidate], objectives: Sequence[str]) -> list[Candidate]:
    """Return those that no other beats: none is at least as good in all objectives, better in one.

    Parameters
    ----------
    candidates : sequence of Candidate
    objectives : sequence of str
        "score" or names of parts; less is better. Who failed or lacks one is left out.
    """
    rows = [
        (c, [c.score if name == "score" else c.parts.get(name, np.nan) for name in objectives])
        for c in candidates
        if c.score is not None
    ]
    alive = [(c, np.array(row, dtype=float)) for c, row in rows if np.isfinite(row).all()]
    points = np.array([row for _, row in alive]).reshape(len(alive), len(objectives))
    return [
        c
        for c, row in alive
        if not np.any((points <= row).all(axis=1) & (points < row).any(axis=1))
    ]


def front_table(candidates: Sequence[Candidate], objectives: Sequence[str]) -> Table:
    """List the front, the best in the first objective first."""
    rows = [
        ([c.score if name == "score" else c.parts[name] for name in objectives], c.id)
        for c in front(candidates, objectives)
    ]
    table = _table(*objectives, "not beaten in all of them")
    for values, id_ in sorted(rows):
        table.add_row(*(f"{value:,.6g}" for value in values), id_)
    return table


def gene_table(
    candidates: Sequence[Candidate],
) -> tuple[list[str], list[list[str] | None], NDArray[np.float64]]:
    """Line up the genes of candidates.

    Returns
    -------
    names : list of str, length G
        As ``segment.gene``.
    choices : list of list of str or None, length G
        The values of a gene that is no number, sorted; the table holds their places.
    values : float64[n, G]
        NaN where a candidate has no such gene.
    """
    rows = [
        {
            (segment, gene): value
            for segment, genes in c.genome.items()
            for gene, value in genes.items()
        }
        for c in candidates
    ]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    choices: list[list[str] | None] = []
    values = np.full((len(rows), len(keys)), np.nan)
    for g, key in enumerate(keys):
        column = [row.get(key) for row in rows]
        words = sorted({value for value in column if isinstance(value, str)})
        choices.append(words or None)
        order = {word: float(place) for place, word in enumerate(words)}
        values[:, g] = [
            np.nan if value is None else order[value] if isinstance(value, str) else float(value)
            for value in column
        ]
    return [f"{segment}.{gene}" for segment, gene in keys], choices, values


def draw_lineage(candidates: Sequence[Candidate], champion_id: str | None) -> Figure:
    """Draw every candidate, and who the champion descends from.

    Parameters
    ----------
    candidates : sequence of Candidate
        The lineage, in order.
    champion_id : str or None
        The chosen one; None for the best training score so far.

    Returns
    -------
    Figure
        Generations across, scores up on a log axis, failed candidates as crosses along the top;
        lines lead from all parents of an ancestor to it, the more opaque the more they weigh.
        Below, the genes that moved most along the champion's ancestry.

    Raises
    ------
    EvolveError
        If the champion is not in the lineage.
    """
    champion = _champion(candidates, champion_id)
    line = [] if champion is None else ancestry(candidates, champion.id)
    moved = _moved_genes(candidates, line)[:DRAWN_GENES] if len(line) > 1 else []
    width, height = FIGURE_INCHES
    size = (width, height * (1.95 if moved else 1.0))
    figure = Figure(figsize=size, dpi=110, layout="constrained", facecolor="white")
    ax, *below = figure.subplots(2 if moved else 1, squeeze=False)[:, 0]
    places = _places(candidates)
    alive = np.array([places[c.id] for c in candidates if c.score is not None]).reshape(-1, 2)
    failed = [places[c.id][0] for c in candidates if c.score is None]
    ax.plot(*alive.T, "o", color=MUTED, markersize=4, alpha=0.45, markeredgewidth=0)
    top = ax.get_xaxis_transform()
    ax.plot(failed, np.full(len(failed), 0.985), "x", color=INK, markersize=4, transform=top)
    keys = [_key("o", MUTED, "candidate"), *([_key("x", INK, "failed")] if failed else [])]
    if champion is not None:
        _draw_ancestry(ax, line, places)
        keys += [_key("o-", SIMULATED, "ancestors, by heaviest parent"),
                 _key("-", "#7fb8d8", "other parents, opacity is weight")]  # fmt: skip
        name = f"{'champion' if champion_id else 'best so far'} {champion.id}"
        keys.append(_key("*", SIMULATED, f"{name}, training score {champion.score:.2f}"))
    if len(alive):
        ax.axhline(1.0, color=INK, linewidth=0.9, zorder=1)
        ax.set_xlim(candidates[0].generation - 0.6, candidates[-1].generation + 0.6)
        low, high = min(alive[:, 1].min(), 1.0), max(alive[:, 1].max(), 1.0)
        ax.set(yscale="log", ylim=(low / 1.2, high * 1.2 * (high / low) ** 0.05))
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(lambda score, _: f"{score:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel="generation", ylabel="training score, J / J95 (lower is closer to real)")
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True, min_n_ticks=1))
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.93", linewidth=0.8)
    ax.set_axisbelow(True)
    if moved:
        _draw_genes(below[0], moved, line)
    figure.legend(handles=keys, loc="outside upper left", ncols=len(keys), frameon=False)
    return figure


def _champion(candidates: Sequence[Candidate], champion_id: str | None) -> Candidate | None:
    if champion_id is not None:
        champion = ancestry(candidates, champion_id)[0][0]
        if champion.score is None:
            raise EvolveError(f"champion {champion_id} failed ({champion.failure}); name another")
        return champion
    alive = [(c.score, c.id, c) for c in candidates if c.score is not None]
    return min(alive)[2] if alive else None


def _by_generation(candidates: Sequence[Candidate]) -> Mapping[int, list[Candidate]]:
    groups: dict[int, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.generation].append(candidate)
    return groups


def _generations_table(candidates: Sequence[Candidate]) -> Table:
    table = _table("generation", "candidates", "failed", "best", "median", "best candidate")
    for generation, group in sorted(_by_generation(candidates).items()):
        alive = sorted((c.score, c.id) for c in group if c.score is not None)
        failed = len(group) - len(alive)
        counts = (str(generation), str(len(group)), str(failed) if failed else "-")
        if alive:
            middle = median(score for score, _ in alive)
            table.add_row(*counts, f"{alive[0][0]:.2f}", f"{middle:.2f}", alive[0][1])
        else:
            table.add_row(*counts, "-", "-", Text(group[0].failure or "", "dim"))
    return table


def _line_table(line: Ancestry) -> Table:
    table = _table("generation", "weight", "score", "candidate")
    for candidate, weight in line:
        table.add_row(
            str(candidate.generation),
            "" if weight is None else f"{weight:.1%}",
            "failed" if candidate.score is None else f"{candidate.score:.2f}",
            candidate.id,
            style="bold" if weight is None else "",
        )
    return table


def _genes_table(candidates: Sequence[Candidate], start: Candidate, champion: Candidate) -> Table:
    table = _table("of range tried", "from", "to", "gene")
    for gene in _moved_genes(candidates, [(champion, None), (start, None)])[:SHOWN_GENES]:
        table.add_row(f"{gene.share:.0%}", gene.say(-1), gene.say(0), gene.name)
    return table


@dataclass(frozen=True)
class _MovedGene:
    """A gene along an ancestry, champion first: its values, and where they lie in what was tried.

    `share` is how far it moved and `places` (0 to 1) where it was, of the range that was tried.
    """

    name: str
    values: NDArray[np.float64]
    places: NDArray[np.float64]
    choices: list[str] | None

    @property
    def share(self) -> float:
        return float(abs(self.places[0] - self.places[-1]))

    def say(self, at: int) -> str:
        value = float(self.values[at])
        if self.choices is not None:
            return self.choices[round(value)]
        return f"{round(value, 9):.3g}"


def _moved_genes(candidates: Sequence[Candidate], line: Ancestry) -> list[_MovedGene]:
    """List the genes that moved from an ancestry's end to its front, the farthest first."""
    names, choices, values = gene_table(candidates)
    index = {candidate.id: i for i, candidate in enumerate(candidates)}
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    span = np.where(high > low, high - low, 1.0)
    along = values[[index[candidate.id] for candidate, _ in line]]
    genes = [
        _MovedGene(name, along[:, g], (along[:, g] - low[g]) / span[g], choices[g])
        for g, name in enumerate(names)
    ]
    moved = [gene for gene in genes if np.isfinite(gene.share) and gene.share > 0]
    return sorted(moved, key=lambda gene: -gene.share)


def _draw_genes(ax: Axes, genes: Sequence[_MovedGene], line: Ancestry) -> None:
    """Draw genes along the ancestry, a row each, as colours."""
    born = np.array([candidate.generation for candidate, _ in reversed(line)])
    rows = np.array([gene.places[::-1] for gene in genes])
    edges = np.append(born, born[-1] + max(1, born[-1] - born[-2])) - 0.5
    mesh = ax.pcolormesh(
        edges, np.arange(len(genes) + 1) - 0.5, rows, cmap="cividis", vmin=0, vmax=1
    )
    labels = [f"{g.name}  {g.say(-1)} -> {g.say(0)}" for g in genes]
    ax.set_yticks(range(len(genes)), labels=labels, fontsize=8)
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    title = f"{len(genes)} genes that moved most, from {line[-1][0].id} to {line[0][0].id}"
    ax.set_title(title, loc="left", fontsize=10, weight="bold")
    ax.set(xlabel="generation of the ancestor")
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True, min_n_ticks=1))
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.01, ticks=[0, 1])
    bar.ax.set_yticklabels(["lowest\ntried", "highest\ntried"], fontsize=8)
    bar.outline.set_visible(False)


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    for heading in headings[:-1]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(headings[-1], overflow="fold")
    return table


def _places(candidates: Sequence[Candidate]) -> dict[str, tuple[float, float]]:
    """Place each candidate: its generation, spread out in order of birth, and its score."""
    places = {}
    for generation, group in _by_generation(candidates).items():
        offsets = np.linspace(-_SPREAD, _SPREAD, len(group)) if len(group) > 1 else [0.0]
        for candidate, offset in zip(group, offsets, strict=True):
            score = np.nan if candidate.score is None else max(candidate.score, SMALLEST_SCORE)
            places[candidate.id] = (generation + float(offset), score)
    return places


def _draw_ancestry(ax: Axes, line: Ancestry, places: Mapping[str, tuple[float, float]]) -> None:
    for child, _ in line:
        heaviest = max((weight for _, weight in child.parents), default=1.0)
        for parent, weight in child.parents:
            if parent in places:
                ends = np.array([places[parent], places[child.id]])
                opacity = 0.08 + 0.6 * weight / heaviest
                ax.plot(*ends.T, color=SIMULATED, linewidth=0.9, alpha=opacity, zorder=2)
    for (later, _), (earlier, _) in pairwise(line):
        ends = np.array([places[earlier.id], places[later.id]])
        ax.plot(*ends.T, "o-", color=SIMULATED, linewidth=2.0, markersize=5.5, zorder=3)
    ax.plot(*places[line[0][0].id], "*", color=SIMULATED, markersize=18, zorder=4,
            markeredgecolor="white")  # fmt: skip


def _key(style: str, colour: str, label: str) -> Line2D:
    [line] = Axes(Figure(), (0, 0, 1, 1)).plot([], [], style, color=colour, label=label)
    return line


def draw_candidate(candidate: Candidate, target: Target) -> Figure | None:
    """Draw how far a candidate's mean moments are from the real ones; None if it failed."""
    if candidate.score is None:
        return None
    figure = Figure(figsize=(7.0, 4.0), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    row = np.array([[candidate.parts[name] for name in MOMENT_NAMES]])
    plot_moments(target, {candidate.id: row}, axes)
    axes.set_title(f"J/J95 {candidate.score:.2f} on {target.split} windows")
    return figure
