"""Clearing at a price that demand moves: the market maker's rule of the structural models."""

import math

import numpy as np
from numpy.typing import NDArray

from evobourse.market.errors import MarketError


def impact_price(
    side: NDArray[np.int8],
    quantity: NDArray[np.int64],
    reference_ticks: int,
    impact_per_lot: float,
    limits_ticks: tuple[int, int],
) -> int:
    """Return the price at which a dealer fills all demand.

    ``log p = log reference + impact * (buys - sells)``, to the nearest tick within the limits
    (Farmer and Joshi 2002, J. Econ. Behav. Organ. 49, doi:10.1016/S0167-2681(02)00065-3; the
    price equation of Franke and Westerhoff 2012, doi:10.1016/j.jedc.2011.10.004, whose excess
    demand is a mean over traders and whose mu is then impact times their number).

    Parameters
    ----------
    side : NDArray[np.int8]
        +1 for a buy, -1 for a sell, shape [m].
    quantity : NDArray[np.int64]
        Lots, shape [m].
    reference_ticks : int
        Last price, over 0.
    impact_per_lot : float
        Log price per lot of net demand, over 0.
    limits_ticks : tuple of (int, int)
        Lowest and highest price of the day.

    Raises
    ------
    MarketError
        If the impact is not a finite number over 0.
    """
    if not 0.0 < impact_per_lot < math.inf:
        raise MarketError(
            f"impact_per_lot is {impact_per_lot}, expected a number over 0: a turn of kind "
            "'impact' needs one"
        )
    net = int(np.sum(side * quantity))
    reach = math.log(limits_ticks[1] / reference_ticks) + 1.0
    move = min(max(impact_per_lot * net, -reach - 1.0), reach)
    return min(max(round(reference_ticks * math.exp(move)), limits_ticks[0]), limits_ticks[1])
