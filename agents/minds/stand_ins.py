"""Minds that are no models: the teachers' rules and uniform chance, for baselines alone.

They stand in for a model nowhere but in the rows of the scoreboard that bear these names.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.observation import VIEWS
from evobourse.agents.personas.persona import Persona
from evobourse.agents.styles import teach
from evobourse.merge.peft.mind_vector import split_cores

SHARPNESS = 6.0
KEPT = 512
"""Mixtures whose table of all views is kept: a sweep asks thousands, 160 kB each."""


class Minds(Protocol):
    """Whatever answers forced choices."""

    def ask(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> None:
        """Announce questions: an `agents.personas.persona.Persona.mind` and views int64[n]."""

    def answer(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return option logits float32[n, 5]."""


@runtime_checkable
class SeveralBases(Protocol):
    """Minds on several bases, see `evolve.bases.base_pool.BasePool`."""

    def minds_on(self, base: str | None) -> Minds:
        """Return the minds of a base, None for the main one."""


def minds_of(minds: Minds, persona: Persona) -> Minds:
    """Return what answers for a persona: its own base's minds where there are several.

    Minds on one base, and stand-ins, answer for every persona.
    """
    return minds.minds_on(persona.base) if isinstance(minds, SeveralBases) else minds


class RandomMinds:
    """All five tendencies equally likely, whatever is seen."""

    def ask(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> None:
        """Do nothing: chance needs no preparation."""

    def answer(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return zeros float32[n, 5]."""
        return np.zeros((len(views), 5), np.float32)


class TeacherMinds:
    """The style teachers themselves, mixed by the same coefficients as the adapters.

    Parameters
    ----------
    styles
        Teacher of each of the K coefficients.
    """

    def __init__(self, styles: tuple[str, ...]):
        views = np.arange(VIEWS)
        choices = np.stack([teach(style, views) for style in styles])  # [K, VIEWS]
        self._table = SHARPNESS * np.eye(5, dtype=np.float32)[choices]  # [K, VIEWS, 5]
        self._mixed: dict[bytes, NDArray[np.float32]] = {}

    def ask(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> None:
        """Do nothing: the rules are tables."""

    def answer(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return option logits float32[n, 5]: the coefficient-weighted votes of the teachers."""
        key = mind.tobytes()
        if key not in self._mixed:
            if len(self._mixed) == KEPT:
                del self._mixed[next(iter(self._mixed))]  # the oldest
            coefficients, _ = split_cores(mind)  # no rule has a core
            self._mixed[key] = np.tensordot(coefficients.mean(axis=0), self._table, axes=1)
        return self._mixed[key][views]
