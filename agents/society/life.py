"""A society's day: links from trades, posts read in the morning, rumours, moods in the evening."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.personas.social import Social
from evobourse.agents.society.feeds import Feed, read_feeds
from evobourse.agents.society.links import KEYS_PER_ASSET, Circles, Links, TradingProfiles
from evobourse.agents.society.rumours import Rumours
from evobourse.market.crowd import Message


class SocialLife:
    """What passes between the agents of one crowd.

    A morning: links are those of the trades so far; every agent reads what its links posted last
    evening, likes some of it and hears the rumours in it. An evening: moods follow the day, and
    some agents post theirs. A rumour therefore goes one link a day.

    Parameters
    ----------
    n_agents
        How many.
    social
        Settings.
    rng
        The society's own stream. Every day draws as many numbers, whatever happens.
    assets
        Number of assets that profiles tell apart.

    Attributes
    ----------
    circles, profiles
        Who can be linked with whom, and what each has lately traded.
    rumours
        Those that are about.
    mood
        float64[n], from -1 (selling) to 1 (buying).
    likes
        float64[n]: likes received, faded; how visible each agent's posts are.
    voice
        float64[n]: weight of each agent's posts, 1 unless a contest moved it.
    feed
        What was read this morning; None before the first.
    """

    def __init__(self, n_agents: int, social: Social, rng: np.random.Generator, assets: int = 1):
        self.n_agents = n_agents
        self.social = social
        self.mood = np.zeros(n_agents)
        self.likes = np.zeros(n_agents)
        self.voice = np.ones(n_agents)
        self.feed: Feed | None = None
        self._rng = rng
        self.circles = Circles(n_agents, social.acquaintances, rng)
        self.profiles = TradingProfiles(n_agents, assets * KEYS_PER_ASSET, social.decay)
        self.rumours = Rumours(
            n_agents, social.telling, social.half_life_days, social.receptivity, rng
        )
        self._similarity = np.zeros(len(self.circles.first))
        self._peers = np.full(n_agents, np.nan)
        self._told: list[tuple[str, NDArray[np.int64]]] = []
        self._kept = float(np.exp(-social.decay))

    @property
    def links(self) -> Links:
        """The links of this morning."""
        return self.circles.links(self._similarity, self.social.link_threshold)

    def leaders(self, count: int) -> NDArray[np.int64]:
        """Return the opinion leaders: the most liked, of these the most read, most first."""
        readers = np.zeros(self.n_agents, np.int64)
        if self.feed is not None:
            read = self.feed.author[self.feed.author >= 0]
            readers = np.bincount(read, minlength=self.n_agents)
        return np.lexsort((-readers, -self.likes))[:count]

    def hear(self, message: Message, day: int) -> None:
        """Let agents hear a rumour from outside; they may pass it on from the evening on."""
        self.rumours.plant(message, day)

    def morning(self, day: int) -> NDArray[np.float64]:
        """Read last evening's posts; return each agent's peers' mood, NaN if it read nothing."""
        social, n = self.social, self.n_agents
        posted = self._rng.random(n) < social.posting
        likes_it = self._rng.random((n, social.reads)) < social.liking
        self._similarity = self.circles.similarities(self.profiles.weights)
        self.feed = read_feeds(
            self.circles,
            self._similarity,
            social.link_threshold,
            posted,
            self.mood,
            self.voice * self.likes,
            likes_it,
        ).heard_by(self.voice)
        self.likes = self._kept * self.likes + self.feed.likes_given
        self._told = self.rumours.spread(day, self.feed.author)
        self._peers = self.feed.peers_mood
        return self._peers

    def hearsay(self, day: int) -> NDArray[np.float64]:
        """Return the tone of the rumours that each agent believes today: float64[n]."""
        return self.rumours.tone(day)

    def evening(
        self,
        tendency: NDArray[np.int64],
        agent: NDArray[np.int64],
        key: NDArray[np.int64],
        intensity: NDArray[np.float64],
    ) -> None:
        """Let moods follow the day, and profiles its trades.

        Parameters
        ----------
        tendency
            int64[n] in -2..2.
        agent, key, intensity
            The day's trades, see `agents.society.links.TradingProfiles`.
        """
        own = tendency / 2.0
        peers = np.where(np.isnan(self._peers), own, self._peers)
        contagion = self.social.contagion
        drawn_to = (1.0 - contagion) * own + contagion * peers
        self.mood = self._kept * self.mood + (1.0 - self._kept) * drawn_to
        self.profiles.end_day(agent, key, intensity)

    def tables(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Return the morning's rows of a tape's tables links, readings and tellings."""
        if self.feed is None:
            return {}
        links, feed = self.links, self.feed
        reader, place = np.nonzero(feed.author >= 0)
        author = feed.author[reader, place]
        texts = [np.full(len(pairs), text, object) for text, pairs in self._told]
        pairs = np.concatenate([np.empty((0, 2), np.int64), *(pairs for _, pairs in self._told)])
        return {
            "links": {
                "agent": links.agent,
                "other": links.other,
                "similarity": links.similarity,
            },
            "readings": {
                "agent": reader,
                "other": author,
                "tone": feed.tone[author],
                "liked": feed.liked[reader, place],
            },
            "tellings": {
                "agent": pairs[:, 0],
                "other": pairs[:, 1],
                "text": np.concatenate([np.empty(0, object), *texts]),
            },
        }
