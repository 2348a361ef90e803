"""Bounds in annotations: what they allow, and what the check says."""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import pytest

from evobourse.agents.bounds import Bounds, bounds_of, check_bounds
from evobourse.agents.errors import AgentError


@dataclass(frozen=True)
class Settings:
    days: Annotated[int, Bounds(1, 10, "days")] = 3
    share: Annotated[float, Bounds(0, above=True)] | None = None
    rungs: tuple[Annotated[int, Bounds(1)], ...] = ()
    steps: dict[str, Annotated[float, Bounds()]] = field(default_factory=dict)
    free: float = 0.0

    def __post_init__(self) -> None:
        check_bounds(self, AgentError)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (Bounds(), ""),
        (Bounds(1), "at least 1"),
        (Bounds(most=0.5), "at most 0.5"),
        (Bounds(0.1, 10_000), "0.1 to 10,000"),
        (Bounds(0, above=True), "above 0"),
        (Bounds(0, 1, above=True), "above 0, at most 1"),
    ],
)
def test_bounds_are_said_in_words(bounds, words):
    assert str(bounds) == words


def test_what_is_within_is_allowed():
    Settings(10, 1e-9, (1, 2), {"a": -1e9}, float("inf"))
    Settings(np.int64(1), np.float64(0.5))
    assert bounds_of(tuple[Annotated[int, Bounds(1)], ...]) == Bounds(1)
    assert bounds_of(int | None) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"days": 11}, "days is 11, expected 1 to 10"),
        ({"days": np.int64(0)}, "days is 0, expected 1 to 10"),
        ({"share": 0.0}, "share is 0.0, expected above 0"),
        ({"share": float("nan")}, "share is nan, expected above 0"),
        ({"share": float("inf")}, "share is inf, expected above 0"),
        ({"rungs": (1, 0)}, "rungs[1] is 0, expected at least 1"),
        ({"steps": {"a": float("inf")}}, "steps.a is inf, expected a finite number"),
    ],
)
def test_what_is_beyond_is_refused_by_name(settings, message):
    with pytest.raises(AgentError) as refused:
        Settings(**settings)
    assert str(refused.value) == message
