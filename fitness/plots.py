"""Five pictures in which the real market always stands beside the simulated one.

Rows with NaN, the degenerate paths, are left out.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from scipy.stats import norm

from evobourse.fitness.distance import Target
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.fact_table import FactRow
from evobourse.fitness.moments import MOMENT_LABELS, FloatArray
from evobourse.fitness.palette import COLOURS, INK, MUTED, SIMULATED

BAND = (5.0, 95.0)
SHOWN_PATHS = 8
WIDEST_SD = 6.0
BEYOND = 0.75
"""How far beyond the real interval the scale of facts goes, in its own widths."""


def plot_price_paths(
    real_log_paths: npt.ArrayLike, simulated_log_paths: npt.ArrayLike, ax: Axes | None = None
) -> Axes:
    """Draw real prices over simulated ones, each starting at 100.

    Parameters
    ----------
    real_log_paths : array_like, shape [R, T]
        Log prices of real windows.
    simulated_log_paths : array_like, shape [S, T]
        Log prices of simulated paths; the first eight are drawn, all make the 5-95 % band.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
    """
    ax = _axes(ax)
    real, simulated = (
        100.0 * np.exp(paths - paths[:, :1])
        for paths in (_table(real_log_paths), _table(simulated_log_paths))
    )
    days = np.arange(simulated.shape[1])
    ax.plot(days, simulated[:SHOWN_PATHS].T, color=SIMULATED, linewidth=0.7, alpha=0.45)
    _band(ax, days, simulated)
    ax.plot(np.arange(real.shape[1]), real.T, color=INK, linewidth=1.4)
    ax.plot([], [], color=INK, linewidth=1.4, label="real")
    ax.set(xlabel="trading days", ylabel="price (start = 100)", xlim=(0, len(days) - 1))
    return _finish(ax, "upper left")


def plot_acf_abs(real: npt.ArrayLike, simulated: npt.ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw how long volatility is remembered.

    Parameters
    ----------
    real, simulated : array_like, shapes [R, L] and [S, L]
        Autocorrelation of absolute returns at lags 1 to L, as `fitness.moments.acf_abs` gives it.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        Means over windows and over paths, with the 5-95 % band of single ones.
    """
    ax = _axes(ax)
    windows, paths = _table(real), _table(simulated)
    lags = np.arange(1, paths.shape[1] + 1)
    _band(ax, lags, paths)
    ax.plot(lags, paths.mean(axis=0), color=SIMULATED, linewidth=1.8, label="simulated mean")
    lags = np.arange(1, windows.shape[1] + 1)
    edges = np.percentile(windows, BAND, axis=0)
    ax.plot(lags, edges[0], ":", color=INK, linewidth=1.0, label="real, 5-95 % of windows")
    ax.plot(lags, edges[1], ":", color=INK, linewidth=1.0)
    ax.plot(lags, windows.mean(axis=0), "o-", color=INK, markersize=3.5, label="real mean")
    ax.axhline(0.0, color=MUTED, linewidth=0.8, zorder=1)
    ax.set(xlabel="lag (days)", ylabel="autocorrelation of |return|")
    return _finish(ax, "upper right")


