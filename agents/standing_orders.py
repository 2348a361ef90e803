"""Orders that outlive their day: one an agent, replaced when it decides anew.

Knows which of a crowd's orders rest and when each lapses. Deliberately knows nothing of why an
agent orders, or for how long it means to wait.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from market.crowd import AssetView, Orders
from market.order_events import Kind, TimeInForce


def let_live(
    orders: Orders,
    life_days: NDArray[np.int64],
    asset: int,
    view: AssetView,
    time: int,
    turns: int,
) -> Orders:
    """Return a morning's orders with times in force of their own.

    Parameters
    ----------
    orders
        At most one an agent, plain but for the asset.
    life_days
        int64[m], at least 1: an order of one day is a day order, others are good till the last
        turn of their last day. Who still has an order in the book replaces it.
    asset, view
        The asset's row, and what is seen of it.
    time, turns
        The first turn of today, and the turns of a day.
    """
    number = np.full(int(orders.agent.max(initial=-1)) + 1, -1)
    if view.resting is not None:
        known = view.resting.agent < len(number)
        number[view.resting.agent[known]] = view.resting.number[known]
    target = number[orders.agent]
    long = life_days > 1
    return Orders(
        orders.agent,
        orders.side,
        orders.price_ticks,
        orders.quantity,
        np.full(len(orders), asset),
        np.where(target >= 0, Kind.REPLACE, Kind.LIMIT),
        np.maximum(target, 0),
        np.where(long, TimeInForce.GOOD_TILL_TIME, TimeInForce.DAY),
        np.zeros(len(orders), bool),
        np.where(long, time + turns * life_days, 0),
    )
