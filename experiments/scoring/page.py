"""One page that shows a scored series: every fact and moment beside the real market's bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.experiments.scoring.series import SeriesScore
from evobourse.experiments.scoring.table import FACT_MEANINGS
from evobourse.fitness.moments import (
    MOMENT_LABELS,
    FloatArray,
    acf_abs,
    path_faults,
    standardise,
)
from evobourse.fitness.palette import INK, MUTED, SIMULATED
from evobourse.fitness.plots import BAND, plot_acf_abs, plot_fact_rows, plot_return_tails

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

PAGE_INCHES = (16.0, 11.0)
LONGEST_LAG = 60
_STYLE: dict[RcKeyType, Any] = {"font.size": 9.0, "axes.edgecolor": MUTED, "axes.titlesize": 11.0}
_LARGEST_LOG = 20.0  # a price that has moved by exp(20) is off every scale; keeps exp finite


def draw_score(result: SeriesScore) -> Figure:
    """Draw prices, tails and memory over all moments and facts, simulated beside real.

    Parameters
    ----------
    result
        What `experiments.scoring.series.score_series` found.

    Returns
    -------
    Figure
        16 x 11 inches, outside pyplot's state. Curves without a sound window are left out.
    """
    simulated, real = (_sound(r) for r in (result.windows, result.real_windows))
    of_sets = ("quantile_distance", "max_drawdown", "signature_mmd")
    cont = [row for row in result.facts if row.name not in of_sets]
    others = [row for row in result.facts if row.name in of_sets]
    with mpl.rc_context(_STYLE):
        below_header = ConstrainedLayoutEngine(
            rect=(0.01, 0.035, 0.975, 0.875), h_pad=0.1, w_pad=0.1
        )
        figure = new_figure(*PAGE_INCHES, layout=below_header)
        page = figure.add_gridspec(2, 1, height_ratios=(1.0, 1.25))
        top, bottom = page[0].subgridspec(1, 3), page[1].subgridspec(1, 2)
        prices, tails, memory = (figure.add_subplot(top[0, i]) for i in range(3))
        left, right = (figure.add_subplot(bottom[0, i]) for i in range(2))
        _draw_prices(prices, real, simulated)
        if len(simulated):
            lags = min(LONGEST_LAG, result.target.window_days // 4)
            plot_return_tails(standardise(real), standardise(simulated), tails)
            plot_acf_abs(acf_abs(real, lags), acf_abs(simulated, lags), memory)
        else:
            for ax in (tails, memory):
                ax.text(0.5, 0.5, result.score.verdict, ha="center", transform=ax.transAxes)
                ax.set_axis_off()
        # A moment may have a fact's name, as the skewness does.
        plot_fact_rows([*result.moments, *others], FACT_MEANINGS | MOMENT_LABELS, left)
        plot_fact_rows(cont, FACT_MEANINGS, right)
        titles = {
            prices: "Prices",
            tails: "How large returns get",
            memory: "How long volatility is remembered",
            left: "Scored moments, and three distances",
            right: "Stylised facts, numbered as in Cont (2001)",
        }
        for ax, title in titles.items():
            ax.set_title(title, loc="left", weight="bold", pad=8.0)
        _write_header(figure, result, left)
    return figure


def _sound(log_returns: FloatArray) -> FloatArray:
    return np.asarray(log_returns[path_faults(log_returns) == ""])


def _draw_prices(ax: Axes, real: FloatArray, simulated: FloatArray) -> None:
    """Draw some paths over the bands of all, real dark and simulated blue, from 100."""
    for log_returns, colour, name in ((real, INK, "real"), (simulated, SIMULATED, "simulated")):
        if len(log_returns):
            logs = np.cumsum(np.pad(log_returns, ((0, 0), (1, 0))), axis=1)
            prices = 100.0 * np.exp(np.clip(logs, -_LARGEST_LOG, _LARGEST_LOG))
            low, high = np.percentile(prices, BAND, axis=0)
            days = np.arange(prices.shape[1])
            label = f"{name}, 5-95 % of windows"
            ax.fill_between(days, low, high, color=colour, alpha=0.14, linewidth=0, label=label)
            shown = prices[:: max(1, len(prices) // 4)][:4]
            ax.plot(shown.T, color=colour, linewidth=0.9, alpha=0.8)
    ax.set(yscale="log", xlabel="trading days", ylabel="price (start = 100)")
    ax.minorticks_off()
    ticks = [
        t for t in (10, 20, 40, 60, 80, 100, 125, 150, 200, 400, 1000) if _inside(t, ax.get_ylim())
    ]
    ax.set_yticks(ticks, labels=[str(tick) for tick in ticks])
    plain_axes(ax)
    ax.legend(loc="upper left", frameon=False, fontsize="small")


def _inside(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def _write_header(figure: Figure, result: SeriesScore, legend_of: Axes) -> None:
    target, score = result.target, result.score
    number = f"{score.ratio:.2f}" if np.isfinite(score.ratio) else "inf"
    tried = f", best of {result.tried:,} tried" if result.tried > 1 else ""
    conclusion = result.conclusion
    if score.verdict != "ok":
        conclusion += f" ({score.verdict[:80]})"
    figure.text(
        0.012, 0.975, f"{result.series.name} against {result.real.name}", fontsize=18,
        weight="bold", color=INK, va="top",
    )  # fmt: skip
    figure.text(
        0.012, 0.937, f"J/J95 {number}, {conclusion}{tried}; windows with all moments in "
        f"the real 95 %: {result.mcr:.2f}, real {result.real_mcr:.2f}; {target.paths} x "
        f"{target.window_days} days ({result.series.span}) beside {len(result.real_windows)} real "
        f"windows ({result.real.span})",
        fontsize=10.5, color=INK, va="top",
    )  # fmt: skip
    handles, labels = legend_of.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="lower left", bbox_to_anchor=(0.01, 0.004), ncols=2, frameon=False
    )
    figure.text(
        0.99, 0.014, "bars reach from the 2.5 % to the 97.5 % quantile; arrows are off the scale",
        fontsize=9, color="0.4", ha="right",
    )  # fmt: skip