def plot_return_tails(
    real_z: npt.ArrayLike, simulated_z: npt.ArrayLike, ax: Axes | None = None
) -> Axes:
    """Draw how often a return is larger than so many standard deviations.

    Parameters
    ----------
    real_z, simulated_z : array_like, shapes [R, T] and [S, T]
        Standardised returns, as `fitness.moments.standardise` gives them.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        Both axes logarithmic: a power law is a straight line. The band is over single paths.
    """
    ax = _axes(ax)
    real, simulated = np.abs(_table(real_z)), np.abs(_table(simulated_z))
    floor = 0.5 / max(real.size, simulated.size)
    grid = np.geomspace(0.3, 1.15 * max(real.max(), simulated.max()), 160)
    exceeded = np.array([(simulated > size).mean(axis=1) for size in grid]).T
    _band(ax, grid, np.maximum(exceeded, floor))
    for sizes, style, colour, name in (
        (simulated, "-", SIMULATED, "simulated, all paths"),
        (real, ".", INK, "real"),
    ):
        ordered = np.sort(sizes, axis=None)[::-1]
        share = np.arange(1, ordered.size + 1) / ordered.size
        ax.plot(ordered, share, style, color=colour, markersize=4, linewidth=1.8, label=name)
    ax.plot(grid, 2.0 * norm.sf(grid), "--", color=MUTED, linewidth=1.2, label="Gaussian")
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(grid[0], grid[-1]),
        ylim=(floor, 1.3),
        xlabel="|return| (standard deviations)",
        ylabel="share of days above",
    )
    ticks = [size for size in (0.5, 1, 2, 3, 5, 10, 20) if size < grid[-1]]
    ax.set_xticks(ticks, labels=[f"{size:g}" for size in ticks])
    ax.minorticks_off()
    return _finish(ax, "lower left")


def plot_moments(
    target: Target, per_path: Mapping[str, npt.ArrayLike], ax: Axes | None = None
) -> Axes:
    """Draw all moments on one scale: distance from the real mean, in sd of real windows.

    Parameters
    ----------
    target : Target
        The real split.
    per_path : mapping of str to array_like, shape [S, M]
        Moments of each path of each market to show, as a score's `per_path`: those of the target.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        A dot is a mean and a bar the middle 95 % of paths, to be held against the grey interval
        of the real windows; what lies beyond 6 sd is drawn at the edge as a triangle.
    """
    ax = _axes(ax)
    rows = np.arange(len(target.names))
    low, high = (
        (bound - target.m_star) / target.moment_sd
        for bound in (target.moment_low, target.moment_high)
    )
    ax.barh(rows, high - low, left=low, height=0.84, color="0.91", label="95 % of real windows")
    ax.plot([0.0, 0.0], [-0.5, rows[-1] + 0.5], color=INK, linewidth=1.2, label="real mean")
    offsets = np.linspace(-0.3, 0.3, len(per_path) + 2)[1:-1]
    for i, (name, values) in enumerate(per_path.items()):
        z = (_sound_rows(values) - target.m_star) / target.moment_sd
        colour, y = COLOURS[i % len(COLOURS)], rows + offsets[i]
        if not len(z):
            ax.plot([], [], "x", color=colour, markersize=6, label=f"{name}: no sound path")
            continue
        mean = z.mean(axis=0)
        edges = np.clip(np.percentile(z, [2.5, 97.5], axis=0), -WIDEST_SD, WIDEST_SD)
        ax.hlines(y, edges[0], edges[1], color=colour, linewidth=1.8, alpha=0.6)
        ax.plot(mean, y, "o", color=colour, markersize=6, label=name)
        for side, marker in ((-1.0, "<"), (1.0, ">")):
            beyond = side * mean > WIDEST_SD
            edge = np.full(int(beyond.sum()), side * WIDEST_SD)
            ax.plot(edge, y[beyond], marker, color=colour, markersize=8)
    ax.set(
        xlim=(-WIDEST_SD - 0.2, WIDEST_SD + 0.2),
        ylim=(rows[-1] + 0.5, -0.5),
        xlabel=f"distance from the real mean (sd of {target.window_days}-day real windows)",
    )
    labels = [MOMENT_LABELS[n].replace(", ", "\n", 1) for n in target.names]
    ax.set_yticks(rows, labels=labels, fontsize=7, linespacing=0.9)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    _finish(ax, None)
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, frameon=False, fontsize="small")
    return ax


