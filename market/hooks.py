"""Where others take hold of an exchange: what happens to it, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.book import Depth
from evobourse.market.crowd import DayOutcome, Message
from evobourse.market.ledger import Ledger
from evobourse.market.listing import Bar, Listing
from evobourse.market.seating import Floor
from evobourse.market.session import SessionRules


class Applied(NamedTuple):
    """Something that happened to an exchange.

    Attributes
    ----------
    day, turn : int
        When; the last turn for what happens at settlement.
    kind : str
        What: news, halt, settle_at and so on.
    asset : str
        Name of the asset, empty if it concerns none.
    detail : str
        Everything else about it, a JSON object.
    """

    day: int
    turn: int
    kind: str
    asset: str
    detail: str


class Market(Protocol):
    """What a schedule or a journal may read of a market and do to it.

    `market.exchange.Exchange` is one; its docstrings say what each does.
    """

    day: int
    turn: int
    rules: SessionRules
    floor: Floor
    listings: list[Listing]
    ledger: Ledger

    @property
    def n_agents(self) -> int:
        """Agents of all crowds."""
        ...

    @property
    def happened(self) -> list[Applied]:
        """What happened today from outside."""
        ...

    def asset(self, name: str) -> int:
        """Return the row of an asset."""
        ...

    def send(self, message: Message) -> None:
        """Let agents read something before the next orders."""
        ...

    def grant(self, agent: int, cash_cents: int = 0, asset: int = 0, quantity: int = 0) -> None:
        """Give an agent cash and lots, or take them."""
        ...

    def halt(self, asset: int, halted: bool = True) -> None:
        """Stop trading in an asset, or let it go on."""
        ...

    def change_terms(self, asset: int, **changes: Any) -> None:
        """Change an asset's terms: fees, margins, limits."""
        ...

    def override_settlement(self, asset: int, settle_ticks: int) -> None:
        """Let the day settle at an authored price."""
        ...

    def cancel_trades(self, asset: int) -> None:
        """Cancel the day's trades in an asset."""
        ...


class Schedule(Protocol):
    """What happens to an exchange from outside; it acts through the exchange's methods."""

    @property
    def applied(self) -> Sequence[Applied]:
        """What has happened so far."""
        ...

    def before_turn(self, exchange: Market) -> None:
        """Act before crowds observe; ``exchange.day`` and ``exchange.turn`` say when."""
        ...

    def before_settlement(self, exchange: Market) -> None:
        """Act after the day's last trade, downstream of every decision."""
        ...


class Journal(Protocol):
    """What is told everything that happens, to keep what it likes."""

    def turn_over(
        self, exchange: Market, messages: Sequence[Message], depth: Sequence[Depth | None]
    ) -> None:
        """Learn of a turn: what was said before it, and the books before its orders."""
        ...

    def day_over(
        self,
        exchange: Market,
        outcome: DayOutcome,
        bars: Sequence[Bar],
        limits_ticks: NDArray[np.int64],
    ) -> None:
        """Learn of a day that is settled; ``exchange.day`` is still its number."""
        ...
