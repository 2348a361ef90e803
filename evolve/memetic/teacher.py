"""Memetic steps: between generations the best candidate's minds learn from their own profit.

A natural policy gradient on mixture coefficients, from answers alone. Whether what was learned is
any good, the sweep's own scores find out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.observation import possible_views
from evobourse.agents.personas.persona import Persona, Population
from evobourse.agents.training.experience import Experience, read_experience
from evobourse.agents.training.rewards import RewardRules
from evobourse.evolve.evaluation import path_seeds
from evobourse.evolve.executors.executor import Executor, InProcess, collect
from evobourse.evolve.genomes.genome import Values
from evobourse.evolve.genomes.market import MarketGenome
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.loop import Lesson
from evobourse.evolve.markets import MarketWindows, Part, World, play_market
from evobourse.evolve.memetic.settings import MemeticConfig
from evobourse.evolve.searches.search import child_seed
from evobourse.market.series.splits import Split

if TYPE_CHECKING:
    from evobourse.evolve.bases.protocol import Bases

PROBE = 0.1
"""By how much a coefficient is moved to see what it does: bf16 rounds off far less."""

DAMPING = 0.1
"""Share of the mean curvature that is added in every direction, where few decisions were met."""

LEAST_CHANCE = 1e-9
_LESSONS_KEY = 0x6C65


@dataclass(frozen=True)
class MindTeacher:
    """Trains mixtures; an `evolve.loop.Teacher`.

    Attributes
    ----------
    windows, split
        Where it lets them play, from which windows.
    market_genome
        What gene values stand for.
    bases
        Where recipes become minds.
    config
        Settings.
    executor
        Runs markets; no lesson depends on which it is.
    """

    windows: MarketWindows
    split: Split
    market_genome: MarketGenome
    bases: Bases
    config: MemeticConfig
    executor: Executor = field(default_factory=InProcess)

    @property
    def settings(self) -> dict[str, Any]:
        """What must be the same on a resume."""
        return {"memetic": asdict(self.config)}

    def teach(
        self, generation: int, candidates: Sequence[Candidate], seed: np.random.SeedSequence
    ) -> Lesson | None:
        """Train the best of the candidates, if it is time to and there is one."""
        if not self.config.due(generation, candidates):
            return None
        alive = [c for c in candidates if c.score is not None]
        best = min(alive, key=lambda c: (c.score, c.id))
        values = best.genome
        minds = self.bases.serve(self.market_genome.recipe(values))
        lessons = child_seed(seed, _LESSONS_KEY)
        for step in range(self.config.steps):
            seeds = path_seeds(child_seed(lessons, step), self.config.markets)
            values = self._step(values, minds, seeds)
        return Lesson(best, values)

    def _step(self, values: Values, minds: Minds, seeds: Sequence[int]) -> Values:
        """Go one step with every persona, each for itself, on the same markets."""
        population = self.market_genome.population(values)
        tables = _probe(population, minds)
        choices = np.stack([table[0] for table in tables])
        experience = self._play(population, choices, seeds)
        advantages, counts = experience.advantages(), experience.counts
        mixtures = [
            np.array(persona.mixture)
            + natural_step(table, advantage, count, self.config.nats).reshape(
                np.shape(persona.mixture)
            )
            for persona, table, advantage, count in zip(
                population.personas, tables, advantages, counts, strict=True
            )
        ]
        return self.market_genome.with_mixtures(values, mixtures)

    def _play(
        self, population: Population, choices: NDArray[np.float64], seeds: Sequence[int]
    ) -> Experience:
        rules = RewardRules(self.config.discount, self.config.risk_aversion)
        futures = (
            self.executor.submit(
                gather,
                self.windows.world,
                (population, self.windows.history(self.split, seed), seed),
                choices,
                rules,
            )
            for seed in seeds
        )
        return reduce(Experience.__add__, collect(futures))


def gather(
    world: World, part: Part, choices: NDArray[np.float64], rules: RewardRules
) -> Experience:
    """Run one market, see `evolve.markets.play_market`, and add up what its decisions earned."""
    tape = play_market(world, part, choices, "full")
    views = possible_views(part[0].society.attention)
    return read_experience(tape, len(choices), views, world.rules, rules)


def natural_step(
    tables: NDArray[np.float64],
    advantages: NDArray[np.float64],
    counts: NDArray[np.int64],
    nats: float,
) -> NDArray[np.float64]:
    """Find the step in one persona's coefficients that pays most for how far it leads away.

    The natural policy gradient (Kakade 2001, NeurIPS 14), as long as its divergence from the
    choices before, to second order, is ``nats`` (Schulman et al. 2015, arXiv 1502.05477: a
    trust region). Scores of the policy are differences of the answers.

    Parameters
    ----------
    tables
        float64[1 + C, V, 5], cumulated choices: the persona's, then with each of its C
        coefficients `PROBE` higher.
    advantages, counts
        [V, 5], see `agents.training.experience.Experience`.
    nats
        Mean over the persona's decisions of ``KL(after || before)``.

    Returns
    -------
    NDArray
        float64[C]; all 0 where nothing was learned.
    """
    if not counts.any():
        return np.zeros(len(tables) - 1)
    choices = np.maximum(np.diff(tables, axis=2, prepend=0.0), LEAST_CHANCE)
    scores = (np.log(choices[1:]) - np.log(choices[0])) / PROBE
    gradient = np.tensordot(scores, advantages, axes=2)
    met = counts.sum(axis=1) / float(counts.sum())
    weighted = scores * (met[:, None] * choices[0])
    curvature = np.tensordot(weighted, scores, axes=([1, 2], [1, 2]))
    level = float(np.trace(curvature)) / max(len(curvature), 1)
    if not gradient.any() or level <= 0:
        return np.zeros(len(gradient))
    direction = np.linalg.solve(curvature + DAMPING * level * np.eye(len(curvature)), gradient)
    divergence = float(direction @ curvature @ direction) / 2
    return np.asarray(direction * np.sqrt(nats / max(divergence, LEAST_CHANCE**2)))


def _probe(population: Population, minds: Minds) -> list[NDArray[np.float64]]:
    """Tabulate each persona's choices, and those with each coefficient moved: [1 + C, V, 5]."""
    probes = [probe for persona in population.personas for probe in _moved(persona)]
    [choices] = tabulate_choices([replace(population, personas=tuple(probes))], minds)
    return list(choices.reshape(len(population.personas), -1, *choices.shape[1:]))


def _moved(persona: Persona) -> list[Persona]:
    mixture = np.array(persona.mixture)
    moves = PROBE * np.eye(mixture.size).reshape(-1, *mixture.shape)
    mixtures = [mixture, *(mixture + move for move in moves)]
    return [
        replace(persona, name=f"{persona.name} {k}", mixture=tuple(map(tuple, moved.tolist())))
        for k, moved in enumerate(mixtures)
    ]
