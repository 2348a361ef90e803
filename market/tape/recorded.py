"""A recorded tape on disk: its folder, its manifest, and reading it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from evobourse.market import durable
from evobourse.market.errors import MarketError
from evobourse.market.tape.digest import TableDigest, tape_digest
from evobourse.market.tape.schema import SCHEMA_VERSION, SCHEMAS

MANIFEST_FILE = "tape.json"


@dataclass(frozen=True)
class Cut:
    """A day's end up to which all tables are on disk.

    Attributes
    ----------
    days : int
        Whole days of the tape up to here.
    rows : Mapping[str, int]
        Rows of each table since the cut before; a table without any has no part file.
    chains : Mapping[str, str]
        Each table's digest up to here, see :class:`~market.tape_digest.TableDigest`.
    """

    days: int
    rows: Mapping[str, int]
    chains: Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """What ``tape.json`` says; files that it does not name are not part of the tape.

    Attributes
    ----------
    instruments : tuple of dict
        What is said of each asset, in the order of the column ``asset``.
    first_day : int
        First day recorded.
    cuts : tuple of Cut
        Part ``k`` of every table ends at ``cuts[k]``.
    """

    instruments: tuple[dict[str, Any], ...]
    first_day: int = 0
    cuts: tuple[Cut, ...] = ()

    @property
    def days(self) -> int:
        """Number of whole days."""
        return self.cuts[-1].days if self.cuts else 0

    @property
    def chains(self) -> Mapping[str, str]:
        """Each table's digest; tables without rows are left out."""
        return self.cuts[-1].chains if self.cuts else {}

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each table."""
        return {table: sum(cut.rows.get(table, 0) for cut in self.cuts) for table in SCHEMAS}

    @property
    def digest(self) -> str:
        """SHA-256 hex digest of the content, the same for any batches, parts and platform."""
        return tape_digest(self.instruments, self.first_day, self.days, self.chains)

    def parts(self, table: str) -> list[str]:
        """Return the names of a table's part files, in order."""
        return [part_name(k) for k, cut in enumerate(self.cuts) if cut.rows.get(table)]

    def write(self, folder: Path) -> None:
        """Replace the folder's manifest at once.

        Raises
        ------
        OSError
            If the file cannot be written; the old one stays.
        """
        said = {
            "format": "evobourse tape",
            "schema_version": SCHEMA_VERSION,
            "instruments": self.instruments,
            "first_day": self.first_day,
            "days": self.days,
            "digest": self.digest,
            "rows": {table: rows for table, rows in self.rows.items() if rows},
            "cuts": [
                {"days": cut.days, "rows": dict(cut.rows), "digests": dict(cut.chains)}
                for cut in self.cuts
            ],
        }
        durable.replace_bytes(folder / MANIFEST_FILE, (json.dumps(said, indent=1) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read a folder's manifest.

        Raises
        ------
        MarketError
            If there is none, it is damaged, or another version of the schema wrote it.
        """
        path = folder / MANIFEST_FILE
        try:
            said = json.loads(path.read_bytes())
            version = said["schema_version"]
        except FileNotFoundError as error:
            raise MarketError(f"no tape in {folder}: it has no {MANIFEST_FILE}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MarketError(f"{path} is damaged ({error}); record the tape again") from error
        if version != SCHEMA_VERSION:
            raise MarketError(
                f"{path} has schema version {version}, this toolkit reads {SCHEMA_VERSION}"
            )
        try:
            cuts = tuple(Cut(cut["days"], cut["rows"], cut["digests"]) for cut in said["cuts"])
            manifest = cls(tuple(said["instruments"]), said["first_day"], cuts)
            damage = None if manifest.digest == said["digest"] else "its digests disagree"
        except (KeyError, TypeError, AttributeError) as error:
            damage = f"{type(error).__name__} {error}"
        if damage:
            raise MarketError(f"{path} is damaged ({damage}); record the tape again")
        return manifest


def part_name(number: int) -> str:
    """Return the file name of a table's part."""
    return f"part-{number:05d}.parquet"


def partial_name(number: int) -> str:
    """Return the file name of a part that is not whole; readers of folders pass over it."""
    return f".{part_name(number)}.partial"


@dataclass(frozen=True, eq=False)
class RecordedTape:
    """The whole days of a recorded tape.

    Attributes
    ----------
    manifest : Manifest
        Instruments, days, rows and digest.
    datasets : Mapping[str, pyarrow.dataset.Dataset]
        All tables, not loaded, for scans of what does not fit into memory.
    """

    manifest: Manifest
    datasets: Mapping[str, ds.Dataset] = field(repr=False)

    def frame(self, table: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a table, or some columns of it, as a frame."""
        loaded = self.datasets[table].to_table(columns=None if columns is None else list(columns))
        frame: pd.DataFrame = loaded.to_pandas()
        return frame


def read_tape(folder: Path) -> RecordedTape:
    """Open a recorded tape, finished or not, also while it is being written.

    Parameters
    ----------
    folder : pathlib.Path
        Where a `Recorder` writes or wrote.

    Returns
    -------
    RecordedTape
        All tables up to the same whole day.

    Raises
    ------
    MarketError
        If there is no tape, or a part of it is missing or damaged.
    """
    manifest = Manifest.read(folder)
    check_parts(folder, manifest)
    datasets = {}
    for table in SCHEMAS:
        paths = [str(folder / table / name) for name in manifest.parts(table)]
        datasets[table] = (
            ds.dataset(paths, schema=pq.read_schema(paths[0]), format="parquet")
            if paths
            else ds.dataset(SCHEMAS[table].empty_table())
        )
    return RecordedTape(manifest, datasets)


def check_parts(folder: Path, manifest: Manifest) -> None:
    """Check that every part is there and as long as the manifest says, by its footer.

    Raises
    ------
    MarketError
        If one is not.
    """
    for number, cut in enumerate(manifest.cuts):
        for table, rows in cut.rows.items():
            path = folder / table / part_name(number)
            try:
                found = pq.read_metadata(path).num_rows
            except (OSError, pa.ArrowInvalid) as error:
                raise _damaged(path, str(error)) from error
            if found != rows:
                raise _damaged(path, f"{found} rows, expected {rows}")


def verify_tape(folder: Path) -> str:
    """Read every part in constant memory and check its content against the digests.

    Parameters
    ----------
    folder : pathlib.Path
        Where a `Recorder` wrote.

    Returns
    -------
    str
        The tape's digest.

    Raises
    ------
    MarketError
        If a part is not what was recorded; the first one is named.
    """
    manifest = Manifest.read(folder)
    digests = {table: TableDigest() for table in SCHEMAS}
    for number, cut in enumerate(manifest.cuts):
        for table in cut.rows:
            path, digest = folder / table / part_name(number), digests[table]
            try:
                for day, batches in groupby(_rows_by_day(path), itemgetter(0)):
                    for _, batch in batches:
                        digest.update(batch)
                    digest.end_day(day)
            except (OSError, pa.ArrowInvalid) as error:
                raise _damaged(path, str(error)) from error
            if digest.chain != cut.chains[table]:
                raise _damaged(path, "its content is not what was recorded")
    return manifest.digest


def _rows_by_day(path: Path) -> Iterator[tuple[int, pa.RecordBatch]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            days = batch["day"].to_numpy()
            ends = np.flatnonzero(np.diff(days)) + 1
            for start, stop in pairwise([0, *ends.tolist(), len(days)]):
                yield int(days[start]), batch.slice(start, stop - start)


def _damaged(path: Path, how: str) -> MarketError:
    how = " ".join(how.split())
    return MarketError(f"{path} is damaged ({how}); restore the file or record the tape again")
