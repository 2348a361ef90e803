"""What is evolved with the same budget: the quickstart's population, and what it is without parts.

An arm is the same sweep with another config, or with stand-ins for the models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from evobourse.agents.personas.mechanisms import OFF
from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.bases.stand_ins import DiceBases, TeacherBases
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.searches.search import Optimizer
from evobourse.experiments.config.experiment import ExperimentConfig, PersonaConfig
from evobourse.experiments.sweep.pipeline import make_evaluator, search_champion
from evobourse.experiments.sweep.resume import freeze_splits, start_run
from evobourse.experiments.sweep.searches import make_search
from evobourse.experiments.sweep.setup import Experiment, build_experiment

Who = Literal["models", "teachers", "dice"]
EVOLVED = "evolved"


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


def _no_merge(config: ExperimentConfig) -> ExperimentConfig:
    return replace(config, minds=replace(config.minds, recipe_blocks=0))


def _bare(config: ExperimentConfig) -> ExperimentConfig:
    bare = tuple(replace(persona, style=None) for persona in config.personas)
    minds = replace(config.minds, recipe_blocks=0, styles=())
    return replace(config, minds=minds, personas=bare)


def _one_mind(config: ExperimentConfig) -> ExperimentConfig:
    return replace(config, personas=(PersonaConfig("everybody", "One mixture for all."),))


def _no_masks(config: ExperimentConfig) -> ExperimentConfig:
    return replace(config, masks=False)


def _no_mechanisms(config: ExperimentConfig) -> ExperimentConfig:
    return replace(config, mechanisms=OFF, persona_genes=())


ARMS: Mapping[str, Arm] = {
    EVOLVED: Arm("the whole: merge, minds, masks, mechanisms"),
    "teachers_evolved": Arm("the style teachers' rules for minds", _no_merge, "teachers"),
    "dice_evolved": Arm("dice for minds", _no_merge, "dice"),
    "no_merge_evolved": Arm("the unmerged base with all styles", _no_merge),
    "bare_evolved": Arm("the unmerged base without any style", _bare),
    "one_mind_evolved": Arm("one mixture of styles for all agents", _one_mind),
    "no_masks_evolved": Arm("no input masks: everyone may see every field", _no_masks),
    "no_mechanisms_evolved": Arm("all mechanisms of the society off", _no_mechanisms),
}


@dataclass
class Models:
    """Models of experiments, opened once for all sweeps that have the same adapters and sources."""

    opened: dict[object, Bases]

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
    experiment = build_experiment(changed)
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
