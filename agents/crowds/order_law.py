"""How far, how much and in which regime orders are drawn, and the loop that prices them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to these, delete __pycache__.
from evobourse.agents.crowds.daily_loops import high, in_parts, low
from evobourse.agents.crowds.elementary import exponential, logarithm

RECENT_DAYS = 20


class Spread(NamedTuple):
    """A mixture of normals of offsets and log relative quantities.

    Attributes
    ----------
    steps
        int64[C - 1], cumulated weights in `PARTS`.
    means, factors
        float64[C, 2] and float64[C, 3], see `agents.crowds.order_regimes.OrderMixture`.
    sized
        Whether quantities vary; else the second columns are 0.
    """

    steps: NDArray[np.int64]
    means: NDArray[np.float64]
    factors: NDArray[np.float64]
    sized: bool


class OrderHabits(NamedTuple):
    """How the agents of P personas order.

    Attributes
    ----------
    active
        int64[P], the chance that an agent with a tendency sends an order, in `PARTS`.
    pull, spread, size
        float64[P]: distance of a limit price for each unit of tendency, factor of its spread,
        and of quantities.
    """

    active: NDArray[np.int64]
    pull: NDArray[np.float64]
    spread: NDArray[np.float64]
    size: NDArray[np.float64]


class OrderLaw(NamedTuple):
    """Mixtures of offsets and quantities in R regimes, and what regimes are told by.

    Attributes
    ----------
    steps, means, factors
        int64[R, C - 1], float64[R, C, 2] and float64[R, C, 3], see
        `Spread`.
    odds
        float64[R], log odds of a regime at its mean.
    centre, scale, places, precisions
        float64[2], float64[2], float64[R, 2] and float64[R, 3], see
        `agents.crowds.order_regimes.OrderRegimes`.
    fitted
        Whether there are regimes: then quantities vary, and offsets are in units of the
        volatility of the long run; else of that which agents measure.
    """

    steps: NDArray[np.int64]
    means: NDArray[np.float64]
    factors: NDArray[np.float64]
    odds: NDArray[np.float64]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    places: NDArray[np.float64]
    precisions: NDArray[np.float64]
    fitted: bool


def mixture_steps(weights: Sequence[float], components: int) -> NDArray[np.int64]:
    """Return cumulated weights in parts, int64[components - 1]; components that lack have none."""
    cumulated = [*np.cumsum(weights)[:-1], *[1.0] * (components - len(weights))]
    return np.array([in_parts(weight) for weight in cumulated], np.int64)


@njit(cache=True)
def regime_signs(log_closes: NDArray[np.float64], usual: float) -> NDArray[np.float64]:
    """Return what a morning's regime is told by.

    Parameters
    ----------
    log_closes
        float64[H], H over 20, up to yesterday's.
    usual
        Usual daily volatility.

    Returns
    -------
    NDArray
        float64[2]: log of the volatility of the last 20 days over the usual; the return over
        them in its usual standard deviations.
    """
    squares, total = 0.0, 0.0
    for day in range(log_closes.size - RECENT_DAYS, log_closes.size):
        move = log_closes[day] - log_closes[day - 1]
        squares += move * move
        total += move
    recent = max(math.sqrt(squares / RECENT_DAYS), 1e-8)
    return np.array([logarithm(recent / usual), total / (usual * math.sqrt(RECENT_DAYS))])


@njit(cache=True)
def likeliest_regime(law: OrderLaw, signs: NDArray[np.float64]) -> int:
    """Return the most likely regime of two signs, float64[2]."""
    best, best_odds = 0, -np.inf
    one = (signs[0] - law.centre[0]) / law.scale[0]
    other = (signs[1] - law.centre[1]) / law.scale[1]
    for r in range(law.odds.size):
        x, y = one - law.places[r, 0], other - law.places[r, 1]
        a, b, d = law.precisions[r, 0], law.precisions[r, 1], law.precisions[r, 2]
        odds = law.odds[r] - 0.5 * (a * x * x + 2 * b * x * y + d * y * y)
        if odds > best_odds:
            best, best_odds = r, odds
    return best


@njit(cache=True)
def tell_regime(law: OrderLaw, log_path: NDArray[np.float64], long_run: float) -> int:
    """Return a morning's regime; 0 where there are none."""
    return likeliest_regime(law, regime_signs(log_path, long_run)) if law.fitted else 0


