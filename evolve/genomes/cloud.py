"""A cloud: any number of minds drawn from means and a low-rank spread, so that genes stay few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import cos, pi
from statistics import NormalDist
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.bounds import Bounds, check_bounds
from evobourse.evolve.errors import EvolveError
from evobourse.evolve.genomes.gene import Gene

_DECIMALS = 6
"""Of normal quantiles: libraries of elementary functions differ in last bits."""


@dataclass(frozen=True)
class Cloud:
    """Minds drawn from one distribution, in the place of personas that are listed one by one.

    What is a mind's own (each coefficient of its mixture, its temperature, its factors of
    `persona_genes`) has a mean and ``rank`` spreads, which are the genes. Mind n has the mean plus
    each spread times its own place along it, kept within bounds. These places are a fixed sequence
    (`draw_places`), so that more minds begin with the fewer, and the genome has the same length for
    10 minds and for 1,000. All have the same share of the agents.

    Attributes
    ----------
    minds
        How many.
    rank
        Directions in which minds differ; at most the number of styles times that of blocks.
    """

    minds: Annotated[int, Bounds(1, 9999, unit="minds")] = 64
    rank: Annotated[int, Bounds(1, 6)] = 2

    def __post_init__(self) -> None:
        check_bounds(self, EvolveError)

    @property
    def names(self) -> tuple[str, ...]:
        """Name the minds."""
        return tuple(f"mind-{n:04d}" for n in range(1, self.minds + 1))

    @property
    def places(self) -> NDArray[np.float64]:
        """Each mind's place along each spread, float64[minds, rank], see `draw_places`."""
        return draw_places(self.minds, self.rank)

    def spreads(self, genes: Sequence[Gene], start: float = 0.0) -> list[Gene]:
        """List the genes of how several means vary from mind to mind.

        Parameters
        ----------
        genes
            Of the means. A spread may be as large as half their range, up or down.
        start
            Largest entry of a spread before evolution; along the genes the spreads are cosines
            (those of the discrete cosine transform), each orthogonal to all others.
        """
        return [
            Gene(
                _spread(direction, gene.name),
                -(gene.high - gene.low) / 2,
                (gene.high - gene.low) / 2,
                round(start * _cosine(direction, at, len(genes)), _DECIMALS),
            )
            for direction in range(1, self.rank + 1)
            for at, gene in enumerate(genes)
        ]

    def draw(self, gene: Gene, mean: float, values: Mapping[str, float]) -> NDArray[np.float64]:
        """Return every mind's value of what a gene is the mean of, float64[minds], within bounds.

        Parameters
        ----------
        gene
            Names the spreads, and has the bounds.
        mean
            In the gene's unit.
        values
            Of the genes that `spreads` lists, by name.
        """
        drawn = np.full(self.minds, mean)
        # Added up one direction after the other: a matrix product's last bits depend on its library
        for direction, place in enumerate(self.places.T, 1):
            drawn += values[_spread(direction, gene.name)] * place
        return np.asarray(np.clip(drawn, gene.low, gene.high))

    def fit(
        self, genes: Sequence[Gene], changes: NDArray[np.float64], values: Mapping[str, float]
    ) -> dict[str, float]:
        """Return means and spreads after changes of single minds, by least squares, within bounds.

        Parameters
        ----------
        genes
            Of the means.
        changes
            float64[minds, len(genes)], what is to be added to each mind.
        values
            Of means and spreads, by name.
        """
        design = np.column_stack([np.ones(self.minds), self.places])
        fitted = np.linalg.lstsq(design, changes, rcond=None)[0].ravel()
        return {
            gene.name: float(np.clip(values[gene.name] + change, gene.low, gene.high))
            for gene, change in zip([*genes, *self.spreads(genes)], fitted, strict=True)
        }


def halton(
    count: int, dimensions: int, rng: np.random.Generator | None = None
) -> NDArray[np.float64]:
    """Return evenly spread points of the unit cube, float64[count, dimensions].

    The Halton sequence, whose longer stretches begin with the shorter; scrambled by ``rng``, or
    else without its first point, the origin.
    """
    from scipy.stats import qmc  # a second of imports, which reading a config needs not

    sequence = qmc.Halton(dimensions, scramble=rng is not None, rng=rng)
    if rng is None:
        sequence.fast_forward(1)
    return np.asarray(sequence.random(count))


@cache
def draw_places(count: int, dimensions: int) -> NDArray[np.float64]:
    """Return standard normal quantiles of `halton` points, float64[count, dimensions]; read-only.

    The first point is at 0 in the first dimension and near it in the others. Rounded to six
    decimals, so that they have the same bits on every processor (docs/decisions/129).
    """
    quantile = NormalDist().inv_cdf
    points = halton(count, dimensions).tolist()
    places = np.array([[round(quantile(x), _DECIMALS) for x in point] for point in points])
    places.flags.writeable = False
    return places


def _spread(direction: int, name: str) -> str:
    return f"spread-{direction}_{name}"


def _cosine(direction: int, at: int, count: int) -> float:
    """Return an entry of a row of the discrete cosine transform; the constant one comes last."""
    return cos(pi * (direction % count) * (at + 0.5) / count)
