"""The call auction: one price for all orders of a round, and who trades at it."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to it, delete __pycache__.
from evobourse.market.philox import arrival_time, arrival_times

_TICKS_AN_ORDER = 16
"""Where limits are further apart than this for each order, sorting beats counting."""


@njit(cache=True)
def clear_call_auction(
    side: NDArray[np.int8],
    price_ticks: NDArray[np.int64],
    quantity: NDArray[np.int64],
    arrival: NDArray[np.int64],
    reference_ticks: int,
) -> tuple[int, NDArray[np.int64]]:
    """Clear limit orders at a single price, in O(n log n).

    With demand D(p) the quantity of buys at limits of p or more, and supply S(p) that of sells
    at p or less, the price is chosen among all integers p by, in turn: the largest executable
    volume ``min(D, S)``; the least absolute imbalance ``|D - S|``; the least distance to the
    reference price; the higher price. Buys at the highest limits and sells at the lowest are
    filled first, equal limits by arrival, until the volume is used up.

    Parameters
    ----------
    side : NDArray[np.int8]
        +1 for a buy, -1 for a sell, shape [n].
    price_ticks : NDArray[np.int64]
        Limit prices, shape [n].
    quantity : NDArray[np.int64]
        Shares, shape [n], at least 0.
    arrival : NDArray[np.int64]
        Time of arrival, any distinct integers, shape [n]; smaller is earlier.
    reference_ticks : int
        Price that ties are drawn to, usually the last close.

    Returns
    -------
    price_ticks : int
        The clearing price, 0 if nothing trades.
    filled : NDArray[np.int64]
        Shares traded by each order, shape [n], ``0 <= filled <= quantity``.

    Notes
    -----
    The periodic auction of Madhavan (1992), "Trading Mechanisms in Securities Markets", Journal
    of Finance 47(2), doi:10.1111/j.1540-6261.1992.tb04403.x. Largest volume, least surplus and
    nearest reference price, in this order, decide opening and closing auctions at exchanges;
    Comerton-Forde and Rydge (2006), "The current state of Asia-Pacific stock exchanges",
    Pacific-Basin Finance Journal 14(1), compare their rules.

    The last criterion never has to decide. D falls and S rises with p, so that of two prices
    equal in volume and imbalance no price between them is worse in either: the best prices are
    an interval, and only one of its ticks is nearest to the reference.
    """
    filled = np.zeros(side.size, np.int64)
    ranked = np.argsort(price_ticks, kind="mergesort")
    price, volume = _choose_price(ranked, side, price_ticks, quantity, reference_ticks)
    if volume == 0:
        return 0, filled
    sells = ranked[side[ranked] < 0]
    buys = ranked[side[ranked] > 0][::-1].copy()
    _fill_by_priority(buys, price_ticks, quantity, arrival, volume, filled)
    _fill_by_priority(sells, price_ticks, quantity, arrival, volume, filled)
    return price, filled


@njit(cache=True)
def clear_by_counting(
    agent: NDArray[np.int64],
    side: NDArray[np.int8],
    price_ticks: NDArray[np.int64],
    quantity: NDArray[np.int64],
    day: int,
    key: np.uint64,
    reference_ticks: int,
) -> tuple[int, NDArray[np.int64]]:
    """Clear as `clear_call_auction` does, by counting lots at every tick instead of sorting.

    Parameters
    ----------
    agent : NDArray[np.int64]
        Whose an order is, at most two an agent, one after the other; a quantity of 0 counts as no
        order.
    day, key : int, np.uint64
        Of the market: by them arrival is drawn (`market.philox.arrival_time`), and only where it
        decides, among the orders at the limit at which a side is used up.
    side, price_ticks, quantity, reference_ticks
        See `clear_call_auction`.

    Returns
    -------
    price_ticks, filled
        See `clear_call_auction`.
    """
    # No branch depends on an order's side or fate, which nobody can foresee.
    lowest = highest = reference_ticks
    demand, supply = 0, 0  # at the reference
    for order in range(side.size):
        at_ticks = price_ticks[order] if quantity[order] > 0 else reference_ticks
        lowest, highest = min(lowest, at_ticks), max(highest, at_ticks)
        demand += quantity[order] if (side[order] > 0) & (at_ticks >= reference_ticks) else 0
        supply += quantity[order] if (side[order] < 0) & (at_ticks <= reference_ticks) else 0
    ticks = highest - lowest + 1
    if ticks > _TICKS_AN_ORDER * (side.size + 64):
        times = arrival_times(agent, day, 0, key)
        rank = np.empty(side.size, np.int64)
        rank[np.argsort(times, kind="mergesort")] = np.arange(side.size)
        return clear_call_auction(side, price_ticks, quantity, rank, reference_ticks)
    lots = np.zeros((2, ticks), np.int64)  # of buys, of sells
    for order in range(side.size):
        at_ticks = price_ticks[order] if quantity[order] > 0 else reference_ticks
        lots[int(side[order] < 0), at_ticks - lowest] += quantity[order]
    price, demand, supply = _choose_tick(lots, demand, supply, lowest, reference_ticks)
    volume = min(demand, supply)
    filled = np.zeros(side.size, np.int64)
    if volume == 0:
        return 0, filled
    last_buy, left_to_buys, buys_share = _last_limit(lots[0], price - lowest, 1, demand - volume)
    last_sell, left_to_sells, sells_share = _last_limit(
        lots[1], price - lowest, -1, supply - volume
    )
    nearest_buy, nearest_sell = last_buy + buys_share + lowest, last_sell - sells_share + lowest
    for order in range(side.size):
        nearest = nearest_buy if side[order] > 0 else nearest_sell
        better = side[order] * (price_ticks[order] - nearest)
        filled[order] = quantity[order] if better >= 0 else 0
    if buys_share:
        level = 1, last_buy + lowest, left_to_buys
        _share_out(agent, side, price_ticks, quantity, day, key, level, filled)
    if sells_share:
        level = -1, last_sell + lowest, left_to_sells
        _share_out(agent, side, price_ticks, quantity, day, key, level, filled)
    return price, filled


@njit(cache=True)
def _choose_tick(
    lots: NDArray[np.int64], demand: int, supply: int, lowest: int, reference_ticks: int
) -> tuple[int, int, int]:
    """Return the clearing price, and demand and supply there.

    ``lots`` are bought and sold at each tick, [2, ticks]; demand and supply are given at the
    reference. As the price rises demand falls and supply rises: volume is largest where they meet.
    """
    ticks, tick = lots.shape[1], reference_ticks - lowest
    # Up or down to the first tick at which supply meets demand ...
    while supply < demand and tick < ticks - 1:
        demand -= lots[0, tick]
        tick += 1
        supply += lots[1, tick]
    while tick > 0 and supply - lots[1, tick] >= demand + lots[0, tick - 1]:
        supply -= lots[1, tick]
        tick -= 1
        demand += lots[0, tick]
    if tick > 0:  # ... then to the one before, or those below with demand and supply as there.
        supply -= lots[1, tick]
        tick -= 1
        demand += lots[0, tick]
        while tick > 0 and lots[1, tick] == 0 and lots[0, tick - 1] == 0:
            tick -= 1
    best, best_demand, best_supply = 0, 0, 0
    best_volume, best_imbalance, best_distance = 0, 0, 0
    while True:
        volume, imbalance = min(demand, supply), abs(demand - supply)
        distance = abs(tick + lowest - reference_ticks)
        if volume > best_volume or (
            volume == best_volume
            and volume > 0
            and (imbalance, distance) < (best_imbalance, best_distance)
        ):
            best, best_demand, best_supply = tick + lowest, demand, supply
            best_volume, best_imbalance, best_distance = volume, imbalance, distance
        elif supply >= demand and volume < best_volume:
            break
        if tick == ticks - 1:
            break
        demand -= lots[0, tick]
        tick += 1
        supply += lots[1, tick]
    return best, best_demand, best_supply


@njit(cache=True)
def _last_limit(
    lots: NDArray[np.int64], tick: int, step: int, unfilled: int
) -> tuple[int, int, bool]:
    """Return the limit at which a side is used up, what is left for it, and whether it shares that.

    ``lots`` of the side at each tick; from the clearing price on, away from it by ``step``, so
    many stay unfilled.
    """
    while unfilled > 0 and lots[tick] <= unfilled:
        unfilled -= lots[tick]
        tick += step
    return tick, lots[tick] - unfilled, unfilled > 0


@njit(cache=True)
def _share_out(
    agent: NDArray[np.int64],
    side: NDArray[np.int8],
    price_ticks: NDArray[np.int64],
    quantity: NDArray[np.int64],
    day: int,
    key: np.uint64,
    level: tuple[int, int, int],
    filled: NDArray[np.int64],
) -> None:
    """Hand what is left to the orders of one side at one limit, by arrival."""
    at_side, at_ticks, remaining = level
    at, count = np.empty(side.size, np.int64), 0
    for order in range(side.size):
        at[count] = order
        count += (price_ticks[order] == at_ticks) & (side[order] == at_side) & (quantity[order] > 0)
    times = np.empty(count, np.uint64)
    for k in range(count):
        order = at[k]
        nth = int(order > 0 and agent[order] == agent[order - 1])
        times[k] = arrival_time(agent[order], nth, day, 0, key)
    for k in np.argsort(times, kind="mergesort"):
        filled[at[k]] = min(quantity[at[k]], remaining)
        remaining -= filled[at[k]]


@njit(cache=True)
def _choose_price(
    ranked: NDArray[np.int64],
    side: NDArray[np.int8],
    price_ticks: NDArray[np.int64],
    quantity: NDArray[np.int64],
    reference_ticks: int,
) -> tuple[int, int]:
    """Return the clearing price and volume; ``ranked`` lists the orders by rising limit."""
    best_price, best_volume, best_imbalance, best_distance = 0, 0, 0, 0
    demand, supply = 0, 0
    for order in ranked:
        if side[order] > 0:
            demand += quantity[order]
    start = 0
    while start < ranked.size:
        level = price_ticks[ranked[start]]
        stop, leaving = start, 0
        while stop < ranked.size and price_ticks[ranked[stop]] == level:
            if side[ranked[stop]] > 0:
                leaving += quantity[ranked[stop]]
            else:
                supply += quantity[ranked[stop]]
            stop += 1
        above = price_ticks[ranked[stop]] if stop < ranked.size else level + 1
        # Demand and supply are constant between two limits, so that of all the ticks between
        # them only the one nearest to the reference can win.
        between = min(max(reference_ticks, level + 1), above - 1)
        for at_limit in (True, False):
            candidate = level if at_limit else between
            if not at_limit:
                demand -= leaving
                if above == level + 1:
                    break
            volume = min(demand, supply)
            imbalance = abs(demand - supply)
            distance = abs(candidate - reference_ticks)
            if volume > best_volume or (
                volume == best_volume and (imbalance, distance) < (best_imbalance, best_distance)
            ):
                best_price, best_volume = candidate, volume
                best_imbalance, best_distance = imbalance, distance
        start = stop
    return best_price, best_volume


@njit(cache=True)
def _fill_by_priority(
    ranked: NDArray[np.int64],
    price_ticks: NDArray[np.int64],
    quantity: NDArray[np.int64],
    arrival: NDArray[np.int64],
    volume: int,
    filled: NDArray[np.int64],
) -> None:
    """Hand ``volume`` shares to one side's orders, ``ranked`` from the best limit on."""
    remaining = volume
    start = 0
    while remaining > 0:
        stop, wanted = start, 0
        while stop < ranked.size and price_ticks[ranked[stop]] == price_ticks[ranked[start]]:
            wanted += quantity[ranked[stop]]
            stop += 1
        level = ranked[start:stop]
        if wanted > remaining:
            level = level[np.argsort(arrival[level], kind="mergesort")]
        for order in level:
            filled[order] = min(quantity[order], remaining)
            remaining -= filled[order]
        start = stop
