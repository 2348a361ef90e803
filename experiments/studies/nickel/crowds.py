"""Who trades nickel in the scenario of March 2022: five rule-based crowds.

What a trader wants depends on a price, its own accounts and what it may see. Shanghai's close of
the same day is all that comes from outside.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from evobourse.market.crowd import Crowd, MarketView, Orders

FloatArray = NDArray[np.float64]
Lots = NDArray[np.int64]

CENTS = 100
LOT_TONNES = 6
LOT_TICK_CENTS = LOT_TONNES * CENTS
"""A tick is 1 USD/t: a lot changes by 6 USD."""


class Idle(Crowd):
    """Shorts that do nothing by themselves: their margin calls trade for them."""

    def __init__(self, n_agents: int) -> None:
        self.n_agents = n_agents

    def observe(self, view: MarketView) -> None:
        """Look away."""

    def orders(self) -> Orders:
        """Send nothing."""
        return Orders.empty()


class Daily(Crowd):
    """Agents that each order once a day, in a turn drawn for it, good for the day."""

    def __init__(self, n_agents: int, rng: np.random.Generator, turns: int) -> None:
        self.n_agents = n_agents
        self._rng, self._turns = rng, turns

    def observe(self, view: MarketView) -> None:
        """Keep the view; draw the turns of a new day."""
        if view.turn == 0:
            self._turn_of = self._rng.integers(0, self._turns, self.n_agents)
        self._view = view

    def orders(self) -> Orders:
        """Send what is wanted by those whose turn it is, at limits within the band."""
        asset = self._view.assets[0]
        limit_ticks, lots = self.wishes(self._view)
        here = np.flatnonzero((self._turn_of == self._view.turn) & (lots != 0))
        limit_ticks = np.clip(
            np.rint(limit_ticks[here]), asset.lower_limit_ticks, asset.upper_limit_ticks
        )
        return Orders(here, np.sign(lots[here]), limit_ticks.astype(np.int64), np.abs(lots[here]))

    @abstractmethod
    def wishes(self, view: MarketView) -> tuple[FloatArray, Lots]:
        """Return limit prices and lots, negative to sell, shape [n] each."""

    def affordable(self, view: MarketView, leverage: float) -> Lots:
        """Return the lots whose value is so many times an agent's cash, shape [n]."""
        cash = np.maximum(view.cash_cents, 0)
        return (leverage * cash / (view.assets[0].last_ticks * LOT_TICK_CENTS)).astype(np.int64)


class Holders(Daily):
    """Longs who offer a tenth of what they hold a day: dearer while it rises, at once when over.

    They wait for a premium on the last close, another one each day. Once a price far over
    Shanghai's has stopped rising, they sell for what they can get.
    """

    PREMIUM, FAR = 0.25, 1.10

    def __init__(
        self, n_agents: int, rng: np.random.Generator, turns: int, parity_ticks: FloatArray
    ) -> None:
        super().__init__(n_agents, rng, turns)
        self._parity_ticks = parity_ticks

    def wishes(self, view: MarketView) -> tuple[FloatArray, Lots]:
        """Offer at a premium, or at any price."""
        asset, held = view.assets[0], view.position[:, 0]
        over = asset.close_ticks[-1] <= asset.close_ticks[-2]
        if over and asset.last_ticks > self.FAR * self._parity_ticks[view.day]:
            limit_ticks = np.zeros(self.n_agents)
        else:
            premium = self._rng.exponential(self.PREMIUM, self.n_agents)
            limit_ticks = asset.close_ticks[-1] * (1.0 + premium)
        return limit_ticks, -(np.maximum(held, 0) // 10)


class Arbitrageurs(Daily):
    """Those who compare with Shanghai, up to so many lots either way."""

    FULL_AT, SPREAD = 0.06, 0.03

    def __init__(
        self,
        n_agents: int,
        rng: np.random.Generator,
        turns: int,
        parity_ticks: FloatArray,
        most_lots: int,
    ) -> None:
        super().__init__(n_agents, rng, turns)
        self._parity_ticks, self._most_lots = parity_ticks, most_lots
        self._opinion = np.exp(rng.normal(0.0, self.SPREAD, n_agents))

    def wishes(self, view: MarketView) -> tuple[FloatArray, Lots]:
        """Want a position that grows with the gap, at a limit of one's own value."""
        value = self._parity_ticks[view.day] * self._opinion
        gap = np.log(value / view.assets[0].last_ticks)
        wanted = np.rint(self._most_lots * np.clip(gap / self.FULL_AT, -1.0, 1.0))
        return value, wanted.astype(np.int64) - view.position[:, 0]


class Followers(Daily):
    """Those who follow the trend of three days."""

    LEVERAGE, FULL_AT, URGENCY = 3.0, 0.15, 0.03

    def wishes(self, view: MarketView) -> tuple[FloatArray, Lots]:
        """Want a position in the direction of the trend, at once."""
        asset = view.assets[0]
        trend = np.log(asset.last_ticks / asset.close_ticks[-3])
        patience = self._rng.uniform(0.5, 2.0, self.n_agents)
        share = np.clip(trend / (self.FULL_AT * patience), -1.0, 1.0)
        lots = (share * self.affordable(view, self.LEVERAGE)).astype(np.int64) - view.position[:, 0]
        return asset.last_ticks * (1.0 + self.URGENCY * np.sign(lots)), lots


class Dealers(Daily):
    """Those who buy a little below the last price and sell a little above."""

    LOTS, WIDTH = 40, 0.015

    def wishes(self, view: MarketView) -> tuple[FloatArray, Lots]:
        """Quote one side, rather the one that reduces the position."""
        held = view.position[:, 0]
        side = np.where(self._rng.normal(0.0, 2 * self.LOTS, self.n_agents) > held, 1, -1)
        distance = np.abs(self._rng.normal(0.0, self.WIDTH, self.n_agents))
        return view.assets[0].last_ticks * (1.0 - side * distance), side * self.LOTS
