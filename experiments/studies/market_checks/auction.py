"""The experiment of Gode and Sunder (1993), played at our exchange.

Five markets of given supply and demand; a period is judged by its efficiency and its prices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.market.crowd import Clearing
from evobourse.market.crowds.zero_intelligence import Equilibrium, ZeroIntelligence, equilibrium
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.session import SessionRules

TRADERS_A_SIDE = 6
PRICES_TICKS = (1_001, 1_200)
"""Where prices of 1 to 200 are shouted: so far up that no daily price limit of 20 % binds."""


@dataclass(frozen=True)
class Schedule:
    """Straight supply and demand: the first and last of each side's units, prices of 1 to 200."""

    values: tuple[int, int]
    costs: tuple[int, int]
    units_each: int

    def __str__(self) -> str:
        count = TRADERS_A_SIDE * self.units_each
        return (
            f"{count} + {count} units, values {self.values[0]} to {self.values[1]}, "
            f"costs {self.costs[0]} to {self.costs[1]}"
        )

    def sides(self) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
        """Deal units out to six buyers and six sellers, best first: sides [12], ticks [12, u]."""
        rows = []
        for first, last in (self.values, self.costs):
            units = np.rint(np.linspace(first, last, TRADERS_A_SIDE * self.units_each))
            rows.append(units.reshape(self.units_each, TRADERS_A_SIDE).T)
        side = np.repeat(np.array([1, -1], np.int8), TRADERS_A_SIDE)
        return side, np.concatenate(rows).astype(np.int64) + PRICES_TICKS[0] - 1


SCHEDULES = {
    "1 symmetric": Schedule((140, 60), (20, 100), 4),
    "2 flat supply": Schedule((130, 50), (70, 85), 3),
    "3 few units": Schedule((170, 60), (40, 120), 1),
    "4 high price": Schedule((190, 150), (100, 200), 3),
    "5 many beyond the margin": Schedule((160, 60), (70, 130), 4),
}


@dataclass(frozen=True)
class Periods:
    """What a run of periods came to.

    Attributes
    ----------
    efficiency
        Surplus of each period over the most there is, float64[P].
    deviation
        Root mean squared distance of prices from the equilibrium, in ticks, over the trades in
        each third of a period, all periods together, float64[3].
    price
        Mean price of each period's last third, less the equilibrium's, in ticks: its mean.
    """

    efficiency: NDArray[np.float64]
    deviation: NDArray[np.float64]
    price: float


def play_periods(
    schedule: Schedule, constrained: bool, periods: int, turns: int, shouts: int, seed: int
) -> Periods:
    """Play days of a continuous double auction among zero-intelligence traders.

    Parameters
    ----------
    schedule
        Their values and costs.
    constrained
        ZI-C if true, else ZI-U.
    periods, turns, shouts
        Days, on each of which all units are there again; turns a day; traders who shout in each.
    seed
        Of prices and order of arrival.
    """
    side, values_ticks = schedule.sides()
    best = equilibrium(side, values_ticks)
    of_crowd, of_market = np.random.default_rng(seed).spawn(2)
    crowd = ZeroIntelligence(side, values_ticks, PRICES_TICKS, constrained, shouts, of_crowd)
    units = values_ticks.size * periods
    clearing: Clearing = "continuous"
    exchange = Exchange(
        [Instrument("unit", price_limit=0.25)],
        [np.array([round(best.price_ticks)])],
        [crowd],
        np.full(len(side), units * PRICES_TICKS[1]),
        np.full((len(side), 1), units),
        of_market,
        SessionRules((clearing,) * turns),
    )
    efficiency, thirds = np.empty(periods), []
    for period in range(periods):
        exchange.play_day()
        efficiency[period] = crowd.surplus_ticks() / best.surplus_ticks
        thirds.append(np.array_split(exchange.listings[0].fills_today().price_ticks, 3))
    gaps = [_gaps([third[k] for third in thirds], best) for k in range(3)]
    return Periods(
        efficiency,
        np.array([np.sqrt((gap**2).mean()) for gap in gaps]),
        float(gaps[2].mean()),
    )


def _gaps(prices: list[NDArray[np.int64]], best: Equilibrium) -> NDArray[np.float64]:
    return np.concatenate(prices).astype(np.float64) - best.price_ticks
