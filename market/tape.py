"""The tape: what a market leaves behind, in memory and as Parquet tables.

Knows: the daily frame, the orders and decisions tables, their digest and schema.
Does not know: how they came about, what a decision's columns mean, or how a tape is scored.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from market.accounts import Accounts

FRAME_COLUMNS = (
    "day",
    "open_ticks",
    "high_ticks",
    "low_ticks",
    "close_ticks",
    "settle_ticks",
    "volume",
)


@dataclass(frozen=True, eq=False)
class Tape:
    """Record of one market's days.

    With one call auction a day there is one price a day: open, high, low, close and settlement
    are the same number. They are kept apart for markets with more rounds a day.

    Attributes
    ----------
    initial_close_ticks : int
        Last close of the history, from which the first return is taken.
    day : NDArray[np.int64]
        Days from 0, shape [T].
    open_ticks, high_ticks, low_ticks, close_ticks, settle_ticks : NDArray[np.int64]
        Prices in ticks, shape [T].
    volume : NDArray[np.int64]
        Shares traded, shape [T].
    accounts : Accounts
        Balances after the last day, a copy.
    orders : pandas.DataFrame or None
        One row an order, in order of day and, within it, of arrival: ``day``, ``agent``,
        ``side``, ``price_ticks``, ``quantity``, ``reason``, ``filled``. None unless recorded.
    decisions : pandas.DataFrame or None
        ``day`` and the crowd's own columns. None unless recorded.
    """

    initial_close_ticks: int
    day: NDArray[np.int64]
    open_ticks: NDArray[np.int64]
    high_ticks: NDArray[np.int64]
    low_ticks: NDArray[np.int64]
    close_ticks: NDArray[np.int64]
    settle_ticks: NDArray[np.int64]
    volume: NDArray[np.int64]
    accounts: Accounts
    orders: pd.DataFrame | None = None
    decisions: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.day)

    def log_returns(self) -> NDArray[np.float64]:
        """Return close-to-close log returns, shape [T]; the first is from the history's last."""
        return np.diff(np.log(self.close_ticks), prepend=np.log(self.initial_close_ticks))

    @property
    def frame(self) -> pd.DataFrame:
        """The daily arrays as a table with the columns of ``prices.parquet``."""
        return pd.DataFrame({column: getattr(self, column) for column in FRAME_COLUMNS})

    def digest(self) -> str:
        """Return the SHA-256 hex digest of everything recorded, the same on every platform."""
        state = hashlib.sha256(f"{self.initial_close_ticks}/{self.accounts.fees_cents}".encode())
        for name, table in self._tables().items():
            if table is not None:
                state.update(f"/{name}/{len(table)}".encode())
                for column in table.columns:
                    state.update(f"/{column}:".encode())
                    state.update(_portable_bytes(table[column].to_numpy()))
        return state.hexdigest()

    def write(self, folder: Path) -> None:
        """Write the tape as Parquet tables.

        Every table is written under a temporary name first; then all are moved into place,
        ``prices.parquet`` last, so that a folder with it holds a whole tape. A table that this
        tape lacks is removed from the folder.

        ==================  =================================================================
        File                Columns
        ==================  =================================================================
        prices.parquet      day, open_ticks, high_ticks, low_ticks, close_ticks, settle_ticks,
                            volume (int64); file metadata ``initial_close_ticks``, ``digest``
        accounts.parquet    agent, cash_cents, shares (int64); file metadata ``fees_cents``
        orders.parquet      day, agent (int64), side (int8, +1 buy, -1 sell), price_ticks,
                            quantity (int64), reason (int8, ``RejectReason``), filled (int64)
        decisions.parquet   day (int64), then the crowd's own columns
        ==================  =================================================================

        Parameters
        ----------
        folder : pathlib.Path
            Where to; made if it does not exist.
        """
        folder.mkdir(parents=True, exist_ok=True)
        metadata = {
            "prices": {
                "initial_close_ticks": str(self.initial_close_ticks),
                "digest": self.digest(),
            },
            "accounts": {"fees_cents": str(self.accounts.fees_cents)},
        }
        tables = self._tables()
        for name, table in tables.items():
            if table is not None:
                arrow = pa.Table.from_pandas(table, preserve_index=False)
                arrow = arrow.replace_schema_metadata(
                    {**(arrow.schema.metadata or {}), **metadata.get(name, {})}
                )
                pq.write_table(arrow, folder / f".{name}.parquet.partial")
        for name, table in tables.items():
            final = folder / f"{name}.parquet"
            if table is None:
                final.unlink(missing_ok=True)
            else:
                (folder / f".{name}.parquet.partial").replace(final)

    def _tables(self) -> dict[str, pd.DataFrame | None]:
        accounts = pd.DataFrame(
            {
                "agent": np.arange(len(self.accounts), dtype=np.int64),
                "cash_cents": self.accounts.cash_cents,
                "shares": self.accounts.shares,
            }
        )
        return {
            "accounts": accounts,
            "orders": self.orders,
            "decisions": self.decisions,
            "prices": self.frame,
        }


def _portable_bytes(values: NDArray[np.generic]) -> bytes:
    """Return little-endian bytes that begin with their type, so that no two columns collide."""
    if values.dtype.kind in "biuf":
        little = values.dtype.newbyteorder("<")
        return little.str.encode() + values.astype(little).tobytes()
    texts = [str(value).encode() for value in values]
    return b"text" + b"".join(len(text).to_bytes(8, "little") + text for text in texts)
