"""Market makers: two quotes around a reservation price that leans against the inventory.

References
----------
Avellaneda and Stoikov (2008), High-frequency trading in a limit order book, Quant. Finance
8(3), 217-224, doi:10.1080/14697680701381228.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.book import Depth
from evobourse.market.book.order_events import Kind, TimeInForce
from evobourse.market.crowd import AssetView, Crowd, MarketView, Orders
from evobourse.market.errors import MarketError


@dataclass(frozen=True)
class MakerRule:
    """How a market maker quotes.

    Attributes
    ----------
    risk_aversion : float
        gamma of the paper, per tick of wealth, over 0.
    arrival_decay : float
        k: by which factor exp(-k) fewer orders reach a quote one tick further away, over 0.
    horizon_days : float
        T - t, held constant, over 0: the paper's falls to 0, after which nobody quotes.
    lots : int
        Lots of each quote, at least 1.
    most_lots : int
        A side is left out that could make the inventory larger than this, at least `lots`.
    volatility_days : float
        Half-life of the variance of closes, over 0.

    Raises
    ------
    MarketError
        If a value is out of its range.
    """

    risk_aversion: float = 0.001
    arrival_decay: float = 0.3
    horizon_days: float = 1.0
    lots: int = 10
    most_lots: int = 1_000
    volatility_days: float = 20.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < math.inf:
                raise MarketError(f"market maker: {name} is {value}, expected a number over 0")
        if self.lots > self.most_lots:
            raise MarketError(
                f"market maker: lots is {self.lots}, expected at most most_lots {self.most_lots}"
            )


def quotes(
    mid_ticks: float,
    inventory_lots: NDArray[np.float64],
    variance_ticks: float,
    rule: MakerRule,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return bid and ask of market makers.

    ``r = s - q gamma sigma^2 (T - t)``, and half of the spread ``gamma sigma^2 (T - t) +
    (2 / gamma) ln(1 + gamma / k)`` to either side (Avellaneda and Stoikov 2008, section 3.2).

    Parameters
    ----------
    mid_ticks : float
        s, the mid price.
    inventory_lots : NDArray[np.float64]
        q, how far the inventory is from where it should be in units of one quote, shape [n].
    variance_ticks : float
        sigma squared, the variance of a day's price change in squared ticks.
    rule : MakerRule
        The other parameters.

    Returns
    -------
    bid, ask : NDArray[np.float64]
        Prices in ticks, not rounded, shape [n].
    """
    gamma = rule.risk_aversion
    risk = gamma * variance_ticks * rule.horizon_days
    reservation = mid_ticks - inventory_lots * risk
    half = risk / 2 + math.log1p(gamma / rule.arrival_decay) / gamma
    return reservation - half, reservation + half


class MarketMakers(Crowd):
    """A crowd that keeps one bid and one ask each in the book, and moves them every turn.

    A quote that rests is replaced, one that no longer should is cancelled, one that is missing
    is entered. Quotes hold until cancelled and never take: outside calls they are post-only.
    In a turn of clearing "impact" there is nothing to quote.

    Parameters
    ----------
    rule : MakerRule
        How they quote, all alike.
    target_lots : NDArray[np.int64]
        Inventory that each wants to hold, shape [n]: what it begins with, say.
    asset : int
        Row of the asset traded.

    Attributes
    ----------
    lean_ticks : NDArray[np.float64] or float
        By how much each quotes higher than the rule says, shape [n]; 0 unless somebody sets it.
    """

    def __init__(self, rule: MakerRule, target_lots: NDArray[np.int64], asset: int = 0) -> None:
        self.rule = rule
        self.target_lots = np.asarray(target_lots, np.int64)
        self.n_agents = len(self.target_lots)
        self._asset = asset
        self.lean_ticks: NDArray[np.float64] | float = 0.0

    def observe(self, view: MarketView) -> None:
        """Look at the book, the inventory and one's own quotes."""
        self._view = view

    def orders(self) -> Orders:
        """Replace, enter or cancel quotes."""
        view, rule = self._view, self.rule
        asset = view.assets[self._asset]
        if view.clearing == "impact":
            return Orders.empty()
        inventory = view.position[:, self._asset] - self.target_lots
        bid, ask = quotes(_mid_of_others(asset), inventory / rule.lots, self.variance(asset), rule)
        bid, ask = bid + self.lean_ticks, ask + self.lean_ticks
        best_bid, best_ask = _best(asset.depth)
        # To the tick away from the mid, and never through the other side: that is turned away.
        bid, ask = np.floor(bid), np.ceil(ask)
        if view.clearing == "continuous":
            bid, ask = np.minimum(bid, best_ask - 1), np.maximum(ask, best_bid + 1)
        wanted = np.concatenate([inventory + rule.lots, rule.lots - inventory]) <= rule.most_lots
        rows = np.arange(self.n_agents)
        agent, side = np.concatenate([rows, rows]), np.repeat([1, -1], self.n_agents)
        price = np.clip(
            np.concatenate([bid, ask]), asset.lower_limit_ticks, asset.upper_limit_ticks
        ).astype(np.int64)
        number = self._resting(asset)
        rests = number >= 0
        kind = np.where(rests, np.where(wanted, Kind.REPLACE, Kind.CANCEL), Kind.LIMIT)
        send = np.flatnonzero(wanted | rests)
        return Orders(
            agent[send],
            side[send],
            price[send],
            np.where(wanted, rule.lots, 0)[send],
            np.full(len(send), self._asset),
            kind[send],
            number[send],
            np.full(len(send), TimeInForce.GOOD_TILL_CANCELLED),
            np.full(len(send), view.clearing == "continuous"),
        )

    def _resting(self, asset: AssetView) -> NDArray[np.int64]:
        """Return the numbers of the bids and asks that rest, -1 for none, shape [2n]."""
        number = np.full(2 * self.n_agents, -1)
        if asset.resting is not None:
            own = asset.resting
            number[own.agent + np.where(own.side > 0, 0, self.n_agents)] = own.number
        return number

    def variance(self, asset: AssetView) -> float:
        """Return the weighted mean of squared price changes between closes."""
        moves = np.diff(asset.close_ticks[-math.ceil(8 * self.rule.volatility_days) :])
        if not len(moves):
            return 0.0
        weights = 0.5 ** (np.arange(len(moves))[::-1] / self.rule.volatility_days)
        return float(moves.astype(float) ** 2 @ weights / weights.sum())


def _best(depth: Depth | None) -> tuple[float, float]:
    """Return the best bid and ask, without limit where there is none."""
    if depth is None:
        return -math.inf, math.inf
    return (
        float(depth.bid_ticks[0]) if len(depth.bid_ticks) else -math.inf,
        float(depth.ask_ticks[0]) if len(depth.ask_ticks) else math.inf,
    )


def _mid_of_others(asset: AssetView) -> float:
    """Return the middle of the best prices that others quote, else the last price.

    One's own quotes lean with the inventory: a mid that followed them would run away.
    """
    if asset.depth is None or asset.resting is None:
        return asset.last_ticks
    sides = []
    for side, ticks, quantity in (
        (1, asset.depth.bid_ticks, asset.depth.bid_quantity),
        (-1, asset.depth.ask_ticks, asset.depth.ask_quantity),
    ):
        own = asset.resting.side == side
        at = asset.resting.price_ticks[own] == ticks[:, None]
        others = quantity > at @ asset.resting.remaining[own]
        sides += [ticks[others], quantity[others]]
    bid, ask = _best(Depth(*sides))
    return (bid + ask) / 2 if math.isfinite(bid) and math.isfinite(ask) else asset.last_ticks
