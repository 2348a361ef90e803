"""Functions with a known best, on which searches are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evobourse.evolve.genomes.gene import ChoiceGene, Gene, IntegerGene
from evobourse.evolve.genomes.genome import Genome, Segment, Values

Cost = Callable[[Values], float]
KINDS = ("red", "green", "blue")


@dataclass(frozen=True)
class Problem:
    """A function of gene values, the cost that counts as found, and how many may be tried."""

    name: str
    genome: Genome
    cost: Cost
    noise: float
    target: float
    most: int


def sphere(values: Values) -> float:
    """Return the squared distance to 1 in every real gene."""
    return float(sum((x - 1.0) ** 2 for x in values["real"].values()))


def rosenbrock(values: Values) -> float:
    """Return Rosenbrock's function: 0 at 1, at the end of a bent valley."""
    x = np.array(list(values["real"].values()))
    return float(np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2))


def mixed(values: Values) -> float:
    """Return the sphere, plus whole numbers that must be 3 and colours that must be blue."""
    rest = values["rest"]
    wrong = sum(rest[f"c{i}"] != "blue" for i in range(2))
    return float(sphere(values) + sum((rest[f"n{i}"] - 3) ** 2 for i in range(3)) + wrong)


def _genome(count: int, start: float, rest: bool = False) -> Genome:
    real = Segment("real", tuple(Gene(f"x{i}", -5.0, 5.0, start) for i in range(count)))
    whole = [IntegerGene(f"n{i}", -8, 8, -2) for i in range(3)]
    choice = [ChoiceGene(f"c{i}", KINDS, "red") for i in range(2)]
    return Genome((real, Segment("rest", (*whole, *choice))) if rest else (real,))


PROBLEMS = (
    Problem("noisy sphere, 10 genes", _genome(10, -2.0), sphere, 0.3, 1e-6, 6000),
    Problem("Rosenbrock, 5 genes", _genome(5, -1.0), rosenbrock, 0.0, 1e-6, 8000),
    Problem("mixed-integer, 3 + 3 + 2 genes", _genome(3, -2.0, True), mixed, 0.0, 1e-6, 6000),
)


NEAR = (
    Problem("noisy sphere, 5 genes", _genome(5, -2.0), sphere, 0.3, 1.0, 200),
    Problem("mixed-integer, 3 + 3 + 2 genes", _genome(3, -2.0, True), mixed, 0.0, 4.0, 200),
)
