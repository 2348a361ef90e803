"""Rumours: planted at some agents, passed on to those who read them, fading as they age.

Whether a rumour is true, no agent is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evobourse.market.crowd import Message

FORGOTTEN = 0.01
"""What is left of a rumour when it is dropped altogether."""


@dataclass(frozen=True, eq=False)
class Rumour:
    """One rumour.

    Attributes
    ----------
    message
        What was planted.
    day
        When.
    heard_day
        int64[n]: when each agent heard it, -1 if it has not.
    rng
        Draws who passes it on; its own, so that everything else is drawn as without it.
    """

    message: Message
    day: int
    heard_day: NDArray[np.int64]
    rng: np.random.Generator


class Rumours:
    """All rumours that are still about.

    Parameters
    ----------
    n_agents
        How many can hear them.
    telling, half_life_days, receptivity
        See `agents.personas.social.Social`.
    rng
        Parent of each rumour's own stream; nothing is drawn from it.
    """

    def __init__(
        self,
        n_agents: int,
        telling: float,
        half_life_days: float,
        receptivity: float,
        rng: np.random.Generator,
    ):
        self.current: list[Rumour] = []
        self._n_agents = n_agents
        self._telling = telling
        self._half_life_days = half_life_days
        self._receptivity = receptivity
        self._rng = rng

    def plant(self, message: Message, day: int) -> None:
        """Let those whom a message is for hear it, all if it names none."""
        heard = np.full(self._n_agents, -1)
        heard[slice(None) if message.agents is None else message.agents] = day
        [own] = self._rng.spawn(1)
        self.current.append(Rumour(message, day, heard, own))

    def freshness(self, rumour: Rumour, day: int) -> float:
        """Return what is left of a rumour, 1 on its first day."""
        return float(0.5 ** ((day - rumour.day) / self._half_life_days))

    def spread(self, day: int, author: NDArray[np.int64]) -> list[tuple[str, NDArray[np.int64]]]:
        """Pass rumours on along what is read this morning, and drop those that have faded.

        Who heard a rumour before today and passes it on tells it to all who read its post.

        Parameters
        ----------
        day
            Today.
        author
            int64[n, R], see `agents.society.feeds.Feed`.

        Returns
        -------
        list of tuple
            A text and int64[m, 2]: who heard it today, and from whom; one for each rumour.
        """
        self.current = [r for r in self.current if self.freshness(r, day) >= FORGOTTEN]
        told = []
        for rumour in self.current:
            chance = self._telling * self.freshness(rumour, day)
            passes_on = rumour.rng.random(self._n_agents) < chance
            tellers = _pass_on(rumour.heard_day, day, passes_on, author)
            hearers = np.flatnonzero(tellers >= 0)
            told.append((rumour.message.text, np.stack([hearers, tellers[hearers]], axis=1)))
        return told

    def tone(self, day: int) -> NDArray[np.float64]:
        """Return how good what each agent has heard and still believes is: float64[n]."""
        total = np.zeros(self._n_agents)
        for rumour in self.current:
            weight = self._receptivity * self.freshness(rumour, day)
            total[rumour.heard_day >= 0] += weight * rumour.message.tone
        return total


@njit(cache=True)
def _pass_on(
    heard_day: NDArray[np.int64],
    day: int,
    passes_on: NDArray[np.bool_],
    author: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Mark who hears a rumour today, in place; return from whom, -1 for nobody: int64[n]."""
    tellers = np.full(heard_day.size, -1)
    for reader in range(heard_day.size):
        if heard_day[reader] >= 0:
            continue
        for k in range(author.shape[1]):
            teller = author[reader, k]
            if teller >= 0 and 0 <= heard_day[teller] < day and passes_on[teller]:
                heard_day[reader], tellers[reader] = day, teller
                break
    return tellers
