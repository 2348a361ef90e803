"""Who in a crowd follows which persona, and what personas choose in view of what they see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.daily_loops import decide, mean_by_persona, reconsider
from evobourse.agents.observation import VIEWS, possible_views
from evobourse.agents.personas.persona import Population

PERFORMANCE_MEMORY = 0.95


@dataclass(frozen=True, eq=False)
class Decision:
    """What the agents of a crowd chose, int64[n] each.

    Attributes
    ----------
    persona
        Whose mind chose, rows of the population's personas.
    view
        In view of what.
    tendency
        What, -2 (strong sell) to 2.
    """

    persona: NDArray[np.int64]
    view: NDArray[np.int64]
    tendency: NDArray[np.int64]


class Decider:
    """Lets a crowd's agents follow personas, and choose as these do.

    Parameters
    ----------
    population, choices
        Personas, and what their minds choose, see `agents.minds.choices.tabulate_choices`.
    n_agents
        How many follow them.
    rng
        Gives the order in which agents are dealt out to personas.

    Attributes
    ----------
    persona
        int64[n], the present persona of each agent.
    choices
        What the present personas choose.
    """

    def __init__(
        self,
        population: Population,
        choices: NDArray[np.float64],
        n_agents: int,
        rng: np.random.Generator,
    ):
        self._society, self.choices = population.society, choices
        share = np.array([persona.share for persona in population.personas])
        self._share = share / share.sum()
        self._success = np.zeros(len(share))
        places = (rng.permutation(n_agents) + 0.5) / n_agents
        self.persona = np.searchsorted(np.cumsum(self._share)[:-1], places, side="right")
        possible = possible_views(self._society.attention)
        self._row_of = np.full(VIEWS, -1)
        self._row_of[possible] = np.arange(len(possible))

    def reconsider(self, uniform: NDArray[np.float64]) -> None:
        """Let some agents choose their persona anew, by uniform numbers float64[2, n]."""
        society, persona = self._society, self.persona.copy()
        reconsider(
            persona,
            self._share,
            self._success,
            uniform,
            society.switching,
            society.conformity,
            society.performance,
        )
        self.persona = persona

    def choose(self, views: NDArray[np.int64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
        """Draw each agent's tendency, int64[n] in -2..2, by uniform numbers float64[n]."""
        return decide(self.choices, self.persona, self._row_of[views], uniform)

    def learn(self, tendency: NDArray[np.int64], standardised_return: float) -> None:
        """Remember which personas' tendencies, int64[n] in -2..2, paid today."""
        mean = mean_by_persona(self.persona, tendency, len(self._share))
        self._success *= PERFORMANCE_MEMORY
        self._success += (1.0 - PERFORMANCE_MEMORY) * standardised_return * mean

    def replace(self, personas: Sequence[int], choices: NDArray[np.float64]) -> None:
        """Take over what minds choose now that some personas are others, without a past."""
        self.choices = choices
        self._success[list(personas)] = 0.0
