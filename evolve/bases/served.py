"""A base that a server answers for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evobourse.agents.minds.endpoint import EndpointMinds
from evobourse.agents.personas.persona import Population
from evobourse.merge.errors import RecipeError
from evobourse.merge.recipes.stack_recipe import AnyRecipe


@dataclass(frozen=True)
class EndpointBases:
    """The one base of a server, which takes no recipe."""

    minds: EndpointMinds
    depth: int = 0
    nbytes: int = 0

    @property
    def base_hash(self) -> str:
        """Name the server, the model and all that its answers depend on."""
        return self.minds.base_hash

    def hash_of(self, base: str) -> str:
        """Name the one base that there is."""
        return self.base_hash

    def expect(self, casts: Sequence[tuple[AnyRecipe | None, Sequence[Population]]]) -> None:
        """Wait to be asked."""

    def serve(self, recipe: AnyRecipe | None) -> EndpointMinds:
        """Return the minds.

        Raises
        ------
        RecipeError
            There is a recipe.
        """
        if recipe is not None:
            url = self.minds.endpoint.url
            raise RecipeError(f"base {url}: a server's weights cannot be merged; use no recipe")
        return self.minds
