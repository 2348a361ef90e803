"""What a chartist expects: that the trend goes on."""

import numpy as np
from numpy.typing import NDArray


def trend_return(
    last_ticks: int, close_ticks: NDArray[np.int64], trend_days: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the mean daily log return over each agent's days.

    The second term of eq. 1 of Chiarella, Iori and Perello (2009),
    doi:10.1016/j.jedc.2008.08.001: the mean of the last returns, up to the last price.

    Parameters
    ----------
    last_ticks : int
        Last price.
    close_ticks : NDArray[np.int64]
        Closes, shape [T]. Before the first, the price is taken to have stood still.
    trend_days : NDArray[np.int64]
        How many days back each agent looks, at least 1, shape [n].

    Returns
    -------
    NDArray[np.float64]
        Log returns a day, shape [n].
    """
    back = close_ticks[np.maximum(len(close_ticks) - trend_days - 1, 0)]
    return np.asarray(np.log(last_ticks / back) / trend_days)
