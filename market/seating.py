"""All crowds of an exchange, addressed as one: which agents are whose, and what each may see."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.book import Depth
from evobourse.market.book.order_events import Kind
from evobourse.market.columns import read_only_view
from evobourse.market.crowd import (
    Clearing,
    Crowd,
    DayOutcome,
    MarketView,
    Message,
    Orders,
    TurnOutcome,
)
from evobourse.market.errors import MarketError
from evobourse.market.ledger import Ledger
from evobourse.market.listing import Listing


class Floor:
    """Crowds whose agents are counted through: those of the second follow the first's.

    Parameters
    ----------
    crowds : sequence of Crowd
        Who trades.
    n_assets : int
        Assets that they may name in an order.
    """

    def __init__(self, crowds: Sequence[Crowd], n_assets: int) -> None:
        self.crowds = list(crowds)
        self._first = [0, *np.cumsum([crowd.n_agents for crowd in crowds]).tolist()]
        self._n_assets = n_assets

    @property
    def n_agents(self) -> int:
        """Agents of all crowds."""
        return int(self._first[-1])

    def observe(
        self,
        day: int,
        turn: int,
        clearing: Clearing,
        listings: Sequence[Listing],
        ledger: Ledger,
        depth: Sequence[Depth | None],
        messages: Sequence[Message],
        time: int,
    ) -> None:
        """Show each crowd the market, its own accounts and orders, and what it is told."""
        cash, position = read_only_view(ledger.cash_cents), read_only_view(ledger.position)
        for crowd, start, stop in self.seats():
            assets = tuple(
                listing.view(levels, start, stop)
                for listing, levels in zip(listings, depth, strict=True)
            )
            heard = tuple(_heard(messages, start, stop))
            own = cash[start:stop], position[start:stop]
            crowd.observe(MarketView(day, turn, clearing, assets, *own, heard, time))

    def orders(self) -> list[Orders]:
        """Ask every crowd for its orders."""
        return [crowd.orders() for crowd in self.crowds]

    def together(self, submitted: Sequence[Orders]) -> Orders:
        """Return the orders of all crowds as those of one.

        Raises
        ------
        MarketError
            If an order names an agent or an asset that does not exist.
        """
        shifted = []
        for (crowd, start, _), orders in zip(self.seats(), submitted, strict=True):
            for name, column, size in (
                ("agent", orders.agent, crowd.n_agents),
                ("asset", orders.column("asset"), self._n_assets),
            ):
                if len(column) and not 0 <= column.min() <= column.max() < size:
                    row = int(np.flatnonzero((column < 0) | (column >= size))[0])
                    raise MarketError(
                        f"orders.{name}[{row}] of {type(crowd).__name__} is {column[row]}, "
                        f"expected 0 to {size - 1}"
                    )
            shifted.append(replace(orders, agent=orders.agent + start))
        return Orders.concatenate(shifted)

    def report(self, submitted: Sequence[Orders], fate: NDArray[np.int64]) -> Orders:
        """Tell each crowd what became of its orders.

        Parameters
        ----------
        submitted : sequence of Orders
            What each crowd had sent, m in all.
        fate : NDArray[np.int64]
            Lots filled, reason and number of each order, shape [3, m].

        Returns
        -------
        Orders
            The cancels that the crowds answer with.

        Raises
        ------
        MarketError
            If a crowd answers with anything else.
        """
        withdrawn, start = [], 0
        for crowd, orders in zip(self.crowds, submitted, strict=True):
            filled, reason, number = fate[:, start : start + len(orders)]
            cancels = crowd.matched(TurnOutcome(orders, filled, reason.astype(np.int8), number))
            if cancels is not None and (cancels.column("kind") != Kind.CANCEL).any():
                raise MarketError(
                    f"{type(crowd).__name__}.matched() returned other orders than cancels; "
                    "send those from orders()"
                )
            withdrawn.append(Orders.empty() if cancels is None else cancels)
            start += len(orders)
        return self.together(withdrawn)

    def settled(self, outcome: DayOutcome) -> None:
        """Tell each crowd what the day came to."""
        called = outcome.margin_called
        for crowd, start, stop in self.seats():
            own = called[(called >= start) & (called < stop)] - start
            crowd.settled(replace(outcome, margin_called=own))

    def seats(self) -> list[tuple[Crowd, int, int]]:
        """Return each crowd with the first and the one after its last agent."""
        return list(zip(self.crowds, self._first[:-1], self._first[1:], strict=True))


def _heard(messages: Sequence[Message], start: int, stop: int) -> Iterator[Message]:
    """Yield the messages that reach agents ``start`` to ``stop - 1``, counted from 0 there."""
    for message in messages:
        if message.agents is None:
            yield message
            continue
        here = message.agents[(message.agents >= start) & (message.agents < stop)]
        if len(here):
            yield replace(message, agents=here - start)
