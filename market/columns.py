"""Integer columns that grow by a day at a time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.market.errors import MarketError


class GrowingColumn:
    """An int64 column that grows at its end without copying its past every day."""

    def __init__(self, start: NDArray[Any]) -> None:
        self._length = start.size
        self._buffer = np.empty(2 * start.size + 256, np.int64)
        self._buffer[: start.size] = start

    def append(self, value: int) -> None:
        """Add a value at the end."""
        self.extend(np.array([value]))

    def extend(self, values: NDArray[np.int64]) -> None:
        """Add values at the end."""
        end = self._length + values.size
        while end > self._buffer.size:
            self._buffer = np.concatenate((self._buffer, np.empty_like(self._buffer)))
        self._buffer[self._length : end] = values
        self._length = end

    def view(self) -> NDArray[np.int64]:
        """Return the column so far as a read-only view; later appends do not change it."""
        # made anew: one that is kept would show the old buffer in a copy of the column
        return read_only_view(self._buffer[: self._length])


def read_only_view(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a view through which an array cannot be changed."""
    shown = values.view()
    shown.setflags(write=False)
    return shown


def price_history(history_ticks: NDArray[np.int64], name: str = "history_ticks") -> GrowingColumn:
    """Return closes before day 0 as a column to be continued.

    Parameters
    ----------
    history_ticks : NDArray[np.int64]
        Closes in ticks, shape [H], H >= 1, over 0.
    name : str
        What a complaint calls them.

    Raises
    ------
    MarketError
        If the history is empty, not of integers or not positive.
    """
    history = np.asarray(history_ticks)
    if history.ndim != 1 or history.size == 0 or history.dtype.kind not in "iu":
        raise MarketError(
            f"{name} is {history.dtype} of shape {history.shape}, "
            "expected integer closes of shape [H], H at least 1"
        )
    if history.min() < 1:
        row = int(history.argmin())
        raise MarketError(f"{name}[{row}] is {history[row]}, expected at least 1 tick")
    return GrowingColumn(history)
