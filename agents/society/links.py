"""Who is linked with whom: acquaintances whose trading profiles are similar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to these, delete __pycache__.
from evobourse.agents.crowds.elementary import exponential
from evobourse.agents.errors import AgentError
from evobourse.market.philox import Purpose, draw_key, draw_words

if TYPE_CHECKING:
    import networkx

URGENCY_EDGES = (1.0, 2.0)
"""Distances of a limit price from the reference, in units of the market's volatility."""

KEYS_PER_ASSET = 2 * (len(URGENCY_EDGES) + 1)


def trade_keys(
    asset: NDArray[np.int64] | int, side: NDArray[np.int64], urgency: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the kind of each trade, the k of a profile: asset, side, and how far it reached.

    Parameters
    ----------
    asset
        Rows of assets, int64[m], or one for all.
    side
        int64[m]: +1 buy, -1 sell.
    urgency
        float64[m], how far from the reference the limit was, see `URGENCY_EDGES`.

    Returns
    -------
    NDArray
        int64[m] in 0..assets * `KEYS_PER_ASSET` - 1.
    """
    return np.asarray(asset * KEYS_PER_ASSET + keys_of(side, urgency))


class TradingProfiles:
    """How much each agent has lately traded of each kind.

    Parameters
    ----------
    n_agents, keys
        Agents, and kinds of trade.
    decay
        Rate per day: a trade of intensity x weighs ``x * exp(-decay * age)``, its age in
        simulated days.

    Attributes
    ----------
    weights
        float64[n, keys].
    """

    def __init__(self, n_agents: int, keys: int, decay: float):
        self.weights = np.zeros((n_agents, keys))
        self._kept = exponential(-decay)

    def end_day(
        self, agent: NDArray[np.int64], key: NDArray[np.int64], intensity: NDArray[np.float64]
    ) -> None:
        """Let a day pass, and add its trades: rows, kinds and intensities of one length."""
        fade_and_add(self.weights, self._kept, agent, key, intensity)


@dataclass(frozen=True, eq=False)
class Links:
    """The links of a day, a row each.

    Attributes
    ----------
    n_agents
        Agents, linked or not.
    agent, other
        int64[m], the lower row first.
    similarity
        float64[m].
    """

    n_agents: int
    agent: NDArray[np.int64]
    other: NDArray[np.int64]
    similarity: NDArray[np.float64]

    def graph(self) -> networkx.Graph:
        """Return all agents and their links, similarities as weights."""
        import networkx

        graph = networkx.Graph()
        graph.add_nodes_from(range(self.n_agents))
        rows = (self.agent.tolist(), self.other.tolist(), self.similarity.tolist())
        graph.add_weighted_edges_from(zip(*rows, strict=True))
        return graph


class Circles:
    """Who can ever be linked with whom: pairs of acquaintances, drawn once.

    With fewer agents than acquaintances asked for, everybody knows everybody. Otherwise the
    agents stand in ``acquaintances / 2`` rings, each in an order of its own, and know their
    neighbours in each: a random graph that is connected and nearly regular, whose size grows with
    the number of agents alone.

    Parameters
    ----------
    n_agents, acquaintances
        How many there are, and how many each knows, about.
    rng
        Gives the key by which the rings are drawn: one agent more is let in where its place is.

    Attributes
    ----------
    first, second
        The pairs, int64[M], sorted, ``first < second``.
    starts, neighbour, pair
        Those of agent a, seen from there: ``neighbour[starts[a]:starts[a + 1]]``, rising, and
        the row of each pair in `first`; int64[n + 1], int32[2 M], int32[2 M].
    """

    def __init__(self, n_agents: int, acquaintances: int, rng: np.random.Generator):
        if n_agents < 2:
            raise AgentError(f"a society of {n_agents} agents, expected 2 or more")
        if acquaintances >= n_agents - 1:
            self.first, self.second = np.triu_indices(n_agents, 1)
        else:
            own = draw_key(rng)
            rings = [_ring(n_agents, row, own) for row in range(max(1, acquaintances // 2))]
            ends = np.array([[ring, np.roll(ring, -1)] for ring in rings])
            lower, higher = ends.min(axis=1).ravel(), ends.max(axis=1).ravel()
            self.first, self.second = np.divmod(np.unique(lower * n_agents + higher), n_agents)
        self.n_agents = n_agents
        one_way = np.concatenate([self.first, self.second])
        back = np.concatenate([self.second, self.first])
        order = np.lexsort((back, one_way))
        self.starts = np.searchsorted(one_way[order], np.arange(n_agents + 1))
        self.neighbour = back[order].astype(np.int32)
        self.pair = (order % len(self.first)).astype(np.int32)

    def similarities(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how similar the profiles of each pair are, float64[M] in 0..1.

        ``S(u, v) = sum_k min(w_uk, w_vk) / sum_k max(w_uk, w_vk)``, 0 for two who have not
        traded (TwinMarket: Yang et al. 2025, arXiv 2502.01506).
        """
        return np.asarray(find_similarities(weights, self.first, self.second))

    def links(self, similarity: NDArray[np.float64], threshold: float) -> Links:
        """Return the pairs that are more similar than the threshold."""
        linked = np.flatnonzero(similarity > threshold)
        return Links(self.n_agents, self.first[linked], self.second[linked], similarity[linked])


def _ring(n_agents: int, row: int, key: np.uint64) -> NDArray[np.int64]:
    """Draw an order of the agents: int64[n]."""
    words = draw_words(n_agents, row, 0, Purpose.CIRCLES, key)[:2].astype(np.uint64)
    return np.argsort((words[0] << np.uint64(32)) | words[1], kind="stable")


@njit(cache=True)
def keys_of(side: NDArray[np.int64], urgency: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the kind of each trade of one asset, see `trade_keys`: int64[m]."""
    keys = np.empty(side.size, np.int64)
    for trade in range(side.size):
        keys[trade] = 0 if side[trade] > 0 else KEYS_PER_ASSET // 2
        for edge in URGENCY_EDGES:
            keys[trade] += urgency[trade] >= edge
    return keys


@njit(cache=True)
def fade_and_add(
    weights: NDArray[np.float64],
    kept: float,
    agent: NDArray[np.int64],
    key: NDArray[np.int64],
    intensity: NDArray[np.float64],
) -> None:
    """Let profiles, float64[n, keys], fade by a day, and add its trades, in place."""
    weights *= kept
    for trade in range(agent.size):
        weights[agent[trade], key[trade]] += intensity[trade]


@njit(cache=True)
def find_similarities(
    weights: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return how similar the profiles of pairs are, see `Circles.similarities`."""
    found = np.zeros(first.size)
    for m in range(first.size):
        least, most = 0.0, 0.0
        for k in range(weights.shape[1]):
            one, other = weights[first[m], k], weights[second[m], k]
            least += min(one, other)
            most += max(one, other)
        if most > 0.0:
            found[m] = least / most
    return found
