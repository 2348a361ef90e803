"""Similar trading profiles make links."""

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist

from evobourse.agents.errors import AgentError
from evobourse.agents.society.links import KEYS_PER_ASSET, Circles, TradingProfiles, trade_keys

INTENSITIES = arrays(
    np.float64,
    st.tuples(st.integers(2, 12), st.integers(1, 8)),
    elements=st.floats(0, 8).map(lambda x: x * (x > 1)),  # whole profiles of nothing, too
)


def everybody(n):
    return Circles(n, n, np.random.default_rng(0))


def square(circles, similarity):
    matrix = np.eye(circles.n_agents)
    matrix[circles.first, circles.second] = matrix[circles.second, circles.first] = similarity
    return matrix


def definition(weights):
    """S(u, v) as it is written, a pair at a time."""
    n = len(weights)
    found = np.eye(n)
    for u in range(n):
        for v in range(n):
            least = sum(min(a, b) for a, b in zip(weights[u], weights[v], strict=True))
            most = sum(max(a, b) for a, b in zip(weights[u], weights[v], strict=True))
            if u != v:
                found[u, v] = least / most if most else 0.0
    return found


@given(INTENSITIES)
@settings(max_examples=60, deadline=None)
def test_similarities_are_the_definition_s(weights):
    circles = everybody(len(weights))
    similarity = circles.similarities(weights)
    np.testing.assert_allclose(square(circles, similarity), definition(weights), atol=1e-12)
    assert ((similarity >= 0) & (similarity <= 1)).all()


def test_similarities_agree_with_bray_and_curtis():
    """Their distance of abundances is (1 - S) / (1 + S)."""
    weights = np.random.default_rng(1).exponential(size=(60, 6))
    distance = pdist(weights, "braycurtis")
    expected = (1 - distance) / (1 + distance)
    np.testing.assert_allclose(everybody(60).similarities(weights), expected, atol=1e-12)


@given(INTENSITIES, st.floats(0.5, 4.0))
@settings(max_examples=40, deadline=None)
def test_only_proportions_count(weights, factor):
    circles = everybody(len(weights))
    scaled = circles.similarities(factor * weights)
    np.testing.assert_allclose(scaled, circles.similarities(weights), atol=1e-12)


@given(st.lists(st.floats(0.1, 5.0), min_size=1, max_size=6), st.floats(0.0, 3.0))
@settings(max_examples=40, deadline=None)
def test_a_trade_weighs_less_by_the_simulated_day(days, decay):
    profiles = TradingProfiles(2, 3, decay)
    for intensity in days:
        profiles.end_day(np.array([1]), np.array([2]), np.array([intensity]))
    ages = np.arange(len(days))[::-1]
    expected = np.zeros((2, 3))
    expected[1, 2] = np.sum(np.array(days) * np.exp(-decay * ages))
    np.testing.assert_allclose(profiles.weights, expected, rtol=1e-12)


def test_several_trades_of_one_agent_on_one_day_add_up():
    profiles = TradingProfiles(2, 2, 0.5)
    profiles.end_day(np.array([0, 0, 0]), np.array([1, 1, 0]), np.array([1.0, 2.0, 4.0]))
    np.testing.assert_array_equal(profiles.weights, [[4.0, 3.0], [0.0, 0.0]])


def test_links_grow_fewer_with_the_threshold_and_are_over_it():
    weights = np.random.default_rng(2).exponential(size=(40, 6))
    circles = everybody(40)
    similarity = circles.similarities(weights)
    before = 40 * 39
    for threshold in (0.0, 0.2, 0.5, 0.9):
        links = circles.links(similarity, threshold)
        assert (links.similarity > threshold).all()
        assert len(links.agent) == (similarity > threshold).sum() < before
        before = len(links.agent)
        graph = links.graph()
        assert graph.number_of_nodes() == 40
        assert graph.number_of_edges() == before


def test_assets_sides_and_reach_are_kinds_of_their_own():
    urgency = np.array([0.0, 0.99, 1.0, 1.99, 2.0, 50.0])
    buys = trade_keys(0, np.ones(6, np.int64), urgency)
    sells = trade_keys(0, -np.ones(6, np.int64), urgency)
    assert buys.tolist() == [0, 0, 1, 1, 2, 2]
    assert sells.tolist() == [3, 3, 4, 4, 5, 5]
    several = trade_keys(np.array([0, 1, 2]), np.array([1, -1, 1]), np.zeros(3))
    assert several.tolist() == [0, KEYS_PER_ASSET + 3, 2 * KEYS_PER_ASSET]


def test_who_trades_another_asset_is_a_stranger():
    profiles = TradingProfiles(3, 2 * KEYS_PER_ASSET, 0.5)
    side, urgency = np.array([1, 1, 1]), np.zeros(3)
    keys = trade_keys(np.array([0, 0, 1]), side, urgency)
    profiles.end_day(np.arange(3), keys, np.array([1.0, 1.0, 1.0]))
    assert everybody(3).similarities(profiles.weights).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(("n", "acquaintances"), [(2, 50), (30, 28), (30, 29), (200, 10), (51, 7)])
def test_circles_are_connected_and_nearly_regular(n, acquaintances):
    circles = Circles(n, acquaintances, np.random.default_rng(3))
    degree = np.bincount(np.concatenate([circles.first, circles.second]), minlength=n)
    if acquaintances >= n - 1:
        assert (degree == n - 1).all()
    else:
        most = acquaintances // 2 * 2
        assert degree.max() <= most  # two rings may make the same two neighbours
        assert degree.mean() > most * (1 - 2 * most / n)
    assert (circles.first < circles.second).all()
    assert len(set(zip(circles.first.tolist(), circles.second.tolist(), strict=True))) == len(
        circles.first
    )
    graph = circles.links(np.ones(len(circles.first)), 0.5).graph()
    assert networkx.is_connected(graph)
    for agent in (0, n // 2, n - 1):
        own = slice(circles.starts[agent], circles.starts[agent + 1])
        assert circles.neighbour[own].tolist() == sorted(graph[agent])
        ends = np.stack([circles.first[circles.pair[own]], circles.second[circles.pair[own]]])
        assert (ends == agent).any(axis=0).all()
        assert (ends.sum(axis=0) - agent == circles.neighbour[own]).all()


def test_a_hundred_thousand_agents_take_memory_by_the_acquaintance():
    circles = Circles(100_000, 20, np.random.default_rng(4))
    held = sum(x.nbytes for x in vars(circles).values() if isinstance(x, np.ndarray))
    assert held < 40 * 20 * 100_000
    weights = np.random.default_rng(5).exponential(size=(100_000, 6))
    links = circles.links(circles.similarities(weights), 0.2)
    assert 0 < len(links.agent) <= 10 * 100_000


def test_the_largest_component_of_a_graph_is_scipys():
    weights = np.random.default_rng(6).exponential(size=(50, 6))
    circles = Circles(50, 4, np.random.default_rng(6))
    links = circles.links(circles.similarities(weights), 0.35)
    parts = [len(part) for part in networkx.connected_components(links.graph())]
    matrix = np.zeros((50, 50))
    matrix[links.agent, links.other] = 1
    _, member = connected_components(matrix, directed=False)
    assert sorted(parts) == sorted(np.bincount(member).tolist())


def test_nobody_is_a_society_alone():
    with pytest.raises(AgentError, match="a society of 1 agents, expected 2 or more"):
        Circles(1, 50, np.random.default_rng(0))
