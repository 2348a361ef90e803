"""A society's days: rumours go one link a day, moods stay moods, the same seed lives the same."""

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.agents.errors import AgentError
from evobourse.agents.personas.social import Social
from evobourse.agents.society.life import SocialLife
from evobourse.agents.society.rumours import FORGOTTEN, Rumours
from evobourse.market.crowd import Message

N = 40


def live(social, seed, days, planted=None, plant_day=3, n=N):
    """Agents who trade at random; return the life and each morning's links, feed and tellings."""
    own, trading = np.random.default_rng(seed).spawn(2)
    life = SocialLife(n, social, own)
    mornings = []
    for day in range(days):
        life.morning(day)
        if planted is not None and day == plant_day:
            life.hear(Message("rumour", "It is so.", np.asarray(planted), tone=-2.0), day)
        mornings.append((life.links, life.feed, life.tables(), life.hearsay(day)))
        active = np.flatnonzero(trading.random(n) < 0.6)
        keys, sizes = trading.integers(0, 6, len(active)), trading.integers(1, 4, len(active))
        life.evening(trading.integers(-2, 3, n), active, keys, sizes.astype(float))
    return life, mornings


@given(
    st.integers(0, 2**20),
    st.floats(0.05, 0.6),
    st.integers(2, 50),
    st.floats(0.2, 1.0),
    st.lists(st.integers(0, N - 1), min_size=1, max_size=3, unique=True),
)
@settings(max_examples=30, deadline=None)
def test_a_rumour_goes_along_links_one_a_day(seed, threshold, circle, telling, planted):
    social = Social(
        acquaintances=circle, link_threshold=threshold, telling=telling, half_life_days=30.0
    )
    life, mornings = live(social, seed, 9, planted)
    [rumour] = life.rumours.current
    heard = rumour.heard_day
    assert (np.flatnonzero(heard == 3).tolist()) == sorted(planted)
    everyone_met = networkx.Graph()
    everyone_met.add_nodes_from(range(N))
    for day, (links, feed, tables, _) in enumerate(mornings):
        today = links.graph()
        told = tables["tellings"]
        for hearer, teller in zip(told["agent"].tolist(), told["other"].tolist(), strict=True):
            assert today.has_edge(hearer, teller)
            assert teller in feed.author[hearer]
            assert heard[hearer] == day > heard[teller] >= 0
        if day > 3:
            everyone_met.update(today)
    # distance in the links of all days is at most the days that it took; who never heard it is
    # elsewhere, or nobody told
    distance = networkx.multi_source_dijkstra_path_length(everyone_met, set(planted), weight=None)
    for agent in np.flatnonzero(heard >= 0).tolist():
        assert distance[agent] <= heard[agent] - 3
    assert set(np.flatnonzero(heard >= 0).tolist()) <= distance.keys()


def test_a_rumour_reaches_the_whole_component_where_everybody_posts_and_tells():
    social = Social(
        acquaintances=6, link_threshold=0.1, posting=1.0, telling=1.0, reads=6, half_life_days=1000
    )
    life, mornings = live(social, 5, 12, [7])
    heard = life.rumours.current[0].heard_day
    reached = {7}
    for links, feed, _, _ in mornings[4:]:
        graph = links.graph()
        # all of a reader's posts are read, so all neighbours of the told are told
        assert (feed.author >= 0).sum() == 2 * len(links.agent)
        reached |= {other for agent in reached for other in graph[agent]}
    # the probability of telling is 0.5^(age / 1000), all but 1
    assert len(reached) - (heard >= 0).sum() <= 1
    assert set(np.flatnonzero(heard >= 0).tolist()) <= reached


