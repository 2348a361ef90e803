"""Bases whose minds are the style teachers: a market that costs no forward pass.

Knows how to stand where a model's bases stand, for drills and benchmarks. Deliberately is no
measure of a population: where teachers and models disagree, the models are right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evobourse.agents.minds.stand_ins import TeacherMinds


@dataclass
class TeacherBases:
    """The style teachers as an `evolve.bases.opening.Bases`; recipes change nothing."""

    styles: tuple[str, ...]
    base_hash: str = "teachers"
    depth: int = 0
    _minds: TeacherMinds = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._minds = TeacherMinds(self.styles)

    def serve(self, recipe: Any) -> TeacherMinds:
        """Return the teachers."""
        return self._minds
