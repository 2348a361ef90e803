"""Traders who forecast by value, by trend and by chance, each with weights of its own.

References
----------
Chiarella and Iori (2002), A simulation analysis of the microstructure of double auction
markets, Quant. Finance 2(5), 346-353, doi:10.1088/1469-7688/2/5/303. Chiarella, Iori and Perello
(2009), The impact of heterogeneous trading rules on the limit order book and order flows, J.
Econ. Dyn. Control 33(3), 525-537, doi:10.1016/j.jedc.2008.08.001.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.order_events import Kind
from evobourse.market.crowd import Crowd, MarketView, Orders
from evobourse.market.crowds.chartist import trend_return
from evobourse.market.crowds.fundamentalist import value_return
from evobourse.market.errors import MarketError


@dataclass(frozen=True)
class ForecastRule:
    """What forecasters have in common.

    Attributes
    ----------
    reversion_days : float
        Days in which fundamentalists expect a gap to the value to close, over 0.
    horizon_days : float
        Days ahead that are forecast, over 0.
    longest_trend_days : int
        Chartists look back over 1 to so many days, drawn once for each; at least 1.
    noise : float
        Standard deviation of a noise trader's daily log return forecast, 0 or more.
    most_margin : float
        k_max: a limit lies below a buyer's (above a seller's) forecast by a fraction drawn
        uniformly up to this, 0 to 1.
    activity : float
        Probability that an agent orders in a turn, 0 to 1.
    lots : int
        Lots of an order, at least 1.

    Raises
    ------
    MarketError
        If a value is out of its range.
    """

    reversion_days: float = 20.0
    horizon_days: float = 1.0
    longest_trend_days: int = 20
    noise: float = 0.02
    most_margin: float = 0.01
    activity: float = 0.5
    lots: int = 1

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            lowest = 1.0 if name in ("longest_trend_days", "lots") else 0.0
            highest = 1.0 if name in ("most_margin", "activity") else 1e9
            if not lowest <= value <= highest or (name.endswith("_days") and value == 0):
                raise MarketError(
                    f"forecast rule: {name} is {value}, expected {lowest} to {highest}"
                )


class Forecasters(Crowd):
    """A crowd of traders who weigh three forecasts of the log return.

    ``r = (g1 value + g2 trend + g3 chance) / (g1 + g2 + g3)`` a day; who expects the price to
    rise buys at a limit under the expected price, who expects it to fall sells above it. All
    orders have the same size and hold for the day; in a turn of clearing "impact" they are market
    orders.

    Parameters
    ----------
    weights : NDArray[np.float64]
        g1, g2, g3 of each agent, 0 or more and not all 0, shape [n, 3].
    value_ticks : float
        Fundamental value, over 0.
    rule : ForecastRule
        What they have in common.
    rng : numpy.random.Generator
        Source of trends' lengths, chance, activity and margins.
    asset : int
        Row of the asset traded.

    Raises
    ------
    MarketError
        If weights or value are out of range.
    """

    def __init__(
        self,
        weights: NDArray[np.float64],
        value_ticks: float,
        rule: ForecastRule,
        rng: np.random.Generator,
        asset: int = 0,
    ) -> None:
        weights = np.asarray(weights, np.float64)
        if weights.ndim != 2 or weights.shape[1] != 3 or not (weights >= 0).all():
            raise MarketError(
                f"weights have shape {weights.shape} and least value {weights.min(initial=0)}, "
                "expected shape (agents, 3) and 0 or more"
            )
        if (none := weights.sum(axis=1) == 0).any():
            raise MarketError(f"weights[{none.argmax()}] are all 0, expected one over 0")
        if not 0 < value_ticks < math.inf:
            raise MarketError(f"value_ticks is {value_ticks}, expected a number over 0")
        self.weights = weights / weights.sum(axis=1, keepdims=True)
        self.value_ticks = value_ticks
        self.rule = rule
        self.n_agents = len(weights)
        self._rng = rng
        self._asset = asset
        self._trend_days = rng.integers(1, rule.longest_trend_days, self.n_agents, endpoint=True)

    def observe(self, view: MarketView) -> None:
        """Look at the last price and the closes before."""
        self._view = view

    def orders(self) -> Orders:
        """Forecast, and order accordingly."""
        rng, rule, view = self._rng, self.rule, self._view
        asset = view.assets[self._asset]
        signals = np.stack(
            [
                np.full(
                    self.n_agents,
                    value_return(asset.last_ticks, self.value_ticks, rule.reversion_days),
                ),
                trend_return(asset.last_ticks, asset.close_ticks, self._trend_days),
                rule.noise * rng.standard_normal(self.n_agents),
            ],
            axis=1,
        )
        forecast = (self.weights * signals).sum(axis=1) * rule.horizon_days
        active = rng.random(self.n_agents) < rule.activity
        margin = rule.most_margin * rng.random(self.n_agents)
        agent = np.flatnonzero(active & (forecast != 0))
        side = np.sign(forecast[agent]).astype(np.int8)
        expected = asset.last_ticks * np.exp(np.clip(forecast[agent], -1.0, 1.0))
        limit = np.rint(expected * (1 - side * margin[agent])).astype(np.int64)
        band = asset.lower_limit_ticks, asset.upper_limit_ticks
        return Orders(
            agent,
            side,
            np.clip(limit, *band),
            np.full(len(agent), rule.lots),
            np.full(len(agent), self._asset),
            np.full(len(agent), Kind.MARKET if view.clearing == "impact" else Kind.LIMIT),
        )


def mixture(
    n_agents: int,
    spreads: tuple[float, float, float],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw weights of the three forecasts for a crowd, as in Chiarella, Iori and Perello (2009).

    Parameters
    ----------
    n_agents : int
        Number of agents.
    spreads : tuple of (float, float, float)
        Means of the exponential distributions of g1, g2 and g3; 0 for none.
    rng : numpy.random.Generator
        Source of the weights.

    Returns
    -------
    NDArray[np.float64]
        Weights, shape [n, 3].
    """
    return np.asarray(rng.exponential(1.0, (n_agents, 3)) * np.array(spreads))
