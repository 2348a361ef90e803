"""Where others take hold of an exchange: what happens to it, and what is kept of it.

Knows: when each is called.
Does not know: what they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evobourse.market.book.book import Depth
from evobourse.market.crowd import DayOutcome, Message
from evobourse.market.listing import Bar

if TYPE_CHECKING:
    from evobourse.market.exchange import Exchange


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


class Schedule(Protocol):
    """What happens to an exchange from outside; it acts through the exchange's methods."""

    @property
    def applied(self) -> Sequence[Applied]:
        """What has happened so far."""
        ...

    def before_turn(self, exchange: Exchange) -> None:
        """Act before crowds observe; ``exchange.day`` and ``exchange.turn`` say when."""
        ...

    def before_settlement(self, exchange: Exchange) -> None:
        """Act after the day's last trade, downstream of every decision."""
        ...


class Journal(Protocol):
    """What is told everything that happens, to keep what it likes."""

    def turn_over(
        self, exchange: Exchange, messages: Sequence[Message], depth: Sequence[Depth | None]
    ) -> None:
        """Learn of a turn: what was said before it, and the books before its orders."""
        ...

    def day_over(
        self,
        exchange: Exchange,
        outcome: DayOutcome,
        bars: Sequence[Bar],
        limits_ticks: NDArray[np.int64],
    ) -> None:
        """Learn of a day that is settled; ``exchange.day`` is still its number."""
        ...


class TapeSink(Protocol):
    """What a market tells of itself as it runs; the columns are those of ``docs/tape.md``."""

    @property
    def day(self) -> int:
        """The day that is open: the only one that rows may be of."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 hex digest of all days ended, the same whatever their batches and files."""
        ...

    def record(
        self, table: str, columns: Mapping[str, ArrayLike] | None = None, /, **more: ArrayLike
    ) -> None:
        """Take a batch of rows of the open day, by columns; a single value fills a column.

        Parameters
        ----------
        table : str
            A name in :data:`~market.tape_schema.SCHEMAS`.
        columns : Mapping[str, array_like], optional
            Columns of the batch, each of shape [n] or []; copied.
        **more : array_like
            Further columns.

        Raises
        ------
        MarketError
            If there is no such table, the columns are not its own, or a value does not fit.
        """
        ...

    def end_day(self, day: int) -> None:
        """End the open day and open the next one.

        Raises
        ------
        MarketError
            If another day is open.
        """
        ...

    def flush(self) -> None:
        """Make the days ended safe."""
        ...

    def close(self) -> None:
        """Make the days ended safe and stop."""
        ...
