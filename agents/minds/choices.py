"""What minds choose, asked before a market runs: tables of all that their agents can meet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.stand_ins import Minds, minds_of
from evobourse.agents.observation import possible_views
from evobourse.agents.personas.persona import Population


def tabulate_choices(populations: Sequence[Population], minds: Minds) -> list[NDArray[np.float64]]:
    """Ask the minds of several populations for everything that their agents can meet, at once.

    A few hundred questions a mind, whatever the number of agents and days: markets then run
    without any model.

    Over all that it may see, a mind should lean neither way: the antisymmetric part of its mean
    logits is subtracted from all its answers (domain-context calibration, Fei et al. 2023,
    arXiv 2305.19148). What it then prefers, to hold or to act, stays its own.

    Parameters
    ----------
    populations
        Who asks.
    minds
        What answers; an `evolve.bases.base_pool.BasePool` where personas name bases of their own.

    Returns
    -------
    list of NDArray
        One a population: float64[P, V, 5], each persona's softmax over the options at its
        temperature, cumulated, for the V views of `possible_views`.
    """
    possible = [possible_views(population.society.attention) for population in populations]
    for population, views in zip(populations, possible, strict=True):
        for persona in population.personas:
            minds_of(minds, persona).ask(persona.mind, views)
    return [_cumulate(*asked, minds) for asked in zip(populations, possible, strict=True)]


def subtract_bias(answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take the lean to one side off option logits float64[..., V, 5] over V views."""
    return answers - lean(answers)


def _cumulate(
    population: Population, views: NDArray[np.int64], minds: Minds
) -> NDArray[np.float64]:
    given = [minds_of(minds, p).answer(p.mind, views) for p in population.personas]
    answers = np.array(given, np.float64)
    temperature = np.array([persona.temperature for persona in population.personas])
    return cumulate(answers, lean(answers), temperature)


def lean(answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how minds lean: of answers float64[..., V, 5], the mean's antisymmetric part."""
    mean = answers.mean(axis=-2, keepdims=True)
    return np.asarray((mean - mean[..., ::-1]) / 2)


def cumulate(
    answers: NDArray[np.float64], leans: NDArray[np.float64], temperature: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Turn answers float64[P, V, 5] without their lean into cumulated choices, see `decide`."""
    scaled = (answers - leans) / temperature[:, None, None]
    weights = np.exp(scaled - scaled.max(axis=2, keepdims=True))
    cumulative = np.cumsum(weights, axis=2)
    return np.asarray(cumulative / cumulative[:, :, -1:])
