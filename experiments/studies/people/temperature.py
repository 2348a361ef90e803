"""Hotter minds: the same population with every temperature multiplied, in the same markets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.personas.persona import Population
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.markets import World, play_market
from evobourse.fitness.behaviour.trading import TRADING_DAYS, annual_turnover

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Heat:
    """A population's market at one temperature.

    Attributes
    ----------
    factor
        On every persona's temperature.
    turnover
        float64[seeds], how often a year's trades turn over all shares.
    acting
        float64[seeds], part of the investors' daily decisions that is not to hold.
    volatility
        float64[seeds], annual, of daily log returns.
    core
        Correlation of the mean tendencies of all personas and views with those at factor 1.
    same_side
        Part of all personas and views whose likelier side, to buy or to sell, is that at factor 1.
    """

    factor: float
    turnover: NDArray[np.float64]
    acting: NDArray[np.float64]
    volatility: NDArray[np.float64]
    core: float
    same_side: float


def heat(population: Population, factor: float) -> Population:
    """Multiply every temperature."""
    personas = [replace(p, temperature=p.temperature * factor) for p in population.personas]
    return replace(population, personas=tuple(personas))


def measure_heat(
    bundle: Bundle,
    population: Population,
    minds: Minds,
    factors: Sequence[float],
    world: World,
    seeds: int,
    on_market: Callable[[], None] = lambda: None,
) -> list[Heat]:
    """Play markets of a population at every factor; those of one seed share all random numbers.

    Parameters
    ----------
    bundle
        Gives the history before every market.
    population, minds
        Who trades, and what answers for them.
    factors
        On every temperature.
    world
        Rules, agents and days.
    seeds
        Markets a factor.
    """
    hotter = [heat(population, factor) for factor in (1.0, *factors)]
    usual, *tables = tabulate_choices(hotter, minds)
    found = []
    for factor, warm, choices in zip(factors, hotter[1:], tables, strict=True):
        rows = []
        for seed in range(1, seeds + 1):
            tape = play_market(world, (warm, bundle.history, seed), choices, "full")
            held = np.full(len(tape), tape.accounts.shares.sum())
            acting = float((tape.full_decisions()["tendency"] != 0).mean())
            volatility = float(tape.log_returns().std()) * TRADING_DAYS**0.5
            # Every share bought is one sold.
            rows.append([float(annual_turnover(2 * tape.volume, held)), acting, volatility])
            on_market()
        core, side = compare_choices(usual, choices)
        by_measure = np.array(rows).T
        found.append(Heat(factor, by_measure[0], by_measure[1], by_measure[2], core, side))
    return found


def compare_choices(usual: NDArray[np.float64], others: NDArray[np.float64]) -> tuple[float, float]:
    """Compare cumulated choices float64[P, V, 5]: correlation of means, and part of one side."""
    means, sides = [], []
    for cumulated in (usual, others):
        chance = np.diff(cumulated, axis=2, prepend=0.0)
        means.append((chance @ np.arange(-2.0, 3.0)).ravel())
        lean = chance[..., 3:].sum(axis=2) - chance[..., :2].sum(axis=2)
        sides.append(np.sign(np.where(np.abs(lean) > _ROUNDING, lean, 0)).ravel())
    return float(np.corrcoef(means)[0, 1]), float((sides[0] == sides[1]).mean())
