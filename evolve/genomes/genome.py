"""What evolution may change: named segments of genes, and one real vector for them all."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from evobourse.evolve.errors import GenomeError
from evobourse.evolve.genomes.gene import (
    AnyGene,
    Gene,
    accept_value,
    places,
    read_value,
    refuse_duplicates,
    write_value,
)
from evobourse.evolve.rounding import exponentials, logarithms

Values = dict[str, dict[str, Any]]
"""Gene values by segment and gene name: a float, an int or a choice's name, as the gene has it."""

START_MARGIN = 1e-3
"""How far inside its (log-)range, as a share of it, a start on a bound is moved."""

_ROUNDING = 1e-12  # nearer to a bound than this share of the range counts as this near


@dataclass(frozen=True)
class Segment:
    """Genes that change together, such as a recipe or a society.

    Attributes
    ----------
    name : str
        Unique in its genome, without a dot.
    genes : tuple of Gene, IntegerGene or ChoiceGene
        At least one, in the order of the vector.
    """

    name: str
    genes: tuple[AnyGene, ...]

    def __post_init__(self) -> None:
        if not self.name or "." in self.name:
            raise GenomeError(f"segment name {self.name!r} must be non-empty and without a dot")
        if not self.genes:
            raise GenomeError(f"segment '{self.name}' has no genes; leave it out instead")
        refuse_duplicates([gene.name for gene in self.genes], f"segment '{self.name}'")


@dataclass(frozen=True)
class Genome:
    """All segments, flattened to one normalised vector and back without loss.

    A coordinate ``x`` of the vector is any real number; the gene's place in its
    (log-)range is the logistic ``u = 1 / (1 + exp(-x))``: smooth and monotone, so
    nothing folds back at a bound, with slope 1/4 in the middle, so that one unit
    of ``x`` is there a quarter of the range. A choice has a coordinate for each of its
    options.

    Attributes
    ----------
    segments : tuple of Segment
        In the order of the vector.
    """

    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        if not self.segments:
            raise GenomeError("a genome needs at least one segment")
        refuse_duplicates([segment.name for segment in self.segments], "the genome")

    @property
    def size(self) -> int:
        """The number of coordinates: one a gene, but one an option of a choice."""
        return len(self._coordinates)

    @property
    def is_mixed(self) -> bool:
        """Whether some gene is no real number."""
        return not all(isinstance(gene, Gene) for s in self.segments for gene in s.genes)

    def names(self) -> tuple[str, ...]:
        """Every coordinate as ``"segment.gene"`` or ``"segment.gene=option"``, in order."""
        return tuple(
            f"{s.name}.{place.name}"
            for s in self.segments
            for gene in s.genes
            for place in places(gene)
        )

    def slice_of(self, segment_name: str) -> slice:
        """Where a segment lies in the vector.

        Raises
        ------
        GenomeError
            When there is no such segment.
        """
        start = 0
        for segment in self.segments:
            stop = start + sum(len(places(gene)) for gene in segment.genes)
            if segment.name == segment_name:
                return slice(start, stop)
            start = stop
        raise _unknown("segment", segment_name, [segment.name for segment in self.segments])

    def start_vector(self) -> NDArray[np.float64]:
        """Return the vector of the start values, float64[size]."""
        return self._place(self._array("start"), START_MARGIN)

    def draw_vector(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw a vector, float64[size], whose genes lie uniformly in their (log-)ranges."""
        place = rng.uniform(START_MARGIN, 1.0 - START_MARGIN, self.size)
        return logarithms(place) - logarithms(1.0 - place)

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
        tail = exponentials(-np.abs(x))
        u = np.where(x >= 0, 1.0, tail) / (1.0 + tail)
        low, high = self._range
        flat = low + (high - low) * u
        flat = np.where(self._is_log, exponentials(np.where(self._is_log, flat, 0.0)), flat)
        numbers = iter(np.clip(flat, self._array("low"), self._array("high")).tolist())
        return {
            s.name: {
                gene.name: read_value(gene, [next(numbers) for _ in places(gene)])
                for gene in s.genes
            }
            for s in self.segments
        }

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
            When a gene is unknown, missing, of the wrong type or out of bounds.
        """
        checked = self._checked(values)
        flat = [
            number
            for s in self.segments
            for gene in s.genes
            for number in write_value(gene, checked[s.name][gene.name])
        ]
        return self._place(np.array(flat, dtype=np.float64), _ROUNDING)

    def to_yaml(self, values: Mapping[str, Mapping[str, float]]) -> str:
        """Print gene values as YAML that `from_yaml` reads back exactly."""
        return yaml.safe_dump(self._checked(values), sort_keys=False)

    def from_yaml(self, text: str) -> Values:
        """Read gene values printed by `to_yaml` or written by hand.

        Raises
        ------
        GenomeError
            When it is not YAML, or a gene is unknown, missing, of the wrong type or out of bounds.
        """
        try:
            loaded = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise GenomeError(f"genome values are not YAML: {' '.join(str(error).split())}") from (
                error
            )
        return self._checked(loaded)

    @cached_property
    def _coordinates(self) -> tuple[Gene, ...]:
        return tuple(p for segment in self.segments for gene in segment.genes for p in places(gene))

    @cached_property
    def _is_log(self) -> NDArray[np.bool_]:
        return np.array([gene.scale == "log" for gene in self._coordinates])

    @cached_property
    def _range(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self._scaled(self._array("low")), self._scaled(self._array("high"))

    def _array(self, field: str) -> NDArray[np.float64]:
        return np.array([getattr(gene, field) for gene in self._coordinates], dtype=np.float64)

    def _scaled(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(self._is_log, logarithms(np.where(self._is_log, numbers, 1.0)), numbers)

    def _place(self, numbers: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
        """Return the logit of each number's place in its range, kept `margin` off the bounds."""
        low, high = self._range
        scaled, width = self._scaled(numbers), high - low
        pinned = width == 0
        width = np.where(pinned, 1.0, width)
        # Both distances are measured, since 1 - u would lose what lies close to the high bound.
        below = np.clip(np.where(pinned, 0.5, (scaled - low) / width), margin, 1.0)
        above = np.clip(np.where(pinned, 0.5, (high - scaled) / width), margin, 1.0)
        placed: NDArray[np.float64] = logarithms(below) - logarithms(above)
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
                where = f"gene '{segment.name}.{gene.name}'"
                checked.setdefault(segment.name, {})[gene.name] = accept_value(
                    gene, given[gene.name], where
                )
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
