"""Who reads what in a morning, and what is liked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.agents.society.feeds import read_feeds
from evobourse.agents.society.links import Circles


def read(n, acquaintances, threshold, reads, seed):
    """A morning with everything drawn; likes are few, so that many tie."""
    rng = np.random.default_rng(seed)
    circles = Circles(n, acquaintances, rng)
    similarity = rng.random(len(circles.first)).round(1)
    posted, tone = rng.random(n) < 0.6, rng.uniform(-1, 1, n)
    likes, likes_it = rng.integers(0, 3, n).astype(float), rng.random((n, reads)) < 0.5
    feed = read_feeds(circles, similarity, threshold, posted, tone, likes, likes_it)
    return circles, similarity, posted, tone, likes, likes_it, feed


def by_hand(circles, similarity, threshold, posted, likes, reads):
    """Sort each reader's whole list: likes, then similarity, then row."""
    pairs = zip(circles.first.tolist(), circles.second.tolist(), similarity.tolist(), strict=True)
    close = {}
    for one, other, similar in pairs:
        if similar > threshold:
            close.setdefault(one, {})[other] = close.setdefault(other, {})[one] = similar
    chosen = np.full((circles.n_agents, reads), -1)
    for reader, others in close.items():
        best = sorted((-likes[o], -s, o) for o, s in others.items() if posted[o])[:reads]
        chosen[reader, : len(best)] = [other for _, _, other in best]
    return chosen, close


@given(
    st.integers(2, 40),
    st.integers(2, 12),
    st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    st.integers(1, 6),
    st.integers(0, 2**20),
)
@settings(max_examples=60, deadline=None)
def test_each_reads_the_most_liked_of_its_links_who_posted(n, circle, threshold, reads, seed):
    circles, similarity, posted, tone, likes, likes_it, feed = read(
        n, circle, threshold, reads, seed
    )
    chosen, close = by_hand(circles, similarity, threshold, posted, likes, reads)
    np.testing.assert_array_equal(feed.author, chosen)
    peers = feed.peers_mood
    for reader in range(n):
        authors = chosen[reader][chosen[reader] >= 0]
        if not len(authors):
            assert np.isnan(peers[reader])
            continue
        weights = [close[reader][author] for author in authors.tolist()]
        np.testing.assert_allclose(peers[reader], np.average(tone[authors], weights=weights))
        agree = np.sign(tone[authors]) == np.sign(tone[reader])
        np.testing.assert_array_equal(
            feed.liked[reader, : len(authors)], agree & likes_it[reader, : len(authors)]
        )
        assert not feed.liked[reader, len(authors) :].any()
    assert feed.likes_given.sum() == feed.liked.sum()


def test_likes_raise_visibility():
    """Thirty who all know each other read one post each: the most liked author's."""
    circles = Circles(30, 30, np.random.default_rng(0))
    similarity, nobody = np.full(len(circles.first), 0.5), np.zeros((30, 1), bool)
    likes = np.zeros(30)
    likes[17], likes[3] = 2.0, 1.0
    everyone, tone = np.ones(30, bool), np.zeros(30)
    feed = read_feeds(circles, similarity, 0.2, everyone, tone, likes, nobody)
    assert (np.delete(feed.author[:, 0], 17) == 17).all()
    assert feed.author[17, 0] == 3


@pytest.mark.parametrize("posted", [False, True])
def test_without_links_or_posts_nothing_is_read(posted):
    circles = Circles(10, 10, np.random.default_rng(0))
    similarity = np.full(len(circles.first), 0.2 if posted else 0.9)
    who, zeros = np.full(10, posted), np.zeros(10)
    feed = read_feeds(circles, similarity, 0.2, who, zeros, zeros, np.ones((10, 3), bool))
    assert (feed.author == -1).all()
    assert np.isnan(feed.peers_mood).all()
    assert not feed.liked.any()
