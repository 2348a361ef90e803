"""What was computed and may be wanted again, within a number of bytes: least recently used out.

Whoever finds a thing gone computes it again, to the same bits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Protocol


class Sized(Protocol):
    """A thing that says how many bytes it takes."""

    @property
    def nbytes(self) -> int:
        """Bytes that are freed with it."""


class ByteBudget:
    """A store whose bytes never exceed a limit.

    Parameters
    ----------
    limit
        Most bytes held. What is larger than all of it is not held at all.

    Attributes
    ----------
    held, most_held
        Bytes now, and the most that there ever were.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.held = self.most_held = 0
        self._things: OrderedDict[tuple[Hashable, ...], tuple[Sized, int]] = OrderedDict()

    def get(self, key: tuple[Hashable, ...]) -> Sized | None:
        """Return a thing and count it as used, or None where it is not held."""
        if key not in self._things:
            return None
        self._things.move_to_end(key)
        return self._things[key][0]

    def put(self, key: tuple[Hashable, ...], thing: Sized) -> None:
        """Hold a thing, in place of another of its key, and let go of what was longest unused.

        A thing that has grown is to be put again.
        """
        self._let_go(key)
        size = thing.nbytes
        if size > self.limit:
            return
        while self.held + size > self.limit:
            self._let_go(next(iter(self._things)))
        self._things[key] = (thing, size)
        self.held += size
        self.most_held = max(self.most_held, self.held)

    def clear(self, kind: Hashable) -> None:
        """Let go of everything whose key begins with ``kind``."""
        for key in [key for key in self._things if key[0] == kind]:
            self._let_go(key)

    def __len__(self) -> int:
        return len(self._things)

    def _let_go(self, key: tuple[Hashable, ...]) -> None:
        _, size = self._things.pop(key, (None, 0))
        self.held -= size
