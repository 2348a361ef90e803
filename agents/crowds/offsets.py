"""From tendency to order: limit prices and quantities with the spread of real prices.

Numbers come from distributions that are fitted to real daily ranges, since models that are asked
for numbers repeat themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.order_law import OrderLaw, mixture_steps

ORDER_FRACTION = 0.02


@dataclass(frozen=True)
class OffsetClusters:
    """A mixture of normals of standardised price offsets, mean zero and variance one overall.

    Attributes
    ----------
    weights, means, deviations
        One entry a cluster; weights sum to 1.
    """

    weights: tuple[float, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    @cached_property
    def law(self) -> OrderLaw:
        """The same for compiled loops."""
        count, none = len(self.weights), np.zeros((1, 2))
        means, factors = np.zeros((1, count, 2)), np.zeros((1, count, 3))
        means[0, :, 0], factors[0, :, 0] = self.means, self.deviations
        steps = mixture_steps(self.weights, count)[None]
        precisions = np.zeros((1, 3))
        unused = np.zeros(1), none[0], none[0] + 1.0, none, precisions
        return OrderLaw(steps, means, factors, *unused, False)

    def draw(
        self, uniform: NDArray[np.float64], normal: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Turn uniform[n] and standard normal[n] numbers into offsets[n]."""
        edges = np.cumsum(self.weights)[:-1]
        cluster = np.searchsorted(edges, uniform, side="right")
        return np.array(self.means)[cluster] + np.array(self.deviations)[cluster] * normal


def fit_offsets(
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    close: NDArray[np.float64],
    clusters: int = 4,
) -> OffsetClusters:
    """Cluster how far real prices reached from the day before's close, in units of volatility.

    The day's high and low against the previous close are what limit orders of that day met;
    they are standardised by the trailing 20-day volatility and clustered by k-means, one
    normal a cluster (Wang et al. 2025, arXiv 2503.20787).

    Parameters
    ----------
    high, low, close
        float64[T], training years only.
    clusters
        Number of clusters.

    Returns
    -------
    OffsetClusters
        Clusters in ascending order of their means.
    """
    from sklearn.cluster import KMeans

    returns = np.diff(np.log(close))
    windows = np.lib.stride_tricks.sliding_window_view(returns, 20)[:-1]
    sigma = windows.std(axis=1)
    moving = sigma > 0  # after 20 days of suspension nothing is known to measure by
    before, sigma = close[20:-1][moving], sigma[moving]
    sides = (np.log(side[21:][moving] / before) / sigma for side in (high, low))
    reach = np.concatenate(list(sides))
    reach = (reach - reach.mean()) / reach.std()
    fitted = KMeans(clusters, n_init=4, random_state=0).fit(reach[:, None])
    order = np.argsort(fitted.cluster_centers_[:, 0])
    groups = [reach[fitted.labels_ == label] for label in order]
    return OffsetClusters(
        tuple(len(g) / len(reach) for g in groups),
        tuple(float(g.mean()) for g in groups),
        tuple(float(g.std()) for g in groups),
    )
