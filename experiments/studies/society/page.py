"""How a rumour's pairs of markets are put into a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.experiments.reports.intervals import show, t_interval
from evobourse.experiments.studies.society.rumour import NEVER, Pair, Plan
from evobourse.fitness.palette import COLOURS, INK, MUTED

TOLD, QUIET = COLOURS[1:3]


def day_table(pairs: Sequence[Pair], plan: Plan, last: int) -> str:
    """Return a Markdown table, a row a day, of what pairs of markets have in common.

    Columns: whom the rumour reached so far, their change of tendency, that of those of them who
    saw the news, that of the never-reached, how many unreached decide otherwise, the price.
    """
    lines = [
        "| day | reached | change of the reached | of those who saw news | of the never reached "
        "| unreached who decide otherwise | price, % |",
        "|---|---|---|---|---|---|---|",
    ]
    for day in range(plan.day - 1, last + 1):
        cells = [
            show([p.reached(day) for p in pairs], 0),
            show([p.change_of(day, True) for p in pairs]),
            show([p.change_of(day, True, saw_news=True) for p in pairs]),
            show([p.change_of(day, False) for p in pairs], 3),
            show([p.changed_unreached(day) for p in pairs], 0),
            show([100 * p.price_change[day] for p in pairs]),
        ]
        lines.append(f"| {day - plan.day:+d} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_rumour(
    free: Sequence[Pair], by_others: Sequence[Pair], alone: Sequence[Pair], plan: Plan
) -> Figure:
    """Draw reach, change of tendency with and without a market that answers, and who told whom."""
    figure = new_figure(11, 8)
    (reach, tree), (market, pinned) = figure.subplots(2, 2)
    for axes in (market, pinned):
        axes.sharex(reach)
    market.sharey(pinned)
    plot_reach(free, plan, "planted at the most liked", TOLD, reach)
    plot_reach(by_others, plan, "planted at others", QUIET, reach)
    reach.set(xlabel="days since it was planted", ylabel="agents who have heard it")
    reach.set(ylim=(0, None), title="How far it gets")
    reach.legend(frameon=False, loc="lower right")
    plot_tree(free[0], plan, tree)
    for axes, pairs, title in (
        (market, free, "What it changes in a free market"),
        (pinned, alone, "What it changes where nothing else can tell"),
    ):
        plot_change(pairs, plan, True, "the reached who saw news", TOLD, axes)
        plot_change(pairs, plan, False, "the never reached", QUIET, axes)
        axes.axhline(0, color=INK, lw=0.6)
        axes.set(xlabel="days since it was planted", ylabel="change of tendency", title=title)
    market.legend(frameon=False, loc="lower right")
    plain_axes(reach, market, pinned)
    return figure


def plot_reach(pairs: Sequence[Pair], plan: Plan, label: str, colour: str, ax: Axes) -> Axes:
    """Draw how many have heard it, with the interval of the mean over seeds."""
    days = np.arange(plan.day - 1, plan.days)
    rows = [t_interval(np.array([p.reached(d) for p in pairs], np.float64)) for d in days.tolist()]
    return _plot_band(days - plan.day, rows, label, colour, ax)


def plot_change(
    pairs: Sequence[Pair], plan: Plan, reached: bool, label: str, colour: str, ax: Axes
) -> Axes:
    """Draw the mean change of tendency, with the interval of the mean over seeds."""
    days = np.arange(plan.day - 1, plan.days)
    rows = [
        t_interval(np.array([p.change_of(d, reached, reached) for p in pairs]))
        for d in days.tolist()
    ]
    return _plot_band(days - plan.day, rows, label, colour, ax)


def plot_tree(pair: Pair, plan: Plan, ax: Axes) -> Axes:
    """Draw who told whom: a ring a day, the planted innermost, each next to who told it."""
    heard = pair.heard_day
    told = pair.tellings[["other", "agent"]].to_numpy()
    children: dict[int, list[int]] = {}
    for teller, hearer in told.tolist():
        children.setdefault(teller, []).append(hearer)
    leaves: dict[int, float] = {}
    count = 0

    def place(agent: int) -> float:
        nonlocal count
        own = [place(child) for child in children.get(agent, [])]
        if not own:
            own, count = [float(count)], count + 1
        leaves[agent] = float(np.mean(own))
        return leaves[agent]

    for root in np.flatnonzero(heard == plan.day).tolist():
        place(root)
    angle = {agent: 2 * np.pi * at / count for agent, at in leaves.items()}
    rows = np.array(list(angle))
    ring = heard[rows] - plan.day + 1.0
    x, y = ring * np.cos(list(angle.values())), ring * np.sin(list(angle.values()))
    where = {agent: at for at, agent in enumerate(rows.tolist())}
    for teller, hearer in told.tolist():
        ends = [where[teller], where[hearer]]
        ax.plot(x[ends], y[ends], color=MUTED, lw=0.4, zorder=1)
    ax.scatter(x, y, c=ring - 1, cmap="autumn", s=7, zorder=2, linewidths=0)
    unheard = int((heard == NEVER).sum())
    ax.set(title=f"Who told whom in one market, a ring a day; {unheard} never hear")
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def _plot_band(
    days: NDArray[np.int64],
    rows: Sequence[tuple[float, float, float]],
    label: str,
    colour: str,
    ax: Axes,
) -> Axes:
    mean, low, high = np.array(rows).T
    ax.fill_between(days, low, high, color=colour, alpha=0.2, linewidth=0)
    ax.plot(days, mean, "o-", color=colour, ms=3, lw=1.3, label=label)
    return ax
