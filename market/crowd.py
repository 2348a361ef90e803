"""What passes between a market and its crowds: views, orders, outcomes, and the crowd's role."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.book import Depth, RestingOrders
from evobourse.market.book.order_events import EVENT_DTYPES, Kind
from evobourse.market.errors import MarketError
from evobourse.market.rules import Clearing as Clearing

ORDER_DTYPES = {"agent": "int64", "side": "int8", "price_ticks": "int64", "quantity": "int64"}
SPECIAL_DTYPES = {
    "asset": "int16",
    "kind": "int8",
    "target": "int64",
    "time_in_force": "int8",
    "post_only": "bool",
    "expires": "int64",
}


@dataclass(frozen=True, eq=False)
class Orders:
    """Orders of one turn, as parallel arrays; copied when made, read-only after.

    The first four columns alone are limit orders for the first asset, good for the day.

    Attributes
    ----------
    agent : NDArray[np.int64]
        Row of the agent in its crowd, shape [m].
    side : NDArray[np.int8]
        +1 for a buy, -1 for a sell, shape [m].
    price_ticks : NDArray[np.int64]
        Limit price, shape [m].
    quantity : NDArray[np.int64]
        Lots, shape [m].
    asset : NDArray[np.int16], optional
        Row of the asset in the market, shape [m].
    kind, target, time_in_force, post_only, expires : NDArray, optional
        As in :class:`~market.order_events.OrderEvents`, shape [m]; a kind up to CANCEL.

    Raises
    ------
    MarketError
        If an array has the wrong type, the shapes differ, a side is neither +1 nor -1, or a
        kind is a market's own. A price or quantity that makes no sense is no error: the market
        rejects that order.
    """

    agent: NDArray[np.int64]
    side: NDArray[np.int8]
    price_ticks: NDArray[np.int64]
    quantity: NDArray[np.int64]
    asset: NDArray[np.int16] | None = None
    kind: NDArray[np.int8] | None = None
    target: NDArray[np.int64] | None = None
    time_in_force: NDArray[np.int8] | None = None
    post_only: NDArray[np.bool_] | None = None
    expires: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for name, dtype in ORDER_DTYPES.items():
            self._own(name, dtype)
        for name, dtype in SPECIAL_DTYPES.items():
            if getattr(self, name) is not None:
                self._own(name, dtype)
        if (wrong := np.flatnonzero(np.abs(self.side) != 1)).size:
            raise MarketError(
                f"orders.side[{wrong[0]}] is {self.side[wrong[0]]}, expected +1 (buy) or -1 (sell)"
            )
        if self.kind is not None and (self.kind > Kind.CANCEL).any():
            row = int(np.argmax(self.kind > Kind.CANCEL))
            raise MarketError(
                f"orders.kind[{row}] is {self.kind[row]}, expected LIMIT, MARKET, REPLACE or CANCEL"
            )

    def _own(self, name: str, dtype: str) -> None:
        received = np.asarray(getattr(self, name))
        allowed = "b" if dtype == "bool" else "iu"
        if received.dtype.kind not in allowed or received.shape != (len(self.agent),):
            raise MarketError(
                f"orders.{name} is {received.dtype} of shape {received.shape}, expected "
                f"{'booleans' if dtype == 'bool' else 'integers'} of shape "
                f"({len(self.agent)},) as orders.agent"
            )
        owned = np.array(received, dtype=dtype)
        if owned.itemsize < received.itemsize and (wrong := owned != received).any():
            row = int(wrong.argmax())
            raise MarketError(f"orders.{name}[{row}] is {received[row]}, expected {dtype}")
        owned.setflags(write=False)
        object.__setattr__(self, name, owned)

    def __len__(self) -> int:
        return len(self.agent)

    @property
    def plain(self) -> bool:
        """Whether all are limit orders for the first asset, good for the day."""
        return all(getattr(self, name) is None for name in SPECIAL_DTYPES)

    @classmethod
    def empty(cls) -> "Orders":
        """Return no orders."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, np.empty(0, np.int8), nothing, nothing)

    @classmethod
    def concatenate(cls, batches: "list[Orders]") -> "Orders":
        """Return the orders of several batches, one batch after the other."""
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(batch, name) for batch in batches])
            for name in ORDER_DTYPES
        }
        for name, dtype in SPECIAL_DTYPES.items():
            given = [getattr(batch, name) for batch in batches]
            if any(column is not None for column in given):
                columns[name] = np.concatenate(
                    [
                        np.zeros(len(batch), dtype) if column is None else column
                        for batch, column in zip(batches, given, strict=True)
                    ]
                )
        return cls(**columns)

    def column(self, name: str) -> NDArray[Any]:
        """Return a column, zeros where it was left out."""
        given = getattr(self, name)
        return np.zeros(len(self), SPECIAL_DTYPES[name]) if given is None else given


@dataclass(frozen=True, eq=False)
class Message:
    """Something said to agents, true or not.

    Attributes
    ----------
    kind : {"news", "rumour", "notice"}
        News reaches all, a rumour some; a notice is the exchange's own.
    text : str
        What is said.
    agents : NDArray[np.int64] or None
        Who hears it, rows in the crowd that sees the message; None for all.
    true : bool
        Whether it holds; nothing shows this to agents.
    source : str
        Where it comes from.
    tone : float
        How good it is, in standard deviations of an ordinary day's news; what a crowd that reads
        no texts hears of it.
    """

    kind: Literal["news", "rumour", "notice"]
    text: str
    agents: NDArray[np.int64] | None = None
    true: bool = True
    source: str = ""
    tone: float = 0.0


