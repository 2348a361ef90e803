"""Settings of deliberation, each with its range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evobourse.agents.errors import AgentError

_RANGES: dict[str, tuple[float, float]] = {
    "iterations": (0, 10),
    "reason_tokens": (1, 1_000),
    "advice_tokens": (1, 1_000),
    "revision_tokens": (1, 1_000),
    "reflection_tokens": (1, 1_000),
    "post_tokens": (1, 1_000),
    "text_temperature": (0.0, 10.0),
    "receptivity": (0.0, 1.0),
    "memory_days": (0.1, 10_000.0),
}


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
                f"deliberation.expert: names style {self.style!r} and base {self.base!r}; "
                "another base has no adapters, so name one of the two"
            )


@dataclass(frozen=True)
class Traits:
    """What one persona has of its own; None for what all have."""

    receptivity: float | None = None
    memory_days: float | None = None

    def __post_init__(self) -> None:
        _check(self, "deliberation.personas: ")


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

    recall_tokens: int = 120
    working_tokens: int = 80
    promote_importance: float = 0.6
    promote_recalls: int = 3
    long_term_factor: float = 10.0

    def __post_init__(self) -> None:
        if self.recall_tokens < 0 or self.working_tokens < 0:
            raise AgentError(
                f"deliberation.memory: recall_tokens {self.recall_tokens} and working_tokens "
                f"{self.working_tokens}, expected 0 or more"
            )
        if self.promote_recalls < 1 or self.long_term_factor < 1.0:
            raise AgentError(
                f"deliberation.memory: promote_recalls {self.promote_recalls} and "
                f"long_term_factor {self.long_term_factor}, expected 1 or more"
            )


@dataclass(frozen=True)
class Deliberation:
    """How agents think.

    Attributes
    ----------
    expert
        Whom they consult.
    iterations
        Rounds of advice and second thought in each turn; 0 for none.
    reason_tokens, advice_tokens, revision_tokens, reflection_tokens, post_tokens
        Most tokens of each kind of text. Posts are written where there is a society.
    text_temperature
        At which texts are drawn; choices have the persona's own.
    receptivity
        How far a choice moves from the one before advice to the one after it, see
        `agents.deliberation.thinking.revise`.
    memory_days
        Days after which a memory weighs ``exp(-1)`` of what it did.
    personas
        Receptivity and memory of single personas, by name.
    memory
        See `Memory`.

    Raises
    ------
    AgentError
        A value is out of its range.
    """

    expert: Expert = field(default_factory=Expert)
    iterations: int = 1
    reason_tokens: int = 32
    advice_tokens: int = 32
    revision_tokens: int = 24
    reflection_tokens: int = 40
    post_tokens: int = 24
    text_temperature: float = 0.7
    receptivity: float = 0.5
    memory_days: float = 5.0
    personas: dict[str, Traits] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        _check(self, "deliberation: ")

    def of_persona(self, name: str) -> tuple[float, float]:
        """Return a persona's receptivity and memory in days."""
        own = self.personas.get(name, Traits())
        return (
            self.receptivity if own.receptivity is None else own.receptivity,
            self.memory_days if own.memory_days is None else own.memory_days,
        )


def _check(settings: object, where: str) -> None:
    values: Mapping[str, object] = vars(settings)
    for name, (lowest, highest) in _RANGES.items():
        value = values.get(name)
        if isinstance(value, (int, float)) and not lowest <= value <= highest:
            raise AgentError(f"{where}{name} is {value}, expected {lowest:g} to {highest:g}")
