"""Recording a market while it runs: to a folder in constant memory, or in memory."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import ArrayLike

from evobourse.market import durable
from evobourse.market.errors import MarketError
from evobourse.market.tape.recorded import (
    MANIFEST_FILE,
    Cut,
    Manifest,
    RecordedTape,
    check_parts,
    part_name,
    partial_name,
)
from evobourse.market.tape.rows import OpenRows
from evobourse.market.tape.schema import SCHEMAS

PART_BYTES = 2**26
PART_DAYS = 100


class MemoryRecorder:
    """Keeps all rows in memory: the sink of tests and short runs.

    Parameters
    ----------
    instruments : sequence of Mapping
        What is to be said of each asset, in the order of the column ``asset``: anything that
        JSON holds.
    first_day : int
        The day to begin with.

    Raises
    ------
    MarketError
        If the instruments cannot be written as JSON.
    """

    def __init__(self, instruments: Sequence[Mapping[str, Any]], first_day: int = 0) -> None:
        self._manifest = _first_manifest(instruments, first_day)
        self._open = OpenRows(self._manifest, None)

    @property
    def day(self) -> int:
        """The day that is open: the only one that rows may be of."""
        return self._open.day

    @property
    def digest(self) -> str:
        """Digest of all days ended, the one that a `Recorder` comes to."""
        return self._open.digest(self._manifest)

    def record(
        self, table: str, columns: Mapping[str, ArrayLike] | None = None, /, **more: ArrayLike
    ) -> None:
        """Take a batch, see :class:`~market.seams.TapeSink`."""
        self._open.append(table, {**(columns or {}), **more})

    def end_day(self, day: int) -> None:
        """End the open day, see :class:`~market.seams.TapeSink`."""
        self._open.end_day(day)

    def flush(self) -> None:
        """Do nothing: memory is as safe as it gets."""

    def close(self) -> None:
        """Do nothing: what was recorded stays."""

    def tape(self) -> RecordedTape:
        """Return the days ended so far, as `read_tape` would."""
        whole = self._open.whole_rows()
        rows = {table: batch.num_rows for table, batch in whole.items()}
        cut = Cut(self.day - self._manifest.first_day, rows, self._open.chains())
        datasets = {
            table: ds.dataset(
                pa.Table.from_batches([whole[table]]) if table in whole else schema.empty_table()
            )
            for table, schema in SCHEMAS.items()
        }
        return RecordedTape(replace(self._manifest, cuts=(cut,)), datasets)


class Recorder:
    """Writes rows to a folder as they come, in constant memory; a kill costs days, never the tape.

    Each table is a folder of Parquet files. Rows wait in memory until they take `part_bytes` or
    are of `part_days` days; then the whole days among them are written, one part a table, under
    temporary names, forced to disk, moved into place, and at last named in ``tape.json``, which
    is replaced at once. Rows of one day that alone take more than `part_bytes` go to temporary
    files as they come, and into place when the day ends.

    A folder with a tape is gone on with: what its manifest does not name is removed, and `day`
    is the day after its last whole one. After a kill the digest, and every file, comes out as
    without it; calls of `flush` and `close` end parts of their own and leave the digest alone.

    Parameters
    ----------
    folder : pathlib.Path
        Where to; made if it does not exist. One recorder at a time.
    instruments : sequence of Mapping
        What is to be said of each asset, in the order of the column ``asset``: anything that
        JSON holds.
    first_day : int
        The day that the tape begins with.
    part_bytes : int
        Bytes of rows to hold in memory, at most, after each call.
    part_days : int
        Days to lose in a crash, at most, besides the open one.

    Attributes
    ----------
    folder : pathlib.Path
        Where it writes.

    Raises
    ------
    MarketError
        If the folder holds the tape of another market, a damaged one, or something else, or
        cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        instruments: Sequence[Mapping[str, Any]],
        first_day: int = 0,
        part_bytes: int = PART_BYTES,
        part_days: int = PART_DAYS,
    ) -> None:
        self.folder = Path(folder)
        self._part_bytes = part_bytes
        self._part_days = part_days
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._path = self.folder / MANIFEST_FILE
        self._manifest = _first_manifest(instruments, first_day)
        self._closed = False
        try:
            if self._path.exists():
                self._manifest = self._found(self._manifest)
                self._discard_unnamed()
            elif occupied := [name for name in SCHEMAS if (self.folder / name).exists()]:
                raise MarketError(
                    f"{self.folder} holds {occupied[0]!r} but no {MANIFEST_FILE}: no tape of "
                    "ours; name another folder"
                )
            else:
                self._manifest.write(self.folder)
        except OSError as error:
            raise self._refused(error) from error
        decisions = self._manifest.parts("decisions")
        self._open = OpenRows(
            self._manifest,
            pq.read_schema(self.folder / "decisions" / decisions[0]) if decisions else None,
        )

    @property
    def day(self) -> int:
        """The day that is open: the only one that rows may be of."""
        return self._open.day

    @property
    def digest(self) -> str:
        """Digest of all days ended, on disk or not."""
        return self._open.digest(self._manifest)

    @property
    def buffered_bytes(self) -> int:
        """Bytes of rows that wait in memory."""
        return self._open.nbytes

    def record(
        self, table: str, columns: Mapping[str, ArrayLike] | None = None, /, **more: ArrayLike
    ) -> None:
        """Take a batch, see :class:`~market.seams.TapeSink`; its arrays are copied.

        Raises
        ------
        MarketError
            If the batch is refused, or the disk is full; the tape then ends at its last cut and
            the recorder is closed.
        """
        self._require_open()
        self._open.append(table, {**(columns or {}), **more})
        if self.buffered_bytes > self._part_bytes:
            self.flush()
        if self.buffered_bytes > self._part_bytes:
            with self._stopping_if_refused():
                for name, batch in self._open.all_rows().items():
                    self._write(name, batch)
                self._open.spilled()

    def end_day(self, day: int) -> None:
        """End the open day, see :class:`~market.seams.TapeSink`.

        Raises
        ------
        MarketError
            If another day is open, or the disk is full.
        """
        self._require_open()
        self._open.end_day(day)
        waiting = self.day - self._manifest.first_day - self._manifest.days
        if self._writers or waiting >= self._part_days:
            self.flush()

    def flush(self) -> None:
        """Put all days ended on disk; done as budgets say, and for a caller's own checkpoint.

        Raises
        ------
        MarketError
            If the disk is full.
        """
        self._require_open()
        days = self.day - self._manifest.first_day
        if days == self._manifest.days:
            return
        with self._stopping_if_refused():
            for table, batch in self._open.whole_rows().items():
                self._write(table, batch)
            number = len(self._manifest.cuts)
            rows = self._open.rows_since_cut()
            for table, writer in self._writers.items():
                self._path = self.folder / table / partial_name(number)
                writer.close()
                durable.sync(self._path)
            for table in self._writers:
                self._path = self.folder / table / part_name(number)
                self._path.with_name(partial_name(number)).replace(self._path)
                durable.sync(self._path.parent)
            cut = Cut(days, rows, self._open.chains())
            manifest = replace(self._manifest, cuts=(*self._manifest.cuts, cut))
            self._path = self.folder / MANIFEST_FILE
            manifest.write(self.folder)
        self._manifest = manifest
        self._writers = {}
        self._open.written()

    def close(self) -> None:
        """Put all days ended on disk and stop.

        Raises
        ------
        MarketError
            If rows of a day that was not ended are lost by it, or the disk is full.
        """
        if self._closed:
            return
        if not self._writers:
            self.flush()
        lost = self._open.open_rows + sum(self._open.rows_since_cut().values())
        self._stop()
        if lost:
            raise MarketError(
                f"{self.folder}: day {self.day} was not ended, {lost} rows of it are not kept; "
                f"call end_day({self.day}) before close"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        elif not self._closed:  # what went wrong is told already: keep the days that are whole
            with contextlib.suppress(MarketError):
                self.close()

    def _found(self, ours: Manifest) -> Manifest:
        theirs = Manifest.read(self.folder)
        for name in ("instruments", "first_day"):
            if getattr(theirs, name) != getattr(ours, name):
                raise MarketError(
                    f"{self.folder} holds a tape with {name} {getattr(theirs, name)}, expected "
                    f"{getattr(ours, name)}; name another folder, or the same market"
                )
        check_parts(self.folder, theirs)
        return theirs

    def _discard_unnamed(self) -> None:
        for table in SCHEMAS:
            named = set(self._manifest.parts(table))
            for pattern in ("part-*.parquet", ".part-*.parquet.partial"):
                for path in (self.folder / table).glob(pattern):
                    if path.name not in named:
                        path.unlink()

    def _write(self, table: str, batch: pa.RecordBatch) -> None:
        self._path = self.folder / table / partial_name(len(self._manifest.cuts))
        if table not in self._writers:
            self._path.parent.mkdir(exist_ok=True)
            longs = [field.name for field in batch.schema if field.type == pa.int64()]
            self._writers[table] = pq.ParquetWriter(
                self._path,
                batch.schema,
                column_encoding=dict.fromkeys(longs, "DELTA_BINARY_PACKED"),  # half the size
                use_dictionary=[name for name in batch.schema.names if name not in longs],
            )
        self._writers[table].write_table(pa.Table.from_batches([batch]))

    def _require_open(self) -> None:
        if self._closed:
            raise MarketError(f"the recorder of {self.folder} is closed; open the folder anew")

    @contextlib.contextmanager
    def _stopping_if_refused(self) -> Iterator[None]:
        """Turn what the disk refuses into one line; the tape stays as its manifest says."""
        try:
            yield
        except OSError as error:
            self._stop()
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> MarketError:
        reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
        return MarketError(
            f"cannot write {error.filename or self._path}: {reason}; the tape keeps its first "
            f"{self._manifest.days} days: make room or fix the folder, then open it to go on"
        )

    def _stop(self) -> None:
        self._closed = True
        for writer in self._writers.values():
            with contextlib.suppress(OSError):
                writer.close()
        self._writers = {}
        with contextlib.suppress(OSError, MarketError):  # what is left now goes when it is opened
            # what stopped it may have come after a newer manifest was moved into place
            self._manifest = Manifest.read(self.folder)
            self._discard_unnamed()


def _first_manifest(instruments: Sequence[Mapping[str, Any]], first_day: int) -> Manifest:
    try:
        plain = json.loads(json.dumps([dict(each) for each in instruments], allow_nan=False))
    except (TypeError, ValueError) as error:
        raise MarketError(f"instruments cannot be written as JSON: {error}") from error
    return Manifest(tuple(plain), first_day)
