"""An arm: a config's sweep with something changed, or with stand-ins for its models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.bases.stand_ins import DiceBases, TeacherBases
from evobourse.evolve.executors.executor import Executor
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.searches.search import Optimizer
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.sweep.pipeline import make_evaluator, search_champion
from evobourse.experiments.sweep.resume import freeze_splits, start_run
from evobourse.experiments.sweep.searches import make_search
from evobourse.experiments.sweep.setup import Experiment, build_experiment

Who = Literal["models", "teachers", "dice"]


@dataclass(frozen=True)
class Arm:
    """A sweep.

    Attributes
    ----------
    meaning
        What is evolved, in a few words.
    change
        Makes its config of the whole sweep's.
    who
        What answers for its personas.
    """

    meaning: str
    change: Callable[[ExperimentConfig], ExperimentConfig] = lambda config: config
    who: Who = "models"


def without_merge(config: ExperimentConfig) -> ExperimentConfig:
    """Leave the base as it is."""
    return replace(config, minds=replace(config.minds, recipe_blocks=0))


@dataclass
class Models:
    """What sweeps share: models of the same adapters and sources, and workers; close it at the end.

    Attributes
    ----------
    opened
        Models, by adapters and sources.
    executors
        Workers, by their settings.
    """

    opened: dict[object, Bases] = field(default_factory=dict)
    executors: dict[object, Executor] = field(default_factory=dict)

    def build(self, config: ExperimentConfig) -> Experiment:
        """Build an experiment whose markets are run by the workers of all."""
        experiment = build_experiment(config)  # its own workers begin with a first call
        key = (repr(config.executor), config.workers)
        return replace(experiment, executor=self.executors.setdefault(key, experiment.executor))

    def close(self) -> None:
        """Stop the workers."""
        for executor in self.executors.values():
            executor.close()

    def of(self, arm: Arm, experiment: Experiment) -> Bases:
        """Return what answers in an arm's experiment."""
        if arm.who == "teachers":
            return TeacherBases(experiment.market_genome.styles)
        if arm.who == "dice":
            return DiceBases()
        files = (experiment.adapters, experiment.sources)
        if files not in self.opened:
            self.opened[files] = experiment.open_bases()
        return self.opened[files]


def evolve_arm(
    arm: Arm,
    config: ExperimentConfig,
    models: Models,
    run_folder: RunFolder,
    say: Callable[[str], None],
    on_generation: Callable[[], None],
) -> tuple[Experiment, Bases, Candidate]:
    """Run an arm's sweep, or go on with it, and return its champion; nothing held out is read."""
    changed = arm.change(config)
    start_run(changed, run_folder)
    experiment = models.build(changed)
    freeze_splits(experiment, run_folder)
    bases, genome = models.of(arm, experiment), experiment.market_genome
    search = make_search(
        changed.search, genome.genome(), genome.slow_segments(), experiment.search_seed()
    )
    evaluator = make_evaluator(experiment, bases)
    steps = _Steps(on_generation)
    champion, _ = search_champion(experiment, bases, evaluator, search, run_folder, (steps,), say)
    return experiment, bases, champion


@dataclass(frozen=True)
class _Steps:
    """An observer that counts generations."""

    step: Callable[[], None]

    def on_progress(self, generation: int, done: int, total: int, best: float | None) -> None:
        """Hear of candidates, in silence."""

    def on_generation(self, generation: int, candidates: object, search: Optimizer) -> None:
        """Hear of a generation."""
        self.step()
