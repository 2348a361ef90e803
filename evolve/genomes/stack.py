"""Genes of a layer stack: which layers stand in it, and how inputs out of order are scaled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

import numpy as np

from evobourse.evolve.errors import GenomeError
from evobourse.evolve.genomes.gene import Gene
from evobourse.merge.recipes.layer_stack import LayerStack
from evobourse.merge.recipes.recipe import Recipe
from evobourse.merge.recipes.stack_recipe import StackRecipe

Order = Literal["layers", "sources"]
Scales = Literal["none", "network", "entries"]
Place = tuple[str, int]
BASE = "base"
"""The base in the names of genes."""

MOST_SCALE = 2.0
"""W lies between this and its inverse."""

_IN = 0.5  # where an indicator starts, above or below 0; its bounds are -1 and 1
_HIDDEN = np.array([[3, 0, 0, 0], [0, 3, 0, 0], [-3, 3, 0, 0], [0, 0, 3, 0.0]])
_INPUTS = ("from", "to", "at", "bias")


@dataclass(frozen=True)
class StackSpace:
    """The stacks that evolution may build over a base, as Akiba et al. (2024, section 3.2) do.

    The layers of all sources within a window stand in a row, and that row several times. An
    indicator above 0 puts a layer into the stack. Below and above the window stand the layers of
    the source that the search starts at, once. The start is that source itself.

    Attributes
    ----------
    base
        Name of the base model.
    depth
        Its number of layers.
    sources
        Names of the other models.
    window
        First layer of the row, and the first one above it.
    repeats
        How often the row stands there.
    order
        ``sources``: all layers of a source, then the next source's, as in the paper; ``layers``:
        layer by layer, all sources beside each other, so that two genes exchange one layer.
    scales
        What W is made of: ``entries``: one gene for every pair of layers; ``network``: a small
        network of where a step comes from, where it leads and how high up it is, whose genes do
        not grow with the row (the paper's pi); ``none``: 1 everywhere.
    merges
        Sources that are merges themselves, by name.
    home
        Where the search starts: `BASE`, or the name of a source or merge as deep as the base.

    Raises
    ------
    GenomeError
        The window does not lie within the base, there is no row, a name is used twice, or the
        search starts at none of them.
    """

    base: str
    depth: int
    sources: tuple[str, ...]
    window: tuple[int, int]
    repeats: int = 2
    order: Order = "layers"
    scales: Scales = "network"
    merges: Mapping[str, Recipe] = field(default_factory=dict)
    home: str = BASE

    def __post_init__(self) -> None:
        first, last = self.window
        if not 0 <= first < last <= self.depth:
            raise GenomeError(
                f"stack.window: is {list(self.window)}, expected a first layer and the one above "
                f"the last, from 0 to {self.depth}, the base's depth"
            )
        if self.repeats < 1:
            raise GenomeError(f"stack.repeats: is {self.repeats}, expected at least 1")
        names = [BASE, *self.sources, *self.merges]
        if len(set(names)) != len(names):
            raise GenomeError(f"stack: sources are called {names}; rename one")
        if self.home not in names:
            raise GenomeError(f"stack.home: is {self.home!r}, expected one of {', '.join(names)}")

    def genes(self) -> tuple[Gene, ...]:
        """List an indicator for each layer of each repeat, then what makes W."""
        indicators = [
            Gene(
                _indicator(repeat, *place),
                -1.0,
                1.0,
                _IN if (repeat, place[0]) == (0, self.home) else -_IN,
            )
            for repeat, place in product(range(self.repeats), self.row)
        ]
        scales: list[Gene] = []
        if self.scales == "entries":
            low, high = 1 / MOST_SCALE, MOST_SCALE
            steps = product([*self._below[-1:], *self.row], [*self.row, *self._above[:1]])
            scales = [Gene(_entry(*step), low, high, 1.0, "log") for step in steps]
        elif self.scales == "network":
            scales = [
                Gene(f"w_{unit}_{name}", -6.0, 6.0, float(start))
                for unit, starts in enumerate(_HIDDEN)
                for name, start in zip(_INPUTS, starts, strict=True)
            ]
            scales += [Gene(f"w_{unit}_out", -2.0, 2.0, 0.0) for unit in range(len(_HIDDEN))]
        return (*indicators, *scales)

    def recipe(self, genes: Mapping[str, float]) -> StackRecipe:
        """Build the stack of gene values.

        Raises
        ------
        merge.errors.RecipeError
            No layer is in.
        """
        chosen = [
            place
            for repeat, place in product(range(self.repeats), self.row)
            if genes[_indicator(repeat, *place)] > 0
        ]
        path = [*self._below, *chosen, *self._above]
        stack = LayerStack.along(
            [(self.base if name == BASE else name, number) for name, number in path],
            self._scaling(path, genes),
        )
        used = {name for name, _ in path}
        merges = {name: merge for name, merge in self.merges.items() if name in used}
        return StackRecipe(self.base, stack, merges)

    @property
    def row(self) -> list[Place]:
        """The layers of one repeat, in order: source, `BASE` among them, and number."""
        names, numbers = [BASE, *self.sources, *self.merges], range(*self.window)
        if self.order == "sources":
            return list(product(names, numbers))
        return [(name, number) for number, name in product(numbers, names)]

    @property
    def _below(self) -> list[Place]:
        return [(self.home, number) for number in range(self.window[0])]

    @property
    def _above(self) -> list[Place]:
        return [(self.home, number) for number in range(self.window[1], self.depth)]

    def _scaling(self, path: Sequence[Place], genes: Mapping[str, float]) -> Callable[[int], float]:
        if self.scales == "entries":
            return lambda at: genes[_entry(path[at - 1], path[at])]
        if self.scales == "none":
            return lambda at: 1.0
        at_row = {place: n for n, place in enumerate([*self._below, *self.row, *self._above])}
        weights = np.array(
            [[genes[f"w_{unit}_{name}"] for name in _INPUTS] for unit in range(len(_HIDDEN))]
        )
        out = np.array([genes[f"w_{unit}_out"] for unit in range(len(_HIDDEN))])

        def network(at: int) -> float:
            before, here = (at_row[path[n]] / len(at_row) for n in (at - 1, at))
            hidden = np.tanh(weights @ [before, here, at / len(path), 1.0])
            return math.exp(math.log(MOST_SCALE) * math.tanh(float(out @ hidden)))

        return network


def _indicator(repeat: int, name: str, number: int) -> str:
    return f"r{repeat}_{name}_l{number}"


def _entry(before: Place, here: Place) -> str:
    return f"w_{before[0]}_l{before[1]}_to_{here[0]}_l{here[1]}"
