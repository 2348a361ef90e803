"""The operator's game: what it trades, the ways in which it helps the price, and what it earns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.scenario import Beside, Scenario, Size
from evobourse.experiments.simulate.exchange import STOCK, build_scenario
from evobourse.market.events.kinds import Event, News, Order, Rumour, SettleAt, Windfall
from evobourse.market.events.values import Agents

SELLING_DAYS, COVERING_DAYS = 3, 5
"""Days on which the operator sells before the tip, and buys back after it."""

TONE = -3.0
RUN = "bank run: every second agent loses half its cash"


@dataclass(frozen=True)
class Plan:
    """Of every market of the game.

    Attributes
    ----------
    seeds
        Markets of each channel.
    agents, days, seed
        Of each market, and the seed of the first.
    day
        Of the tip.
    lots
        That the operator sells.
    """

    seeds: int = 8
    agents: int = 100
    days: int = 35
    seed: int = 1
    day: int = 20
    lots: int = 300


@dataclass(frozen=True, eq=False)
class Game:
    """What a channel did in a cast's markets, over the same markets with the operator's trades.

    Attributes
    ----------
    price
        Log of the close over that without, in percent, float64[seeds, days from the tip].
    profit
        The operator's profit less that without, in percent of what its lots were worth at the
        start, float64[seeds].
    """

    price: NDArray[np.float64]
    profit: NDArray[np.float64]


def list_channels(bundle: Bundle, plan: Plan) -> dict[str, tuple[Event, ...]]:
    """List the ways of the game, beside the operator's own trades; all begin on the tip's day."""
    day = plan.day
    tip = Rumour(day=day, agents=Agents(share=0.2), text="A hole.", is_true=True, tone=TONE)
    truth = News(day=day + 2, text="The hole is confirmed.", tone=TONE)
    few = Agents(rows=tuple(range(0, plan.agents, 2)))
    return {
        "true tip whispered to a fifth": (tip,),
        "true tip, confirmed to all two days later": (tip, truth),
        "news to all at once": (News(day=day, text="A hole.", tone=TONE),),
        "glut: a fifth more lots for every second agent": (
            Windfall(day=day, agents=few, asset=STOCK, quantity=20),
        ),
        RUN: (),
        "settlement override, 5 % down for a day": (SettleAt(day=day, asset=STOCK, factor=0.95),),
    }


def trades(plan: Plan) -> list[Event]:
    """Return the operator's own orders: sales before the tip, purchases after it."""
    sold, bought = (max(1, plan.lots // days) for days in (SELLING_DAYS, COVERING_DAYS))
    orders: list[Event] = [
        Order(day=plan.day - ahead, line=f"sell {sold} market")
        for ahead in range(SELLING_DAYS, 0, -1)
    ]
    for after in range(1, COVERING_DAYS + 1):
        orders.append(Order(day=plan.day + after, line=f"buy {bought} market"))
    return orders


def play_game(
    bundle: Bundle,
    choices: NDArray[np.float64],
    events: Sequence[Event],
    size: Size,
    lots: int,
    run_day: int = -1,
) -> tuple[NDArray[np.float64], float]:
    """Play a market with the operator in it.

    Parameters
    ----------
    bundle, choices, events, size
        As for `experiments.simulate.exchange.build_scenario`.
    lots
        That the operator sells; it begins with four times as many.
    run_day
        On which every second agent loses half its cash, if any.

    Returns
    -------
    closes
        Log closes from the last real one on, float64[days + 1].
    profit
        What the operator ends with over what it would have without a trade, in percent of the
        worth of its lots at the start.
    """
    place = Scenario(beside=Beside(person_lots=4 * lots))
    exchange = build_scenario(place, bundle, choices, size, events=list(events))
    row, start = size.agents, int(bundle.history[-1])
    held = int(exchange.ledger.position[row, 0]), int(exchange.ledger.cash_cents[row])
    closes = [start]
    for day in range(size.days):
        if day == run_day:
            for agent in range(0, size.agents, 2):
                exchange.grant(agent, -int(exchange.ledger.cash_cents[agent] // 2))
        closes.append(int(exchange.play_day().close_ticks[0]))
    kept = held[1] + held[0] * closes[-1]  # a tick is a cent, a lot a share
    profit = float(exchange.ledger.equity_cents()[row]) - kept
    return np.log(np.array(closes)), 100 * profit / (lots * start)


def play_cast(
    bundle: Bundle,
    choices: NDArray[np.float64],
    plan: Plan,
    on_run: Callable[[], None] = lambda: None,
) -> dict[str, Game]:
    """Play every channel with a cast, and the operator's trades alone."""
    channels = list_channels(bundle, plan)
    own = trades(plan)
    found: dict[str, list[tuple[NDArray[np.float64], float]]] = {}
    for seed in range(plan.seed, plan.seed + plan.seeds):
        size = Size(plan.agents, plan.days, seed)
        without, alone = play_game(bundle, choices, own, size, plan.lots)
        on_run()
        for name, events in channels.items():
            run_day = plan.day if name == RUN else -1
            happening = [*own, *events]
            closes, profit = play_game(bundle, choices, happening, size, plan.lots, run_day)
            moved = 100 * (closes - without)[plan.day + 1 :]
            found.setdefault(name, []).append((moved, profit - alone))
            on_run()
    return {
        name: Game(np.array([one for one, _ in games]), np.array([gain for _, gain in games]))
        for name, games in found.items()
    }
