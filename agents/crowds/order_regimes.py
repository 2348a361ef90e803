"""Orders as real markets took them in each regime: how far, how much, and for how long.

Mixtures of offset and volume are fitted to each regime, and so is how long real prices took to
come back to a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.elementary import logarithm
from evobourse.agents.crowds.order_law import (
    OrderLaw,
    likeliest_regime,
    mixture_steps,
    regime_signs,
)
from evobourse.agents.errors import AgentError

Fit = Literal["gaussian", "kmeans"]
USUAL_DAYS, VOLUME_DAYS = 250, 60
LONGEST_DAYS = 10
DISTANCES = (0.1, 0.3, 0.6, 1.0, 1.5, 2.0)
"""Where waiting was measured: how far beyond the reference a limit is, in units of volatility."""

_BETWEEN = np.array([(a + b) / 2 for a, b in pairwise(DISTANCES)])
_STARTS = 4
_PRIOR = 20.0
"""Limits of all regimes that count beside those of one, of which few may be left behind."""


@dataclass(frozen=True)
class OrderMixture:
    """A mixture of normals of two numbers: standardised offset and log relative quantity.

    Attributes
    ----------
    weights
        One a component; they sum to 1.
    means
        One pair a component.
    factors
        Lower Cholesky factor of each covariance: its entries (0, 0), (1, 0), (1, 1).
    """

    weights: tuple[float, ...]
    means: tuple[tuple[float, float], ...]
    factors: tuple[tuple[float, float, float], ...]

    def draw(
        self, uniform: NDArray[np.float64], normal: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Turn uniform[n] and standard normal[2, n] numbers into offsets[n], log quantities[n]."""
        component = np.searchsorted(np.cumsum(self.weights)[:-1], uniform, side="right")
        mean, factor = np.array(self.means)[component], np.array(self.factors)[component]
        offset = mean[:, 0] + factor[:, 0] * normal[0]
        return offset, mean[:, 1] + factor[:, 1] * normal[0] + factor[:, 2] * normal[1]


