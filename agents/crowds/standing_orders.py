"""Orders that outlive their day: one an agent, replaced when it decides anew."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.book import RestingOrders
from evobourse.market.book.order_events import Kind, TimeInForce
from evobourse.market.crowd import Orders


def let_live(
    orders: Orders,
    life_days: NDArray[np.int64],
    asset: int,
    resting: RestingOrders | None,
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
        turn of their last day. Who still has an order in the book replaces it, or takes it back
        when it turns to the other side.
    asset
        Row of the asset in the market.
    resting
        The crowd's orders in its book.
    time, turns
        The first turn of today, and the turns of a day.
    """
    number = np.full(int(orders.agent.max(initial=-1)) + 1, -1)
    held = np.zeros(len(number), np.int8)
    if resting is not None:
        lapses = (resting.time_in_force == TimeInForce.GOOD_TILL_TIME) & (resting.expires <= time)
        known = (resting.agent < len(number)) & ~lapses  # what lapses now is still seen
        number[resting.agent[known]] = resting.number[known]
        held[resting.agent[known]] = resting.side[known]
    target = number[orders.agent]
    replaces = (target >= 0) & (held[orders.agent] == orders.side)
    turned = (target >= 0) & ~replaces  # an order cannot be replaced by one of the other side
    agents = orders.agent[turned]
    long, count = life_days > 1, len(agents)
    none = np.zeros(count, np.int64)
    return Orders(
        np.concatenate([agents, orders.agent]),
        np.concatenate([held[agents], orders.side]),
        np.concatenate([none, orders.price_ticks]),
        np.concatenate([none, orders.quantity]),
        np.full(count + len(orders), asset),
        np.concatenate([none + Kind.CANCEL, np.where(replaces, Kind.REPLACE, Kind.LIMIT)]),
        np.concatenate([target[turned], np.where(replaces, target, 0)]),
        np.concatenate([none, np.where(long, TimeInForce.GOOD_TILL_TIME, TimeInForce.DAY)]),
        None,
        np.concatenate([none, np.where(long, time + turns * life_days, 0)]),
    )
