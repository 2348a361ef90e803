"""Chapters of reports that hold simulated paths against real ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from evobourse.experiments.reports.figures import new_figure
from evobourse.experiments.reports.page import Bar, Picture, Section, Table
from evobourse.experiments.reports.paths import REAL
from evobourse.experiments.reports.run_page import draw_prices, log_paths
from evobourse.experiments.reports.scores import describe
from evobourse.experiments.scoring.table import FACT_MEANINGS
from evobourse.fitness.distance import Target
from evobourse.fitness.fact_table import FactRow, compare_facts
from evobourse.fitness.moments import FloatArray, acf_abs, moments, path_faults, standardise
from evobourse.fitness.palette import COLOURS, INK
from evobourse.fitness.plots import plot_acf_abs, plot_moments, plot_return_tails

INCHES = (5.0, 3.5)
STYLE: dict[Any, Any] = {"font.size": 9.5, "axes.titlesize": 10.5}
"""Size and type of a page's pictures."""

_DRAWN = ("evolved", "unevolved", "random_tendencies", "gbm", "garch_t")


def paths_section(sound: Mapping[str, FloatArray]) -> Section:
    """Draw the price paths of each market, by name; log returns float64[S, T]."""
    shown = [REAL, *(name for name in _DRAWN if len(sound.get(name, ())))]
    logs = {name: log_paths(sound[name]) for name in shown}
    ends = np.concatenate([np.percentile(paths, (0.5, 99.5)) for paths in logs.values()])
    limits = 100.0 * np.exp([ends.min() - 0.05, ends.max() + 0.05])
    pictures, ended = [], []
    for name, colour in zip(shown, (INK, *COLOURS), strict=False):
        down = float((logs[name][:, -1] < 0).mean())
        called = "real windows" if name == REAL else describe(name)
        what = called[0].upper() + called[1:]
        with mpl.rc_context(STYLE):
            figure = new_figure(*INCHES)
            ax = figure.add_subplot()
            draw_prices(ax, sound[name], colour)
            ax.set(yscale="log", ylim=limits, xlabel="trading days", ylabel="price (start = 100)")
            ax.minorticks_off()
            ticks = [t for t in (25, 50, 75, 100, 150, 200, 300, 500) if limits[0] < t < limits[1]]
            ax.set_yticks(ticks, labels=[str(t) for t in ticks])
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(color="0.93", linewidth=0.8)
        alt = f"{what}: {len(sound[name])} price paths, {down:.0%} of which end lower."
        data = pd.DataFrame(sound[name].T)
        data.columns = [f"path_{i}" for i in range(data.shape[1])]
        pictures.append(Picture.of(figure, what, alt, data, f"log_returns_{name}"))
        ended.append(f"{called} {down:.0%}")
    return Section(
        "paths",
        "Paths",
        [
            "Lines are single paths; the band holds 5 to 95 % of all, on the held-out years.",
            f"Share of paths that end lower: {', '.join(ended)}.",
        ],
        pictures,
    )


def facts_section(sound: Mapping[str, FloatArray], target: Target) -> Section:
    """Hold the evolved market's moments and facts against the real ones."""
    real, evolved = sound[REAL], sound["evolved"]
    if not len(evolved):
        return Section("facts", "Facts", ["Every path of the evolved market is degenerate."])
    rows = compare_facts(evolved, real, np.random.default_rng(0))
    lags = min(60, target.window_days // 4)
    with mpl.rc_context(STYLE):
        tails, memory, scored = new_figure(*INCHES), new_figure(*INCHES), new_figure(5.0, 5.8)
        plot_return_tails(standardise(real), standardise(evolved), tails.add_subplot())
        curves = acf_abs(real, lags), acf_abs(evolved, lags)
        plot_acf_abs(*curves, memory.add_subplot())
        names = [name for name in ("evolved", "unevolved", "gbm") if len(sound.get(name, ()))]
        per_path = {describe(n): moments(sound[n], target.sigma_real) for n in names}
        ax = plot_moments(target, per_path, scored.add_subplot())
        ax.set_xlabel("sd of real windows from the real mean")
        ax.legend(
            loc="upper center", bbox_to_anchor=(0.35, -0.16), ncols=2, frameon=False,
            fontsize="small",
        )  # fmt: skip
    mean = pd.DataFrame(
        {"lag": np.arange(1, lags + 1), "real": curves[0].mean(0), "evolved": curves[1].mean(0)}
    )
    each = pd.concat(
        [pd.DataFrame(values).assign(market=name) for name, values in per_path.items()]
    )
    sizes = pd.DataFrame({"evolved": np.sort(np.abs(standardise(evolved)), axis=None)[::-1]})
    return Section(
        "facts",
        "Facts of real markets",
        [
            "The grey band holds 95 % of real windows of the same length; the line 95 % of paths.",
            "A fact is no part of the score, unless it is among the scored moments.",
        ],
        [
            Picture.of(scored, "Scored moments", "Moments beside real ones.", each, "moments"),
            Picture.of(tails, "How large returns get", "Share of days above.", sizes, "tails"),
            Picture.of(memory, "How long volatility lasts", "Autocorrelations.", mean, "memory"),
            fact_table(rows, "evolved"),
        ],
    )


def fact_table(rows: Sequence[FactRow], name: str) -> Table:
    """Put facts beside the real ones; those that are defined of both."""
    kept = [row for row in rows if row.defined and math.isfinite(row.real)]
    cells: list[list[str | Bar]] = [
        [
            FACT_MEANINGS[row.name].strip().lstrip("0123456789").strip(),
            f"{row.simulated:.3g}",
            f"{row.real:.3g} [{row.low:.3g}, {row.high:.3g}]",
            _fact_bar(row),
            f"{row.coverage:.0%}",
        ]
        for row in kept
    ]
    headings = ["fact", f"#{name}", "#real [95 %]", "beside real", "#paths within"]
    return Table(headings, cells, pd.DataFrame([vars(row) for row in kept]), "facts")


def _fact_bar(row: FactRow) -> Bar:
    """Put the real 95 % into the middle third of the cell."""
    width = row.high - row.low or 1.0

    def place(value: float) -> float:
        return 1 / 3 + (value - row.low) / width / 3

    return Bar(
        place(row.simulated), place(row.simulated_low), place(row.simulated_high), (1 / 3, 2 / 3)
    )


def sound_paths(log_returns: FloatArray) -> FloatArray:
    """Leave out paths that are degenerate."""
    return np.asarray(log_returns[path_faults(log_returns) == ""])
