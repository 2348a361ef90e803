"""What a sweep asks of its bases: recipes served, hashes, questions announced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.personas.persona import Population
from evobourse.merge.recipes.stack_recipe import AnyRecipe


@dataclass(frozen=True)
class PersonaBase:
    """A base that personas name: its adapters, one a style, and its hash where it is known."""

    adapters: tuple[Path, ...]
    base_hash: str | None = None


class ServedMinds(Minds, Protocol):
    """Minds that count what they were asked and had to compute, and say what answers depend on."""

    @property
    def counters(self) -> Any:
        """What was asked and computed."""

    def scope(self, mind: NDArray[np.float32] | None) -> dict[str, Any]:
        """Name all that a mind's answers depend on but the view, None for any mind's."""


class Bases(Protocol):
    """Where recipes become minds."""

    @property
    def base_hash(self) -> str:
        """Name the unmerged base's weights by content."""

    @property
    def depth(self) -> int:
        """Count the base's layers, 0 where nobody says."""

    @property
    def nbytes(self) -> int:
        """Count the bytes of all weights that are kept here."""

    def hash_of(self, base: str) -> str:
        """Name by content the weights of what answers for personas of a base."""

    def expect(self, casts: Sequence[tuple[AnyRecipe | None, Sequence[Population]]]) -> None:
        """Hear what will be asked: minds in workers answer all of it at once, others wait."""

    def serve(self, recipe: AnyRecipe | None) -> ServedMinds:
        """Make a recipe's base ready to answer."""
