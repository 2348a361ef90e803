"""What is evolved with the same budget: the whole population, and what it is without parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from evobourse.agents.personas.mechanisms import OFF
from evobourse.experiments.config.experiment import ExperimentConfig, PersonaConfig
from evobourse.experiments.sweep.arms import Arm, without_merge

EVOLVED = "evolved"

CHOSEN = "evolved_chosen"
"""A row of the sweep that validation windows choose among those of `EVOLVED`."""


def _bare(config: ExperimentConfig) -> ExperimentConfig:
    bare = tuple(replace(persona, style=None) for persona in config.personas)
    minds = replace(config.minds, recipe_blocks=0, styles=())
    return replace(config, minds=minds, personas=bare)


def _one_mind(config: ExperimentConfig) -> ExperimentConfig:
    everybody = (PersonaConfig("everybody", "One mixture for all."),)
    return replace(config, personas=everybody, cloud=None)


def _no_masks(config: ExperimentConfig) -> ExperimentConfig:
    return replace(config, masks=False)


def _no_mechanisms(config: ExperimentConfig) -> ExperimentConfig:
    return replace(config, mechanisms=OFF, persona_genes=())


ARMS: Mapping[str, Arm] = {
    EVOLVED: Arm("the whole: merge, minds, masks, mechanisms"),
    "teachers_evolved": Arm("the style teachers' rules for minds", without_merge, "teachers"),
    "dice_evolved": Arm("dice for minds", without_merge, "dice"),
    "no_merge_evolved": Arm("the unmerged base with all styles", without_merge),
    "bare_evolved": Arm("the unmerged base without any style", _bare),
    "one_mind_evolved": Arm("one mixture of styles for all agents", _one_mind),
    "no_masks_evolved": Arm("no input masks: everyone may see every field", _no_masks),
    "no_mechanisms_evolved": Arm("all mechanisms of the society off", _no_mechanisms),
}
