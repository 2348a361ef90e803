"""Pairs of markets of later years, once with styles as they were and once with refined ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.personas.persona import Persona, Population
from evobourse.agents.training.rewards import read_ledger
from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.bundle import load_bundle
from evobourse.evolve.executors.executor import collect
from evobourse.evolve.markets import Part, World, play_market
from evobourse.experiments.reports.intervals import bootstrap_interval
from evobourse.experiments.styles.reinforced import pure_cast
from evobourse.experiments.sweep.setup import Experiment
from evobourse.fitness.moments import FloatArray
from evobourse.merge.recipes.stack_recipe import AnyRecipe

FIRST_SEED = 500_000, 600_000
YEAR = 252
EVERYONE = "all at once"
MEASURES = ("profit", "sharpe", "wealth sharpe")


@dataclass(frozen=True, eq=False)
class Cast:
    """A population whose personas can take refined styles.

    Attributes
    ----------
    name
        For the page.
    population
        Everyone with the style that he had, mixtures over the shipped and the refined adapters.
    persona_of
        Row of the persona that trades by a style, by the style.
    bases, recipe
        Whose minds they are.
    """

    name: str
    population: Population
    persona_of: dict[str, int]
    bases: Bases
    recipe: AnyRecipe | None

    def refined(self, styles: Sequence[str], adapters: Sequence[str]) -> Population:
        """Give personas refined styles, pure; ``adapters`` names all, the refined ones last."""
        personas = list(self.population.personas)
        for style in styles:
            row = self.persona_of[style]
            last = len(adapters) - 1 - adapters[::-1].index(style)
            personas[row] = _pure(self.population, row, last)
        return replace(self.population, personas=tuple(personas))


def names_of(folders: Sequence[Path]) -> list[str]:
    """Return the folders' names."""
    return [folder.name for folder in folders]


def list_casts(experiment: Experiment, refined: Sequence[Path], bundle: Path) -> list[Cast]:
    """Open the cast that the styles were refined in, and an evolved one if there is a bundle."""
    personas = experiment.market_genome.personas
    rows = {p.style: row for row, p in enumerate(personas) if p.style and not p.base}
    more = (*experiment.adapters, *refined)
    bases = replace(experiment, adapters=more).open_bases()
    home = Cast(
        "the cast of the training", _padded(pure_cast(experiment), refined), rows, bases, None
    )
    casts = [home]
    if (bundle / "simulator.yaml").is_file():
        made = load_bundle(bundle)
        of_name = {p.name: row for row, p in enumerate(made.population.personas)}
        rows = {p.style: of_name[p.name] for p in personas if p.style and p.name in of_name}
        population = _padded(made.population, refined)
        names = names_of(made.adapters)
        for style, row in rows.items():
            pure = list(population.personas)
            pure[row] = _pure(population, row, names.index(style))
            population = replace(population, personas=tuple(pure))
        population = replace(population, society=replace(population.society, switching=0.0))
        evolved = made.open_bases(adapters=(*made.adapters, *refined))
        casts.append(Cast("the evolved bundle's market", population, rows, evolved, made.recipe))
    return casts


def play_pairs(
    experiment: Experiment,
    cast: Cast,
    refined: Sequence[Path],
    seeds: int,
    validation: bool = False,
) -> dict[str, FloatArray]:
    """Play markets with styles as they were, each refined, and all of them refined.

    They begin in held-out windows, or in those of validation, with seeds of their own.

    Returns
    -------
    dict
        By style, and by `EVERYONE` and style: float64[seeds, 2, 3], before and after, `MEASURES`.
    """
    adapters = [*names_of(experiment.adapters), *names_of(refined)]
    styles = [path.name for path in refined if path.name in cast.persona_of]
    variants = [cast.population, *(cast.refined([style], adapters) for style in styles)]
    variants.append(cast.refined(styles, adapters))
    tables = tabulate_choices(variants, cast.bases.serve(cast.recipe))
    splits, windows = experiment.splits, experiment.windows
    window = splits.validation if validation else splits.heldout
    first = FIRST_SEED[validation]
    played = []
    for population, choices in zip(variants, tables, strict=True):
        futures = (
            experiment.executor.submit(
                measure, windows.world, (population, windows.history(window, seed), seed), choices
            )
            for seed in range(first, first + seeds)
        )
        markets = collect(futures)
        played.append(np.stack(markets))
    before, *after, everyone = played
    found = {}
    for style, alone in zip(styles, after, strict=True):
        row = cast.persona_of[style]
        found[style] = np.stack([before[:, row], alone[:, row]], axis=1)
        found[f"{style}, {EVERYONE}"] = np.stack([before[:, row], everyone[:, row]], axis=1)
    return found


def measure(world: World, part: Part, choices: NDArray[np.float64]) -> FloatArray:
    """Play one market and measure each persona's agents: float64[P, 3], means over agents.

    Profit by trading in basis points of starting wealth a day (an account that never trades has
    0); the year's Sharpe ratio of that profit; and of all that the account holds.
    """
    tape = play_market(world, part, choices, "full")
    ledger = read_ledger(tape, world.rules)
    profits = ledger.profits
    held = ledger.wealth / 2 / tape.initial_close_ticks / world.rules.tick_cents
    still = held * np.diff(ledger.prices, prepend=float(tape.initial_close_ticks))[:, None]
    wealth = profits + still / ledger.wealth
    each = [1e4 * profits.mean(axis=0), sharpe(profits), sharpe(wealth)]
    persona = tape.full_decisions()["persona"].to_numpy()[: len(tape.accounts)]
    return np.array([[x[persona == p].mean() for x in each] for p in range(len(choices))])


def sharpe(daily: FloatArray) -> FloatArray:
    """Return each column's mean over its standard deviation, of a year: float64[T, n] to [n].

    Of an account that never gains or loses, 0.
    """
    deviation = daily.std(axis=0)
    mean: FloatArray = np.where(deviation > 0, daily.mean(axis=0), 0.0)
    spread: FloatArray = np.where(deviation > 0, deviation, 1.0)
    scale: float = YEAR**0.5
    return mean / spread * scale


def _padded(population: Population, refined: Sequence[Path]) -> Population:
    """Make room in all mixtures for the refined adapters."""
    more = (0.0,) * len(refined)
    personas = [
        replace(
            p,
            mixture=tuple((*row, *more) for row in p.mixture),
            cores=tuple((*row, *((),) * len(refined)) for row in p.cores),
        )
        for p in population.personas
    ]
    return replace(population, personas=tuple(personas))


def _pure(population: Population, row: int, adapter: int) -> Persona:
    """Return a persona with one adapter in full."""
    persona = population.personas[row]
    width = len(persona.mixture[0])
    pure = tuple(float(k == adapter) for k in range(width))
    return replace(persona, mixture=(pure,) * len(persona.mixture), cores=())


def earns_more(both: FloatArray) -> bool:
    """Say whether profit or risk-adjusted profit rises, interval and all: float64[seeds, 2, 3]."""
    return any(bootstrap_interval(both[:, 1, k] - both[:, 0, k])[1] > 0 for k in range(2))
