"""A lineage and its candidates drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from evobourse.evolve.lineage import Candidate
from evobourse.experiments.reports.ancestry import (
    Ancestry,
    MovedGene,
    ancestry,
    by_generation,
    champion_of,
    moved_genes,
)
from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.fitness.distance import Target
from evobourse.fitness.palette import INK, MUTED, SIMULATED
from evobourse.fitness.plots import plot_moments

DRAWN_GENES = 24
FIGURE_INCHES = (12.0, 6.5)
SMALLEST_SCORE = 1e-3
"""Scores below this share the lower edge of the log axis."""

_SPREAD = 0.3  # half the width of a generation's column of dots


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
    champion = champion_of(candidates, champion_id)
    line = [] if champion is None else ancestry(candidates, champion.id)
    moved = moved_genes(candidates, line)[:DRAWN_GENES] if len(line) > 1 else []
    width, height = FIGURE_INCHES
    figure = new_figure(width, height * (1.95 if moved else 1.0))
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
    plain_axes(ax, grid="y")
    if moved:
        _draw_genes(below[0], moved, line)
    figure.legend(handles=keys, loc="outside upper left", ncols=len(keys), frameon=False)
    return figure


def _draw_genes(ax: Axes, genes: Sequence[MovedGene], line: Ancestry) -> None:
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


def _places(candidates: Sequence[Candidate]) -> dict[str, tuple[float, float]]:
    """Place each candidate: its generation, spread out in order of birth, and its score."""
    places = {}
    for generation, group in by_generation(candidates).items():
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
    figure = new_figure(7.0, 4.0)
    axes = figure.add_subplot()
    row = np.array([[candidate.parts[name] for name in target.names]])
    plot_moments(target, {candidate.id: row}, axes)
    axes.set_title(f"J/J95 {candidate.score:.2f} on {target.split} windows")
    return figure