@njit(cache=True)
def spread_of(law: OrderLaw, regime: int) -> Spread:
    """Return the mixture of a regime."""
    return Spread(law.steps[regime], law.means[regime], law.factors[regime], law.fitted)


@njit(cache=True)
def spread_units(law: OrderLaw, unit: float, long_run: float) -> tuple[float, float]:
    """Return log price per unit of distance, and distances per unit of the mixture's offsets."""
    return unit, (long_run / unit if law.fitted else 1.0)


@njit(cache=True)
def price_orders(
    persona: NDArray[np.int64],
    tendency: NDArray[np.int64],
    usual_lots: NDArray[np.float64],
    habits: OrderHabits,
    spread: Spread,
    units: tuple[float, float],
    reference_ticks: int,
    normals: NDArray[np.float32],
    words: NDArray[np.uint32],
    more: NDArray[np.uint32],
) -> tuple[
    NDArray[np.int64],
    NDArray[np.int8],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.float64],
]:
    """Turn tendencies into limit orders of those who are active today.

    Parameters
    ----------
    persona, tendency
        int64[n]; a strong tendency asks for three times the quantity, a plain one for twice.
    usual_lots
        float64[n], lots that an agent without a tendency trades.
    habits, spread
        Of personas, and of the market.
    units
        Log price per unit of distance, and distances per unit of the spread.
    reference_ticks
        Yesterday's close.
    normals, words, more
        As in `see`; the last where quantities vary.

    Returns
    -------
    agent, side, price_ticks, quantity, urgency, reservation
        Arrays of one length; prices and quantities at least 1. Who wants to trade, how far its
        reservation price is from the reference in units of distance, and that price in ticks.
    """
    unit, scale = units
    components, count = spread.steps.size, 0
    agent, leans = np.empty(tendency.size, np.int64), np.empty(tendency.size)
    lots = np.empty(tendency.size)
    # First who orders, then at what price, so that the second loop runs on several at a time. What
    # is written of an agent without an order is written over.
    for i in range(tendency.size):
        who = persona[i]
        part, at = low(words[2, i]), 0
        for k in range(components):  # steps ascend
            at += part >= spread.steps[k]
        first = float(normals[high(words[2, i])])
        offset = spread.means[at, 0] + spread.factors[at, 0] * first
        lean = habits.pull[who] * tendency[i] + habits.spread[who] * (offset * scale)
        size = habits.size[who] * usual_lots[i]
        if spread.sized:
            second = float(normals[low(more[2, i])])
            size *= exponential(
                spread.means[at, 1] + spread.factors[at, 1] * first + spread.factors[at, 2] * second
            )
        agent[count], leans[count] = i, lean
        lots[count] = size * (1 + abs(tendency[i]))
        count += (high(words[1, i]) < habits.active[who]) & (lean != 0.0)
    side, urgency, reservation = np.empty(count, np.int8), np.empty(count), np.empty(count)
    price, quantity = np.empty(count, np.int64), np.empty(count, np.int64)
    for k in range(count):
        lean = leans[k]
        side[k], urgency[k] = 1 if lean > 0 else -1, abs(lean)
        reservation[k] = reference_ticks * exponential(unit * lean)
        price[k] = max(1, int(np.rint(reservation[k])))
        quantity[k] = max(1, int(np.rint(lots[k])))
    return agent[:count], side, price, quantity, urgency, reservation
