"""One page that shows a run: real market beside simulated ones, and how far apart they are."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from evobourse.evolve import durable
from evobourse.experiments.reports.figures import figure_bytes, new_figure, plain_axes
from evobourse.experiments.reports.scores import as_score, conclude, describe, format_score
from evobourse.fitness.distance import Target
from evobourse.fitness.moments import FloatArray, acf_abs, moments, path_faults, standardise
from evobourse.fitness.palette import COLOURS, INK, MUTED
from evobourse.fitness.plots import BAND, SHOWN_PATHS, plot_acf_abs, plot_moments, plot_return_tails

PAGE_INCHES = (16.0, 11.0)
LONGEST_LAG = 60
SMALLEST_SCORE = 1e-3
"""Scores below this share the left edge of the log axis."""

_LARGEST_LOG = 20.0  # a price that has moved by exp(20) is off every scale; keeps exp finite
_STYLE: dict[Any, Any] = {"font.size": 9.0, "axes.edgecolor": MUTED, "axes.titlesize": 11.0}


@dataclass(frozen=True, eq=False)
class ReportData:
    """All that the page shows.

    Attributes
    ----------
    title, series : str
        The run, and the asset whose held-out years it is measured against.
    target : Target
        The held-out split.
    real : float64 array, shape [R, T]
        Daily log returns of real held-out windows.
    simulated : dict of str to float64 array, shape [S, T]
        Daily log returns by scoreboard name; ``evolved`` is always there.
    scoreboard : list of dict
        Rows of ``scoreboard.json``; those of the target's split are drawn.
    history : list of (int, float, float)
        Generation, best and median training score; infinite where all failed.
    heldout_dates, train_dates : (str, str), optional
        First and last day, ISO, for the caption.
    """

    title: str
    series: str
    target: Target
    real: FloatArray
    simulated: dict[str, FloatArray]
    scoreboard: list[dict[str, Any]]
    history: list[tuple[int, float, float]]
    heldout_dates: tuple[str, str] | None = None
    train_dates: tuple[str, str] | None = None


def draw_report(data: ReportData) -> Figure:
    """Draw the page: paths, tails, memory, learning curve, moments, scoreboard.

    Parameters
    ----------
    data : ReportData
        The run.

    Returns
    -------
    Figure
        16 x 11 inches, outside pyplot's state. One colour means one market on the whole page,
        and the real one is dark.
    """
    rows = _heldout_rows(data)
    shown = _shown(data, rows)
    colours = dict(zip(shown, COLOURS, strict=False))
    sound = {name: _sound(data.simulated[name]) for name in shown}
    real, evolved = _sound(data.real), sound["evolved"]
    with mpl.rc_context(_STYLE):
        below_header = ConstrainedLayoutEngine(
            rect=(0.008, 0.03, 0.984, 0.885), h_pad=0.075, w_pad=0.1, hspace=0.0
        )
        figure = new_figure(*PAGE_INCHES, layout=below_header)
        page = figure.add_gridspec(3, 1, height_ratios=(3.1, 2.5, 3.3))
        _draw_market_columns(figure, page[0], real, dict(list(sound.items())[:2]), colours)

        middle = page[1].subgridspec(1, 3)
        tails, memory, learning = (figure.add_subplot(middle[0, i]) for i in range(3))
        if len(evolved):
            lags = min(LONGEST_LAG, data.target.window_days // 4)
            plot_return_tails(standardise(real), standardise(evolved), tails)
            plot_acf_abs(acf_abs(real, lags), acf_abs(evolved, lags), memory)
        else:
            _say_nothing_to_draw(tails)
            _say_nothing_to_draw(memory)
        _title(tails, "How large returns get", "evolved against real")
        _title(memory, "How long volatility is remembered", "evolved against real")
        draw_learning(learning, data.history)

        bottom = page[2].subgridspec(1, 2, width_ratios=(1.0, 1.08))
        facts, board = (figure.add_subplot(bottom[0, i]) for i in range(2))
        _draw_moments(facts, data.target, sound)
        _draw_scoreboard(board, rows, colours, data.series)
        _write_header(figure, data, rows, shown)
    return figure


def save_report(data: ReportData, path: Path) -> None:
    """Draw the page into a PNG file, which is replaced at once or left as it was.

    Raises
    ------
    evolve.errors.RunError
        If the file cannot be written.
    """
    durable.replace_bytes(Path(path), figure_bytes(draw_report(data)))


def _heldout_rows(data: ReportData) -> list[dict[str, Any]]:
    rows = [row for row in data.scoreboard if row["split"] == data.target.split]
    return sorted(rows, key=lambda row: as_score(row["score"]))


def _shown(data: ReportData, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Choose the markets that get a colour; of a baseline's two variants, the one that did best."""
    ranked = [row["name"] for row in rows]
    casts = (("evolved",), ("unevolved", "random_tendencies"))
    families = (*casts, ("gbm",), ("garch_t",), ("fw",))
    shown = []
    for family in families:
        variants = [*family, *(f"{name}-history" for name in family)]
        given = [name for name in variants if name in data.simulated]
        if family[0] in ("gbm", "garch_t"):
            given.sort(key=lambda name: ranked.index(name) if name in ranked else len(ranked))
        shown += given[:1]
    return shown


