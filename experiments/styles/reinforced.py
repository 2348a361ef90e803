"""Refining the style adapters in simulated markets, each among the others as they were.

The policy gradient is `agents.training.reinforcement`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.observation import possible_views
from evobourse.agents.personas.persona import Population
from evobourse.agents.training.experience import Experience
from evobourse.agents.training.reinforcement import ReinforcementConfig, Step, refine_adapter
from evobourse.agents.training.supervised import PROVENANCE
from evobourse.evolve.evaluation import path_seeds
from evobourse.evolve.executors.executor import collect
from evobourse.evolve.memetic.teacher import gather
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.sweep.setup import Experiment, build_experiment
from evobourse.merge.sources import load_model

OnStep = Callable[[str, int, int, Step], None]


def reinforce_styles(
    config: ExperimentConfig,
    out: Path,
    only: Sequence[str] = (),
    settings: ReinforcementConfig | None = None,
    on_step: OnStep = lambda name, step, steps, found: None,
) -> list[str]:
    """Refine every style that a persona has and that the folder does not hold yet.

    Each is trained alone, among the other personas with their styles as they were, in markets
    that begin in training windows.

    Parameters
    ----------
    config
        Personas, adapters, base, market and training years.
    out
        Folder of the refined adapters, not that of the adapters themselves; each is written whole
        or not at all, so that an interrupted run goes on where it stopped.
    only
        Styles to refine; all if empty.
    settings
        Of each; its seed is drawn from the config's and the style's name.
    on_step
        Called with style, step, steps and what the step found.

    Returns
    -------
    list of str
        Styles refined now.

    Raises
    ------
    ConfigError
        A style that no persona on the main base has, or none has any, or the folder is the
        adapters' own.
    """
    settings = settings or ReinforcementConfig()
    experiment = build_experiment(config)
    with closing(experiment.executor):
        folders = {folder.name: folder for folder in experiment.adapters}
        styles = dict.fromkeys(p.style for p in experiment.market_genome.personas if not p.base)
        known = [style for style in styles if style is not None]
        if not known:
            raise ConfigError(
                "personas: none on minds.base has a style to refine; list some with a style, in "
                "the place of a cloud too, whose minds have none of their own"
            )
        if unknown := sorted(set(only) - set(known)):
            raise ConfigError(
                f"--only {unknown[0]!r}: no persona has that style; expected one of "
                f"{', '.join(known)}"
            )
        if out.resolve() in {folder.resolve().parent for folder in experiment.adapters}:
            raise ConfigError(f"--out {out}: holds the adapters to be refined; name another folder")
        todo = [s for s in known if s in (only or known) and not (out / s / PROVENANCE).is_file()]
        if not todo:
            return []
        population = pure_cast(experiment)
        views = possible_views(population.society.attention)
        [choices] = tabulate_choices([population], experiment.open_bases().serve(None))
        model, tokenizer = load_model(config.minds.base)
        for style in todo:
            weights = (folders[style] / "adapter_model.safetensors").read_bytes()
            provenance = {
                "styles": [style],
                "base": config.minds.base,
                "series": experiment.series.name,
                "series_sha256": experiment.series.content_hash,
                "years": list(config.splits.train),
                "refined_from_sha256": hashlib.sha256(weights).hexdigest(),
            }
            mine = np.array(
                [p.style == style and not p.base for p in experiment.market_genome.personas]
            )
            own = replace(settings, seed=_seed(config, style))
            arena = Arena(experiment, population, choices, mine, own)

            def report(step: int, found: Step, style: str = style) -> None:
                on_step(style, step, settings.iterations, found)

            refine_adapter(
                folders[style],
                model,
                tokenizer,
                views,
                arena.play,
                own,
                out / style,
                provenance,
                report,
            )
    return todo


def pure_cast(experiment: Experiment) -> Population:
    """Return the un-evolved personas, each with its style alone and in full, for good.

    Nobody changes camps, so that an agent's account is its style's.
    """
    market_genome = experiment.market_genome
    genome = market_genome.genome()
    population = market_genome.population(genome.to_values(genome.start_vector()))
    personas = tuple(
        replace(
            persona,
            mixture=((tuple(float(s == start.style) for s in market_genome.styles)),)
            * market_genome.blocks,
        )
        for persona, start in zip(population.personas, market_genome.personas, strict=True)
    )
    return Population(personas, replace(population.society, switching=0.0))


@dataclass(frozen=True, eq=False)
class Arena:
    """Where a style is trained.

    Attributes
    ----------
    experiment, population
        The markets' parts, and who trades in them.
    choices : float64[P, V, 5]
        Of everyone, see `agents.minds.choices.tabulate_choices`.
    mine : bool[P]
        Whose choices are given anew each time.
    settings
        Markets of an iteration, their seed, and the rewards.
    """

    experiment: Experiment
    population: Population
    choices: NDArray[np.float64]
    mine: NDArray[np.bool_]
    settings: ReinforcementConfig

    def play(self, iteration: int, chosen: NDArray[np.float64]) -> Experience:
        """Play an iteration's markets, see `agents.training.reinforcement.Play`."""
        windows, split = self.experiment.windows, self.experiment.splits.train
        table = np.where(self.mine[:, None, None], chosen, self.choices)
        chance = np.random.SeedSequence(self.settings.seed, spawn_key=(iteration,))
        futures = (
            self.experiment.executor.submit(
                gather,
                windows.world,
                (self.population, windows.history(split, seed), seed),
                table,
                self.settings.rewards,
            )
            for seed in path_seeds(chance, self.settings.markets)
        )
        found = reduce(Experience.__add__, collect(futures))
        sums = (found.counts, found.rewards, found.squares)
        return Experience(*(part[self.mine].sum(axis=0, keepdims=True) for part in sums))


def _seed(config: ExperimentConfig, style: str) -> int:
    return int(np.random.SeedSequence([config.seed, *style.encode()]).generate_state(1)[0])
