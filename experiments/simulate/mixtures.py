"""Populations with other minds in the place of their own, in the same society."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evobourse.agents.personas.persona import Persona, Population
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.genomes.cloud import halton

STRENGTH = 0.9
"""Sum of a mixture's coefficients, as a persona's before evolution."""


def draw_mixtures(bundle: Bundle, count: int, draw: int) -> Population:
    """Return a bundle's society with minds that are mixtures of all styles, evenly spread.

    Parameters
    ----------
    bundle
        Whose society, styles and blocks.
    count
        Of minds, each with as many agents.
    draw
        Seed of the scrambled Halton sequence; a longer one begins with the shorter.
    """
    points = halton(count, len(bundle.adapters), np.random.default_rng(draw))
    weight = -np.log(np.maximum(points, 1e-12))  # exponentials: even on a simplex
    mixtures = STRENGTH * weight / weight.sum(axis=1, keepdims=True)
    personas = tuple(
        Persona(f"mind-{n + 1}", "", (tuple(row.tolist()),) * bundle.blocks, 1.0, 1.0)
        for n, row in enumerate(mixtures)
    )
    return replace(bundle.population, personas=personas)


def without_styles(population: Population) -> Population:
    """Return a population whose minds are all the bare base."""
    personas = tuple(
        replace(one, mixture=tuple((0.0,) * len(row) for row in one.mixture), cores=())
        for one in population.personas
    )
    return replace(population, personas=personas)
