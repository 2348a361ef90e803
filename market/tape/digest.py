"""The running digest of a recorded tape: of its content, whatever its batches and parts."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class TableDigest:
    """A chain of SHA-256 over the days of one table.

    Within a day each column is hashed on its own, as a stream of little-endian values (text as
    one stream of lengths and one of UTF-8), so that neither the batches in which rows came nor
    the row groups in which they lie change a bit of it. A day without rows leaves no trace.

    Parameters
    ----------
    chain : str
        Hex digest after the days before, empty for none.

    Attributes
    ----------
    chain : str
        Hex digest after the last day ended, empty before the first row.
    """

    def __init__(self, chain: str = "") -> None:
        self.chain = chain
        self._rows = 0
        self._streams: list[Any] = []

    def update(self, batch: pa.RecordBatch) -> None:
        """Take in more rows of the day."""
        if batch.num_rows == 0:
            return
        if not self._rows:
            self._types = [f"/{field.name}:{field.type}:".encode() for field in batch.schema]
            self._streams = [(hashlib.sha256(), hashlib.sha256()) for _ in self._types]
        self._rows += batch.num_rows
        for (values, text), array in zip(self._streams, batch.columns, strict=True):
            if pa.types.is_string(array.type):
                values.update(_little_endian(pc.binary_length(array)))
                text.update(_utf8(array))
            else:
                values.update(_little_endian(array))

    def end_day(self, day: int) -> str:
        """Close the day's rows, lengthen the chain if there were any, and return it."""
        if not self._rows:
            return self.chain
        state = hashlib.sha256(f"{self.chain}/{day}/{self._rows}".encode())
        for name_and_type, streams in zip(self._types, self._streams, strict=True):
            state.update(name_and_type)
            for stream in streams:
                state.update(stream.digest())
        self.chain, self._rows = state.hexdigest(), 0
        return self.chain


def tape_digest(
    instruments: Sequence[Mapping[str, Any]], first_day: int, days: int, chains: Mapping[str, str]
) -> str:
    """Return the SHA-256 hex digest of a tape's whole days.

    Parameters
    ----------
    instruments : sequence of Mapping
        What the manifest says of each asset.
    first_day, days : int
        First day and number of whole days.
    chains : Mapping[str, str]
        Each table's chain; tables without rows may be left out.
    """
    present = sorted((table, chain) for table, chain in chains.items() if chain)
    said = json.dumps([list(map(dict, instruments)), first_day, days, present], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _little_endian(array: pa.Array) -> memoryview:
    values = array.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), values.dtype.type(np.nan), values)  # one NaN of many
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return values.view(np.uint8).data


def _utf8(array: pa.Array) -> memoryview:
    _, offsets, text = array.buffers()
    ends = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    return memoryview(text)[ends[0] : ends[-1]] if text is not None else memoryview(b"")
