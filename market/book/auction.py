"""The call auction: one price for all orders of a round, and who trades at it."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


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
