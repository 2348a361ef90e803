"""Bases whose population's answers are stored: models are opened for what else is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from evobourse.agents.minds.stored_answers import StoredAnswers, StoredMinds
from evobourse.agents.personas.persona import Population

if TYPE_CHECKING:
    from evobourse.evolve.bases.protocol import Bases, ServedMinds
    from evobourse.merge.recipes.stack_recipe import AnyRecipe


@dataclass(frozen=True)
class StoredBases:
    """An `evolve.bases.protocol.Bases` that loads nothing before it must.

    Attributes
    ----------
    answers
        Of minds on one recipe's base, and on other bases beside it.
    recipe
        That recipe.
    base_hash
        Content hash of the unmerged base's weights.
    open
        Opens the models; refuses a base of other weights.
    """

    answers: StoredAnswers
    recipe: AnyRecipe | None
    base_hash: str
    open: Callable[[], Bases]

    @cached_property
    def opened(self) -> Bases:
        """The bases themselves."""
        return self.open()

    @property
    def depth(self) -> int:
        """Count the base's layers, which opens it."""
        return self.opened.depth

    @property
    def nbytes(self) -> int:
        """Count the bytes of all weights that are kept here."""
        return self.opened.nbytes if self._is_open() else 0

    def hash_of(self, base: str) -> str:
        """Name a base's weights by content, which opens them."""
        return self.opened.hash_of(base)

    def expect(self, casts: Sequence[tuple[AnyRecipe | None, Sequence[Population]]]) -> None:
        """Wait to be asked."""

    def serve(self, recipe: AnyRecipe | None) -> ServedMinds:
        """Return the minds of a recipe's base: those whose answers are stored, or live ones."""
        if recipe != self.recipe:
            return self.opened.serve(recipe)
        # served anew at every question: another recipe may have been in between
        return StoredMinds(self.answers, lambda: self.opened.serve(recipe), self._is_open)

    def _is_open(self) -> bool:
        return "opened" in self.__dict__
