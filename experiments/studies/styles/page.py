"""The picture of styles: agreement, who chooses as whom, mixtures, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.experiments.styles.measures import StyleMeasure
from evobourse.fitness.palette import COLOURS, INK, MUTED

ADAPTER, WORDS, BARE, FALLING = COLOURS[2], COLOURS[1], MUTED, COLOURS[1]
DEEP = 0.01
FEW = 10


@dataclass(frozen=True)
class Blend:
    """A pair of styles mixed from one to the other, half of each in the middle.

    Attributes
    ----------
    first, second
        Their names.
    coefficients
        float64[C] of the first, 0 to 1; the second has the rest.
    agreement
        float64[2, C], with the first's teacher and with the second's.
    views
        How many were asked.
    """

    first: str
    second: str
    coefficients: NDArray[np.float64]
    agreement: NDArray[np.float64]
    views: int

    @property
    def falls(self) -> list[tuple[str, float, float]]:
        """List where agreement with a teacher falls although its coefficient grows.

        Teacher, coefficient after the fall, and how far.
        """
        found = []
        ways = ((self.first, self.agreement[0]), (self.second, self.agreement[1][::-1]))
        for name, rising in ways:
            for place in np.flatnonzero(np.diff(rising) < 0):
                fall = float(rising[place] - rising[place + 1])
                found.append((name, float(self.coefficients[place + 1]), fall))
        return found


def draw_styles(measures: Sequence[StyleMeasure], blends: Sequence[Blend]) -> Figure:
    """Draw all four panels."""
    figure = new_figure(13, 11)
    axes = figure.subplots(2, 2)
    plot_agreement(measures, axes[0, 0])
    plot_confusion(measures, axes[0, 1])
    plot_blends(blends, axes[1, 0])
    plot_reliability(measures, axes[1, 1])
    return figure


def plot_agreement(measures: Sequence[StyleMeasure], ax: Axes) -> Axes:
    """Draw agreement with the teacher: bare base, words, adapter, with 95 % intervals."""
    places = np.arange(len(measures))[::-1]
    rows = (
        ("bare base", BARE, -0.27, [m.bare for m in measures]),
        ("style in words", WORDS, 0.0, [m.prompted for m in measures]),
        ("trained adapter", ADAPTER, 0.27, [m.trained for m in measures]),
    )
    for label, colour, shift, shares in rows:
        value = np.array([100 * s.value for s in shares])
        reach = [
            [100 * max(s.value - s.low, 0.0) for s in shares],  # rounding, where all are right
            [100 * max(s.high - s.value, 0.0) for s in shares],
        ]
        ax.barh(places + shift, value, 0.25, color=colour, label=label)
        ax.errorbar(value, places + shift, xerr=reach, fmt="none", ecolor=INK, elinewidth=0.8)
    ax.set_yticks(places, [m.style for m in measures])
    ax.set_xlim(0, 100)
    ax.set_xlabel("same choice of five as the teacher, % of held-out views")
    ax.set_title("Agreement with the teacher")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, frameon=False)
    plain_axes(ax)
    return ax


def plot_confusion(measures: Sequence[StyleMeasure], ax: Axes) -> Axes:
    """Draw how often each adapter chooses as each teacher."""
    names = [m.style for m in measures]
    table = np.array([[100 * m.confusion[name] for name in names] for m in measures])
    ax.imshow(table, cmap="Greens", vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(table):
        colour = "white" if value > 60 else INK
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=9)
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("teacher")
    ax.set_ylabel("adapter")
    ax.set_title("Who chooses as whom, % of held-out views")
    return ax


def plot_blends(blends: Sequence[Blend], ax: Axes) -> Axes:
    """Draw agreement with a teacher as its coefficient grows, a line a pair and teacher."""
    ways = [
        (b.coefficients, 100 * a) for b in blends for a in (b.agreement[0], b.agreement[1][::-1])
    ]
    said = set()
    for coefficients, rising in ways:
        falls = (np.diff(rising) < -100 * DEEP).any()
        much = f"falls by more than {100 * DEEP:.0f} point in a step"
        label = much if falls else "nowhere " + much
        ax.plot(
            coefficients,
            rising,
            color=FALLING if falls else ADAPTER,
            alpha=0.8 if falls else 0.3,
            linewidth=1,
            label=None if label in said else label,
            zorder=2 + falls,
        )
        said.add(label)
    if ways:
        mean = np.mean([rising for _, rising in ways], axis=0)
        ax.plot(ways[0][0], mean, color=INK, linewidth=2.5, label="mean of all", zorder=4)
        ax.legend(loc="upper left", frameon=False)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 100)
    ax.set_xlabel("coefficient of the style; the other style of the pair has the rest")
    ax.set_ylabel("same choice as the style's teacher, %")
    ax.set_title(f"Mixtures: {len(blends)} pairs of styles, each in both directions")
    plain_axes(ax)
    return ax


def plot_reliability(measures: Sequence[StyleMeasure], ax: Axes) -> Axes:
    """Draw how often choices of a confidence are right; larger points, more choices.

    Bins of fewer than `FEW` choices are left out.
    """
    ax.plot([0, 1], [0, 1], color=BARE, linewidth=1, linestyle="--", label="calibrated")
    colours = [f"C{k}" for k in range(10)]
    for measure, colour in zip(measures, colours, strict=False):
        rows = [row for row in measure.reliability if row.count >= FEW]
        count = np.array([row.count for row in rows])
        where = [row.confidence for row in rows], [row.right for row in rows]
        label = f"{measure.style} ({100 * measure.error:.1f})"
        ax.plot(*where, color=colour, linewidth=0.8, alpha=0.6)
        ax.scatter(
            *where, s=8 + 160 * count / max(count.sum(), 1), color=colour, alpha=0.8, label=label
        )
    ax.set_xlim(0.2, 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("confidence of the choice, temperature 1")
    ax.set_ylabel("share that is the teacher's")
    ax.set_title(f"Calibration, bins of {FEW} choices and more (expected error in points)")
    legend = ax.legend(loc="lower right", frameon=False, fontsize=9)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([30])
    plain_axes(ax)
    return ax
