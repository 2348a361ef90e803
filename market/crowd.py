"""What passes between a market and its crowd: views, orders, outcomes, and the crowd's role.

Knows: the arrays of each message, and the order in which a crowd is asked.
Does not know: how a crowd decides, how a market clears, or what is kept of a day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from market.errors import MarketError

ORDER_DTYPES = {"agent": "int64", "side": "int8", "price_ticks": "int64", "quantity": "int64"}


@dataclass(frozen=True, eq=False)
class Orders:
    """Limit orders good for one day, as parallel arrays; copied when made, read-only after.

    Attributes
    ----------
    agent : NDArray[np.int64]
        Row of the agent in the market's accounts, shape [m].
    side : NDArray[np.int8]
        +1 for a buy, -1 for a sell, shape [m].
    price_ticks : NDArray[np.int64]
        Limit price, shape [m].
    quantity : NDArray[np.int64]
        Shares, shape [m].

    Raises
    ------
    MarketError
        If an array is not of integers, the shapes differ, or a side is neither +1 nor -1. A
        price or quantity that makes no sense is no error: the market rejects that order.
    """

    agent: NDArray[np.int64]
    side: NDArray[np.int8]
    price_ticks: NDArray[np.int64]
    quantity: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name, dtype in ORDER_DTYPES.items():
            received = np.asarray(getattr(self, name))
            if received.dtype.kind not in "iu" or received.shape != (len(self.agent),):
                raise MarketError(
                    f"orders.{name} is {received.dtype} of shape {received.shape}, "
                    f"expected integers of shape ({len(self.agent)},) as orders.agent"
                )
            if name == "side" and (wrong := np.flatnonzero(np.abs(received) != 1)).size:
                raise MarketError(
                    f"orders.side[{wrong[0]}] is {received[wrong[0]]}, "
                    "expected +1 (buy) or -1 (sell)"
                )
            owned = np.array(received, dtype=dtype)
            owned.setflags(write=False)
            object.__setattr__(self, name, owned)

    def __len__(self) -> int:
        return len(self.agent)

    @classmethod
    def empty(cls) -> "Orders":
        """Return no orders."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, np.empty(0, np.int8), nothing, nothing)


@dataclass(frozen=True, eq=False)
class MarketView:
    """What a crowd may see when a day opens; every array is a read-only view.

    Attributes
    ----------
    day : int
        Days simulated so far.
    close_ticks : NDArray[np.int64]
        Closes of the history and of the days simulated so far, shape [H + day]; the last one is
        today's reference price.
    volume : NDArray[np.int64]
        Shares traded on the same days, shape [H + day]; 0 throughout the history.
    buy_quantity, sell_quantity : int
        Shares of yesterday's orders that were let into the auction; 0 on day 0.
    cash_cents, shares : NDArray[np.int64]
        Accounts of all agents, shape [n]. They show the live accounts, and so change when the
        day closes: copy what is needed later.
    """

    day: int
    close_ticks: NDArray[np.int64]
    volume: NDArray[np.int64]
    buy_quantity: int
    sell_quantity: int
    cash_cents: NDArray[np.int64]
    shares: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DayOutcome:
    """What became of a day's orders.

    Attributes
    ----------
    day : int
        The day, from 0.
    reference_ticks, close_ticks : int
        The close before and the close of this day; equal if nothing traded.
    volume : int
        Shares traded.
    filled : NDArray[np.int64]
        Shares traded by each order, shape [m], all at the close.
    reason : NDArray[np.int8]
        :class:`~market.accounts.RejectReason` of each order, shape [m].
    orders : Orders
        The orders as submitted.
    """

    day: int
    reference_ticks: int
    close_ticks: int
    volume: int
    filled: NDArray[np.int64]
    reason: NDArray[np.int8]
    orders: Orders


class Crowd(Protocol):
    """All the agents of one market, asked together, four calls a day in the order below."""

    @property
    def n_agents(self) -> int:
        """Number of agents; the market has as many accounts."""
        ...

    def observe(self, view: MarketView) -> None:
        """Take in the day's opening; nothing has to be decided yet."""
        ...

    def orders(self) -> Orders:
        """Return the orders of the day last observed."""
        ...

    def decisions(self) -> Mapping[str, NDArray[Any]]:
        """Return columns of equal length about the orders just given, for the record.

        Names and types are the crowd's own and the same every day, except ``day``, which the
        market adds. May be empty. Asked only by a market that records in full.
        """
        ...

    def settled(self, outcome: DayOutcome) -> None:
        """Learn what became of the orders."""
        ...