@dataclass(frozen=True, eq=False)
class AssetView:
    """What may be seen of one asset; every array is read-only.

    Attributes
    ----------
    close_ticks : NDArray[np.int64]
        Closes of the history and of the days simulated so far, shape [H + day]; without
        trades a day's close is the one before.
    volume : NDArray[np.int64]
        Lots traded on the same days, shape [H + day]; 0 throughout the history.
    buy_quantity, sell_quantity : int
        Lots of the orders let in on the day before; 0 on day 0.
    reference_ticks : int
        Today's reference price: centre of the price limit.
    lower_limit_ticks, upper_limit_ticks : int
        Limit prices allowed today, both included.
    last_ticks : int
        Price of the last trade.
    depth : Depth or None
        The book before this turn; None where nothing can rest, in a market of day orders in
        one call.
    resting : RestingOrders or None
        The crowd's own orders in it, agents as rows of the crowd.
    halted : bool
        Whether no order is let in.
    """

    close_ticks: NDArray[np.int64]
    volume: NDArray[np.int64]
    buy_quantity: int
    sell_quantity: int
    reference_ticks: int
    lower_limit_ticks: int
    upper_limit_ticks: int
    last_ticks: int
    depth: Depth | None = None
    resting: RestingOrders | None = None
    halted: bool = False


@dataclass(frozen=True, eq=False)
class MarketView:
    """What a crowd may see before it orders; every array is a read-only view.

    Attributes
    ----------
    day : int
        Days simulated so far.
    turn, clearing : int, {"call", "continuous", "impact"}
        Which of the day's turns it is, from 0, and how its orders will meet.
    assets : tuple of AssetView
        One for each asset of the market.
    cash_cents : NDArray[np.int64]
        Cash of the crowd's agents, shape [n]. It shows the live accounts, and so changes when
        the turn ends: copy what is needed later.
    position : NDArray[np.int64]
        Their lots of each asset, negative if short, shape [n, A]; live as well.
    messages : tuple of Message
        What was said since the last turn.
    time : int
        Turns since the first of day 0: the time of this turn's orders, in which GOOD_TILL_TIME
        orders expire.
    """

    day: int
    turn: int
    clearing: Clearing
    assets: tuple[AssetView, ...]
    cash_cents: NDArray[np.int64]
    position: NDArray[np.int64]
    messages: tuple[Message, ...] = ()
    time: int = 0


@dataclass(frozen=True, eq=False)
class TurnOutcome:
    """What became of a crowd's orders of one turn.

    Attributes
    ----------
    orders : Orders
        The orders as submitted, m of them.
    filled : NDArray[np.int64]
        Lots traded by each of them in this turn, shape [m].
    reason : NDArray[np.int8]
        Why each was rejected or what remained was cancelled, 0 if neither, shape [m].
    number : NDArray[np.int64]
        The number under which its asset's book knows each order, by which it can be cancelled,
        shape [m]; -1 where there is no book.
    """

    orders: Orders
    filled: NDArray[np.int64]
    reason: NDArray[np.int8]
    number: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DayOutcome:
    """What a day came to.

    Attributes
    ----------
    day : int
        The day's number.
    reference_ticks : NDArray[np.int64]
        The day's reference prices: of equities the closes before, of futures the settlements,
        shape [A].
    close_ticks : NDArray[np.int64]
        Prices of the last trades; the closes before where nothing traded, shape [A].
    settle_ticks : NDArray[np.int64]
        Settlement prices, shape [A].
    volume : NDArray[np.int64]
        Lots traded, shape [A].
    margin_called : NDArray[np.int64]
        Agents, rows of the crowd, whose positions are going to be reduced by force.
    """

    day: int
    reference_ticks: NDArray[np.int64]
    close_ticks: NDArray[np.int64]
    settle_ticks: NDArray[np.int64]
    volume: NDArray[np.int64]
    margin_called: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


class Crowd(Protocol):
    """Agents of one market, asked together, in the order below: turn by turn, then at the close.

    A market has one crowd or several. A class that derives from this one may leave out what it
    does not care for: `matched`, `decisions`, `interactions`, `texts`, `settled`.
    """

    n_agents: int
    """Number of agents; the market has as many accounts for them."""

    def observe(self, view: MarketView) -> None:
        """Take in what there is to see before a turn; nothing has to be decided yet."""
        ...

    def orders(self) -> Orders:
        """Return the orders for the turn last observed."""
        ...

    def matched(self, outcome: TurnOutcome) -> Orders | None:
        """Learn what became of the orders; return what to withdraw, orders of kind CANCEL."""
        return None

    def decisions(self) -> Mapping[str, NDArray[Any]]:
        """Return columns of equal length about the orders last given, for the record.

        Names and types are the crowd's own and the same every turn, except ``day`` and
        ``turn``, which the market adds. May be empty. Asked only by a market that records in
        full.
        """
        return {}

    def interactions(self) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        """Return what passed between the crowd's agents before the orders last given.

        Rows of the tape's tables ``links``, ``readings`` and ``tellings``, without ``day``;
        agents are rows of the crowd. Asked only by a market that records in full.
        """
        return {}

    def texts(self) -> Mapping[str, NDArray[Any]]:
        """Return what the crowd's agents read and wrote since this was last asked.

        Rows of the tape's table ``texts``, without ``day`` and ``turn``; agents are rows of the
        crowd. May be empty. Asked after each turn and after settlement, only by a market that
        records in full.
        """
        return {}

    def settled(self, outcome: DayOutcome) -> None:
        """Learn what the day came to."""
        return None


def event_columns(orders: Orders) -> dict[str, NDArray[Any]]:
    """Return all columns of :class:`~market.order_events.OrderEvents` but ``time``."""
    special = {name: orders.column(name) for name in SPECIAL_DTYPES if name in EVENT_DTYPES}
    return {**{name: getattr(orders, name) for name in ORDER_DTYPES}, **special}
