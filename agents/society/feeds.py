"""What agents read of each other in a morning, and what they like of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evobourse.agents.society.links import Circles


@dataclass(frozen=True, eq=False)
class Feed:
    """What was read in a morning.

    Attributes
    ----------
    author
        int64[n, R]: whose posts each agent read, the most liked first; -1 for none.
    weight
        float64[n, R]: the reader's similarity to each author, 0 for none.
    tone
        float64[n]: what each agent wrote if it posted, from -1 (sell) to 1 (buy).
    liked
        bool[n, R].
    """

    author: NDArray[np.int64]
    weight: NDArray[np.float64]
    tone: NDArray[np.float64]
    liked: NDArray[np.bool_]

    @property
    def peers_mood(self) -> NDArray[np.float64]:
        """Mean tone of the posts that each agent read, by similarity; NaN for none: float64[n]."""
        return average_tones(self.author, self.weight, self.tone)

    def heard_by(self, voice: NDArray[np.float64]) -> Feed:
        """Return the same with each author's posts weighed by its voice, float64[n]."""
        return replace(self, weight=self.weight * voice[self.author])

    @property
    def likes_given(self) -> NDArray[np.int64]:
        """How many liked each agent's post: int64[n]."""
        return np.bincount(self.author[self.liked], minlength=len(self.tone))


def read_feeds(
    circles: Circles,
    similarity: NDArray[np.float64],
    threshold: float,
    posted: NDArray[np.bool_],
    tone: NDArray[np.float64],
    likes: NDArray[np.float64],
    likes_it: NDArray[np.bool_],
) -> Feed:
    """Let every agent read the most liked authors among its links who posted.

    Parameters
    ----------
    circles, similarity, threshold
        See `agents.society.links`; similarities of today.
    posted, tone
        bool[n] and float64[n]: who posted, and what.
    likes
        float64[n], visibility of each author; of two with as many, the more similar is read.
    likes_it
        bool[n, R]: whether a reader likes the post in each place, should it agree with it: should
        the reader's own tone have the same sign.
    """
    spots = (circles.starts, circles.neighbour, circles.pair)
    author, weight = choose_posts(*spots, similarity, threshold, posted, likes, likes_it.shape[1])
    return Feed(author, weight, tone, find_liked(author, tone, likes_it))


@njit(cache=True)
def choose_posts(
    starts: NDArray[np.int64],
    neighbour: NDArray[np.int32],
    pair: NDArray[np.int32],
    similarity: NDArray[np.float64],
    threshold: float,
    posted: NDArray[np.bool_],
    likes: NDArray[np.float64],
    reads: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return whose posts each agent reads, and how similar they are, see `Feed`."""
    n = starts.size - 1
    author, weight = np.full((n, reads), -1), np.zeros((n, reads))
    for reader in range(n):
        count = 0
        for at in range(starts[reader], starts[reader + 1]):
            other = neighbour[at]
            if not posted[other]:
                continue
            close = similarity[pair[at]]
            if close <= threshold:
                continue
            place = count
            while place > 0:
                before = author[reader, place - 1]
                if likes[before] > likes[other]:
                    break
                if likes[before] == likes[other] and weight[reader, place - 1] >= close:
                    break
                place -= 1
            if place == reads:
                continue
            count = min(count + 1, reads)
            for k in range(count - 1, place, -1):
                author[reader, k], weight[reader, k] = author[reader, k - 1], weight[reader, k - 1]
            author[reader, place], weight[reader, place] = other, close
    return author, weight


@njit(cache=True)
def find_liked(
    author: NDArray[np.int64], tone: NDArray[np.float64], likes_it: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which posts that are read are liked, see `read_feeds`: bool[n, R]."""
    liked = np.zeros(author.shape, np.bool_)
    for reader in range(author.shape[0]):
        for place in range(author.shape[1]):
            other = author[reader, place]
            if other >= 0 and likes_it[reader, place]:
                liked[reader, place] = tone[reader] * tone[other] > 0
    return liked


@njit(cache=True)
def average_tones(
    author: NDArray[np.int64], weight: NDArray[np.float64], tone: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean tone of the posts that each agent read, see `Feed`: float64[n]."""
    mean = np.full(author.shape[0], np.nan)
    for reader in range(author.shape[0]):
        said, total = 0.0, 0.0
        for place in range(author.shape[1]):
            if author[reader, place] >= 0:
                said += weight[reader, place] * tone[author[reader, place]]
                total += weight[reader, place]
        if total > 0.0:
            mean[reader] = said / total
    return mean
