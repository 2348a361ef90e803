"""The compiled loops of a society's mechanisms, see `agents.personas.mechanisms`."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to these, delete __pycache__.
from evobourse.agents.crowds.elementary import exponential, normal_quantile
from evobourse.market.philox import Purpose, draw_uniform, draw_words

_READING = Purpose.READING
_DOUBT = 1e-12  # relative, and far more than a product of exponentials is from their sum's

OrderColumns = tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]
"""Agent, side, limit in ticks, quantity: arrays of one length."""


def draw_quoters(n: int, part: float, key: np.uint64) -> NDArray[np.bool_]:
    """Draw who quotes on both sides, bool[n]; without elements where nobody does."""
    if part == 0.0:
        return np.zeros(0, np.bool_)
    word = draw_words(n, 0, 0, Purpose.QUOTE, key)[0]
    quoters: NDArray[np.bool_] = (word + 0.5) * 2.0**-32 < part
    return quoters


@njit(cache=True)
def quote(
    orders: OrderColumns,
    urgency: NDArray[np.float64],
    reservation: NDArray[np.float64],
    both: NDArray[np.bool_],
    half_spread: float,
    unit: float,
    reference_ticks: int,
) -> OrderColumns:
    """Put a bid and an ask in the place of each order of those who quote on both sides.

    Parameters
    ----------
    orders, urgency, reservation
        One an agent, see `agents.crowds.order_law.price_orders`.
    both
        bool[n], who does.
    half_spread
        Distance of either from the reservation price.
    unit
        Log price per unit of distance.
    reference_ticks
        Yesterday's close.

    Returns
    -------
    OrderColumns
        By agent, a bid before its ask; the ask at least a tick above.
    """
    agent, side, price_ticks, quantity = orders
    count = agent.size
    for k in range(agent.size):
        count += both[agent[k]]
    agents, sides = np.empty(count, np.int64), np.empty(count, np.int8)
    prices, lots = np.empty(count, np.int64), np.empty(count, np.int64)
    down, up = exponential(-unit * half_spread), exponential(unit * half_spread)
    at = 0
    for k in range(agent.size):
        agents[at], lots[at] = agent[k], quantity[k]
        if not both[agent[k]]:
            sides[at], prices[at] = side[k], price_ticks[k]
            at += 1
            continue
        lean = side[k] * urgency[k]
        bid = to_tick(reservation[k] * down, unit * (lean - half_spread), reference_ticks)
        ask = to_tick(reservation[k] * up, unit * (lean + half_spread), reference_ticks)
        sides[at], prices[at] = 1, max(1, bid)
        agents[at + 1], lots[at + 1], sides[at + 1] = agent[k], quantity[k], -1
        prices[at + 1] = max(prices[at] + 1, ask)
        at += 2
    return agents, sides, prices, lots


@njit(cache=True)
def to_tick(near: float, log_distance: float, reference_ticks: int) -> int:
    """Round ``reference_ticks * exponential(log_distance)``, which is ``near`` but for a few ulp.

    The exponential is taken only where these could tell on which side of a half it is.
    """
    tick = np.rint(near)
    if abs(abs(near - tick) - 0.5) < _DOUBT * near:
        tick = np.rint(reference_ticks * exponential(log_distance))
    return int(tick)


@njit(cache=True)
def read_together(
    tone: float, spread: NDArray[np.float64], day: int, key: np.uint64
) -> NDArray[np.float64]:
    """Return a day's news as each persona's agents read it together, float64[P].

    Parameters
    ----------
    tone
        The news.
    spread
        float64[P], standard deviations of what is misread; 0 draws nothing.
    day, key
        Of the crowd.
    """
    tones = np.full(spread.size, tone)
    for p in range(spread.size):
        if spread[p] > 0.0:
            tones[p] += spread[p] * normal_quantile(draw_uniform(day, _READING, key, p))
    return tones


@njit(cache=True)
def perceive(
    value: float,
    tone: float,
    told: NDArray[np.float64],
    long_run: float,
    log_close: float,
    rates: tuple[float, float],
) -> float:
    """Return the natural logarithm of the perceived value after a morning's news.

    Parameters
    ----------
    value
        Yesterday's; NaN before the first.
    tone, told
        The news, and float64[n], what messages make of it for each agent: their mean counts.
    long_run
        Deviation of a day's log return.
    log_close
        Of yesterday.
    rates
        Long-run deviations for each of the news, and what a day leaves of the distance to a price.
    """
    by_news, kept = rates
    if math.isnan(value):
        value = log_close
    heard = 0.0
    for each in told:
        heard += each
    return (
        value + (1.0 - kept) * (log_close - value) + by_news * long_run * (tone + heard / told.size)
    )


@njit(cache=True)
def misalign(strength: float, lean: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    """Return how a deviation from value draws to those who lean against it, float64[P]."""
    return (strength * deviation * deviation) * lean


@njit(cache=True)
def follow_equity(
    usual_lots: NDArray[np.float64],
    part: float,
    lots_per_worth: float,
    cash_cents: NDArray[np.int64],
    shares: NDArray[np.int64],
    price_ticks: int,
) -> NDArray[np.float64]:
    """Return the lots that agents usually trade, a part of which follows their equity.

    Parameters
    ----------
    usual_lots
        float64[n], by what they were endowed with.
    part
        How much of it follows.
    lots_per_worth
        Lots that an agent usually trades for each share that its equity is worth.
    cash_cents, shares, price_ticks
        Balances, and the price that they are worth; a tick is a cent, as in
        `agents.crowds.persona_crowd.PersonaCrowd.accounts`.
    """
    lots = np.empty(usual_lots.size)
    for i in range(lots.size):
        worth = max(float(cash_cents[i]) / price_ticks + shares[i], 0.0)
        lots[i] = (1.0 - part) * usual_lots[i] + part * (lots_per_worth * worth)
    return lots
