"""Who in a crowd follows which persona, and what personas choose in view of what they see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.daily_loops import PARTS, choice_steps, decide, learn, reconsider
from evobourse.agents.crowds.mechanisms import misalign
from evobourse.agents.errors import AgentError
from evobourse.agents.observation import FIELD_NAMES, LEVELS, STRIDES, VIEWS, possible_views
from evobourse.agents.personas.persona import Population
from evobourse.market.philox import Purpose, draw_words

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
    key
        Of the crowd; the order in which agents are dealt out to personas is drawn by it, and who
        reconsiders.

    Attributes
    ----------
    persona
        int64[n], the present persona of each agent.
    share, success
        float64[P], of the agents at the start, and what tendencies have lately earned.
    steps, row_of
        What the present personas choose, see `agents.crowds.daily_loops.decide`.
    lean
        float64[P], how much they lean against deviations from value, see `value_lean`; 0 where
        nothing depends on it.

    Raises
    ------
    AgentError
        The society is misaligned, and its minds have no table that says who leans where.
    """

    def __init__(
        self,
        population: Population,
        choices: NDArray[np.float64],
        n_agents: int,
        key: np.uint64,
    ):
        self._society, self._key = population.society, key
        share = np.array([persona.share for persona in population.personas])
        self.share = share / share.sum()
        self.success = np.zeros(len(share))
        self.steps = choice_steps(choices)
        dealt = draw_words(n_agents, 0, 0, Purpose.DEAL, key)[:2].astype(np.uint64)
        order = np.argsort((dealt[0] << np.uint64(32)) | dealt[1], kind="stable")
        places = np.empty(n_agents)
        places[order] = (np.arange(n_agents) + 0.5) / n_agents
        self.persona = np.searchsorted(np.cumsum(self.share)[:-1], places, side="right")
        self.row_of = view_rows(self._society.attention)
        self.lean = self._measure_lean()

    @property
    def habits(self) -> tuple[float, float, float]:
        """Switching, conformity and performance of the society."""
        society = self._society
        return float(society.switching), float(society.conformity), float(society.performance)

    def reconsider(self, day: int, deviation: float) -> None:
        """Let some agents choose their persona anew.

        Parameters
        ----------
        day, deviation
            See `agents.crowds.observing.Morning`.
        """
        persona = self.persona.copy()
        words = draw_words(len(persona), day, 0, Purpose.DAY, self._key)
        pull = misalign(float(self._society.mechanisms.misalignment), self.lean, deviation)
        reconsider(persona, self.share, self.success, pull, self.habits, words, day, self._key)
        self.persona = persona

    def choose(self, views: NDArray[np.int64], words: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Draw each agent's tendency, int64[n] in -2..2, by the words of the turn, uint32[4, n]."""
        return decide(self.steps, self.persona, self.row_of, views, words)

    def learn(self, tendency: NDArray[np.int64], standardised_return: float) -> None:
        """Remember which personas' tendencies, int64[n] in -2..2, paid today."""
        learn(self.success, self.persona, tendency, standardised_return, PERFORMANCE_MEMORY)

    def replace(self, personas: Sequence[int], choices: NDArray[np.float64]) -> None:
        """Take over what minds choose now that some personas are others, without a past."""
        self.steps = choice_steps(choices)
        self.success[list(personas)] = 0.0
        self.lean = self._measure_lean()

    def _measure_lean(self) -> NDArray[np.float64]:
        if not self._society.mechanisms.misalignment:
            return np.zeros(len(self.share))
        if not self.steps.size:
            raise AgentError(
                "mechanisms.misalignment is set, and these minds are asked day by day: no table "
                "says who leans against value; set misalignment: 0 or minds.encoding: words"
            )
        return value_lean(self.steps, self.row_of)


def value_lean(steps: NDArray[np.int32], row_of: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return how much personas lean against deviations from value, float64[P] in -1..1.

    Parameters
    ----------
    steps, row_of
        See `agents.crowds.daily_loops.decide`.

    Returns
    -------
    NDArray
        The mean tendency in view of each level of value and nothing else, weighted by how far the
        level is from fair: 1 for who always buys strongly below it and sells so above.
    """
    field = FIELD_NAMES.index("value")
    levels = np.arange(LEVELS[field])
    own = steps[:, row_of[(levels + 1) * STRIDES[field]]] / PARTS
    tendency = 2.0 - own.sum(axis=2)
    weight = LEVELS[field] // 2 - levels
    lean: NDArray[np.float64] = tendency @ weight / (2.0 * np.abs(weight).sum())
    return lean


@cache
def view_rows(attention: int) -> NDArray[np.int16]:
    """Return the row of each view in a table of those possible, int16[V], read only; -1 for no."""
    possible = possible_views(attention)
    rows = np.full(VIEWS, -1, np.int16)
    rows[possible] = np.arange(len(possible))
    rows.setflags(write=False)
    return rows
