"""The search that a config names, set up for a genome."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evobourse.evolve.errors import GenomeError
from evobourse.evolve.genomes.genome import Genome, Values
from evobourse.evolve.measures import MEASURES
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.searches.cma import CmaSearch
from evobourse.evolve.searches.cross import CrossSearch
from evobourse.evolve.searches.niches import NicheSearch
from evobourse.evolve.searches.optuna import SCORE, OptunaSearch
from evobourse.evolve.searches.quality_diversity import QualityDiversitySearch
from evobourse.evolve.searches.search import Optimizer
from evobourse.experiments.config.search import FAST_STEP, SECTIONS, SLOW_STEP, SearchConfig
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.ancestry import read_champion
from evobourse.fitness.moments import MOMENT_NAMES


def make_search(
    config: SearchConfig,
    genome: Genome,
    slow_segments: Sequence[str],
    seed: np.random.SeedSequence,
    name: str = "evobourse",
) -> Optimizer:
    """Set up the proposals as a config says.

    Parameters
    ----------
    config
        Of the search.
    genome
        What is searched.
    slow_segments
        Its costly segments; the others are cheap.
    seed
        Of all its draws; read, never spawned from.
    name
        Of the study in Optuna's database.

    Raises
    ------
    ConfigError, EvolveError
        A setting does not fit the genome or another setting.
    """
    segments = [segment.name for segment in genome.segments]
    if config.optimizer == "cross":
        return CrossSearch(
            genome,
            tuple(slow_segments),
            tuple(s for s in segments if s not in slow_segments),
            config.cross.slow_count if slow_segments else 1,  # else there is nothing slow to try
            config.cross.fast_count,
            config.cross.sigma_slow,
            config.cross.sigma_fast,
            seed,
            slow_every=config.cross.slow_every,
        )
    if config.optimizer == "optuna" or config.optimizer == "random":
        return OptunaSearch(
            genome,
            config.population,
            "random" if config.optimizer == "random" else config.optuna.sampler,
            seed,
            config.optuna.objectives,
            config.optuna.storage,
            name,
        )
    section = SECTIONS[config.optimizer]
    given = getattr(config, section).step_sizes
    for segment in given:
        if segment not in segments:
            hint = _nearest("segment", segment, segments)
            raise ConfigError(f"search.{section}.step_sizes: {hint}")
    steps = {s: SLOW_STEP if s in slow_segments else FAST_STEP for s in segments} | given
    if config.optimizer == "cma":
        return CmaSearch(
            genome,
            config.population,
            steps,
            seed,
            restarts=config.cma.restarts,
            max_evaluations=config.cma.max_evaluations,
        )
    if config.optimizer == "niches":
        return NicheSearch(
            genome,
            config.population,
            config.niches.size,
            steps,
            seed,
            [_founder(RunFolder(Path(run)), genome) for run in config.niches.founders],
        )
    return QualityDiversitySearch(
        genome, config.optimizer, config.population, config.archive.measures, steps, seed
    )


def needed_measures(config: SearchConfig) -> tuple[str, ...]:
    """Name the measures that the configured search needs of each candidate.

    Raises
    ------
    ConfigError
        Something else is named that nobody measures.
    """
    wanted: tuple[str, ...] = ()
    if config.optimizer == "optuna":
        wanted = config.optuna.objectives
    elif config.optimizer in ("map_elites", "cma_mae"):
        wanted = tuple(measure.name for measure in config.archive.measures)
    free = (SCORE, "j", *MOMENT_NAMES)
    for name in wanted:
        if name not in (*free, *MEASURES):
            raise ConfigError(f"search: {_nearest('measure', name, [*free, *MEASURES])}")
    return tuple(name for name in wanted if name in MEASURES)


def _founder(run: RunFolder, genome: Genome) -> Values:
    """Return the gene values of a run's champion, which must fit the genome."""
    champion = read_champion(run) if run.read_champion() else None
    if champion is None:
        raise ConfigError(
            f"search.niches.founders: {run} has no champion; name the folder of a finished run"
        )
    try:
        genome.to_vector(champion.genome)
    except GenomeError as error:
        raise ConfigError(
            f"search.niches.founders: the champion of {run} has another genome ({error}); "
            "evolve it with the same config, or leave it out"
        ) from error
    return champion.genome


def _nearest(kind: str, name: str, valid: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, valid, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(valid)}"
    return f"unknown {kind} {name!r}; {hint}"
