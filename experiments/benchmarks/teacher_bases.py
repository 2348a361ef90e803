"""Bases whose minds are the style teachers: a market that costs no forward pass, for drills.

No measure of a population: where teachers and models disagree, the models are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.minds.stored_answers import name_mind
from evobourse.agents.personas.persona import Population
from evobourse.evolve.bases.workers import QuestionCounters

if TYPE_CHECKING:
    from evobourse.merge.recipes.stack_recipe import AnyRecipe


class ServedTeachers(TeacherMinds):
    """The style teachers, who never compute."""

    def __init__(self, styles: tuple[str, ...]) -> None:
        super().__init__(styles)
        self.counters = QuestionCounters()

    def scope(self, mind: NDArray[np.float32] | None) -> dict[str, Any]:
        """Name all that answers depend on but the view."""
        return {"engine": "teachers", "mind": name_mind(mind)}


@dataclass
class TeacherBases:
    """The style teachers as an `evolve.bases.protocol.Bases`; recipes change nothing."""

    styles: tuple[str, ...]
    base_hash: str = "teachers"
    depth: int = 0
    nbytes: int = 0
    _minds: ServedTeachers = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._minds = ServedTeachers(self.styles)

    def hash_of(self, base: str) -> str:
        """Name the teachers."""
        return self.base_hash

    def expect(self, casts: Sequence[tuple[AnyRecipe | None, Sequence[Population]]]) -> None:
        """Wait to be asked."""

    def serve(self, recipe: AnyRecipe | None) -> ServedTeachers:
        """Return the teachers."""
        return self._minds
