"""The append-only record of a sweep: one candidate a line, the truth that MLflow only views.

Knows: a candidate's fields, their JSON, a file that is never left with half a generation.
Does not know: time, host, worker count, or how candidates come about.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evolve import durable
from evolve.errors import EvolveError, RunError
from evolve.genome import Values


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
        fields = asdict(self)
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
        fields = json.loads(line)
        try:
            fields["parents"] = tuple((str(id_), float(w)) for id_, w in fields["parents"])
            fields["seeds"] = tuple(fields["seeds"])
            fields["parts"] = {
                name: math.nan if part is None else part for name, part in fields["parts"].items()
            }
            return cls(**fields)
        except (TypeError, KeyError, AttributeError) as error:
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
        return [candidate for candidate, _ in self._scan()]

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
        for candidate, end in self._scan():
            if candidate.generation >= generation:
                break
            kept = end
        if kept < self.path.stat().st_size:
            durable.truncate(self.path, kept)

    def _scan(self) -> Iterator[tuple[Candidate, int]]:
        """Yield each candidate with the offset in bytes at which its line ends."""
        try:
            data = self.path.read_bytes() if self.path.exists() else b""
        except OSError as error:
            raise RunError(f"cannot read {self.path}: {error.strerror or error}") from error
        *lines, _torn = data.split(b"\n")
        end = 0
        for number, line in enumerate(lines, start=1):
            end += len(line) + 1
            try:
                yield Candidate.from_json(line.decode()), end
            except ValueError as error:
                raise RunError(
                    f"{self.path} line {number} is damaged ({error}); "
                    "restore the file or start the sweep in a new folder"
                ) from error


def _plain(number: object) -> Any:
    if isinstance(number, np.generic):
        return number.item()
    raise TypeError(f"{type(number).__name__} is not JSON")
