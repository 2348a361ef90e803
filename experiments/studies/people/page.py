"""Minds beside people as tables, figures and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from evobourse.agents.observation import OPTIONS
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.experiments.reports.intervals import show, t_interval
from evobourse.experiments.studies.people.gambles import FRAMES, Respondent, majority
from evobourse.experiments.studies.people.option_order import OrderBias
from evobourse.experiments.studies.people.temperature import Heat
from evobourse.fitness.behaviour.prospect import Answers, items
from evobourse.fitness.palette import COLOURS

Gambles = Mapping[str, Sequence[tuple[Respondent, Sequence[Answers]]]]
"""Kind of respondent to everyone of that kind, with answers to each wording."""

Orders = Mapping[str, Mapping[str, OrderBias]]
"""Mind to correction to what the order of options does."""

Heats = Mapping[str, Sequence[Heat]]
"""Population to what its market does at each factor."""


def gamble_rows(gambles: Gambles) -> Iterator[tuple[str, str, list[int], list[int], list[int]]]:
    """Yield kind, respondent, and a count a wording: agreed, of them in losses, undecided.

    A kind of several also has a row of its weighted majority.
    """
    for kind, some in gambles.items():
        for who, answers in some:
            yield (
                kind,
                who.name,
                [a.overall.agreed for a in answers],
                [a.losses.agreed for a in answers],
                [a.overall.undecided for a in answers],
            )
        if len(some) > 1:
            weights = [who.weight for who, _ in some]
            by_frame = [majority([a[f] for _, a in some], weights) for f in range(len(FRAMES))]
            agreed, losses, undecided = map(list, zip(*by_frame, strict=True))
            yield kind, "their majority", agreed, losses, undecided


def gamble_table(gambles: Gambles) -> str:
    """Return a row a respondent: items of 17 on which it takes people's side, by wording."""
    lines = [
        f"| who | | {' | '.join(f'wording {k + 1}' for k in range(len(FRAMES)))} "
        "| of them losses (of 7) | undecided | mean |",
        f"|---|---|{'---|' * (len(FRAMES) + 3)}",
    ]
    for kind, name, agreed, losses, undecided in gamble_rows(gambles):
        cells = [*map(str, agreed), _list(losses), _list(undecided), f"{np.mean(agreed):.1f}"]
        lines.append(f"| {kind} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def item_table(gambles: Gambles) -> str:
    """Return a row an item: how many of people, and of each kind of respondent, take option A."""
    kinds = list(gambles)
    lines = [
        f"| problem | A | B | people | {' | '.join(kinds)} |",
        f"|---|---|---|---|{'---|' * len(kinds)}",
    ]
    shares = {
        kind: np.average(
            [np.mean([a.share_a for a in answers], axis=0) for _, answers in some],
            axis=0,
            weights=[who.weight for who, _ in some],
        )
        for kind, some in gambles.items()
    }
    for k, item in enumerate(items()):
        cells = [f"{100 * item.people_a:.0f}", *(f"{100 * shares[kind][k]:.0f}" for kind in kinds)]
        options = " | ".join(option.replace("|", "/") for option in item.options)
        lines.append(f"| {item.problem} | {options} | {' | '.join(cells)} |")
    return "\n".join(lines)


def letter_table(orders: Orders) -> str:
    """Return a row a mind: what each letter has, whatever it stands for."""
    lines = [
        f"| mind | {' | '.join(option.strip() for option in OPTIONS)} |",
        f"|---|{'---|' * len(OPTIONS)}",
    ]
    for name, by_correction in orders.items():
        cells = [f"{100 * x:.1f}" for x in by_correction["none"].letters]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def order_table(orders: Orders) -> str:
    """Return a row a mind and correction."""
    lines = [
        "| mind | correction | moved by the order (total variation) "
        "| same answer in two orders (correlation) | buys less sells, usual order |",
        "|---|---|---|---|---|",
    ]
    for name, by_correction in orders.items():
        for correction, bias in by_correction.items():
            same = "-" if np.isnan(bias.same_content) else f"{bias.same_content:z.2f}"
            lines.append(
                f"| {name} | {correction} | {bias.between:.3f} | {same} | {bias.lean:+z.2f} |"
            )
    return "\n".join(lines)


def heat_table(heats: Sequence[Heat]) -> str:
    """Return a row a factor on all temperatures."""
    lines = [
        "| temperature, times its own | turnover a year | decisions to act, % "
        "| volatility a year, % | correlation with its own | same likelier side, % |",
        "|---|---|---|---|---|---|",
    ]
    for h in heats:
        cells = [
            f"{h.factor:g}",
            show(h.turnover),
            show(100 * h.acting, 1),
            show(100 * h.volatility, 1),
            f"{h.core:.3f}",
            f"{100 * h.same_side:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_heat(heats: Heats) -> Figure:
    """Draw turnover and what stays of the decisions over temperature."""
    figure = new_figure(9.0, 3.6)
    volume, core = figure.subplots(1, 2)
    for (name, some), colour in zip(heats.items(), COLOURS[1:3], strict=True):
        factors = [h.factor for h in some]
        means, lows, highs = np.array([t_interval(h.turnover) for h in some]).T
        volume.plot(factors, means, "o-", color=colour, label=name)
        volume.fill_between(factors, lows, highs, color=colour, alpha=0.2, linewidth=0)
        core.plot(factors, [h.core for h in some], "o-", color=colour, label=name)
    volume.set(title="Trading volume", ylabel="turnover a year", ylim=(0, None))
    core.set(
        title="Core decisions",
        ylabel="correlation with those at 1",
        ylim=(min(0, core.get_ylim()[0]), 1.03),
    )
    for axes in (volume, core):
        axes.set_xscale("log", base=2)
        ticks = [h.factor for h in next(iter(heats.values()))]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xlabel("temperature, times the population's own")
    plain_axes(volume, core)
    volume.legend(frameon=False)
    return figure


def tell(gambles: Gambles, orders: Orders, heats: Heats, report: Report) -> None:
    """Tell one figure after the other."""

    def figure(name: str, value: float, unit: str, peer: str, ratio: float) -> None:
        report.figure(name, round(float(value), 4), unit, peer, round(float(ratio), 4))

    for kind, name, agreed, _, _ in gamble_rows(gambles):
        named, mean = f"items of 17 as people, {kind}: {name}", float(np.mean(agreed))
        figure(named, mean, "items", "chance, 8.5", mean / 8.5)
    for name, by_correction in orders.items():
        for correction, bias in by_correction.items():
            before = by_correction["none"].between
            moved = f"moved by the order, {name}, {correction}"
            figure(moved, bias.between, "total variation", "uncorrected", bias.between / before)
    for name, some in heats.items():
        [own] = [h.turnover.mean() for h in some if h.factor == 1.0]
        for h in some:
            at = f"{name}, temperature x{h.factor:g}"
            turnover, peer = h.turnover.mean(), "its own temperature"
            figure(f"turnover, {at}", turnover, "1/year", peer, turnover / own)
            figure(f"mean tendencies, {at}", h.core, "correlation", peer, h.core)


def _list(counts: Sequence[int]) -> str:
    return ", ".join(map(str, counts))
