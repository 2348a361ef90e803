"""Tables and picture of the rounds of nickel traders with minds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.experiments.reports.intervals import show, t_interval
from evobourse.experiments.studies.nickel.minds import FIRST_ROUND, LAST_ROUND, Rounds
from evobourse.fitness.palette import COLOURS, INK, MUTED, SIMULATED

Played = Mapping[str, Sequence[Rounds]]
"""Repeats of each arm."""

MARKED = ("2022-02-24", "2022-03-04", "2022-03-07", "2022-03-08")
"""Invasion, the last quiet close, the missed margin call, the suspension."""

COMMON_FROM = "2022-03-01"
"""The first round that the traders with rules play as well."""


def real_prices(real: pd.DataFrame) -> pd.Series:
    """Return London's closes of the rounds, in USD/t by date."""
    return real["lme_3m_close"].loc[FIRST_ROUND:LAST_ROUND]


def straight_lines(real: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Return prices without a market, float64[R] each: the last known, and a line through all."""
    own = real["lme_3m_close"].loc[:FIRST_ROUND].iloc[:-1].to_numpy()
    ahead = np.arange(1, len(real_prices(real)) + 1)
    drift = (own[-1] - own[0]) / (len(own) - 1)
    return {
        "last known price": np.full(len(ahead), own[-1]),
        "straight line through the known closes": own[-1] + drift * ahead,
    }


def error_table(played: Played, rules: Sequence[pd.DataFrame], real: pd.DataFrame) -> str:
    """Return a row an arm or baseline: mean errors, and signed ones at the marked rounds, in %."""
    truth = real_prices(real)
    common = np.asarray(truth.index >= COMMON_FROM)
    marked = [truth.index.get_loc(date) for date in MARKED]
    heads = " | ".join(f"{date[5:]}" for date in MARKED)
    lines = [f"| price | ten rounds | six from 03-01 | {heads} |", "|---" * (3 + len(MARKED)) + "|"]

    def row(name: str, prices: NDArray[np.float64]) -> str:
        off = 100 * (prices / truth.to_numpy() - 1)
        cells = [show(np.abs(off).mean(axis=1), 1), show(np.abs(off[:, common]).mean(axis=1), 1)]
        cells += [show(off[:, at], 1) for at in marked]
        return f"| {name} | {' | '.join(cells)} |"

    for arm, repeats in played.items():
        lines.append(row(f"minds, {arm}", np.array([one.price for one in repeats])))
    lines += [row(name, line[None]) for name, line in straight_lines(real).items()]
    traded = np.full((len(rules), len(truth)), np.nan)
    for at, table in enumerate(rules):
        traded[at, common] = table["traded"].loc[:LAST_ROUND]
    off = 100 * (traded[:, common] / truth.to_numpy()[common] - 1)
    cells = ["-", show(np.abs(off).mean(axis=1), 1)]
    cells += [show(100 * (traded[:, at] / truth.iloc[at] - 1), 1) for at in marked]
    lines.append(f"| rules alone, two closes authored, a fit | {' | '.join(cells)} |")
    return "\n".join(lines)


def round_table(played: Played, real: pd.DataFrame) -> str:
    """Return a row a round: the real close and each arm's price."""
    truth, known = real_prices(real), straight_lines(real)["last known price"]
    lines = [
        f"| round | real | {' | '.join(played)} | last known |",
        "|---" * (3 + len(played)) + "|",
    ]
    for at, (date, price) in enumerate(truth.items()):
        cells = [show([one.price[at] for one in repeats], 0) for repeats in played.values()]
        lines.append(f"| {date:%m-%d} | {price:.0f} | {' | '.join(cells)} | {known[at]:.0f} |")
    return "\n".join(lines)


def class_table(repeats: Sequence[Rounds], classes: Sequence[str]) -> str:
    """Return a row a class: its orders' ranges, how many, how many of them were refused."""
    lines = [
        "| class | limits, % from the settlement before | lots | orders | refused for margin, % |",
        "|---|---|---|---|---|",
    ]
    for name in classes:
        found = np.array([one.order_range(name) for one in repeats])
        low, high, least, most = (t_interval(found[:, k])[0] for k in range(4))
        ranges = (
            "- | -" if np.isnan(low) else f"{low:+.1f} to {high:+.1f} | {least:,.0f} to {most:,.0f}"
        )
        lines.append(f"| {name} | {ranges} | {show(found[:, 4], 0)} | {show(found[:, 5], 0)} |")
    return "\n".join(lines)


MEASURES: dict[str, Callable[[Rounds], NDArray[np.float64]]] = {
    "behaviour index, aggressive": lambda one: one.behaviour("aggressive-investors"),
    "behaviour index, conservative": lambda one: one.behaviour("conservative-investors"),
    "buyers' share, %": lambda one: one.affordable("industrial-buyers"),
    "trader's volume, lots": lambda one: np.cumsum(one.bought("merchants") + one.sold("merchants")),
    "producer's forced lots": lambda one: np.cumsum(one.forced("producers")),
}
"""What the paper draws by round, as it is defined here; the last two are running sums."""


def measure_table(repeats: Sequence[Rounds], real: pd.DataFrame) -> str:
    """Return a row a round: what the paper draws of single classes."""
    lines = [f"| round | {' | '.join(MEASURES)} |", "|---" * (1 + len(MEASURES)) + "|"]
    found = {name: np.array([take(one) for one in repeats]) for name, take in MEASURES.items()}
    for at, date in enumerate(real_prices(real).index):
        cells = [show(v[:, at], 2 if "index" in name else 0) for name, v in found.items()]
        lines.append(f"| {date:%m-%d} | {' | '.join(cells)} |")
    return "\n".join(lines)


def holder_table(one: Rounds, classes: Sequence[str], real: pd.DataFrame) -> str:
    """Return a row a class: lots held in the evening of each round, of one repeat."""
    days = real_prices(real).index
    lines = [
        f"| class | {' | '.join(f'{d:%m-%d}' for d in days)} |",
        "|---" * (1 + len(days)) + "|",
    ]
    for name in classes:
        held = one.by_round(one.of("holdings", name).set_index("day")["position"])
        lines.append(f"| {name} | {' | '.join(f'{lots:,.0f}' for lots in held)} |")
    return "\n".join(lines)


def ability_table(played: Played) -> str:
    """Return a row an arm: what the model did with news, advice and numbers."""
    words = list(next(iter(played.values()))[0].lean_by_news())
    heads = " | ".join(f"tendency when news is {word}" for word in words)
    lines = [f"| arm | {heads} | moved by advice | malformed, % |", "|---" * (3 + len(words)) + "|"]
    for arm, repeats in played.items():
        leans = [one.lean_by_news() for one in repeats]
        cells = [show([lean[word] for lean in leans]) for word in words]
        cells.append(show([_moved(one) for one in repeats]))
        cells.append(show([one.malformed() for one in repeats], 1))
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _moved(one: Rounds) -> float:
    rows = one.tape["decisions"]
    return float((rows["lean"] - rows["own"]).abs().mean()) if "own" in rows else np.nan


def thoughts(one: Rounds, name: str, date: str, real: pd.DataFrame) -> str:
    """Return what a class read and wrote in the first turn of a round."""
    day = real_prices(real).index.get_loc(date)
    rows = one.of("texts", name).query(f"day == {day} and turn == 0")
    texts = zip(rows["kind"].tolist(), rows["text"].tolist(), strict=True)
    return "\n".join(f"[{kind}] {text.strip()}" for kind, text in texts)


def taken_back(one: Rounds) -> tuple[int, bool]:
    """Return the lots of cancelled trades, and whether positions are the evening before's."""
    fills, holdings = one.tape["fills"], one.tape["holdings"]
    last = len(one.price) - 1
    held = [
        holdings[holdings["day"] == day].set_index("agent")["position"] for day in (last - 1, last)
    ]
    return int(fills["quantity"][fills["cancelled"]].sum()), held[0].equals(held[1])


def draw_rounds(played: Played, real: pd.DataFrame) -> Figure:
    """Draw the real price, each repeat of the first arm, and the other arms' means."""
    truth = real_prices(real)
    figure = new_figure(9, 5)
    ax, days = figure.subplots(), np.arange(len(truth))
    ax.plot(days, truth, "o-", color=INK, label="real 3M close")
    for line, style in zip(straight_lines(real).items(), (":", "--"), strict=True):
        ax.plot(days, line[1], style, color=MUTED, label=line[0])
    first, *others = played
    for at, one in enumerate(played[first]):
        label = f"minds, {first}" if at == 0 else None
        ax.plot(days, one.price, color=SIMULATED, lw=1.2, label=label)
    for arm, colour in zip(others, COLOURS[1:], strict=False):
        mean = np.mean([one.price for one in played[arm]], axis=0)
        ax.plot(days, mean, color=colour, lw=1.0, label=f"minds, {arm}, mean")
    ax.set_xticks(days, [f"{date:%m-%d}" for date in truth.index])
    ax.set(
        ylabel="USD per tonne", title="Nickel, ten rounds to 8 March 2022: London and six classes"
    )
    ax.legend(frameon=False)
    plain_axes(ax)
    return figure
