"""The tape: what a market leaves behind, in memory and as Parquet tables.

What the columns of decisions mean is the crowd's own.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evobourse.market.accounts import Accounts
from evobourse.market.errors import MarketError
from evobourse.market.tape.recorded import MANIFEST_FILE, read_tape

FRAME_COLUMNS = (
    "day",
    "open_ticks",
    "high_ticks",
    "low_ticks",
    "close_ticks",
    "settle_ticks",
    "volume",
)

PRICES_FILE = "prices.parquet"
INITIAL_CLOSE = "initial_close_ticks"


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

    def full_decisions(self) -> pd.DataFrame:
        """Return `decisions`.

        Raises
        ------
        MarketError
            They were not recorded.
        """
        if self.decisions is None:
            raise MarketError("the tape holds prices alone; record the market in full")
        return self.decisions

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
                INITIAL_CLOSE: str(self.initial_close_ticks),
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


def is_tape(path: Path) -> bool:
    """Say whether a path is a tape's folder, of either kind, or the ``prices.parquet`` of one."""
    if (path / MANIFEST_FILE).is_file():
        return True
    file = path / PRICES_FILE if path.is_dir() else path
    if file.suffix != ".parquet" or not file.is_file():
        return False
    try:
        return INITIAL_CLOSE.encode() in (pq.read_schema(file).metadata or {})
    except pa.ArrowInvalid:
        return False


def read_closes(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read the closes and the volume of a written tape.

    Parameters
    ----------
    path : pathlib.Path
        The tape's folder or its ``prices.parquet``, as `is_tape` knows them. Of a recorded tape
        of several assets, the first.

    Returns
    -------
    close_ticks : NDArray[np.int64]
        Shape [T + 1], in ticks; the first is the last close of the history.
    volume : NDArray[np.int64]
        Shares traded on the T days, shape [T].

    Raises
    ------
    MarketError
        If a column is missing or a close is not over 0.
    """
    if (path / MANIFEST_FILE).is_file():
        tape = read_tape(path)
        prices = tape.frame("prices").query("asset == 0")
        initial = tape.manifest.instruments[0]["initial_close_ticks"]
        return np.append(initial, prices["close_ticks"]), prices["volume"].to_numpy()
    file = path / PRICES_FILE if path.is_dir() else path
    table = pq.read_table(file)
    missing = [name for name in ("close_ticks", "volume") if name not in table.column_names]
    if missing:
        raise MarketError(f"{file}: missing column {', '.join(missing)}; simulate the tape again")
    initial = int(table.schema.metadata[INITIAL_CLOSE.encode()])
    close_ticks = np.concatenate(([initial], table["close_ticks"].to_numpy()))
    if close_ticks.min() <= 0:
        row = int(np.argmin(close_ticks))
        raise MarketError(f"{file}: close of {close_ticks[row]} ticks in row {row}, not over 0")
    return close_ticks, table["volume"].to_numpy()


def _portable_bytes(values: NDArray[np.generic]) -> bytes:
    """Return little-endian bytes that begin with their type, so that no two columns collide."""
    if values.dtype.kind in "biuf":
        little = values.dtype.newbyteorder("<")
        return little.str.encode() + values.astype(little).tobytes()
    texts = [str(value).encode() for value in values]
    return b"text" + b"".join(len(text).to_bytes(8, "little") + text for text in texts)
