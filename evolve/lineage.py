"""The append-only record of a sweep: one candidate a line, the truth that MLflow only views.

It holds no time, host or number of workers: the same seed writes the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any

import numpy as np

from evobourse.evolve import durable
from evobourse.evolve.errors import EvolveError, RunError
from evobourse.evolve.genomes.genome import Values


@dataclass(frozen=True)
class Candidate:
    """One evaluated point of a sweep.

    Attributes
    ----------
    id : str
        Such as "g003-s01-f05": generation, slow and fast proposal.
    generation : int
    parents : tuple of (str, float)
        Ids and weights of the candidates that the proposal descends from; the weights sum to 1.
    genome : dict
        Gene values by segment and gene.
    recipe : dict or None
        The model recipe that the genome stood for, if any.
    seeds : tuple of int
        What it was evaluated with.
    score : float or None
        Lower is better; None when it failed.
    parts : dict of str to float
        What the score is made of. NaN and infinity are written as null and read as NaN.
    failure : str or None
        Why it failed.
    """

    id: str
    generation: int
    parents: tuple[tuple[str, float], ...]
    genome: Values
    recipe: dict[str, Any] | None
    seeds: tuple[int, ...]
    score: float | None
    parts: dict[str, float]
    failure: str | None

    def to_json(self) -> str:
        """Print as one line of JSON with sorted keys, without NaN or infinity.

        Raises
        ------
        EvolveError
            When a field holds what JSON cannot.
        """
        fields = dict(vars(self))
        fields["parts"] = {
            name: float(part) if math.isfinite(part) else None for name, part in self.parts.items()
        }
        try:
            return json.dumps(fields, sort_keys=True, allow_nan=False, default=_plain)
        except (TypeError, ValueError) as error:
            raise EvolveError(
                f"candidate {self.id} cannot be recorded as JSON: {error}; "
                "return plain finite numbers, strings, lists and dicts"
            ) from error

    @classmethod
    def from_json(cls, line: str) -> Candidate:
        """Read what `to_json` printed.

        Raises
        ------
        ValueError
            When the line is not such a candidate.
        """
        try:
            fields = json.loads(line)
            fields["parents"] = tuple((str(id_), float(w)) for id_, w in fields["parents"])
            fields["seeds"] = tuple(fields["seeds"])
            fields["genome"] = {  # names once in memory, not once a candidate
                intern(segment): {intern(gene): value for gene, value in genes.items()}
                for segment, genes in fields["genome"].items()
            }
            fields["parts"] = {
                name: math.nan if part is None else part for name, part in fields["parts"].items()
            }
            return cls(**fields)
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a candidate: {error}") from error


class Lineage:
    """A sweep's candidates in a JSON-lines file.

    Parameters
    ----------
    path : Path
        The file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def append(self, candidates: Sequence[Candidate]) -> None:
        """Write a generation and force it to disk, all of it or nothing.

        Raises
        ------
        RunError
            When the file cannot be written, for example on a full disk.
        """
        lines = "".join(candidate.to_json() + "\n" for candidate in candidates)
        durable.append_bytes(self.path, lines.encode())

    def read(self) -> list[Candidate]:
        """Read all candidates; a last line still without its newline is not there yet.

        Raises
        ------
        RunError
            When a whole line is malformed; the message names its number.
        """
        return [candidate for candidate, _ in self.scan()]

    def truncate_to(self, generation: int) -> None:
        """Drop everything from a generation on, and a torn last line, in one step.

        Raises
        ------
        RunError
            When a whole line is malformed, or the file cannot be written.
        """
        if not self.path.exists():
            return
        kept = 0
        for candidate, end in self.scan():
            if candidate.generation >= generation:
                break
            kept = end
        if kept < self.path.stat().st_size:
            durable.truncate(self.path, kept)

    def scan(self, start: int = 0) -> Iterator[tuple[Candidate, int]]:
        """Read candidates one at a time from a line's offset in bytes on.

        Yields
        ------
        candidate : Candidate
        end : int
            The offset at which its line ends.

        Raises
        ------
        RunError
            When a whole line is malformed; the message names its number.
        """
        end = start
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                for number, line in enumerate(file, start=1):
                    if not line.endswith(b"\n"):
                        return
                    end += len(line)
                    yield self._parse(line, number, start), end
        except FileNotFoundError:
            return
        except OSError as error:
            raise RunError(f"cannot read {self.path}: {error.strerror or error}") from error

    def _parse(self, line: bytes, number: int, start: int) -> Candidate:
        try:
            return Candidate.from_json(line.decode())
        except ValueError as error:
            after = f" after byte {start}" if start else ""
            raise RunError(
                f"{self.path} line {number}{after} is damaged ({error}); "
                "restore the file or start the sweep in a new folder"
            ) from error


def _plain(number: object) -> Any:
    if isinstance(number, np.generic):
        return number.item()
    raise TypeError(f"{type(number).__name__} is not JSON")
