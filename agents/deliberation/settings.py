"""Settings of deliberation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from evobourse.agents.bounds import Bounds, check_bounds
from evobourse.agents.errors import AgentError

Part = Annotated[float, Bounds(0, 1)]
Days = Annotated[float, Bounds(0.1, 10_000, "days")]
Tokens = Annotated[int, Bounds(1, 1_000, "tokens")]


@dataclass(frozen=True)
class Expert:
    """Who gives advice.

    Attributes
    ----------
    style
        Name of one of the population's adapters, at full strength; None for a bare base.
    base
        Another model, see `merge.sources.resolve_model`, which then has no adapters; None for
        the population's own.
    """

    style: str | None = None
    base: str | None = None

    def __post_init__(self) -> None:
        if self.style is not None and self.base is not None:
            raise AgentError(
                f"style is {self.style!r} and base {self.base!r}; "
                "another base has no adapters, so name one of the two"
            )


@dataclass(frozen=True)
class Traits:
    """What one persona has of its own; None for what all have.

    Attributes
    ----------
    receptivity
        How far advice moves its choices.
    memory_days
        Days after which a memory weighs ``exp(-1)`` of what it did.
    """

    receptivity: Part | None = None
    memory_days: Days | None = None

    def __post_init__(self) -> None:
        check_bounds(self, AgentError)


@dataclass(frozen=True)
class Memory:
    """How much is remembered, and what of it enters a prompt.

    Attributes
    ----------
    recall_tokens
        Most tokens of memories in a day's prompt, yesterday's reflection included.
    working_tokens
        Most tokens of today's notes in a turn's prompt, the latest first.
    promote_importance
        A memory of at least this importance, 0 to 1, is kept for long.
    promote_recalls
        So is one that was recalled this many times.
    long_term_factor
        How many times slower what is kept for long fades.
    """

    recall_tokens: Annotated[int, Bounds(0, unit="tokens")] = 120
    working_tokens: Annotated[int, Bounds(0, unit="tokens")] = 80
    promote_importance: Part = 0.6
    promote_recalls: Annotated[int, Bounds(1)] = 3
    long_term_factor: Annotated[float, Bounds(1)] = 10.0

    def __post_init__(self) -> None:
        check_bounds(self, AgentError)


@dataclass(frozen=True)
class Deliberation:
    """How agents think.

    Attributes
    ----------
    expert
        Whom they consult.
    iterations
        Rounds of advice and second thought in each turn; 0 for none.
    reason_tokens
        Most tokens of the reason of a choice.
    advice_tokens
        Most tokens of an expert's advice.
    revision_tokens
        Most tokens of the reason after advice.
    reflection_tokens
        Most tokens of an evening's reflection.
    post_tokens
        Most tokens of a post; posts are written where there is a society.
    text_temperature
        At which texts are drawn; choices have the persona's own.
    receptivity
        How far a choice moves from the one before advice to the one after it, see
        `agents.deliberation.thinking.revise`.
    memory_days
        Days after which a memory weighs ``exp(-1)`` of what it did.
    profiles
        Whether each page begins with the persona's profile, a cast's ``background``.
    personas
        Receptivity and memory of single personas, by name.
    memory
        How much is remembered, and what of it enters a prompt.

    Raises
    ------
    AgentError
        A value is out of its range.
    """

    expert: Expert = field(default_factory=Expert)
    iterations: Annotated[int, Bounds(0, 10)] = 1
    reason_tokens: Tokens = 32
    advice_tokens: Tokens = 32
    revision_tokens: Tokens = 24
    reflection_tokens: Tokens = 40
    post_tokens: Tokens = 24
    text_temperature: Annotated[float, Bounds(0, 10)] = 0.7
    receptivity: Part = 0.5
    memory_days: Days = 5.0
    profiles: bool = False
    personas: dict[str, Traits] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        check_bounds(self, AgentError)

    def of_persona(self, name: str) -> tuple[float, float]:
        """Return a persona's receptivity and memory in days."""
        own = self.personas.get(name, Traits())
        return (
            self.receptivity if own.receptivity is None else own.receptivity,
            self.memory_days if own.memory_days is None else own.memory_days,
        )
