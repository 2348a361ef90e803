"""Settings of the society around a population, each with its range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evobourse.agents.errors import AgentError

_RANGES: dict[str, tuple[float, float]] = {
    "acquaintances": (2, 10_000),
    "link_threshold": (0.0, 1.0),
    "decay": (0.0, 10.0),
    "reads": (1, 1_000),
    "posting": (0.0, 1.0),
    "liking": (0.0, 1.0),
    "contagion": (0.0, 1.0),
    "telling": (0.0, 1.0),
    "half_life_days": (0.1, 1_000.0),
    "receptivity": (0.0, 1.0),
}


@dataclass(frozen=True)
class Contest:
    """How personas compete, see `agents.society.contest`.

    Attributes
    ----------
    every
        Days between rankings.
    by
        ``profit``: what a persona's agents realised since the last ranking (sales at the close,
        against the average cost), over their equity then; ``fidelity``: how near their decisions
        are to those of their style's teacher.
    flow
        ``capital``: the agents of the losers give a part of their cash to the winners' agents,
        whose orders grow with it; ``voice``: a part of the weight of their posts.
    part
        What part.
    winners
        How many personas win, and how many lose; at most half of them.
    replaced
        How many of the worst are replaced by a child of two winners; 0 in a sweep, where no model
        is at hand while markets run.
    """

    every: int = 20
    by: Literal["profit", "fidelity"] = "profit"
    flow: Literal["capital", "voice", "none"] = "capital"
    part: float = 0.1
    winners: int = 2
    replaced: int = 1

    def __post_init__(self) -> None:
        for name, lowest, highest in (
            ("every", 1, 10_000),
            ("part", 0, 1),
            ("winners", 1, 10_000),
            ("replaced", 0, 10_000),
        ):
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise AgentError(
                    f"society: contest.{name} is {value}, expected {lowest} to {highest}"
                )


@dataclass(frozen=True)
class Social:
    """How agents find, read and believe each other.

    Attributes
    ----------
    acquaintances
        About how many others each agent can ever be linked with, drawn once: all, where there
        are no more, and somewhat fewer than this, where there are not many more.
    link_threshold
        Two acquaintances are linked while their trading profiles are more similar than this.
    decay
        Rate per day at which trades, likes and moods lose weight: ``exp(-decay)`` is left.
    reads
        Most posts that an agent reads in a morning, of its links' posts those of the authors
        with the most likes.
    posting
        Probability that an agent posts its mood after a day.
    liking
        Probability that a reader likes a post that agrees with its own mood.
    contagion
        Part of a mood's daily change that comes from the posts read; the rest comes from the
        agent's own tendency.
    telling
        Probability that an agent who posts and knows a rumour passes it on, while it is fresh.
    half_life_days
        Of a rumour's weight in decisions, and of the probability that it is passed on.
    receptivity
        Part of a rumour's tone that agents believe.
    contest
        How personas compete; None for not at all.

    Raises
    ------
    AgentError
        A value is out of its range.
    """

    acquaintances: int = 50
    link_threshold: float = 0.2
    decay: float = 0.5
    reads: int = 5
    posting: float = 0.5
    liking: float = 0.5
    contagion: float = 0.2
    telling: float = 0.5
    half_life_days: float = 3.0
    receptivity: float = 1.0
    contest: Contest | None = None

    def __post_init__(self) -> None:
        for name, (lowest, highest) in _RANGES.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise AgentError(f"society: {name} is {value}, expected {lowest:g} to {highest:g}")
