"""Recorded order flow, played back as a crowd."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.market.book.order_events import Kind, OrderEvents
from evobourse.market.crowd import (
    ORDER_DTYPES,
    SPECIAL_DTYPES,
    Crowd,
    MarketView,
    Orders,
    TurnOutcome,
)
from evobourse.market.errors import MarketError

NEEDED = ("day", *ORDER_DTYPES)
OPTIONAL = ("turn", "number", *SPECIAL_DTYPES)


class ReplayCrowd(Crowd):
    """Agents who do again what is on record, whatever happens.

    Parameters
    ----------
    record : pandas.DataFrame
        One row an order, in the order of arrival: the columns `NEEDED` and any of `OPTIONAL`;
        others, as of a tape's orders table, are not read. Cancels and replacements need the
        column ``number``, under which the record knows each order and to which ``target`` refers.
    n_agents : int, optional
        Number of agents; as many as the record names if left out.

    Notes
    -----
    The exchange draws the order of arrival within a turn anew. An order is therefore cancelled
    in the turn of its own entry after that turn's trades, and cannot be replaced in it. To
    reproduce one book to the byte, send the log through :class:`~market.book.OrderBook` instead.

    Raises
    ------
    MarketError
        If a column is missing or holds no whole numbers, or cancels come without numbers.
    """

    def __init__(self, record: pd.DataFrame, n_agents: int | None = None) -> None:
        columns = {name: _whole(record, name) for name in (*NEEDED, *OPTIONAL) if name in record}
        if missing := sorted(set(NEEDED) - columns.keys()):
            raise MarketError(
                f"the record has no column {missing[0]!r}, expected {list(NEEDED)} and any of "
                f"{list(OPTIONAL)}"
            )
        zeros = np.zeros(len(record), np.int64)
        changes = columns.get("kind", zeros) >= Kind.REPLACE
        if changes.any() and not {"number", "target"} <= columns.keys():
            raise MarketError(
                "the record has cancels or replacements but no columns 'number' and 'target' that "
                "say of which orders; add them or drop those rows"
            )
        self.n_agents = n_agents or int(columns["agent"].max(initial=0)) + 1
        turns = np.stack([columns.pop("day"), columns.pop("turn", zeros)])
        when, turn_of = np.unique(turns, axis=1, return_inverse=True)
        sent = np.argsort(turn_of, kind="stable")
        parts = np.split(sent, np.searchsorted(turn_of[sent], np.arange(1, when.shape[1])))
        self._rows = dict(zip(map(tuple, when.T.tolist()), parts, strict=True))
        self._meant = np.full(len(record), -1)
        if changes.any():
            key = _keys(columns.get("asset", zeros), columns["number"])
            ranked = np.argsort(key, kind="stable")
            meant = _keys(columns.get("asset", zeros), columns["target"])
            at = np.minimum(np.searchsorted(key[ranked], meant), len(key) - 1)
            self._meant = np.where(changes & (key[ranked[at]] == meant), ranked[at], -1)
        columns.pop("number", None)
        self._columns = columns
        self._cancels = columns.get("kind", zeros) == Kind.CANCEL
        self._number_today = np.full(len(record), -1)
        self._playing = self._afterwards = np.empty(0, np.int64)

    @classmethod
    def of_events(
        cls, events: OrderEvents, turns_a_day: int = 1, asset: int = 0, n_agents: int | None = None
    ) -> "ReplayCrowd":
        """Return a crowd that plays back the log of one book.

        Parameters
        ----------
        events : OrderEvents
            The log from its first event on; requests of the market itself are left out.
        turns_a_day : int
            Time stamps count turns, as an exchange's do: event ``time`` is played on day ``time
            // turns_a_day``.
        asset : int
            Row of the asset to be traded.
        n_agents : int, optional
            As above.
        """
        frame = events.frame.assign(
            number=np.arange(len(events)),
            day=events.time // turns_a_day,
            turn=events.time % turns_a_day,
            asset=asset,
        )
        return cls(frame[frame["kind"] <= Kind.CANCEL], n_agents)

    def observe(self, view: MarketView) -> None:
        """Find what was sent in this turn."""
        self._playing = self._rows.get((view.day, view.turn), np.empty(0, np.int64))

    def orders(self) -> Orders:
        """Return the turn's orders, with the numbers of today for those of the record."""
        rows = self._playing
        same_turn = np.isin(self._meant[rows], rows) & self._cancels[rows]
        self._playing, self._afterwards = rows[~same_turn], rows[same_turn]
        return self._orders(self._playing)

    def matched(self, outcome: TurnOutcome) -> Orders:
        """Learn the numbers of the turn's orders; cancel what was sent and cancelled in it."""
        self._number_today[self._playing] = outcome.number
        return self._orders(self._afterwards)

    def _orders(self, rows: NDArray[np.int64]) -> Orders:
        columns: dict[str, NDArray[Any]] = {
            name: column[rows] for name, column in self._columns.items()
        }
        meant = self._meant[rows]
        if "target" in columns:
            columns["target"] = np.where(meant >= 0, self._number_today[meant], -1)
        if "post_only" in columns:
            columns["post_only"] = columns["post_only"].astype(np.bool_)
        return Orders(**columns)


def _keys(asset: NDArray[np.int64], number: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one integer for an asset and the number of an order in its book."""
    return asset * 2**40 + number


def _whole(record: pd.DataFrame, name: str) -> NDArray[np.int64]:
    column = record[name].to_numpy()
    if column.dtype.kind not in "iub":
        raise MarketError(
            f"column {name!r} of the record is {column.dtype}, expected whole numbers"
        )
    return column.astype(np.int64)
