"""The rows of one table that are not on disk yet, as growing columns."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from evobourse.market.errors import MarketError

_FIRST_ROWS = 256
_TEXT_BYTES = 64  # what a Python string takes beside its characters
_KINDS = {"b": ("b", "booleans"), "i": ("iu", "integers"), "u": ("iu", "integers")}


class TableColumns:
    """Rows of a table, copied in as they come and taken out as Arrow batches.

    Parameters
    ----------
    table : str
        Name, for messages.
    schema : pyarrow.Schema
        Integers, floats, booleans and strings.

    Attributes
    ----------
    rows : int
        Rows held.
    nbytes : int
        Bytes that they take.
    """

    def __init__(self, table: str, schema: pa.Schema) -> None:
        self.table = table
        self.schema = schema
        self.rows = 0
        self._columns = {
            field.name: np.empty(_FIRST_ROWS, field.type.to_pandas_dtype()) for field in schema
        }
        self._row_bytes = sum(column.itemsize for column in self._columns.values())
        self._text_bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes that the rows take."""
        return self.rows * self._row_bytes + self._text_bytes

    def append(self, columns: Mapping[str, ArrayLike]) -> None:
        """Copy in a batch; a single value stands for a whole column.

        Raises
        ------
        MarketError
            If a column is missing, unknown, of another length or type, or a value does not fit;
            no row is then taken.
        """
        if columns.keys() != self._columns.keys():
            odd = sorted(columns.keys() ^ self._columns.keys())[0]
            raise MarketError(
                f"{self.table} {'has no column' if odd in columns else 'lacks column'} {odd!r}, "
                f"expected {', '.join(self._columns)}"
            )
        received = {name: np.asarray(columns[name]) for name in self._columns}
        count = self._count(received)
        text_bytes = 0
        for name, values in received.items():
            text_bytes += self._check(name, values) * (count if values.ndim == 0 else 1)
        end = self.rows + count
        if end > len(next(iter(self._columns.values()))):
            capacity = max(end, self.rows + self.rows // 2)
            for name, column in self._columns.items():
                grown = np.empty(capacity, column.dtype)
                grown[: self.rows] = column[: self.rows]
                self._columns[name] = grown
        for name, values in received.items():
            self._columns[name][self.rows : end] = values
        self.rows = end
        self._text_bytes += text_bytes

    def batch(self, start: int, stop: int) -> pa.RecordBatch:
        """Return some of the rows; good until rows are dropped."""
        arrays = [
            pa.array(self._columns[field.name][start:stop], field.type) for field in self.schema
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def drop(self, count: int) -> None:
        """Forget the first rows."""
        kept = self.rows - count
        self._text_bytes = 0
        for column in self._columns.values():
            column[:kept] = column[count : self.rows].copy()
            if column.dtype.kind == "O":
                column[kept : self.rows] = None  # lets go of the strings
                self._text_bytes += _text_bytes(column[:kept])
        self.rows = kept

    def _count(self, received: Mapping[str, NDArray[Any]]) -> int:
        first = next((name for name, values in received.items() if values.ndim), None)
        if first is None:
            return 1
        for name, values in received.items():
            if values.ndim and values.shape != (len(received[first]),):
                raise MarketError(
                    f"{self.table}.{name} has shape {values.shape}, "
                    f"expected ({len(received[first])},) as {self.table}.{first}"
                )
        return len(received[first])

    def _check(self, name: str, values: NDArray[Any]) -> int:
        """Refuse what the column cannot hold; return the bytes of text."""
        own = self._columns[name].dtype
        if own.kind == "O":
            try:
                return _text_bytes(values.ravel())
            except (TypeError, UnicodeEncodeError) as error:
                raise MarketError(f"{self.table}.{name} is not all text: {error}") from error
        allowed, expected = _KINDS.get(own.kind, ("iuf", "numbers"))
        if values.dtype.kind not in allowed and values.size:
            raise MarketError(f"{self.table}.{name} is {values.dtype}, expected {expected}")
        if not np.can_cast(values.dtype, own) and values.size:
            flat = values.ravel()
            with np.errstate(over="ignore", invalid="ignore"):
                wrong = (flat.astype(own) != flat) & (flat == flat)
            if wrong.any():
                row = int(wrong.argmax())
                raise MarketError(f"{self.table}.{name}[{row}] is {flat[row]}, expected {own}")
        return 0


def _text_bytes(values: NDArray[Any]) -> int:
    return len("".join(values.tolist()).encode()) + _TEXT_BYTES * len(values)