def _sound(log_returns: FloatArray) -> FloatArray:
    returns = np.asarray(log_returns, dtype=np.float64)
    return np.asarray(returns[path_faults(returns) == ""])


def _draw_market_columns(
    figure: Figure,
    place: SubplotSpec,
    real: FloatArray,
    simulated: Mapping[str, FloatArray],
    colours: Mapping[str, str],
) -> None:
    """Draw prices over one path's daily returns, a column a market, all on the same scales."""
    columns = [("real", real, INK)] + [(name, r, colours[name]) for name, r in simulated.items()]
    grid = place.subgridspec(2, len(columns), height_ratios=(2.3, 1.0), hspace=0.0)
    real_log = log_paths(real)
    edges = np.exp(np.percentile(real_log, BAND, axis=0))
    low, high = _shared_range(real_log, [log_paths(r) for r in simulated.values() if len(r)])
    firsts = [real[0], *(returns[0] for returns in simulated.values() if len(returns))]
    largest = [100.0 * float(np.abs(first).max()) for first in firsts]
    widest = 1.1 * min(max(largest), 3.0 * largest[0])
    for i, (name, returns, colour) in enumerate(columns):
        prices, strip = (figure.add_subplot(grid[j, i]) for j in range(2))
        what = "Real market" if name == "real" else describe(name).capitalize()
        kind = "windows" if name == "real" else "paths"
        lines = f"{min(SHOWN_PATHS, len(returns))} of {len(returns)} {kind}" if len(returns) else ""
        _title(prices, what, lines, colour)
        if len(returns):
            draw_prices(prices, returns, colour)
            _draw_one_path(strip, returns[0], colour, widest)
        else:
            _say_nothing_to_draw(prices)
        if name != "real":
            for edge in edges:
                prices.plot(100.0 * edge, ":", color=INK, linewidth=1.0)
            prices.plot([], [], ":", color=INK, label="real, 5-95 % of windows")
            prices.legend(loc="upper left", edgecolor="none", framealpha=0.8, fontsize="small")
        days = real.shape[1]
        prices.set(yscale="log", ylim=(100.0 * math.exp(low), 100.0 * math.exp(high)))
        prices.set(xlim=(0, days))
        prices.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        prices.yaxis.set_major_formatter(FuncFormatter(lambda price, _: f"{price:g}"))
        prices.minorticks_off()
        prices.tick_params(labelbottom=False)
        strip.set(xlim=(0, days), ylim=(-widest, widest), xlabel="trading days")
        for ax, label in ((prices, "price (start = 100)"), (strip, "return (%)")):
            plain_axes(ax, grid="both")
            if i == 0:
                ax.set_ylabel(label)
            else:
                ax.tick_params(labelleft=False)


def _shared_range(real_log: FloatArray, simulated_log: Sequence[FloatArray]) -> tuple[float, float]:
    """Span the real paths and most of the others; what explodes may leave the scale, not set it."""
    low, high = float(real_log.min()), float(real_log.max())
    room = 1.5 * (high - low)
    edges = [np.percentile(logs, (0.5, 99.5)) for logs in simulated_log]
    lowest = max(min([low, *(float(e[0]) for e in edges)]), low - room)
    return lowest, min(max([high, *(float(e[1]) for e in edges)]), high + room)


def log_paths(log_returns: FloatArray) -> FloatArray:
    """Sum log returns [S, T] to log prices [S, T + 1] that start at 0, within what exp can hold."""
    paths = np.cumsum(np.pad(log_returns, ((0, 0), (1, 0))), axis=1)
    return np.asarray(np.clip(paths, -_LARGEST_LOG, _LARGEST_LOG))


