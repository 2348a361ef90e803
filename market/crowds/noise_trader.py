"""Noise traders: a Poisson flow of every kind of order around the best prices.

References
----------
Farmer, Patelli and Zovko (2005), The predictive power of zero intelligence in financial
markets, PNAS 102(6), 2254-2259, doi:10.1073/pnas.0409157102.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.order_events import Kind, TimeInForce
from evobourse.market.crowd import AssetView, Crowd, MarketView, Orders
from evobourse.market.errors import MarketError


@dataclass(frozen=True)
class NoiseFlow:
    """Rates of a noise flow, per turn, and how its orders look.

    Attributes
    ----------
    limit_orders, market_orders : float
        Expected number of each (alpha times the window, and mu, of the paper), 0 or more.
    cancel_share : float
        Probability that a resting order is cancelled (delta), 0 to 1.
    replace_share : float
        Part of those cancels that enter the order again at a new price, 0 to 1.
    window_ticks : int
        Limit prices are uniform over so many ticks, from the one next to the best price of the
        other side; at least 1.
    mean_lots : float
        Quantities are geometric with this mean, at least 1.
    times_in_force : tuple of float
        Weights of the times in force of limit orders, as in
        :class:`~market.order_events.TimeInForce`: 0 or more, not all 0. In a call, which fills
        or kills nothing, FILL_OR_KILL orders are left out.
    post_only_share : float
        Part of limit orders that must not take, 0 to 1; none in a call.
    life : int
        Turns after which a GOOD_TILL_TIME order is gone, at least 1.

    Raises
    ------
    MarketError
        If a value is out of its range.
    """

    limit_orders: float = 10.0
    market_orders: float = 3.0
    cancel_share: float = 0.1
    replace_share: float = 0.0
    window_ticks: int = 20
    mean_lots: float = 1.0
    times_in_force: tuple[float, ...] = (0.0, 1.0, 0.0, 0.0, 0.0)
    post_only_share: float = 0.0
    life: int = 1

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name == "times_in_force":
                continue
            lowest = 1.0 if name in ("window_ticks", "mean_lots", "life") else 0.0
            highest = 1.0 if name.endswith("_share") else 1e9
            if not lowest <= value <= highest:
                raise MarketError(f"noise flow: {name} is {value}, expected {lowest} to {highest}")
        weights = np.array(self.times_in_force)
        if weights.shape != (len(TimeInForce),) or weights.min() < 0 or not weights.any():
            raise MarketError(
                f"noise flow: times_in_force are {self.times_in_force}, expected "
                f"{len(TimeInForce)} weights of 0 or more, not all 0"
            )


class NoiseTraders(Crowd):
    """A crowd that sends a :class:`NoiseFlow` in every turn.

    In a turn of clearing "impact", which takes no other, there are market orders alone.

    Parameters
    ----------
    flow : NoiseFlow
        Its rates.
    n_agents : int
        Among how many agents the orders are dealt out, at random.
    rng : numpy.random.Generator
        Source of everything.
    asset : int
        Row of the asset traded.
    """

    def __init__(
        self, flow: NoiseFlow, n_agents: int, rng: np.random.Generator, asset: int = 0
    ) -> None:
        self.flow = flow
        self.n_agents = n_agents
        self._rng = rng
        self._asset = asset

    def observe(self, view: MarketView) -> None:
        """Look at the best prices and at one's own resting orders."""
        self._view = view

    def orders(self) -> Orders:
        """Draw the turn's orders."""
        rng, flow, view = self._rng, self.flow, self._view
        asset = view.assets[self._asset]
        limits = 0 if view.clearing == "impact" else rng.poisson(flow.limit_orders)
        markets = rng.poisson(flow.market_orders)
        gone = self._to_cancel(asset)
        resting = asset.resting
        replaced = rng.random(len(gone)) < flow.replace_share
        new = limits + markets
        side = rng.choice(np.array([-1, 1], np.int8), new)
        agent = rng.integers(self.n_agents, size=new)
        quantity = rng.geometric(1.0 / flow.mean_lots, new)
        kind = np.repeat([Kind.LIMIT, Kind.MARKET], [limits, markets])
        target = np.zeros(new, np.int64)
        if resting is not None and len(gone):
            side = np.append(side, resting.side[gone])
            agent = np.append(agent, resting.agent[gone])
            quantity = np.append(quantity, np.where(replaced, resting.remaining[gone], 0))
            kind = np.append(kind, np.where(replaced, Kind.REPLACE, Kind.CANCEL))
            target = np.append(target, resting.number[gone])
        time_in_force = self._times_in_force(len(kind))
        post_only = (rng.random(len(kind)) < flow.post_only_share) & (view.clearing == "continuous")
        return Orders(
            agent,
            side,
            self._prices(side, asset),
            quantity,
            np.full(len(kind), self._asset),
            kind,
            target,
            time_in_force,
            post_only & (kind != Kind.MARKET),
            np.full(len(kind), view.time + flow.life),
        )

    def _to_cancel(self, asset: AssetView) -> NDArray[np.int64]:
        own = 0 if asset.resting is None else len(asset.resting)
        return np.flatnonzero(self._rng.random(own) < self.flow.cancel_share)

    def _times_in_force(self, count: int) -> NDArray[np.int8]:
        weights = np.array(self.flow.times_in_force)
        if self._view.clearing == "call" and weights[: TimeInForce.FILL_OR_KILL].any():
            weights[TimeInForce.FILL_OR_KILL] = 0.0
        drawn = self._rng.choice(len(weights), count, p=weights / weights.sum())
        return drawn.astype(np.int8)

    def _prices(self, side: NDArray[np.int8], asset: AssetView) -> NDArray[np.int64]:
        """Draw prices next to the other side's best; from the last price where there is none."""
        best = {+1: asset.last_ticks + 1, -1: asset.last_ticks - 1}
        if asset.depth is not None and len(asset.depth.ask_ticks):
            best[+1] = int(asset.depth.ask_ticks[0])
        if asset.depth is not None and len(asset.depth.bid_ticks):
            best[-1] = int(asset.depth.bid_ticks[0])
        away = self._rng.integers(1, self.flow.window_ticks, len(side), endpoint=True)
        prices = np.where(side > 0, best[+1] - away, best[-1] + away)
        return np.clip(prices, asset.lower_limit_ticks, asset.upper_limit_ticks)
