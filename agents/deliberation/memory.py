"""What an agent remembers: today's notes, days of its own, and those that stay.

Memories fade by simulated days; so many tokens of them come back to mind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.deliberation.settings import Memory

FORGOTTEN = 0.01
"""What is left of a memory when it goes altogether."""


@dataclass(eq=False)
class Episode:
    """One remembered day.

    Attributes
    ----------
    day
        When.
    text
        What is remembered.
    tokens
        Length of the text.
    importance
        0 to 1.
    recalls
        On how many days it came back to mind.
    """

    day: int
    text: str
    tokens: int
    importance: float
    recalls: int = 0


class LayeredMemory:
    """Working, episodic and long-term memory of one agent.

    Notes are of today. At a day's end they go, and the day becomes an episode. An episode weighs
    ``exp(-age / memory_days)``, by its age in simulated days; one that was important or recalled
    often is kept for long and weighs ``exp(-age / (long_term_factor * memory_days))``. What weighs
    less than `FORGOTTEN` is forgotten.

    Parameters
    ----------
    settings
        Shared by all agents.
    memory_days
        The agent's own.

    Attributes
    ----------
    notes
        Of today, and the tokens of each.
    episodic, long_term
        Oldest first.
    """

    def __init__(self, settings: Memory, memory_days: float):
        self.settings, self.memory_days = settings, memory_days
        self.notes: list[tuple[str, int]] = []
        self.episodic: list[Episode] = []
        self.long_term: list[Episode] = []

    def note(self, text: str, tokens: int) -> None:
        """Take down what happened just now."""
        self.notes.append((text, tokens))

    def latest_notes(self) -> list[str]:
        """Return today's latest notes within `Memory.working_tokens`, in order."""
        kept: list[str] = []
        room = self.settings.working_tokens
        for text, tokens in reversed(self.notes):
            room -= tokens
            if room < 0:
                break
            kept.append(text)
        return kept[::-1]

    def weigh(self, episode: Episode, day: int) -> float:
        """Return what is left of an episode on a day, 1 on its own."""
        slower = self.settings.long_term_factor if episode in self.long_term else 1.0
        return float(np.exp(-(day - episode.day) / (slower * self.memory_days)))

    def end_day(self, day: int, text: str, tokens: int, importance: float) -> None:
        """Make an episode of the day, keep for long what deserves it, and forget what has faded."""
        self.notes = []
        self.episodic.append(Episode(day, text, tokens, importance))
        least, often = self.settings.promote_importance, self.settings.promote_recalls
        stays = [e.importance >= least or e.recalls >= often for e in self.episodic]
        moved = [e for e, kept in zip(self.episodic, stays, strict=True) if kept]
        self.episodic = [e for e, kept in zip(self.episodic, stays, strict=True) if not kept]
        self.long_term = sorted([*self.long_term, *moved], key=lambda e: e.day)
        self.episodic = [e for e in self.episodic if self.weigh(e, day) >= FORGOTTEN]
        self.long_term = [e for e in self.long_term if self.weigh(e, day) >= FORGOTTEN]

    def recall(
        self,
        day: int,
        query: str,
        relevance: Callable[[Sequence[str], str], NDArray[np.float64]] | None = None,
    ) -> list[Episode]:
        """Return what comes to mind on a day, oldest first, within `Memory.recall_tokens`.

        The last day always comes first. The others follow by what is left of them, times their
        importance, times their relevance; one that no longer fits leaves its room to the next.

        Parameters
        ----------
        day
            Today.
        query
            Words of today.
        relevance
            How relevant texts are to the query, 0 to 1 each; `similarity` if left out.
        """
        known = sorted([*self.episodic, *self.long_term], key=lambda e: e.day)
        if not known:
            return []
        relevant = (relevance or similarity)([e.text for e in known], query)
        scores = [
            self.weigh(e, day) * e.importance * (1.0 + float(r)) / 2.0
            for e, r in zip(known, relevant, strict=True)
        ]
        scores[-1] = np.inf
        chosen, room = [], self.settings.recall_tokens
        for at in sorted(range(len(known)), key=lambda at: (-scores[at], -known[at].day)):
            if known[at].tokens <= room:
                room -= known[at].tokens
                chosen.append(at)
        came = [known[at] for at in sorted(chosen)]
        for episode in came:
            episode.recalls += 1
        return came


def similarity(texts: Sequence[str], query: str) -> NDArray[np.float64]:
    """Return the TF-IDF cosine of each text with a query, 0 to 1: float64[n]."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not any(map(str.strip, texts)) or not query.strip():
        return np.zeros(len(texts))
    weights = TfidfVectorizer(token_pattern=r"\S+").fit_transform([*texts, query])
    cosines: NDArray[np.float64] = (weights[:-1] @ weights[-1].T).toarray()[:, 0]
    return np.clip(cosines, 0.0, 1.0)