def plot_fact_rows(
    rows: Sequence[FactRow], labels: Mapping[str, str], ax: Axes | None = None
) -> Axes:
    """Draw facts on one scale: that of the real windows' own 95 % interval.

    Parameters
    ----------
    rows : sequence of FactRow
        From `fitness.fact_table.compare_facts`; a fact that is not defined leaves its row empty.
    labels : mapping of str to str
        What to call each fact.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes
        Every grey bar is the middle 95 % of real windows with their mean, every blue one that of
        the simulated paths, whose mean is the dot. Numbers at the right: simulated mean, real
        mean and interval. What lies beyond the scale is drawn at the edge as a triangle.
    """
    ax = _axes(ax)
    ax.barh([0.0], [0.0], color="0.88", label="95 % of real windows, and their mean")
    ax.plot([], [], "o-", color=SIMULATED, label="simulated mean, and 95 % of paths")
    for y, row in enumerate(rows):
        width = row.high - row.low
        if width > 0:
            ax.barh(y, 1.0, left=0.0, height=0.62, color="0.88")
            at_mean = (row.real - row.low) / width
            ax.plot([at_mean, at_mean], [y - 0.31, y + 0.31], color=INK, linewidth=1.4)
        if width > 0 and row.defined:
            mean, *edges = (
                (value - row.low) / width
                for value in (row.simulated, row.simulated_low, row.simulated_high)
            )
            ax.hlines(y, *np.clip(edges, -BEYOND, 1.0 + BEYOND), color=SIMULATED, linewidth=2.2)
            side = "<" if mean < -BEYOND else ">" if mean > 1.0 + BEYOND else "o"
            at = float(np.clip(mean, -BEYOND, 1.0 + BEYOND))
            ax.plot(at, y, side, color=SIMULATED, markersize=6.5, clip_on=False)
        band = f"{_short(row.real)}  [{_short(row.low)}, {_short(row.high)}]"
        if not width > 0:
            band = "" if row.defined else "not defined"
        _beside(ax, y, _short(row.simulated), band)
    _beside(ax, -0.85, "simulated", "real [95 %]")
    ax.set(xlim=(-BEYOND - 0.08, 1.08 + BEYOND), ylim=(len(rows) - 0.4, -0.6))
    ax.set_xticks([0.0, 1.0], labels=["2.5 %", "97.5 %"])
    ax.set_xlabel("quantiles of the real windows")
    ax.set_yticks(range(len(rows)), labels=[labels[row.name].strip() for row in rows])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    _finish(ax, None)
    ax.grid(axis="y", visible=False)
    return ax


def _beside(ax: Axes, y: float, simulated: str, real: str) -> None:
    """Write a row's numbers at the right of the axes."""
    for x, text, colour in ((1.01, simulated, SIMULATED), (1.14, real, INK)):
        place = ax.get_yaxis_transform()
        ax.text(x, y, text, transform=place, va="center", color=colour, fontsize="small")


def _short(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}" if abs(value) < 100 else f"{value:.3g}"


def _axes(ax: Axes | None) -> Axes:
    return plt.subplots(figsize=(6.4, 4.2), layout="constrained")[1] if ax is None else ax


def _sound_rows(values: npt.ArrayLike) -> FloatArray:
    table = np.atleast_2d(np.asarray(values, dtype=np.float64))
    return np.asarray(table[np.isfinite(table).all(axis=1)])


def _table(values: npt.ArrayLike) -> FloatArray:
    rows = _sound_rows(values)
    if not len(rows):
        raise FitnessError("nothing to draw: every path is degenerate; see the score's verdict")
    return rows


def _band(ax: Axes, x: FloatArray | npt.NDArray[np.int_], values: FloatArray) -> None:
    low, high = np.percentile(values, BAND, axis=0)
    label = "simulated, 5-95 % of paths"
    ax.fill_between(x, low, high, color=SIMULATED, alpha=0.17, linewidth=0, label=label)


def _finish(ax: Axes, legend: Literal["upper left", "upper right", "lower left"] | None) -> Axes:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="0.93", linewidth=0.8)
    ax.set_axisbelow(True)
    if legend is not None:
        ax.legend(loc=legend, frameon=False, fontsize="small")
    return ax
