"""What a tape is written to: in memory, to Parquet, or anything that takes rows by columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from numpy.typing import ArrayLike


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
            A name in :data:`~market.tape.schema.SCHEMAS`.
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
