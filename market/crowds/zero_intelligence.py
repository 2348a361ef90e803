"""Zero-intelligence traders with private values, and what perfect ones would have gained.

References
----------
Gode and Sunder (1993), Allocative efficiency of markets with zero-intelligence traders: market
as a partial substitute for individual rationality, J. Polit. Econ. 101(1), 119-137,
doi:10.1086/261868.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.book import MAX_TICKS
from evobourse.market.book.order_events import Kind, Reason
from evobourse.market.crowd import Crowd, MarketView, Orders, TurnOutcome
from evobourse.market.errors import MarketError


@dataclass(frozen=True)
class Equilibrium:
    """Where supply meets demand.

    Attributes
    ----------
    quantity : int
        Most units that can change hands with a gain each.
    lowest_ticks, highest_ticks : int
        Prices at which that many are demanded and supplied.
    surplus_ticks : int
        The gain of all of them, the most there is.
    """

    quantity: int
    lowest_ticks: int
    highest_ticks: int
    surplus_ticks: int

    @property
    def price_ticks(self) -> float:
        """Middle of the equilibrium prices."""
        return (self.lowest_ticks + self.highest_ticks) / 2


class ZeroIntelligence(Crowd):
    """Traders who shout random prices for one unit after the other.

    In each turn some of the traders with units left shout a price for one lot, drawn uniformly: a
    constrained trader (ZI-C) between the lowest price and its unit's value, or between its cost
    and the highest; an unconstrained one (ZI-U) anywhere. A shout that is no better than the
    trader's own standing quote is void. Quotes stand until there is a trade, which clears the
    book when the turn is over. Every day all units are there again.

    With one shout a turn this is the paper's auction; more are faster, and let the trades of one
    turn come from one book.

    Parameters
    ----------
    side : NDArray[np.int8]
        +1 for buyers, -1 for sellers, shape [n].
    values_ticks : NDArray[np.int64]
        What each unit is worth to a buyer, never rising along a row, or costs a seller, never
        falling; in the order in which units are traded, shape [n, units].
    prices_ticks : tuple of (int, int)
        Lowest and highest price that is shouted.
    constrained : bool
        ZI-C if true, else ZI-U.
    shouts : int
        Traders who shout in a turn, at least 1.
    rng : numpy.random.Generator
        Source of all prices and of who shouts.
    asset : int
        Row of the asset traded.

    Attributes
    ----------
    units_traded : NDArray[np.int64]
        Units traded by each trader today, or on the day that is over, shape [n].

    Raises
    ------
    MarketError
        If the shapes differ, a row is out of order, a value lies outside the prices, or nobody
        shouts.
    """

    def __init__(
        self,
        side: NDArray[np.int8],
        values_ticks: NDArray[np.int64],
        prices_ticks: tuple[int, int],
        constrained: bool,
        shouts: int,
        rng: np.random.Generator,
        asset: int = 0,
    ) -> None:
        self.side = np.asarray(side, np.int8)
        self.values_ticks = np.asarray(values_ticks, np.int64)
        self.n_agents = len(self.side)
        if self.values_ticks.ndim != 2 or len(self.values_ticks) != self.n_agents:
            raise MarketError(
                f"values_ticks has shape {self.values_ticks.shape}, expected "
                f"({self.n_agents}, units) as there are {self.n_agents} sides"
            )
        wrong = (self.side[:, None] * np.diff(self.values_ticks, axis=1) > 0).any(axis=1)
        wrong |= (np.abs(self.side) != 1) | (
            (self.values_ticks < prices_ticks[0]) | (self.values_ticks > prices_ticks[1])
        ).any(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            raise MarketError(
                f"values_ticks[{row}] of side {self.side[row]} are {self.values_ticks[row]}, "
                f"expected falling values of a buyer (+1) or rising costs of a seller (-1) from "
                f"{prices_ticks[0]} to {prices_ticks[1]}"
            )
        if shouts < 1:
            raise MarketError(f"shouts is {shouts}, expected at least 1 a turn")
        self.shouts = shouts
        self.prices_ticks = prices_ticks
        self.constrained = constrained
        self.units_traded = np.zeros(self.n_agents, np.int64)
        self._rng = rng
        self._asset = asset

    def observe(self, view: MarketView) -> None:
        """See one's standing quotes; begin anew on each day."""
        self._position = view.position[:, self._asset]
        if view.turn == 0:
            self._before = self._position.copy()
        self.units_traded = self._units()
        self._quote = np.full(self.n_agents, -1)
        self._quoted_ticks = np.where(self.side > 0, self.prices_ticks[0] - 1, MAX_TICKS)
        resting = view.assets[self._asset].resting
        if resting is not None:
            self._quote[resting.agent] = resting.number
            self._quoted_ticks[resting.agent] = resting.price_ticks

    def orders(self) -> Orders:
        """Shout prices for the next units of some traders."""
        left = np.flatnonzero(self.units_traded < self.values_ticks.shape[1])
        agent = self._rng.permutation(left)[: self.shouts]
        side, value = self.side[agent], self.values_ticks[agent, self.units_traded[agent]]
        lowest, highest = (np.full_like(value, price) for price in self.prices_ticks)
        if self.constrained:
            lowest = np.where(side > 0, lowest, value)
            highest = np.where(side > 0, value, highest)
        price_ticks = self._rng.integers(lowest, highest, endpoint=True)
        better = side * (price_ticks - self._quoted_ticks[agent]) > 0
        agent = agent[better]
        return Orders(
            agent,
            side[better],
            price_ticks[better],
            np.ones_like(agent),
            np.full(len(agent), self._asset),
            np.where(self._quote[agent] >= 0, Kind.REPLACE, Kind.LIMIT),
            self._quote[agent],
        )

    def matched(self, outcome: TurnOutcome) -> Orders | None:
        """Count what was traded; after a trade, take all quotes back."""
        entered = outcome.reason == Reason.NONE
        self._quote[outcome.orders.agent[entered]] = outcome.number[entered]
        before, self.units_traded = self.units_traded, self._units()
        traded = self.units_traded > before
        if not traded.any():
            return None
        agent = np.flatnonzero(~traded & (self._quote >= 0))
        return Orders(
            agent,
            self.side[agent],
            np.zeros_like(agent),
            np.zeros_like(agent),
            np.full(len(agent), self._asset),
            np.full(len(agent), Kind.CANCEL),
            self._quote[agent],
        )

    def surplus_ticks(self) -> int:
        """Return what the day's units gained, whoever gained it: values less costs."""
        traded = np.arange(self.values_ticks.shape[1]) < self.units_traded[:, None]
        return int((self.side[:, None] * self.values_ticks)[traded].sum())

    def _units(self) -> NDArray[np.int64]:
        """Return the units traded today: accounts that a view shows are live."""
        return np.asarray(self.side * (self._position - self._before), np.int64)


def equilibrium(side: NDArray[np.int8], values_ticks: NDArray[np.int64]) -> Equilibrium:
    """Return where the supply and demand of :class:`ZeroIntelligence` traders meet.

    Raises
    ------
    MarketError
        If no unit can change hands with a gain.
    """
    demand = np.sort(values_ticks[side > 0].ravel())[::-1]
    supply = np.sort(values_ticks[side < 0].ravel())
    units = min(len(demand), len(supply))
    gain = demand[:units] - supply[:units]
    quantity = int((gain > 0).sum())
    if quantity == 0:
        raise MarketError("no value exceeds a cost: there is no equilibrium with trade")
    lowest, highest = int(supply[quantity - 1]), int(demand[quantity - 1])
    if quantity < len(demand):
        lowest = max(lowest, int(demand[quantity]))
    if quantity < len(supply):
        highest = min(highest, int(supply[quantity]))
    return Equilibrium(quantity, lowest, highest, int(gain[:quantity].sum()))