def test_nobody_else_hears_anything_and_nothing_else_changes():
    """With and without a rumour all draws are alike: it has no stream in common with the rest."""
    _, quiet = live(Social(), 6, 10)
    life, told = live(Social(), 6, 10, [1, 2])
    heard = life.rumours.current[0].heard_day
    for day, ((links, feed, _, nothing), (same, read, _, tone)) in enumerate(
        zip(quiet, told, strict=True)
    ):
        np.testing.assert_array_equal(links.similarity, same.similarity)
        np.testing.assert_array_equal(feed.author, read.author)
        np.testing.assert_array_equal(feed.liked, read.liked)
        assert not nothing.any()
        knows = (heard >= 0) & (heard <= day)
        expected = np.where(knows, -2.0 * 0.5 ** ((day - 3) / 3.0), 0.0)
        np.testing.assert_allclose(tone, expected)
    assert (heard >= 0).sum() > 2


def test_a_rumour_fades_and_is_forgotten():
    rumours = Rumours(4, 1.0, 2.0, 0.5, np.random.default_rng(0))
    rumours.plant(Message("rumour", "a", np.array([1]), tone=4.0), 10)
    nobody = np.full((4, 1), -1)
    for day in range(10, 30):
        rumours.spread(day, nobody)
        left = 0.5 ** ((day - 10) / 2.0)
        expected = 4.0 * 0.5 * left if left >= FORGOTTEN else 0.0
        np.testing.assert_allclose(rumours.tone(day), [0.0, expected, 0.0, 0.0])
    assert rumours.current == []


def test_rumours_add_up_and_one_for_all_is_nobodys_news():
    rumours = Rumours(3, 1.0, 2.0, 1.0, np.random.default_rng(0))
    rumours.plant(Message("rumour", "a", np.array([0, 1]), tone=-1.0), 0)
    rumours.plant(Message("rumour", "b", None, tone=0.5), 0)
    assert rumours.tone(0).tolist() == [-0.5, -0.5, 0.5]
    [(first, to_third), (second, to_nobody)] = rumours.spread(1, np.array([[1], [2], [0]]))
    assert (first, second) == ("a", "b")
    assert to_nobody.shape == (0, 2)
    assert to_third.tolist() in ([], [[2, 0]])


@given(st.integers(0, 2**20), st.floats(0.0, 3.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
@settings(max_examples=25, deadline=None)
def test_moods_and_likes_keep_their_bounds(seed, decay, contagion, posting):
    life, mornings = live(Social(decay=decay, contagion=contagion, posting=posting), seed, 6)
    assert (np.abs(life.mood) <= 1.0).all()
    given = np.zeros(N)
    for _, feed, _, _ in mornings:
        given = given * np.exp(-decay) + feed.likes_given
        assert (np.abs(feed.tone) <= 1.0).all()
    np.testing.assert_allclose(life.likes, given)
    best = life.leaders(5)
    assert (life.likes[best] >= np.delete(life.likes, best).max()).all()


def test_moods_travel_along_links_alone():
    """Two pairs of twins in trading: one's mood reaches its twin, not the others."""
    social = Social(decay=0.7, posting=1.0, contagion=1.0)
    life = SocialLife(4, social, np.random.default_rng(0))
    agents, keys = np.arange(4), np.array([0, 0, 3, 3])
    for day in range(4):
        life.morning(day)
        life.evening(np.array([2, 0, 0, 0]), agents, keys, np.ones(4))
    assert life.links.agent.tolist() == [0, 2]
    assert life.links.other.tolist() == [1, 3]
    assert life.mood[0] > 0
    assert life.mood[1] > 0
    assert life.mood[2:].tolist() == [0.0, 0.0]


def test_one_seed_lives_one_life():
    (first, a), (again, b), (other, _) = (live(Social(), seed, 6, [0]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.mood, again.mood)
    assert (first.mood != other.mood).any()
    for (_, _, one, _), (_, _, two, _) in zip(a, b, strict=True):
        for table, columns in one.items():
            for name, column in columns.items():
                np.testing.assert_array_equal(column, two[table][name])


@pytest.mark.parametrize(
    ("setting", "value", "range_"),
    [
        ("link_threshold", 1.1, "0 to 1"),
        ("decay", -0.1, "0 to 10"),
        ("reads", 0, "1 to 1,000"),
        ("half_life_days", 0.0, "0.1 to 1,000"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting, value, range_):
    with pytest.raises(AgentError, match=rf"^{setting} is {value}, expected {range_}"):
        Social(**{setting: value})
