"""The nickel scenario's table and picture: days that were played beside the real ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.experiments.reports.intervals import show
from evobourse.fitness.palette import COLOURS, INK, MUTED, SIMULATED
from evobourse.fitness.plots import BAND

HEADER = (
    "      --- real, USD/t --  ------ simulated, USD/t -----   agents   forced  queued  unfilled "
    " bankrupt",
    "         cash       3M     traded   settled       lots    called     lots    lots      lots "
    " mn USD",
)
LEGEND = "A authored settlement, H halted, C trades cancelled, L closed at the limit"
CENTS_PER_MILLION = 100 * 1e6
NARROW = 1.5
"""Limits further apart than this are none to speak of, and not drawn."""


def marks(day: pd.Series) -> str:
    """Return the letters of a day; see `LEGEND`."""
    locked = (day.close in (day.lower, day.upper)) and day.volume > 0
    flags = {"A": day.authored, "H": day.halted, "C": day.annulled > 0, "L": locked}
    return "".join(letter for letter, holds in flags.items() if holds)


def table_text(table: pd.DataFrame) -> str:
    """Write one line a day, below the heads of its columns and above the meaning of its marks."""
    lines = [*HEADER]
    for date, day in table.iterrows():
        lines.append(
            f"{date:%m-%d} {_usd(day.lme_cash_settlement)}  {_usd(day.lme_3m_close)}  "
            f"{_usd(day.traded)}  {_usd(day.settle)} {marks(day):3} {day.volume + day.annulled:6,}"
            f"  {day.called:8}  {day.liquidated:7,}  {day.queued:6,}  "
            f"{day.bids_left + day.offers_left:8,}  {day.pool_cents / CENTS_PER_MILLION:6,.0f}"
        )
    return "\n".join([*lines, LEGEND])


def list_errors(tables: Sequence[pd.DataFrame]) -> dict[str, NDArray[np.float64]]:
    """Return each seed's mean distance from the real closes on free days, by price.

    Free days are neither authored nor halted; prices are ``settle`` (simulated), ``parity``
    (Shanghai's) and ``known`` (the last close before the scenario, as a straight line).
    """
    free = [table[~table.authored & ~table.halted] for table in tables]
    return {
        name: np.array([np.abs(day[name] / day.lme_3m_close - 1.0).mean() for day in free])
        for name in ("settle", "parity", "known")
    }


def error_table(tables: Sequence[pd.DataFrame]) -> str:
    """Say how far free settlements are from the real closes, beside prices without a market."""
    errors = list_errors(tables)
    free = (~tables[0].authored & ~tables[0].halted).sum()
    rows = (
        (f"simulated settlement, {len(tables)} seeds", show(100 * errors["settle"], 1)),
        ("Shanghai's price", f"{100 * errors['parity'][0]:.1f}"),
        ("straight line from the last known close", f"{100 * errors['known'][0]:.1f}"),
    )
    head = f"| price | mean distance from the real 3M close on {free} free days, % |\n|---|---|"
    return "\n".join([head, *(f"| {name} | {error} |" for name, error in rows)])


def draw(tables: Sequence[pd.DataFrame]) -> Figure:
    """Draw prices over the lots that were queued and traded by force."""
    figure = new_figure(9, 7)
    above, below = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    plot_prices(tables, above)
    plot_forced(tables, below)
    below.set_xticks(np.arange(len(tables[0])), [f"{date:%d}" for date in tables[0].index])
    below.set_xlabel("trading day of March 2022")
    plain_axes(above, below)
    return figure


def plot_prices(tables: Sequence[pd.DataFrame], ax: Axes) -> Axes:
    """Draw real and simulated settlements, the halt, and the limits since the restart."""
    first = tables[0]
    days = np.arange(len(first))
    _shade(first, ax)
    settled = np.array([table.settle for table in tables])
    traded = np.median([table.traded for table in tables], axis=0)
    low, high = np.percentile(settled, BAND, axis=0)
    ax.fill_between(
        days, low, high, color=SIMULATED, alpha=0.25, linewidth=0, label="5-95 % of seeds"
    )
    ax.plot(days, np.median(settled, axis=0), color=SIMULATED, label="simulated settlement")
    authored = first.authored.to_numpy()
    ax.plot(days[authored], first.settle[authored], "s", color=SIMULATED, label="authored")
    over = authored | (first.annulled > 0).to_numpy()
    ax.plot(
        days[over], traded[over], "D", color=SIMULATED, fillstyle="none",
        label="simulated trades, overridden or cancelled",
    )  # fmt: skip
    limited = (first.upper < NARROW * first.lower).to_numpy()
    ax.vlines(
        days[limited], first.lower[limited], first.upper[limited], color=MUTED, linewidth=1,
        label="limits",
    )  # fmt: skip
    ax.plot(days, first.lme_3m_close, "o-", color=INK, markersize=4, label="real 3M close")
    ax.plot(days, first.lme_cash_settlement, "x", color=INK, label="real cash settlement")
    ax.plot(days, first.parity, ":", color=COLOURS[1], label="Shanghai without tax")
    for day in np.flatnonzero(first.annulled > 0):
        ax.annotate(
            "all trades cancelled", (day, first.lme_3m_close.iloc[day]), (8, -3),
            textcoords="offset points",
        )  # fmt: skip
    for start in np.flatnonzero(_closed(first))[:1]:
        ax.annotate(
            "no trading", (start, 0.02), (0, 0), xycoords=ax.get_xaxis_transform(),
            textcoords="offset points", color=INK,
        )  # fmt: skip
    ax.set(ylabel="USD per tonne", title="Nickel, March 2022: London and the simulated exchange")
    ax.legend(loc="upper right", frameon=False)
    return ax


def plot_forced(tables: Sequence[pd.DataFrame], ax: Axes) -> Axes:
    """Draw the lots to be traded by force at the end of each day, and those that were."""
    first = tables[0]
    days = np.arange(len(first))
    _shade(first, ax)
    for name, label, colour, shift in (
        ("liquidated", "traded by force", COLOURS[1], -0.2),
        ("queued", "queued in the evening", SIMULATED, 0.2),
    ):
        lots = np.median([table[name] for table in tables], axis=0) / 1000
        ax.bar(days + shift, lots, 0.4, color=colour, label=label)
    ax.set_ylabel("thousand lots")
    ax.legend(loc="upper right", frameon=False)
    return ax


def _shade(table: pd.DataFrame, ax: Axes) -> None:
    for day in np.flatnonzero(_closed(table)):
        ax.axvspan(day - 0.5, day + 0.5, color=MUTED, alpha=0.25, linewidth=0)


def _closed(table: pd.DataFrame) -> pd.Series:
    """Return the days on which nothing was traded that stands."""
    return table.halted & (table.volume == 0)


def _usd(value: float) -> str:
    return "      -" if np.isnan(value) else f"{value:7,.0f}"
