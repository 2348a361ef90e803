"""Bounds and units of settings, written into their annotations, and the check of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from numbers import Real
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Bounds:
    """What a number may be, and in which unit; annotates it, as in ``Annotated[int, Bounds(1)]``.

    Attributes
    ----------
    least, most
        Both allowed; infinite for no bound.
    unit
        In words, as in ``trading days``; empty for a plain number.
    above
        `least` itself is not allowed.
    """

    least: float = -math.inf
    most: float = math.inf
    unit: str = ""
    above: bool = False

    def allow(self, value: float) -> bool:
        """Tell whether a number is finite and within."""
        low = value > self.least if self.above else value >= self.least
        return bool(math.isfinite(value) and low and value <= self.most)

    def __str__(self) -> str:
        """Say the bounds as in ``expected ...``; empty without any."""
        low = "above" if self.above else "at least"
        most = _number(self.most)
        if not math.isfinite(self.least):
            return f"at most {most}" if math.isfinite(self.most) else ""
        if not math.isfinite(self.most):
            return f"{low} {_number(self.least)}"
        if self.above:
            return f"{low} {_number(self.least)}, at most {most}"
        return f"{_number(self.least)} to {most}"


def check_bounds(settings: DataclassInstance, error: type[Exception]) -> None:
    """Refuse settings of which a number is out of the `Bounds` in its annotation.

    Numbers in tuples and mappings are checked too; None is no number.

    Raises
    ------
    error
        It names the setting, its value and what is expected.
    """
    for name, hint in _bounded(type(settings)).items():
        for key, value, bounds in _numbers(hint, getattr(settings, name), name):
            if not bounds.allow(value):
                expected = str(bounds) or "a finite number"
                raise error(f"{key} is {value}, expected {expected}")


def bounds_of(hint: Any) -> Bounds | None:
    """Return the first `Bounds` in an annotation; None if it has none."""
    if get_origin(hint) is Annotated:
        found = next((mark for mark in hint.__metadata__ if isinstance(mark, Bounds)), None)
        return found or bounds_of(hint.__origin__)
    inner = (bounds_of(part) for part in get_args(hint))
    return next((found for found in inner if found is not None), None)


@cache
def _bounded(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {name: hint for name, hint in hints.items() if bounds_of(hint) is not None}


def _numbers(hint: Any, value: Any, key: str) -> Iterator[tuple[str, Any, Bounds]]:
    """Walk the numbers in a value that have bounds."""
    if get_origin(hint) is Annotated:
        if isinstance(value, Real):
            bounds = bounds_of(hint)
            if bounds is not None:
                yield key, value, bounds
            return
        hint = hint.__origin__
    parts = get_args(hint)
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(parts[1], item, f"{key}.{name}")
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from _numbers(parts[0], item, f"{key}[{i}]")
    elif isinstance(value, Real):
        for part in parts:
            yield from _numbers(part, value, key)


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"