def draw_prices(ax: Axes, log_returns: FloatArray, colour: str) -> None:
    """Draw the first paths of log returns [S, T] over the 5-95 % band of all, from 100."""
    prices = 100.0 * np.exp(log_paths(log_returns))
    low, high = np.percentile(prices, BAND, axis=0)
    ax.fill_between(np.arange(prices.shape[1]), low, high, color=colour, alpha=0.13, linewidth=0)
    ax.plot(prices[:SHOWN_PATHS].T, color=colour, linewidth=0.9, alpha=0.75)


def _draw_one_path(ax: Axes, log_returns: FloatArray, colour: str, widest: float) -> None:
    percent = np.clip(100.0 * log_returns, -widest, widest)
    ax.vlines(np.arange(1, len(percent) + 1), 0.0, percent, color=colour, linewidth=0.9)
    ax.axhline(0.0, color=MUTED, linewidth=0.6)


def draw_learning(ax: Axes, history: Sequence[tuple[int, float, float]]) -> None:
    """Draw best and median training scores; generations in which all failed leave a gap."""
    _title(ax, "How it learnt", "training years, J / J95")
    plain_axes(ax, grid="both")
    table = np.array([(g, as_score(b), as_score(m)) for g, b, m in history], dtype=np.float64)
    if not len(table) or not np.isfinite(table[:, 1]).any():
        _say_nothing_to_draw(ax, "no generation has a score yet")
        return
    scores = np.where(np.isfinite(table[:, 1:]), np.maximum(table[:, 1:], SMALLEST_SCORE), np.nan)
    generations = table[:, 0]
    ax.plot(generations, scores[:, 1], "o-", color=MUTED, markersize=3, linewidth=1.2)
    ax.plot(generations, scores[:, 0], "o-", color=COLOURS[0], markersize=4, linewidth=1.8)
    failed = generations[~np.isfinite(scores[:, 0])]
    if len(failed):
        edge = ax.get_xaxis_transform()
        ax.plot(failed, np.full(len(failed), 0.97), "^", color=MUTED, transform=edge)
    labels = ((1, "median", MUTED, "bottom"), (0, "best", COLOURS[0], "top"))
    for column, name, colour, side in labels:
        given = np.flatnonzero(np.isfinite(scores[:, column]))
        if len(given):
            last = (generations[given[-1]], scores[given[-1], column])
            ax.annotate(
                f"{name} {last[1]:.2f}", last, (6, 0), textcoords="offset points", color=colour,
                va=side, annotation_clip=False,
                bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5},
            )  # fmt: skip
    _log_scores(ax, "y", np.append(scores[np.isfinite(scores)], 1.0))
    ax.axhline(1.0, color=INK, linewidth=1.0)
    first, latest = generations.min(), generations.max()
    room = 0.17 * (latest - first + 1)
    ax.set(xlim=(first - 0.5, latest + 0.5 + room), xlabel="generation", ylabel="J / J95")
    ax.set_xticks(range(int(first), int(latest) + 1, max(1, round((latest - first) / 8))))


def _draw_moments(ax: Axes, target: Target, sound: Mapping[str, FloatArray]) -> None:
    per_path = {describe(n): moments(r, target.sigma_real) for n, r in sound.items()}
    plot_moments(target, per_path, ax)
    handles, labels = ax.get_legend_handles_labels()
    from_page_edge = blended_transform_factory(ax.figure.transFigure, ax.transAxes)
    ax.legend(
        handles, labels, ncols=len(labels), loc="lower left", bbox_to_anchor=(0.01, 0.995),
        bbox_transform=from_page_edge, frameon=False, fontsize=7.8, columnspacing=0.9,
        handletextpad=0.4, handlelength=1.4,
    ).set_in_layout(False)  # fmt: skip
    _title(ax, "Moments, held out", "bars hold 95 % of paths; ◂ ▸ are off the scale", pad=24)


