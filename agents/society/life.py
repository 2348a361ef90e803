"""A society's day: links from trades, posts read in the morning, rumours, moods in the evening."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to these, delete __pycache__.
from evobourse.agents.crowds.elementary import exponential
from evobourse.agents.personas.social import Social
from evobourse.agents.society.feeds import Feed, choose_posts, find_liked
from evobourse.agents.society.links import (
    KEYS_PER_ASSET,
    Circles,
    Links,
    TradingProfiles,
    find_similarities,
)
from evobourse.agents.society.rumours import Rumours
from evobourse.market.crowd import Message
from evobourse.market.philox import Purpose, draw_key, draw_words

_POSTS, _LIKES, _NEXT_ROW = Purpose.POSTS, Purpose.LIKES, 256
_WORDS = 4


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
        The society's own stream, which gives the key of circles, posts and likes.
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
    peers
        float64[n]: mean mood in it, NaN for who read nothing.
    kept
        Part of trades, likes and moods that is left after a day.
    """

    def __init__(self, n_agents: int, social: Social, rng: np.random.Generator, assets: int = 1):
        self.n_agents = n_agents
        self.social = social
        self.mood = np.zeros(n_agents)
        self.likes = np.zeros(n_agents)
        self.voice = np.ones(n_agents)
        self.feed: Feed | None = None
        self.key = draw_key(rng)
        self.circles = Circles(n_agents, social.acquaintances, rng)
        self.profiles = TradingProfiles(n_agents, assets * KEYS_PER_ASSET, social.decay)
        self.rumours = Rumours(
            n_agents, social.telling, social.half_life_days, social.receptivity, rng
        )
        self._similarity = np.zeros(len(self.circles.first))
        self.peers = np.full(n_agents, np.nan)
        self._told: list[tuple[str, NDArray[np.int64]]] = []
        self.kept = exponential(-social.decay)

    @property
    def numbers(self) -> tuple[float, float, float, int, float]:
        """What compiled loops need of the settings, see `live_morning`."""
        social = self.social
        likelihoods = float(social.posting), float(social.liking), float(social.link_threshold)
        return (*likelihoods, social.reads, self.kept)

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
        circles, tone = self.circles, self.mood
        author, weight, liked, self._similarity = live_morning(
            (circles.starts, circles.neighbour, circles.pair),
            (circles.first, circles.second),
            self.numbers,
            (self.profiles.weights, tone, self.voice, self.likes),
            day,
            self.key,
        )
        self.feed = Feed(author, weight, tone, liked)
        self._told = self.rumours.spread(day, author)
        self.peers = self.feed.peers_mood
        return self.peers

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
        mood = self.mood.copy()  # what was posted stays as it was
        follow_day(mood, self.peers, tendency, self.social.contagion, self.kept)
        self.mood = mood
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


@njit(cache=True)
def live_morning(
    spots: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]],
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    numbers: tuple[float, float, float, int, float],
    state: tuple[
        NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]
    ],
    day: int,
    key: np.uint64,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Let agents read and like what their links posted last evening.

    Parameters
    ----------
    spots, pairs
        Starts, neighbours and pairs; first and second: see `agents.society.links.Circles`.
    numbers
        Posting, liking, threshold of links, most posts read, and what a day leaves of likes.
    state
        Profiles float64[n, keys]; moods, voices and likes, float64[n], the last changed in place.
    day, key
        By which posts and likes are drawn.

    Returns
    -------
    author, weight, liked, similarity
        See `agents.society.feeds.Feed`, each weight times its author's voice; of today's pairs.
    """
    posting, liking, threshold, reads, kept = numbers
    weights, tone, voice, likes = state
    n = tone.size
    words = draw_words(n, day, 0, _POSTS, key)
    posted = (words[0] + 0.5) * 2.0**-32 < posting
    likes_it = np.zeros((n, reads), np.bool_)
    for place in range(reads):
        if place % _WORDS == 0:
            words = draw_words(n, day, 0, _LIKES + _NEXT_ROW * (place // _WORDS), key)
        likes_it[:, place] = (words[place % _WORDS] + 0.5) * 2.0**-32 < liking
    similarity = find_similarities(weights, pairs[0], pairs[1])
    starts, neighbour, pair = spots
    author, weight = choose_posts(
        starts, neighbour, pair, similarity, threshold, posted, voice * likes, reads
    )
    liked = find_liked(author, tone, likes_it)
    likes *= kept
    for reader in range(n):
        for place in range(reads):
            other = author[reader, place]
            if other >= 0:
                weight[reader, place] *= voice[other]
                likes[other] += liked[reader, place]
    return author, weight, liked, similarity


@njit(cache=True)
def follow_day(
    mood: NDArray[np.float64],
    peers: NDArray[np.float64],
    tendency: NDArray[np.int64],
    contagion: float,
    kept: float,
) -> None:
    """Let moods, float64[n] in place, follow agents' own tendencies and what they read."""
    for i in range(mood.size):
        own = tendency[i] / 2.0
        others = own if np.isnan(peers[i]) else peers[i]
        drawn_to = (1.0 - contagion) * own + contagion * others
        mood[i] = kept * mood[i] + (1.0 - kept) * drawn_to
