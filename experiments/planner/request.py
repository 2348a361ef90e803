"""From what is typed to a plan's parts: the base's shape, the load, the chip, the sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from evobourse.experiments.config.experiment import ExperimentConfig, PersonaConfig, load_config
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.planner.chips import Chip, find_chip
from evobourse.experiments.planner.roofline import (
    SHARED_TOKENS,
    Load,
    count_views,
    private_tokens,
)
from evobourse.experiments.planner.shapes import GIVE, ModelShape, find_shape, read_shape

ISSUE_SHARED, ISSUE_PRIVATE = 120, 24
"""Tokens of a prompt where no config says which signs investors see."""


@dataclass(frozen=True)
class Typed:
    """What is typed of a plan's load beside a config, which it wins over.

    Attributes
    ----------
    adapters, rank
        Of the bank.
    minds, agents, shared, private
        As in `experiments.planner.roofline.Load` and `experiments.config.experiment.MarketConfig`;
        None to take the config's, or without one 300 minds, 1,000 agents and prompts of 120 + 24
        tokens.
    """

    adapters: int
    rank: int
    minds: int | None = None
    agents: int | None = None
    shared: int | None = None
    private: int | None = None


@dataclass(frozen=True)
class Request:
    """What a plan is made of.

    Attributes
    ----------
    config
        The sweep's, with the base and the agents that were typed.
    shape, load, chip
        The base, what its minds are asked, and where.
    here
        Whether the chip is this machine's processor.
    """

    config: ExperimentConfig
    shape: ModelShape
    load: Load
    chip: Chip
    here: bool


def plan_for(
    base: str, given: Mapping[str, int | None], config: Path | None, typed: Typed, gpu: str
) -> Request:
    """Gather what `experiments.cli.plan_tables.make_plan` takes.

    Parameters
    ----------
    base, given
        Name of the base, and figures of its shape by their key in a transformers config; where
        any is given, all must be.
    config
        Experiment whose base, personas, market and search count.
    typed
        The load.
    gpu
        See `experiments.planner.chips.find_chip`.

    Raises
    ------
    ConfigError
        The base's shape is nowhere, or the chip is unknown.
    """
    settings = load_config(config) if config else _USUAL
    attention = settings.minds.attention
    usual_shared = SHARED_TOKENS if config else ISSUE_SHARED
    usual_private = private_tokens(attention) if config else ISSUE_PRIVATE
    load = Load(
        typed.minds or (settings.n_personas if config else 300),
        count_views(attention),
        usual_shared if typed.shared is None else typed.shared,
        usual_private if typed.private is None else typed.private,
        typed.adapters,
        typed.rank,
        blocks=settings.minds.blocks,
    )
    shape = _shape(base or settings.minds.base, given)
    agents = typed.agents or (settings.market.agents if config else 1000)
    settings = replace(
        settings,
        minds=replace(settings.minds, base=base or settings.minds.base),
        market=replace(settings.market, agents=agents),
    )
    return Request(settings, shape, load, find_chip(gpu), gpu == "cpu")


_USUAL = ExperimentConfig(personas=(PersonaConfig("investor"),))
"""Of what its base, market and search count; the load says how many minds there are."""


def _shape(base: str, given: Mapping[str, int | None]) -> ModelShape:
    if all(value is None for value in given.values()):
        return find_shape(base)
    if missing := [key for key, value in given.items() if value is None]:
        raise ConfigError(f"base {base!r}: {missing[0]} is not given; give all of {GIVE}")
    return read_shape(given, base, "the command line")
