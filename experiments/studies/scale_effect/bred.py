"""Clouds of more and more minds, each bred by the same search with the same budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.personas.persona import Population
from evobourse.evolve.genomes.cloud import Cloud
from evobourse.evolve.lineage import Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.reports.intervals import t_interval, write_interval
from evobourse.experiments.studies.scale_effect.measures import (
    CROWD,
    TRAINING,
    measure_crowd,
    write_table,
)
from evobourse.experiments.sweep.arms import Arm, Models, evolve_arm
from evobourse.experiments.sweep.judging import Judge
from evobourse.experiments.sweep.setup import Experiment

MEASURES = (TRAINING, "log of J/J95, validation", *CROWD)


@dataclass(frozen=True, eq=False)
class Bred:
    """What was found of clouds, over sizes and sweep seeds.

    Attributes
    ----------
    values
        float64[seeds, sizes, `MEASURES`].
    genes, candidates
        Of each genome, and of each sweep.
    """

    values: NDArray[np.float64]
    genes: int
    candidates: int


def breed_clouds(
    config: ExperimentConfig,
    cloud: Cloud,
    sizes: Sequence[int],
    seeds: int,
    arm: Arm,
    groups: int,
    folder: Path,
    on_generation: Callable[[], None],
) -> Bred:
    """Run a sweep a size and seed, or go on with it, and measure its champion.

    Parameters
    ----------
    config
        Of the sweeps; its personas give way to a cloud.
    cloud
        Whose rank they have.
    sizes, seeds
        Numbers of minds, and of sweeps for each, with the seeds 1 to ``seeds``.
    arm
        What answers for the minds.
    groups
        Of paths of each of the two scores.
    folder
        Of the runs.
    on_generation
        Called after each generation.
    """
    rows = []
    genes = candidates = 0
    with closing(Models()) as models:
        for seed in range(1, seeds + 1):
            for size in sizes:
                run = RunFolder(folder / arm.who / f"{size}-minds" / f"seed-{seed}")
                own = replace(config, seed=seed, personas=(), cloud=replace(cloud, minds=size))
                experiment, bases, champion = evolve_arm(
                    arm, own, models, run, lambda _: None, on_generation
                )
                market = experiment.market_genome
                population = market.population(champion.genome)
                minds = bases.serve(market.recipe(champion.genome))
                rows.append(_measure(experiment, population, minds, groups))
                genes, candidates = market.genome().size, len(Lineage(run.lineage).read())
    return Bred(np.array(rows).reshape(seeds, len(sizes), -1), genes, candidates)


def _measure(
    experiment: Experiment, population: Population, minds: Minds, groups: int
) -> list[float]:
    splits = experiment.splits
    train, validation = (
        Judge(experiment, split, groups, "robust") for split in (splits.train, splits.validation)
    )
    past = history_ticks(experiment.series.close[: splits.heldout.start])
    score, *crowd = measure_crowd(train, population, minds, past, experiment.config.seed)
    unseen = validation.score(validation.play(population, minds))
    return [score, float(np.log(unseen.ratio)), *crowd]


def tell_bred(sizes: Sequence[int], bred: Bred) -> str:
    """Write the table of bred clouds, and most minds against fewest, paired by sweep seed."""
    most, fewest = sizes.index(max(sizes)), sizes.index(min(sizes))
    gaps = bred.values[:, most, :2] - bred.values[:, fewest, :2]
    training, validation = (write_interval(t_interval(gap), 2, "+") for gap in gaps.T)
    return (
        f"{write_table(sizes, bred.values, MEASURES)}\n\n"
        f"{sizes[most]} minds less {sizes[fewest]}, paired by sweep seed: {training} on training "
        f"windows, {validation} on validation windows."
    )