def _draw_scoreboard(
    ax: Axes, rows: Sequence[Mapping[str, Any]], colours: Mapping[str, str], series: str
) -> None:
    """Draw scores with intervals, best on top; an infinite one is an arrow at the edge."""
    _title(ax, "Scoreboard, held out", "J / J95: lower is closer to the real market", pad=24)
    plain_axes(ax, grid="both")
    if not rows:
        _say_nothing_to_draw(ax, "nothing has been scored on the held-out years")
        return
    family = {name.removesuffix("-history"): colour for name, colour in colours.items()}
    known = [as_score(row[key]) for row in rows for key in ("score", "ci_low", "ci_high")]
    low, high = _log_scores(ax, "x", np.array([k for k in known if math.isfinite(k)] + [0.5, 1.0]))
    ax.axvspan(low, 1.0, color="0.95", linewidth=0, zorder=0)
    ax.axvline(1.0, color=INK, linewidth=1.2)
    across = ax.get_xaxis_transform()
    ax.text(
        1.0,
        0.015,
        "as near as real years are to each other ",
        transform=across,
        ha="right",
        color="0.4",
    )
    beside = ax.get_yaxis_transform()
    names = []
    for y, row in enumerate(rows):
        name, score = row["name"], as_score(row["score"])
        real = name.startswith("bootstrap")
        colour = INK if real else family.get(name.removesuffix("-history"), MUTED)
        size = 9 if name == "evolved" else 6
        if math.isfinite(score):
            ends = np.clip([as_score(row["ci_low"]), as_score(row["ci_high"])], low, high)
            ax.hlines(y, *ends, color=colour, linewidth=0.3 * size, alpha=0.6)
            ax.plot(max(score, low), y, "o", color=colour, markersize=size)
        else:
            ax.plot(high, y, ">", color=colour, markersize=8, clip_on=False)
            ax.text(0.97, y, "degenerate paths", transform=beside, ha="right", va="center")
        weight = "bold" if name == "evolved" else "normal"
        ax.text(1.015, y, format_score(row), transform=beside, va="center", weight=weight)
        asset = "" if row["asset"] == series else f", {row['asset']}"
        names.append(f"{describe(name)}{asset}")
    ax.set_yticks(range(len(rows)), labels=names)
    for label, row in zip(ax.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row["name"] == "evolved" else "normal")
    ax.set(ylim=(len(rows) + 0.1, -0.6))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="y", visible=False)


def _log_scores(ax: Axes, axis: str, scores: FloatArray) -> tuple[float, float]:
    """Give one axis a log scale that holds all scores (finite) with room at both ends."""
    low, high = max(float(scores.min()), SMALLEST_SCORE) / 1.35, float(scores.max()) * 1.35
    decades = math.log10(high / low)
    steps = (1,) if decades > 4 else (1, 2, 5) if decades > 1 else (1, 1.5, 2, 3, 5, 7)
    apart = math.ceil(decades / 7)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1, apart)
    ticks = [t for power in powers for step in steps if low <= (t := step * 10.0**power) <= high]
    ax.set(**{f"{axis}scale": "log", f"{axis}lim": (low, high)})
    one = ax.xaxis if axis == "x" else ax.yaxis
    one.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    one.set_minor_locator(NullLocator())
    return low, high


def _write_header(
    figure: Figure, data: ReportData, rows: Sequence[Mapping[str, Any]], shown: Sequence[str]
) -> None:
    """Say the result in one sentence above the page, and its years and seeds below."""
    score = {row["name"]: row for row in reversed(rows)}
    figure.text(0.012, 0.98, data.title, fontsize=19, weight="bold", color=INK, va="top")
    if "evolved" in score:
        found, _ = conclude(score["evolved"])
        others = [name for name in (*shown[1:], "bootstrap_target") if name in score]
        beside = [f"{describe(n)} {as_score(score[n]['score']):.2f}" for n in others]
        evolved = f"Scores on years never seen: evolved market {format_score(score['evolved'])}"
        verdict = f"({found} at 5 %)"
        sentence = ", ".join([f"{evolved} {verdict}", *beside])
        figure.text(0.012, 0.936, sentence, fontsize=10.5, color=INK, va="top")
    held_out = f"held-out years {_years(data.heldout_dates)}".rstrip()
    trained = f" (bred on {_years(data.train_dates)})" if data.train_dates else ""
    seeds = f"{score['evolved']['seeds']} seeds, " if "evolved" in score else ""
    figure.text(
        0.012, 0.014, f"{data.series}, {held_out}{trained}; {seeds}{len(data.real)} real windows "
        f"of {data.target.window_days} days. Lines: the first {SHOWN_PATHS} paths; bars: daily "
        "returns of the first; bands: 5-95 % of paths; dotted: of real windows.",
        fontsize=9, color="0.4",
    )  # fmt: skip


def _years(dates: tuple[str, str] | None) -> str:
    return " to ".join(dates) if dates else ""


def _title(ax: Axes, title: str, remark: str, colour: str = INK, pad: float = 7.0) -> None:
    ax.set_title(title, loc="left", weight="bold", color=colour, pad=pad)
    ax.set_title(remark, loc="right", fontsize=9, color="0.4", pad=pad)


def _say_nothing_to_draw(ax: Axes, reason: str = "no sound path: every one is degenerate") -> None:
    ax.text(0.5, 0.5, reason, transform=ax.transAxes, ha="center", va="center", color="0.4")
    ax.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
