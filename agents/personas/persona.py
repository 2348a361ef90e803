"""Personas and the population they form: everything a market of minds needs, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.errors import AgentError
from evobourse.agents.masks import Masks
from evobourse.agents.observation import FIELD_NAMES
from evobourse.agents.personas.mechanisms import OFF, Mechanisms
from evobourse.agents.personas.social import Social
from evobourse.agents.personas.traits import Traits
from evobourse.merge.peft.mind_vector import join_cores

Core = tuple[tuple[float, ...], ...]
"""What stands between an adapter's factors: r rows of r numbers, or nothing for the identity."""


@dataclass(frozen=True)
class Persona:
    """A kind of investor.

    Attributes
    ----------
    name
        Unique in its population.
    profile
        One sentence for people who read the bundle; the model never sees it.
    mixture
        ``blocks`` rows of K adapter coefficients.
    temperature
        Divides the option logits before the draw; above 0.
    share
        Expected part of the agents at the start, relative to the other personas' shares.
    base
        The model that its mind is on, as a config names it; None for the population's main one.
    cores
        ``cores[block][adapter]``; empty where all are the identity.
    traits
        What else sets its agents apart; None for nothing.
    """

    name: str
    profile: str
    mixture: tuple[tuple[float, ...], ...]
    temperature: float
    share: float
    base: str | None = None
    cores: tuple[tuple[Core, ...], ...] = ()
    traits: Traits | None = None

    @property
    def mind(self) -> NDArray[np.float32]:
        """The mixture in the form that `agents.minds.engine` answers for.

        float32[blocks, K]; with cores float32[blocks, K, 1 + r * r], each coefficient followed by
        its core, see `merge.peft.mind_vector`.
        """
        mixture = np.array(self.mixture, np.float32)
        if not self.cores:
            return mixture
        rank = max(len(core) for row in self.cores for core in row)
        cores = [[core or np.eye(rank) for core in row] for row in self.cores]
        return join_cores(mixture, np.array(cores, np.float32))


@dataclass(frozen=True)
class Society(Masks):
    """What the personas' agents have in common; how they are masked, see `agents.masks.Masks`.

    Attributes
    ----------
    attention
        Most fields an agent can ever see; which, is drawn once.
    news_noise
        Standard deviation of an agent's misreading of the day's news (the news has 1).
    news_threshold
        Standard deviations that news must differ from the usual to be heard as good or bad, in
        a market as volatile as in the long run.
    vigilance
        How attention follows volatility: the threshold falls with the recent volatility to this
        power (after Andrei and Hasler 2015, Review of Financial Studies 28).
    activity
        Probability that an agent with a tendency sends an order that day.
    aggressiveness
        Distance of a limit price beyond the reference, for each unit of tendency, in units of
        the market's volatility.
    dispersion
        Spread of limit prices around that distance, in the same unit.
    volatility_memory_days
        Half-life of the recent volatility that scales offsets.
    volatility_weight
        Part of the offsets' scale that follows recent volatility; the rest is constant.
    wealth_tail
        Pareto exponent of wealth; smaller is more unequal.
    switching
        Probability per day that an agent reconsiders its persona.
    conformity
        Pull of a persona's present share on those who reconsider.
    performance
        Pull of a persona's recent success on those who reconsider.
    social
        Links, posts, rumours and moods among the agents; None for strangers.
    mechanisms
        What agents do beside deciding; all off by default.
    """

    attention: int = 3
    news_noise: float = 1.0
    news_threshold: float = 0.5
    vigilance: float = 0.0
    activity: float = 0.6
    aggressiveness: float = 1.0
    dispersion: float = 1.0
    volatility_memory_days: float = 10.0
    volatility_weight: float = 0.5
    wealth_tail: float = 2.5
    switching: float = 0.02
    conformity: float = 1.0
    performance: float = 0.5
    social: Social | None = None
    mechanisms: Mechanisms = OFF

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.attention <= len(FIELD_NAMES):
            raise AgentError(
                f"society.attention: is {self.attention}, expected 1 to {len(FIELD_NAMES)}"
            )


@dataclass(frozen=True)
class Population:
    """Personas and their society.

    Raises
    ------
    AgentError
        No personas, a name twice, mixtures of different shapes or not finite, a temperature or
        share that is not above 0.
    """

    personas: tuple[Persona, ...]
    society: Society

    def __post_init__(self) -> None:
        names = [persona.name for persona in self.personas]
        if not names or len(set(names)) != len(names):
            raise AgentError(f"personas: names must be present and unique, got {names}")
        shapes = {tuple(len(row) for row in persona.mixture) for persona in self.personas}
        if len(shapes) != 1 or len(set(*shapes)) != 1:
            raise AgentError("personas: all mixtures must have the same blocks and adapters")
        [shape] = shapes
        for persona in self.personas:
            _check_cores(persona, shape)
            if not np.isfinite(persona.mind).all():
                raise AgentError(
                    f"persona {persona.name!r}: mixture {persona.mixture} is not finite"
                )
            if not (persona.temperature > 0 and persona.share > 0):
                raise AgentError(
                    f"persona {persona.name!r}: temperature {persona.temperature} and share "
                    f"{persona.share} must be above 0"
                )


def _check_cores(persona: Persona, shape: tuple[int, ...]) -> None:
    if not persona.cores:
        return
    ranks = {len(core) for row in persona.cores for core in row if core}
    square = all(len(line) == len(core) for row in persona.cores for core in row for line in core)
    if tuple(map(len, persona.cores)) != shape or len(ranks) != 1 or not square:
        raise AgentError(
            f"persona {persona.name!r}: cores must be one list a block of one square matrix an "
            "adapter, all of one rank (or empty, for the identity)"
        )
