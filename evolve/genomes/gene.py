"""A gene: a real number, a whole number or a choice, and the real coordinates that stand for it.

These coordinates have bounds; `evolve.genomes.genome` moves them onto the whole real line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from evobourse.evolve.errors import GenomeError

_CHOSEN = 0.75  # place of a chosen option's coordinate in (0, 1); the others lie at 1 - _CHOSEN


@dataclass(frozen=True)
class Gene:
    """One bounded number.

    Attributes
    ----------
    name : str
        Unique in its segment.
    low, high : float
        The bounds, in the gene's own unit; equal ones pin the gene.
    start : float
        Where the search begins, within the bounds. A start on a bound begins
        `START_MARGIN` inside it, where the search can still feel a slope.
    scale : {"linear", "log"}
        Whether equal steps are differences or ratios; "log" needs ``low > 0``.

    Raises
    ------
    GenomeError
        When the bounds, the start or the scale do not fit together.
    """

    name: str
    low: float
    high: float
    start: float
    scale: Literal["linear", "log"] = "linear"

    def __post_init__(self) -> None:
        where = f"gene '{self.name}'"
        if not self.name:
            raise GenomeError("a gene has an empty name; give it one")
        if self.scale not in ("linear", "log"):
            raise GenomeError(f"{where}: scale is {self.scale!r}; use 'linear' or 'log'")
        if not np.all(np.isfinite([self.low, self.high, self.start])):
            raise GenomeError(f"{where}: low, high and start must be finite numbers")
        if not self.low <= self.start <= self.high:
            raise GenomeError(
                f"{where}: low {self.low} <= start {self.start} <= high {self.high} does not hold"
            )
        if self.scale == "log" and self.low <= 0:
            raise GenomeError(f"{where}: a log scale needs low > 0, but low is {self.low}")


@dataclass(frozen=True)
class IntegerGene:
    """One bounded whole number.

    On the real line it is a number from ``low - 1/2`` to ``high + 1/2``, rounded.

    Attributes
    ----------
    name : str
        Unique in its segment.
    low, high : int
        The bounds; equal ones pin the gene.
    start : int
        Where the search begins, within the bounds.
    scale : {"linear", "log"}
        Whether equal steps are differences or ratios; "log" needs ``low >= 1``.

    Raises
    ------
    GenomeError
        When the bounds, the start or the scale do not fit together.
    """

    name: str
    low: int
    high: int
    start: int
    scale: Literal["linear", "log"] = "linear"

    def __post_init__(self) -> None:
        for field in ("low", "high", "start"):
            number = getattr(self, field)
            if not isinstance(number, int) or isinstance(number, bool):
                raise GenomeError(f"gene '{self.name}': {field} is {number!r}; use a whole number")
        Gene(self.name, self.low, self.high, self.start, self.scale)  # refuses the rest


@dataclass(frozen=True)
class ChoiceGene:
    """One of several named options, without an order.

    On the real line it is one coordinate an option, of which the largest wins.

    Attributes
    ----------
    name : str
        Unique in its segment.
    choices : tuple of str
        At least one, each once.
    start : str
        The option that the search begins with.

    Raises
    ------
    GenomeError
        When there are no options, one is there twice, or the start is none of them.
    """

    name: str
    choices: tuple[str, ...]
    start: str

    def __post_init__(self) -> None:
        where = f"gene '{self.name}'"
        if not self.name:
            raise GenomeError("a gene has an empty name; give it one")
        if not self.choices or not all(isinstance(choice, str) for choice in self.choices):
            raise GenomeError(
                f"{where}: choices are {list(self.choices)}; list names, at least one"
            )
        refuse_duplicates(list(self.choices), where)
        if self.start not in self.choices:
            raise GenomeError(
                f"{where}: start is {self.start!r}; use one of {', '.join(self.choices)}"
            )


AnyGene = Gene | IntegerGene | ChoiceGene


def places(gene: AnyGene) -> tuple[Gene, ...]:
    """List the real coordinates that stand for a gene."""
    if isinstance(gene, IntegerGene):
        pinned = gene.low == gene.high
        reach = 0.0 if pinned else 0.5
        return (Gene(gene.name, gene.low - reach, gene.high + reach, gene.start, gene.scale),)
    if isinstance(gene, ChoiceGene):
        places = zip(gene.choices, write_value(gene, gene.start), strict=True)
        return tuple(Gene(f"{gene.name}={choice}", 0.0, 1.0, start) for choice, start in places)
    return (gene,)


def read_value(gene: AnyGene, numbers: list[float]) -> Any:
    """Turn the numbers of a gene's coordinates into its value."""
    if isinstance(gene, IntegerGene):
        return min(max(round(numbers[0]), gene.low), gene.high)
    if isinstance(gene, ChoiceGene):
        return gene.choices[int(np.argmax(numbers))]
    return numbers[0]


def write_value(gene: AnyGene, value: Any) -> list[float]:
    """Turn a gene's value into the numbers of its coordinates."""
    if isinstance(gene, ChoiceGene):
        return [_CHOSEN if choice == value else 1.0 - _CHOSEN for choice in gene.choices]
    return [float(value)]


def accept_value(gene: AnyGene, value: Any, where: str) -> Any:
    """Return a value as the gene has it, or refuse it."""
    if isinstance(gene, ChoiceGene):
        if value not in gene.choices:
            raise GenomeError(f"{where} is {value!r}; use one of {', '.join(gene.choices)}")
        return value
    whole = isinstance(gene, IntegerGene)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        example = "a whole number" if whole else "a number such as 0.5 or 1.0e-3"
        raise GenomeError(f"{where} is {value!r}; write {example}")
    if not gene.low <= value <= gene.high:
        raise GenomeError(f"{where} is {value}; it must lie in [{gene.low}, {gene.high}]")
    return value if whole else float(value)


def refuse_duplicates(names: list[str], where: str) -> None:
    """Raise a `GenomeError` where a name is used twice."""
    for name in names:
        if names.count(name) > 1:
            raise GenomeError(f"{where}: the name '{name}' is used twice; rename one")
