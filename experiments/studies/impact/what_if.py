"""What would have been: a market branches on a day, and something happens on the branch alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.scenario import Scenario, Size
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.simulate.branch import Branch
from evobourse.experiments.simulate.exchange import STOCK, build_scenario
from evobourse.market.events.kinds import ChangeTerms, Event, Halt, News, Resume, Windfall
from evobourse.market.events.values import Agents

GLUT_PART = 0.1
"""Lots that a glut gives to each agent, of what the typical agent holds."""

SHOWN_DAYS = (1, 5, 20)
"""Days from the branch, the first counted, after which prices are compared."""

VOLUME_DAYS = 5


@dataclass(frozen=True, eq=False)
class WhatIf:
    """Branches beside the markets that they left, one a seed.

    Attributes
    ----------
    price
        Log of the branch's close over the market's own, float64[seeds, days from the branch].
    volume
        The branch's volume over the market's own, over `VOLUME_DAYS`: float64[seeds].
    tendency
        Mean tendency (-2 to 2) on the first day less the market's own: float64[seeds].
    """

    price: NDArray[np.float64]
    volume: NDArray[np.float64]
    tendency: NDArray[np.float64]


def default_events(bundle: Bundle, agents: int) -> dict[str, tuple[Event, ...]]:
    """List what happens on branches; days count from the branch."""
    lots = max(1, round(GLUT_PART * 100))  # the typical agent holds 100, see `persona_crowd`
    half = Agents(rows=tuple(range(0, agents, 2)))
    price = int(bundle.history[-1])
    return {
        "bad news, three standard deviations": (News(day=0, text="bad", tone=-3.0),),
        "good news, three standard deviations": (News(day=0, text="good", tone=3.0),),
        f"{lots} lots more for every second agent": (
            Windfall(day=0, agents=half, asset=STOCK, quantity=lots),
        ),
        f"cash of {lots} lots more for every second agent": (
            Windfall(day=0, agents=half, cash_cents=lots * price),
        ),
        "a halt of two days": (Halt(day=0, asset=STOCK), Resume(day=2, asset=STOCK)),
        "a price limit of 1 %": (ChangeTerms(day=0, asset=STOCK, price_limit=0.01),),
        "a fee of 1 %": (ChangeTerms(day=0, asset=STOCK, fee_bps=100),),
    }


def play_what_ifs(
    scenario: Scenario,
    bundle: Bundle,
    choices: NDArray[np.float64],
    happenings: Mapping[str, Sequence[Event]],
    day: int,
    seeds: int,
    size: Size,
    on_run: Callable[[], None] = lambda: None,
) -> dict[str, WhatIf]:
    """Play each seed's market to its end, and from a day on once more for each happening.

    Parameters
    ----------
    scenario, bundle, choices
        As for `experiments.simulate.exchange.build_scenario`.
    happenings
        By name, events whose days count from the branch.
    day
        Of the branch: the first that may differ.
    seeds
        Number of markets.
    size
        Of each; the first has its seed, the others those that follow.
    on_run
        Called after each line of days.
    """
    found: dict[str, list[tuple[NDArray[np.float64], float, float]]] = {}
    for seed in range(size.seed, size.seed + seeds):
        exchange = build_scenario(scenario, bundle, choices, replace(size, seed=seed), events=[])
        market = Branch(exchange, [choices, bundle], "market")
        _play(market, size.days)
        on_run()
        for name, events in happenings.items():
            branch = market.fork(name, day)
            for event in events:
                branch.happen(replace(event, day=day + event.day))
            _play(branch, size.days)
            found.setdefault(name, []).append(_compare(branch, market, day))
            on_run()
    return {
        name: WhatIf(*(np.array(part) for part in zip(*seeds_of, strict=True)))
        for name, seeds_of in found.items()
    }


def _play(branch: Branch, days: int) -> None:
    while branch.day < days:
        branch.play_turn()


def _compare(branch: Branch, market: Branch, day: int) -> tuple[NDArray[np.float64], float, float]:
    ours, theirs = branch.watch.rows[day:], market.watch.rows[day:]
    close, volume = (
        [np.array([r.bar[k] for r in rows]) for rows in (ours, theirs)] for k in (3, 5)
    )
    traded = [float(lots[:VOLUME_DAYS].sum()) for lots in volume]
    tendency = [_mean_tendency(rows[0].tendency, rows[0].agents) for rows in (ours, theirs)]
    return np.log(close[0] / close[1]), traded[0] / max(traded[1], 1.0), tendency[0] - tendency[1]


def _mean_tendency(of_groups: Sequence[float | None], agents: Sequence[int]) -> float:
    told = [(t, n) for t, n in zip(of_groups, agents, strict=True) if t is not None]
    return sum(t * n for t, n in told) / max(sum(n for _, n in told), 1)


def what_if_table(found: Mapping[str, WhatIf]) -> str:
    """Return a row a happening: prices later, volume, tendencies of the first day."""
    days = [day for day in SHOWN_DAYS if all(day <= one.price.shape[1] for one in found.values())]
    lines = [
        f"| what happens | {' | '.join(f'price, day {day}, log-%' for day in days)} "
        f"| volume, {VOLUME_DAYS} days, times | tendency, day 1 |",
        "|---" * (len(days) + 3) + "|",
    ]
    for name, one in found.items():
        cells = [show(100 * one.price[:, day - 1]) for day in days]
        cells += [show(one.volume), show(one.tendency, 3)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
