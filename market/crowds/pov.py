"""A trader who takes part in the market's volume, to see how the market responds."""

import math

import numpy as np

from evobourse.market.book.order_events import Kind
from evobourse.market.crowd import Crowd, DayOutcome, MarketView, Orders, TurnOutcome
from evobourse.market.crowds.withdrawal import withdraw
from evobourse.market.errors import MarketError


class VolumeParticipant(Crowd):
    """One agent who trades a percentage of volume (POV) at market on certain days.

    On each of its days it asks for ``rate / (1 - rate)`` times what others traded the day before,
    so that its part of the whole is the rate if others trade as much again; a remainder is not
    made up for. It draws no random number and, at a rate of 0, sends nothing: two runs with the
    same seeds differ by its orders alone, and by what others make of them.

    Parameters
    ----------
    rate : float
        Part of the volume, at least 0 and below 1.
    first_day, last_day : int
        Days on which it trades, both included.
    side : {1, -1}
        Buys or sells.
    turn : int
        The turn of the day in which it orders.
    asset : int
        Row of the asset traded.

    Attributes
    ----------
    traded_lots : int
        Lots traded so far.

    Raises
    ------
    MarketError
        If a value is out of its range.
    """

    n_agents = 1

    def __init__(
        self,
        rate: float,
        first_day: int,
        last_day: int,
        side: int = 1,
        turn: int = 0,
        asset: int = 0,
    ) -> None:
        if not 0 <= rate < 1 or first_day > last_day or abs(side) != 1:
            raise MarketError(
                f"volume participant: rate {rate}, days {first_day} to {last_day}, side {side}; "
                "expected a rate from 0 to under 1, days in order, a side of +1 or -1"
            )
        self.rate = rate
        self.days = range(first_day, last_day + 1)
        self.side = side
        self.traded_lots = 0
        self._turn = turn
        self._asset = asset
        self._today, self._others = 0, -1

    def observe(self, view: MarketView) -> None:
        """Read what was traded the day before."""
        self._view = view
        if self._others < 0:
            self._others = int(view.assets[self._asset].volume[-1])

    def orders(self) -> Orders:
        """Ask for the day's part."""
        lots = math.floor(self.rate / (1 - self.rate) * max(self._others, 0) + 0.5)
        if lots == 0 or self._view.day not in self.days or self._view.turn != self._turn:
            return Orders.empty()
        return Orders(
            np.array([0]),
            np.array([self.side]),
            np.array([self._view.assets[self._asset].last_ticks]),
            np.array([lots]),
            np.array([self._asset]),
            np.array([Kind.MARKET]),
        )

    def matched(self, outcome: TurnOutcome) -> Orders:
        """Count what was traded."""
        self._today += int(outcome.filled.sum())
        return withdraw(outcome)

    def settled(self, outcome: DayOutcome) -> None:
        """Find what others traded."""
        self._others = int(outcome.volume[self._asset]) - self._today
        self.traded_lots += self._today
        self._today = 0
