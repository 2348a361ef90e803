"""What a fundamentalist expects: that the price returns to the value."""

import math


def value_return(price_ticks: float, value_ticks: float, reversion_days: float) -> float:
    """Return the daily log return that closes the gap, ``ln(value / price) / reversion_days``.

    The first term of eq. 1 of Chiarella, Iori and Perello (2009),
    doi:10.1016/j.jedc.2008.08.001.

    Parameters
    ----------
    price_ticks, value_ticks : float
        Last price and fundamental value, over 0.
    reversion_days : float
        Days that it takes, over 0.
    """
    return math.log(value_ticks / price_ticks) / reversion_days
