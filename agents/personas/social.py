"""Settings of the society around a population."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from evobourse.agents.bounds import Bounds, check_bounds
from evobourse.agents.errors import AgentError

Part = Annotated[float, Bounds(0, 1)]


@dataclass(frozen=True)
class Contest:
    """How personas compete, see `agents.society.contest`.

    Attributes
    ----------
    every
        How often personas are ranked.
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

    every: Annotated[int, Bounds(1, 10_000, "days")] = 20
    by: Literal["profit", "fidelity"] = "profit"
    flow: Literal["capital", "voice", "none"] = "capital"
    part: Part = 0.1
    winners: Annotated[int, Bounds(1, 10_000)] = 2
    replaced: Annotated[int, Bounds(0, 10_000)] = 1

    def __post_init__(self) -> None:
        check_bounds(self, AgentError)


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

    acquaintances: Annotated[int, Bounds(2, 10_000, "agents")] = 50
    link_threshold: Part = 0.2
    decay: Annotated[float, Bounds(0, 10, "per day")] = 0.5
    reads: Annotated[int, Bounds(1, 1_000, "posts")] = 5
    posting: Part = 0.5
    liking: Part = 0.5
    contagion: Part = 0.2
    telling: Part = 0.5
    half_life_days: Annotated[float, Bounds(0.1, 1_000, "days")] = 3.0
    receptivity: Part = 1.0
    contest: Contest | None = None

    def __post_init__(self) -> None:
        check_bounds(self, AgentError)