@dataclass(frozen=True)
class OrderRegimes:
    """An order generator for each regime of the market.

    Attributes
    ----------
    centre, scale
        Of the two signs by which regimes are told, see
        `agents.crowds.order_law.regime_signs`.
    weights, means, precisions
        The Gaussian mixture over the standardised signs; of each regime's precision matrix the
        entries (0, 0), (0, 1), (1, 1). Calm regimes come first.
    mixtures
        One a regime.
    reach
        Mean and standard deviation of real reaches, in units of usual volatility: what offset 0
        and 1 stand for.
    lives
        ``lives[regime][distance][k]``: of the limits at `DISTANCES` that a real day's close left
        behind, the part to which a price came back on day ``k + 1``; the first entry holds those
        to which none came within `LONGEST_DAYS`, for which no wait was of use.
    longest_days
        Most days that an order lives; 1 for orders of the day alone.
    """

    centre: tuple[float, float]
    scale: tuple[float, float]
    weights: tuple[float, ...]
    means: tuple[tuple[float, float], ...]
    precisions: tuple[tuple[float, float, float], ...]
    mixtures: tuple[OrderMixture, ...]
    reach: tuple[float, float]
    lives: tuple[tuple[tuple[float, ...], ...], ...]
    longest_days: int = LONGEST_DAYS

    @cached_property
    def law(self) -> OrderLaw:
        """The same for compiled loops."""
        components = max(len(mixture.weights) for mixture in self.mixtures)
        means = np.zeros((len(self.mixtures), components, 2))
        factors = np.zeros((len(self.mixtures), components, 3))
        for r, mixture in enumerate(self.mixtures):
            means[r, : len(mixture.weights)] = mixture.means
            factors[r, : len(mixture.weights)] = mixture.factors
        determinants = [a * d - b * b for a, b, d in self.precisions]
        odds = [
            logarithm(weight) + 0.5 * logarithm(determinant)
            for weight, determinant in zip(self.weights, determinants, strict=True)
        ]
        return OrderLaw(
            np.stack([mixture_steps(mixture.weights, components) for mixture in self.mixtures]),
            means,
            factors,
            np.array(odds),
            np.array(self.centre),
            np.array(self.scale),
            np.array(self.means),
            np.array(self.precisions),
            True,
        )

    def regime(self, signs: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the most likely regime of each row of signs float64[n, 2]."""
        law = self.law
        return np.array([likeliest_regime(law, row) for row in signs])

    def life(
        self,
        regime: int,
        distance: NDArray[np.float64],
        uniform: NDArray[np.float64],
        patience: NDArray[np.float64] | float = 1.0,
    ) -> NDArray[np.int64]:
        """Draw for how many days orders live: int64[n], 1 to `longest_days`.

        Parameters
        ----------
        regime
            Of the morning.
        distance
            float64[n], how far each limit is beyond the reference, towards the other side, in
            units of usual volatility.
        uniform
            float64[n].
        patience
            Multiplies the days after the first.
        """
        table = np.cumsum(np.array(self.lives[regime]), axis=1)[:, :-1]
        rows = table[np.searchsorted(_BETWEEN, distance)]
        days = (uniform[:, None] >= rows).sum(axis=1)
        return np.asarray(1 + np.clip(np.rint(days * patience), 0, self.longest_days - 1), np.int64)


@dataclass(frozen=True, eq=False)
class RealOrders:
    """What orders would have met on real days, T of them.

    Attributes
    ----------
    signs
        float64[T, 2], see
        `agents.crowds.order_law.regime_signs`.
    unit
        float64[T], usual volatility.
    high, low
        float64[T], how far the day reached from the close before, in units of ``unit``.
    quantity
        float64[T], log of the volume over its mean of the 60 days before; 0 where unknown.
    waits
        int64[2, T, 6], a buyer's and a seller's limit at `DISTANCES`: the day, from 2, on which a
        price came back to it; 1 where none did within `LONGEST_DAYS`, 0 where the first day's
        close did not leave it behind, so that it had been filled.
    """

    signs: NDArray[np.float64]
    unit: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    quantity: NDArray[np.float64]
    waits: NDArray[np.int64]


def measure_orders(
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    close: NDArray[np.float64],
    volume: NDArray[np.float64] | None = None,
) -> RealOrders:
    """Measure real days as limit orders met them; the first `USUAL_DAYS` only serve as the past.

    Parameters
    ----------
    high, low, close, volume
        float64[T + 251] each.
    """
    closes = np.log(close)
    returns = np.diff(closes)
    days = np.arange(USUAL_DAYS + 1, len(close))
    if len(days) < USUAL_DAYS:
        raise AgentError(
            f"orders: received {len(close)} days, expected at least {2 * USUAL_DAYS + 1} to fit to"
        )
    past = np.lib.stride_tricks.sliding_window_view(returns, USUAL_DAYS)[:-1]
    unit = np.sqrt((past**2).mean(axis=1))
    days, unit = days[unit > 0], unit[unit > 0]  # a year of suspension measures nothing
    signs = np.stack([regime_signs(closes[:d], u) for d, u in zip(days, unit, strict=True)])
    before = closes[days - 1]
    quantity = np.zeros(len(days))
    if volume is not None and (volume > 0).all():
        logs = np.log(volume)
        usual = np.lib.stride_tricks.sliding_window_view(volume, VOLUME_DAYS).mean(axis=1)
        quantity = logs[days] - np.log(usual[days - VOLUME_DAYS])
    waits = np.zeros((2, len(days), len(DISTANCES)), np.int64)
    for at, distance in enumerate(DISTANCES):
        for side, (sign, extreme) in enumerate(((1, np.log(low)), (-1, np.log(high)))):
            limit = before + sign * distance * unit
            wait = np.ones(len(days), np.int64)
            for k in range(LONGEST_DAYS, 1, -1):  # the first day that comes back is written last
                there = np.minimum(days + k - 1, len(close) - 1)
                wait[sign * extreme[there] <= sign * limit] = k
            left = sign * closes[days] > sign * limit
            waits[side, :, at] = np.where(left, wait, 0)
    return RealOrders(
        signs,
        unit,
        (np.log(high[days]) - before) / unit,
        (np.log(low[days]) - before) / unit,
        quantity,
        waits,
    )


def fit_regimes(
    real: RealOrders,
    regimes: int = 3,
    mixture: Fit = "gaussian",
    components: int = 4,
    longest_days: int = LONGEST_DAYS,
    seed: int = 0,
) -> OrderRegimes:
    """Tell regimes apart, and fit in each how far prices reached, with what volume, and how soon.

    Regimes are the components of a Gaussian mixture over recent volatility and trend. In each,
    offset (the day's high and low against the close before) and relative volume are fitted
    together: by a Gaussian mixture, or by k-means with a normal a cluster, as Wang et al. (2025,
    arXiv 2503.20787) do with prices.

    Parameters
    ----------
    real
        Training years only.
    regimes, mixture, components
        How many regimes, and how many normals of which fit in each.
    longest_days, seed
        See `OrderRegimes`; of the fits' starts.

    Raises
    ------
    AgentError
        A regime has too few days for its components.
    """
    from sklearn.mixture import GaussianMixture

    centre, scale = real.signs.mean(axis=0), real.signs.std(axis=0)
    z = (real.signs - centre) / scale
    told = GaussianMixture(regimes, n_init=_STARTS, random_state=seed).fit(z)
    order = np.argsort(told.means_[:, 0])
    label = np.argsort(order)[told.predict(z)]
    reach = np.concatenate([real.high, real.low])
    mean, deviation = float(reach.mean()), float(reach.std())
    # so that orders are on average as large as without
    quantity = real.quantity - np.log(np.exp(real.quantity).mean())
    pairs = np.stack([(reach - mean) / deviation, np.tile(quantity, 2)], axis=1)
    mixtures, lives = [], []
    every_life = _lives(real.waits, np.full((len(DISTANCES), LONGEST_DAYS), 1 / LONGEST_DAYS))
    for r in range(regimes):
        days = label == r
        if days.sum() < 10 * components:
            raise AgentError(
                f"orders: regime {r} of {regimes} has {days.sum()} days for {components} "
                "components; fit fewer regimes, or more days"
            )
        mixtures.append(_fit_mixture(pairs[np.tile(days, 2)], mixture, components, seed))
        lives.append(tuple(map(tuple, _lives(real.waits[:, days], every_life))))
    precision = told.precisions_[order]
    return _plain(
        OrderRegimes(
            tuple(centre),
            tuple(scale),
            tuple(told.weights_[order]),
            tuple(map(tuple, told.means_[order])),
            tuple((p[0, 0], p[0, 1], p[1, 1]) for p in precision),
            tuple(mixtures),
            (mean, deviation),
            tuple(lives),
            longest_days,
        )
    )


def read_regimes(values: Mapping[str, Any]) -> OrderRegimes:
    """Make an order generator of its fields as YAML or JSON holds them."""
    mixtures = tuple(OrderMixture(**_frozen(mixture)) for mixture in values["mixtures"])
    return OrderRegimes(**{**_frozen(values), "mixtures": mixtures})


def _fit_mixture(
    pairs: NDArray[np.float64], mixture: Fit, components: int, seed: int
) -> OrderMixture:
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    known = pairs[:, 1].std() > 0  # the volumes
    if mixture == "kmeans":
        fitted = KMeans(components, n_init=_STARTS, random_state=seed).fit(pairs[:, : 1 + known])
        groups = [pairs[fitted.labels_ == k] for k in range(components)]
        weights = [len(group) / len(pairs) for group in groups]
        means = [group.mean(axis=0) for group in groups]
        covariances = [np.cov(group.T, bias=True) for group in groups]
    else:
        fitted = GaussianMixture(components, n_init=_STARTS, random_state=seed).fit(pairs)
        weights, means, covariances = fitted.weights_, fitted.means_, fitted.covariances_
    factors = []
    for covariance in covariances:
        a = max(float(covariance[0, 0]), 1e-12) ** 0.5
        b = float(covariance[1, 0]) / a if known else 0.0
        d = max(float(covariance[1, 1]) - b * b, 0.0) ** 0.5 if known else 0.0
        factors.append((a, b, d))
    order = np.argsort([m[0] for m in means])
    return OrderMixture(
        tuple(float(weights[k]) for k in order),
        tuple((float(means[k][0]), float(means[k][1])) for k in order),
        tuple(factors[k] for k in order),
    )


def _lives(waits: NDArray[np.int64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the part of the limits left behind by the day of the price's return, [6, 10]."""
    columns = waits.reshape(-1, len(DISTANCES)).T
    counts = np.stack([np.bincount(c, minlength=LONGEST_DAYS + 1)[1:] for c in columns])
    return np.asarray((counts + _PRIOR * prior) / (counts.sum(axis=1) + _PRIOR)[:, None])


def _plain(regimes: OrderRegimes) -> OrderRegimes:
    """Return the same in Python's own numbers, as a file would bring it back."""
    return read_regimes(asdict(regimes))


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _frozen(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    return value.item() if isinstance(value, np.generic) else value
