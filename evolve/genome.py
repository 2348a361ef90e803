"""What evolution may change: named segments of bounded genes, and one real vector for them all.

Knows: bounds, scales, start values, the transform onto the real line and back, YAML.
Does not know: what a gene means, who proposes vectors, or how good one is.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from evolve.errors import GenomeError

Values = dict[str, dict[str, float]]
"""Gene values by segment and gene name, each within its gene's bounds."""

START_MARGIN = 1e-3
"""How far inside its (log-)range, as a share of it, a start on a bound is moved."""

_ROUNDING = 1e-12  # nearer to a bound than this share of the range counts as this near


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
class Segment:
    """Genes that change together, such as a recipe or a society.

    Attributes
    ----------
    name : str
        Unique in its genome, without a dot.
    genes : tuple of Gene
        At least one, in the order of the vector.
    """

    name: str
    genes: tuple[Gene, ...]

    def __post_init__(self) -> None:
        if not self.name or "." in self.name:
            raise GenomeError(f"segment name {self.name!r} must be non-empty and without a dot")
        if not self.genes:
            raise GenomeError(f"segment '{self.name}' has no genes; leave it out instead")
        _refuse_duplicates([gene.name for gene in self.genes], f"segment '{self.name}'")


@dataclass(frozen=True)
class Genome:
    """All segments, flattened to one normalised vector and back without loss.

    A coordinate ``x`` of the vector is any real number; the gene's place in its
    (log-)range is the logistic ``u = 1 / (1 + exp(-x))``: smooth and monotone, so
    nothing folds back at a bound, with slope 1/4 in the middle, so that one unit
    of ``x`` is there a quarter of the range.

    Attributes
    ----------
    segments : tuple of Segment
        In the order of the vector.
    """

    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        if not self.segments:
            raise GenomeError("a genome needs at least one segment")
        _refuse_duplicates([segment.name for segment in self.segments], "the genome")

    @property
    def size(self) -> int:
        """The number of genes."""
        return len(self._genes)

    def names(self) -> tuple[str, ...]:
        """Every gene as ``"segment.gene"``, in the order of the vector."""
        return tuple(f"{s.name}.{gene.name}" for s in self.segments for gene in s.genes)

    def slice_of(self, segment_name: str) -> slice:
        """Where a segment lies in the vector.

        Raises
        ------
        GenomeError
            When there is no such segment.
        """
        start = 0
        for segment in self.segments:
            stop = start + len(segment.genes)
            if segment.name == segment_name:
                return slice(start, stop)
            start = stop
        raise _unknown("segment", segment_name, [segment.name for segment in self.segments])

    def start_vector(self) -> NDArray[np.float64]:
        """Return the vector of the start values, float64[size]."""
        return self._place(self._array("start"), START_MARGIN)

    def to_values(self, vector: NDArray[np.float64]) -> Values:
        """Turn a vector into gene values within their bounds.

        Parameters
        ----------
        vector : float64[size]
            Any real numbers.

        Raises
        ------
        GenomeError
            When the length is wrong or a coordinate is not finite.
        """
        x = np.asarray(vector, dtype=np.float64)
        if x.shape != (self.size,):
            raise GenomeError(f"the vector has shape {x.shape}, but the genome has {self.size}")
        if not np.all(np.isfinite(x)):
            worst = self.names()[int(np.flatnonzero(~np.isfinite(x))[0])]
            raise GenomeError(f"gene '{worst}' has a coordinate that is not finite")
        # exp(-|x|) cannot overflow and keeps full precision near the low bound.
        tail = np.exp(-np.abs(x))
        u = np.where(x >= 0, 1.0, tail) / (1.0 + tail)
        low, high = self._range
        flat = low + (high - low) * u
        flat = np.where(self._is_log, np.exp(np.where(self._is_log, flat, 0.0)), flat)
        numbers = iter(np.clip(flat, self._array("low"), self._array("high")).tolist())
        return {s.name: {gene.name: next(numbers) for gene in s.genes} for s in self.segments}

    def to_vector(self, values: Mapping[str, Mapping[str, float]]) -> NDArray[np.float64]:
        """Turn gene values into their vector, the inverse of `to_values`.

        Parameters
        ----------
        values : mapping of mappings
            Every gene of every segment, within its bounds.

        Returns
        -------
        float64[size]

        Raises
        ------
        GenomeError
            When a gene is unknown, missing, no number or out of bounds.
        """
        checked = self._checked(values)
        flat = [checked[s.name][gene.name] for s in self.segments for gene in s.genes]
        return self._place(np.array(flat, dtype=np.float64), _ROUNDING)

    def to_yaml(self, values: Mapping[str, Mapping[str, float]]) -> str:
        """Print gene values as YAML that `from_yaml` reads back exactly."""
        return yaml.safe_dump(self._checked(values), sort_keys=False)

    def from_yaml(self, text: str) -> Values:
        """Read gene values printed by `to_yaml` or written by hand.

        Raises
        ------
        GenomeError
            When it is not YAML, or a gene is unknown, missing, no number or out of bounds.
        """
        try:
            loaded = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise GenomeError(f"genome values are not YAML: {' '.join(str(error).split())}") from (
                error
            )
        return self._checked(loaded)

    @cached_property
    def _genes(self) -> tuple[Gene, ...]:
        return tuple(gene for segment in self.segments for gene in segment.genes)

    @cached_property
    def _is_log(self) -> NDArray[np.bool_]:
        return np.array([gene.scale == "log" for gene in self._genes])

    @cached_property
    def _range(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self._scaled(self._array("low")), self._scaled(self._array("high"))

    def _array(self, field: str) -> NDArray[np.float64]:
        return np.array([getattr(gene, field) for gene in self._genes], dtype=np.float64)

    def _scaled(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(self._is_log, np.log(np.where(self._is_log, numbers, 1.0)), numbers)

    def _place(self, numbers: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
        """Return the logit of each number's place in its range, kept `margin` off the bounds."""
        low, high = self._range
        scaled, width = self._scaled(numbers), high - low
        pinned = width == 0
        width = np.where(pinned, 1.0, width)
        # Both distances are measured, since 1 - u would lose what lies close to the high bound.
        below = np.clip(np.where(pinned, 0.5, (scaled - low) / width), margin, 1.0)
        above = np.clip(np.where(pinned, 0.5, (high - scaled) / width), margin, 1.0)
        placed: NDArray[np.float64] = np.log(below) - np.log(above)
        return placed

    def _checked(self, values: Any) -> Values:
        """Copy values in the genome's order, refusing whatever does not belong."""
        _match_names("segment", "the genome", values, [s.name for s in self.segments])
        checked: Values = {}
        for segment in self.segments:
            given = values[segment.name]
            names = [gene.name for gene in segment.genes]
            _match_names("gene", f"segment '{segment.name}'", given, names)
            for gene in segment.genes:
                number, where = given[gene.name], f"gene '{segment.name}.{gene.name}'"
                if isinstance(number, bool) or not isinstance(number, (int, float)):
                    raise GenomeError(
                        f"{where} is {number!r}; write a number such as 0.5 or 1.0e-3"
                    )
                if not gene.low <= number <= gene.high:
                    raise GenomeError(
                        f"{where} is {number}; it must lie in [{gene.low}, {gene.high}]"
                    )
                checked.setdefault(segment.name, {})[gene.name] = float(number)
        return checked


def _match_names(kind: str, where: str, given: Any, valid: list[str]) -> None:
    if not isinstance(given, Mapping):
        raise GenomeError(f"{where}: expected {kind}s by name, got {type(given).__name__}")
    for name in given:
        if name not in valid:
            raise _unknown(kind, str(name), valid, where)
    for name in valid:
        if name not in given:
            nearest = difflib.get_close_matches(name, [str(g) for g in given], n=1)
            hint = f"; '{nearest[0]}' was given" if nearest else ""
            raise GenomeError(f"{where}: {kind} '{name}' is missing{hint}")


def _unknown(kind: str, name: str, valid: list[str], where: str = "the genome") -> GenomeError:
    nearest = difflib.get_close_matches(name, valid, n=1, cutoff=0.0)[0]
    return GenomeError(f"{where}: unknown {kind} '{name}'; did you mean '{nearest}'?")


def _refuse_duplicates(names: list[str], where: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise GenomeError(f"{where}: the name '{name}' is used twice; rename one")
