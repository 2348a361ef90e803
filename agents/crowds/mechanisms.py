"""The compiled loops of a society's mechanisms, see `agents.personas.mechanisms`."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to these, delete __pycache__.
from evobourse.agents.crowds.elementary import exponential
from evobourse.market.philox import Purpose, draw_words

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
    both: NDArray[np.bool_],
    half_spread: float,
    unit: float,
    reference_ticks: int,
) -> OrderColumns:
    """Put a bid and an ask in the place of each order of those who quote on both sides.

    Parameters
    ----------
    orders, urgency
        One an agent, see `agents.crowds.daily_loops.price_orders`.
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
    at = 0
    for k in range(agent.size):
        agents[at], sides[at] = agent[k], side[k]
        prices[at], lots[at] = price_ticks[k], quantity[k]
        if both[agent[k]]:
            lean = side[k] * urgency[k]
            bid = reference_ticks * exponential(unit * (lean - half_spread))
            ask = reference_ticks * exponential(unit * (lean + half_spread))
            sides[at], prices[at] = 1, max(1, int(np.rint(bid)))
            agents[at + 1], sides[at + 1], lots[at + 1] = agent[k], -1, quantity[k]
            prices[at + 1] = max(prices[at] + 1, int(np.rint(ask)))
            at += 1
        at += 1
    return agents, sides, prices, lots
