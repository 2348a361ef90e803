"""Bases whose minds are no models: the style teachers, or dice; they cost no forward pass.

No measure of a population of models: where teachers and models disagree, the models are right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.stand_ins import RandomMinds, TeacherMinds
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


class ServedDice(RandomMinds):
    """Uniform chance, which never computes."""

    def __init__(self) -> None:
        self.counters = QuestionCounters()

    def scope(self, mind: NDArray[np.float32] | None) -> dict[str, Any]:
        """Name all that answers depend on: nothing."""
        return {"engine": "dice"}


class StandInBases:
    """Stand-ins as an `evolve.bases.protocol.Bases`; recipes change nothing."""

    depth = nbytes = 0

    def __init__(self, base_hash: str, minds: ServedTeachers | ServedDice) -> None:
        self.base_hash, self.minds = base_hash, minds

    def hash_of(self, base: str) -> str:
        """Name the stand-ins."""
        return self.base_hash

    def expect(self, casts: Sequence[tuple[AnyRecipe | None, Sequence[Population]]]) -> None:
        """Wait to be asked."""

    def serve(self, recipe: AnyRecipe | None) -> ServedTeachers | ServedDice:
        """Return the stand-ins."""
        return self.minds


class TeacherBases(StandInBases):
    """The style teachers, see `agents.minds.stand_ins.TeacherMinds`."""

    def __init__(self, styles: tuple[str, ...], base_hash: str = "teachers") -> None:
        super().__init__(base_hash, ServedTeachers(styles))


class DiceBases(StandInBases):
    """Dice, see `agents.minds.stand_ins.RandomMinds`."""

    def __init__(self) -> None:
        super().__init__("dice", ServedDice())
