"""What is said to a limit order book and what it answers, as parallel arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from evobourse.market.errors import MarketError

EVENT_DTYPES = {
    "kind": "int8",
    "time": "int64",
    "agent": "int64",
    "side": "int8",
    "price_ticks": "int64",
    "quantity": "int64",
    "target": "int64",
    "time_in_force": "int8",
    "post_only": "bool",
    "expires": "int64",
}


class Kind(IntEnum):
    """What an event asks of the book; those up to REPLACE enter an order."""

    LIMIT = 0
    MARKET = 1
    REPLACE = 2
    CANCEL = 3
    CALL = 4
    UNCROSS = 5
    END_DAY = 6


class TimeInForce(IntEnum):
    """How long an order stays: to END_DAY, until cancelled, until a time, or not at all."""

    DAY = 0
    GOOD_TILL_CANCELLED = 1
    GOOD_TILL_TIME = 2
    IMMEDIATE_OR_CANCEL = 3
    FILL_OR_KILL = 4


class Phase(IntEnum):
    """Whether orders match as they come or wait for the uncrossing of a call."""

    CONTINUOUS = 0
    CALL = 1


class SelfTrade(IntEnum):
    """What happens in continuous trading when an order meets one of the same agent."""

    CANCEL_RESTING = 0
    CANCEL_INCOMING = 1
    ALLOW = 2


class Status(IntEnum):
    """Where an event stands; DONE is for requests, which enter no order."""

    PENDING = 0
    RESTING = 1
    FILLED = 2
    CANCELLED = 3
    REJECTED = 4
    DONE = 5


class Reason(IntEnum):
    """Why an event was rejected or an order's remainder cancelled.

    The book rejects for those up to NOT_FILLABLE and cancels for those up to END_OF_DAY. For the
    others an exchange turns an order away: what it may cost exceeds the agent's cash, holdings
    or margin, the short sale rule forbids it, trading is halted, or the agent's positions are
    being reduced by force.
    """

    NONE = 0
    BAD_QUANTITY = 1
    BAD_PRICE = 2
    UNKNOWN_ORDER = 3
    WRONG_PHASE = 4
    WOULD_TAKE = 5
    NOT_FILLABLE = 6
    EXPIRED = 7
    OWNER = 8
    REPLACED = 9
    SELF_TRADE = 10
    NO_LIQUIDITY = 11
    END_OF_DAY = 12
    NO_CASH = 13
    NO_HOLDINGS = 14
    NO_MARGIN = 15
    SHORT_SALE = 16
    HALTED = 17
    MARGIN_CALL = 18


@dataclass(frozen=True, eq=False)
class OrderEvents:
    """Events in the order in which the book sees them, as parallel arrays; read-only.

    Attributes
    ----------
    kind : NDArray[np.int8]
        :class:`Kind` of each event, shape [m]. LIMIT, MARKET and REPLACE enter an order, which
        is known by the number of its event. A MARKET order is a limit order at the far end of
        the prices allowed that does not wait. REPLACE cancels ``target`` and enters a limit
        order at the end of the queue, or, if that is rejected, does neither. CANCEL leaves
        ``quantity`` of the target, 0 for none, in its place in the queue. CALL lets orders
        wait, UNCROSS clears them at one price and goes over to continuous trading, END_DAY
        cancels the orders of the day.
    time : NDArray[np.int64]
        Time stamps in any unit, shape [m], never falling.
    agent : NDArray[np.int64]
        Who sends it, shape [m]. Only the owner can cancel or replace an order.
    side : NDArray[np.int8]
        +1 for a buy, -1 for a sell, shape [m]; not read for CANCEL and the kinds that follow.
    price_ticks : NDArray[np.int64]
        Limit price, shape [m]; not read for MARKET.
    quantity : NDArray[np.int64]
        Lots, shape [m].
    target : NDArray[np.int64]
        Number of the order to cancel or replace, shape [m].
    time_in_force : NDArray[np.int8]
        :class:`TimeInForce`, shape [m]. In a call, IMMEDIATE_OR_CANCEL waits for the uncrossing
        and FILL_OR_KILL is rejected.
    post_only : NDArray[np.bool_]
        Whether to reject the order rather than let it take, shape [m]; not for a call.
    expires : NDArray[np.int64]
        Time from which a GOOD_TILL_TIME order is gone, shape [m].

    Raises
    ------
    MarketError
        If an array has the wrong type or shape, a kind, side or time in force does not exist,
        or time falls. A price or quantity that makes no sense is no error: it is rejected.
    """

    kind: NDArray[np.int8]
    time: NDArray[np.int64]
    agent: NDArray[np.int64]
    side: NDArray[np.int8]
    price_ticks: NDArray[np.int64]
    quantity: NDArray[np.int64]
    target: NDArray[np.int64]
    time_in_force: NDArray[np.int8]
    post_only: NDArray[np.bool_]
    expires: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name, dtype in EVENT_DTYPES.items():
            received = np.asarray(getattr(self, name))
            allowed = "b" if dtype == "bool" else "iu"
            if received.dtype.kind not in allowed or received.shape != (len(self.kind),):
                raise MarketError(
                    f"events.{name} is {received.dtype} of shape {received.shape}, "
                    f"expected {dtype} of shape ({len(self.kind)},) as events.kind"
                )
            owned = np.array(received, dtype=dtype)
            if owned.dtype != received.dtype and (wrong := owned != received).any():
                row = int(wrong.argmax())
                raise MarketError(f"events.{name}[{row}] is {received[row]}, expected {dtype}")
            object.__setattr__(self, name, owned)
        self._refuse_nonsense()
        self._freeze()

    def _refuse_nonsense(self) -> None:
        entering = self.kind <= Kind.REPLACE
        for name, wrong, expected in (
            ("kind", (self.kind < 0) | (self.kind > Kind.END_DAY), "a Kind"),
            ("side", entering & (np.abs(self.side) != 1), "+1 (buy) or -1 (sell)"),
            (
                "time_in_force",
                (self.time_in_force < 0) | (self.time_in_force > TimeInForce.FILL_OR_KILL),
                "a TimeInForce",
            ),
        ):
            if wrong.any():
                row = int(wrong.argmax())
                value = getattr(self, name)[row]
                raise MarketError(f"events.{name}[{row}] is {value}, expected {expected}")
        _refuse_falling(self.time)

    def __len__(self) -> int:
        return len(self.kind)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> "OrderEvents":
        return self._checked({name: getattr(self, name)[rows] for name in EVENT_DTYPES})

    def priced(self, price_ticks: NDArray[np.int64]) -> "OrderEvents":
        """Return the same events at other prices, shape [m]."""
        columns = {name: getattr(self, name) for name in EVENT_DTYPES}
        return self._checked({**columns, "price_ticks": price_ticks})

    @classmethod
    def _checked(cls, columns: dict[str, NDArray[Any]]) -> "OrderEvents":
        """Return events of values that were checked before, but for their order in time."""
        events = object.__new__(cls)
        for name, column in columns.items():
            object.__setattr__(events, name, column)
        _refuse_falling(events.time)
        events._freeze()
        return events

    def _freeze(self) -> None:
        for name in EVENT_DTYPES:
            getattr(self, name).setflags(write=False)

    @classmethod
    def of(cls, kind: ArrayLike, **columns: ArrayLike) -> "OrderEvents":
        """Return events from any of the columns, single values standing for whole columns.

        Parameters
        ----------
        kind : array_like of Kind
            Kinds, shape [m], or one kind.
        **columns : array_like
            Other attributes; 0 and False if left out, that is, sent at time 0 by agent 0, good
            for the day, not post-only.

        Raises
        ------
        MarketError
            If a column does not exist or a value is refused.
        """
        if unknown := columns.keys() - EVENT_DTYPES.keys():
            raise MarketError(
                f"events have no {sorted(unknown)[0]!r}, expected some of {sorted(EVENT_DTYPES)}"
            )
        defaults = {name: np.zeros(1, dtype) for name, dtype in EVENT_DTYPES.items()}
        given = {**defaults, "kind": np.atleast_1d(kind), **columns}
        return cls(*np.broadcast_arrays(*(given[name] for name in EVENT_DTYPES)))

    @classmethod
    def concatenate(cls, batches: Sequence["OrderEvents"]) -> "OrderEvents":
        """Return the events of several batches, one batch after the other."""
        return cls._checked(
            {
                name: np.concatenate([getattr(batch, name) for batch in batches])
                for name in EVENT_DTYPES
            }
        )

    @property
    def frame(self) -> pd.DataFrame:
        """The order log: one row an event, one column an attribute."""
        return pd.DataFrame({name: getattr(self, name) for name in EVENT_DTYPES})

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> "OrderEvents":
        """Return the events of an order log, to be replayed."""
        return cls(*(frame[name].to_numpy() for name in EVENT_DTYPES))


@dataclass(frozen=True, eq=False)
class Fills:
    """Trades in the order in which they happened, as parallel arrays.

    Attributes
    ----------
    event : NDArray[np.int64]
        Number of the event that caused the trade: an order's or an UNCROSS, shape [f].
    buy, sell : NDArray[np.int64]
        Numbers of the two orders, shape [f].
    price_ticks, quantity : NDArray[np.int64]
        Price (the resting order's, or the call's) and lots, shape [f].
    aggressor : NDArray[np.int8]
        Side of the incoming order, 0 in a call, shape [f].
    buyer, seller : NDArray[np.int64]
        Agents of the two orders, shape [f].
    """

    event: NDArray[np.int64]
    buy: NDArray[np.int64]
    sell: NDArray[np.int64]
    price_ticks: NDArray[np.int64]
    quantity: NDArray[np.int64]
    aggressor: NDArray[np.int8]
    buyer: NDArray[np.int64]
    seller: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.event)

    @classmethod
    def concatenate(cls, batches: Sequence["Fills"]) -> "Fills":
        """Return the trades of several batches, one batch after the other."""
        names = [column.name for column in fields(cls)]
        return cls(*(np.concatenate([getattr(batch, name) for batch in batches]) for name in names))


@dataclass(frozen=True, eq=False)
class Reports:
    """Where orders stand after a batch, as parallel arrays, by rising number.

    Every order that rested before the batch has a row, and every event of it, a request like
    CANCEL included, with 0 lots of its own. ``submitted = filled + resting + cancelled +
    rejected`` in every row.

    Attributes
    ----------
    number : NDArray[np.int64]
        Number of the event, counted from 0 over all batches, shape [r].
    submitted, filled, resting, cancelled, rejected : NDArray[np.int64]
        Lots over the whole life of the order, shape [r].
    status : NDArray[np.int8]
        :class:`Status`, shape [r].
    reason : NDArray[np.int8]
        :class:`Reason` of a rejection or cancel, shape [r].
    """

    number: NDArray[np.int64]
    submitted: NDArray[np.int64]
    filled: NDArray[np.int64]
    resting: NDArray[np.int64]
    cancelled: NDArray[np.int64]
    rejected: NDArray[np.int64]
    status: NDArray[np.int8]
    reason: NDArray[np.int8]


def _refuse_falling(time: NDArray[np.int64]) -> None:
    falls = time[1:] < time[:-1]
    if falls.any():
        row = int(falls.argmax()) + 1
        raise MarketError(f"events.time[{row}] is {time[row]}, expected no earlier than the last")
