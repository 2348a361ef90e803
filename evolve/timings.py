"""How long a sweep's generations took: a line each beside the lineage, which knows no time.

Only a time budget and readers depend on it: its loss is no harm.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Timing:
    """One generation's line.

    Attributes
    ----------
    generation, candidates : int
    seconds : float
        From asking for it to its checkpoint.
    ended_ms : int
        Milliseconds since 1970.
    readings : dict of str to float
        What the search said of its state, such as step sizes.
    """

    generation: int
    candidates: int
    seconds: float
    ended_ms: int
    readings: dict[str, float]


class Timings:
    """A sweep's timings in a JSON-lines file, written without waiting for the disk.

    Parameters
    ----------
    path : Path
        The file; it need not exist yet.
    clock : callable
        Returns seconds, never running backwards.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = Path(path)
        self._clock = clock
        self._began = clock()
        self._seen: list[Timing] = []
        self._offset = 0

    def start(self) -> None:
        """Begin to count a generation's seconds."""
        self._began = self._clock()

    def note(self, generation: int, candidates: int, readings: Mapping[str, float]) -> bool:
        """Append a generation's line; say whether that was possible (the disk may be full)."""
        line = {
            "generation": generation,
            "candidates": candidates,
            "seconds": round(self._clock() - self._began, 3),
            "ended_ms": int(time.time() * 1000),
            "readings": dict(readings),
        }
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError:
            return False
        return True

    def read(self) -> list[Timing]:
        """Read all lines that are whole, in the order of writing; what was read stays read."""
        if self.path.is_file():  # a device may have no end
            with suppress(OSError), self.path.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
                self._offset += len(whole) + len(newline)
                self._seen += _parse(whole.splitlines())
        return list(self._seen)


def _parse(lines: list[bytes]) -> Iterator[Timing]:
    for line in lines:
        try:
            yield Timing(**json.loads(line))
        except (ValueError, TypeError, RecursionError):  # torn by a kill or a full disk
            continue
