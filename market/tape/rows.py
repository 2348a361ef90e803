"""The rows of a tape that are not on disk yet, and the running digests of all that came."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from evobourse.market.errors import MarketError
from evobourse.market.tape.columns import TableColumns
from evobourse.market.tape.digest import TableDigest, tape_digest
from evobourse.market.tape.recorded import Manifest
from evobourse.market.tape.schema import SCHEMAS, decisions_schema


class OpenRows:
    """Rows since the last cut, of days ended and of the open day, and the running digests.

    Parameters
    ----------
    manifest : Manifest
        What is on disk already.
    decisions : pyarrow.Schema or None
        Columns of the decisions table; None for those of the first batch.

    Attributes
    ----------
    day : int
        The open day.
    """

    def __init__(self, manifest: Manifest, decisions: pa.Schema | None) -> None:
        self.day = manifest.first_day + manifest.days
        self._columns: dict[str, TableColumns] = {}
        self._whole: dict[str, int] = {}  # rows of days ended
        self._spilled: dict[str, int] = {}
        self._chains = {table: manifest.chains.get(table, "") for table in SCHEMAS}
        self._digests = {table: TableDigest(chain) for table, chain in self._chains.items()}
        self._schemas = {**SCHEMAS, "decisions": decisions}

    @property
    def nbytes(self) -> int:
        """Bytes that the rows take in memory."""
        return sum(columns.nbytes for columns in self._columns.values())

    @property
    def open_rows(self) -> int:
        """Number of rows in memory that are of the open day."""
        return sum(columns.rows - self._whole[table] for table, columns in self._columns.items())

    def digest(self, manifest: Manifest) -> str:
        """Return the digest of all days ended."""
        days = self.day - manifest.first_day
        return tape_digest(manifest.instruments, manifest.first_day, days, self.chains())

    def chains(self) -> dict[str, str]:
        """Return each table's digest of all days ended."""
        return {table: chain for table, chain in self._chains.items() if chain}

    def append(self, table: str, columns: Mapping[str, ArrayLike]) -> None:
        """Copy in a batch of rows of the open day.

        Raises
        ------
        MarketError
            If it is of another day, there is no such table, or the columns are not its own.
        """
        if table not in SCHEMAS:
            raise MarketError(f"there is no table {table!r}, expected one of {', '.join(SCHEMAS)}")
        days = np.atleast_1d(np.asarray(columns.get("day", self.day)))
        if (wrong := days != self.day).any():
            raise MarketError(
                f"{table}.day[{int(wrong.argmax())}] is {days[wrong.argmax()]}, expected "
                f"{self.day}, the open day"
            )
        rows = self._columns.get(table)
        if rows is None:
            schema = self._schemas[table]
            if schema is None:
                arrays = {name: np.asarray(values) for name, values in columns.items()}
                if any(values.shape == (0,) for values in arrays.values()):
                    return  # an empty array need not have the type that is to come
                schema = decisions_schema(arrays)
            rows = TableColumns(table, schema)
        rows.append(columns)
        self._columns[table] = rows
        self._whole.setdefault(table, 0)

    def end_day(self, day: int) -> None:
        """Make the open day one of those ended.

        Raises
        ------
        MarketError
            If another day is open.
        """
        if day != self.day:
            raise MarketError(f"day {day} cannot end: day {self.day} is the open one")
        chains, whole = dict(self._chains), {}
        for table, columns in self._columns.items():
            if columns.rows > self._whole[table]:
                self._digests[table].update(columns.batch(self._whole[table], columns.rows))
            chains[table] = self._digests[table].end_day(day)
            whole[table] = columns.rows
        # at once, so that an interrupt finds all tables at the same day
        self._chains, self._whole, self.day = chains, whole, day + 1

    def whole_rows(self) -> dict[str, pa.RecordBatch]:
        """Return the rows of days ended that are in memory, by table."""
        return {
            table: self._columns[table].batch(0, rows)
            for table, rows in self._whole.items()
            if rows
        }

    def all_rows(self) -> dict[str, pa.RecordBatch]:
        """Return all rows in memory, by table."""
        return {
            table: columns.batch(0, columns.rows)
            for table, columns in self._columns.items()
            if columns.rows
        }

    def rows_since_cut(self) -> dict[str, int]:
        """Count the rows of days ended and those in temporary files, by table."""
        counts = {
            table: self._spilled.get(table, 0) + self._whole.get(table, 0) for table in SCHEMAS
        }
        return {table: count for table, count in counts.items() if count}

    def spilled(self) -> None:
        """Forget rows of the open day that are in temporary files; no other rows are held."""
        for table, columns in self._columns.items():
            self._digests[table].update(columns.batch(0, columns.rows))
            self._spilled[table] = self._spilled.get(table, 0) + columns.rows
            columns.drop(columns.rows)

    def written(self) -> None:
        """Forget the rows of days ended: they are on disk."""
        for table, whole in self._whole.items():
            self._columns[table].drop(whole)
            self._whole[table] = 0
        self._spilled = {}
