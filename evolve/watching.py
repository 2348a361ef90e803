"""What a sweep is doing right now, told to whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Phase = Literal["open", "merge", "ask", "trade", "choose", "judge", "write"]

Begin = Callable[[Phase, int, Callable[[], int]], None]
"""Hears that a phase begins, of how many steps it has, and what tells at any time how many are
done."""


def unwatched(phase: Phase, total: int, done: Callable[[], int]) -> None:
    """Show nothing."""
