"""The numeric window: a year of returns in 25 numbers, each in its own usual size.

It is one field of what an investor sees, and holds no date, name or absolute price.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.observation import (
    FIELD_NAMES,
    FIELDS,
    HISTORY_DAYS,
    RANGE_DAYS,
    RECENT_DAYS,
    TREND_DAYS,
    decode_view,
    encode_view,
    to_levels,
)

PERIODS: tuple[int, ...] = (39,) * 5 + (5,) * 5 + (4,) * 5 + (1,) * 10
"""Days of each return, oldest first: all `HISTORY_DAYS` - 1 of them, finer towards today."""
WINDOW = len(PERIODS)
PRICE_FIELDS: tuple[str, ...] = ("trend", "value", "range", "volatility")
IS_PRICE = np.array([name in PRICE_FIELDS for name in FIELD_NAMES])
_ENDS = np.cumsum((0, *PERIODS))
_ROOTS = np.sqrt(PERIODS)


def scaled_returns(log_prices: NDArray[np.float64]) -> NDArray[np.float32]:
    """Measure the window at the end of a price path.

    Parameters
    ----------
    log_prices
        float64[H], natural logarithms of daily closes, H at least `HISTORY_DAYS`; only the last
        `HISTORY_DAYS` are read.

    Returns
    -------
    NDArray
        float32[`WINDOW`], oldest first: the return over each of `PERIODS`, divided by the root
        mean square of the year's daily returns and by the root of the period's days, so that 1 is
        usual for any. No price level or volatility level is left in it.
    """
    path = log_prices[-HISTORY_DAYS:]
    sigma = max(float(np.sqrt(np.mean(np.diff(path) ** 2))), 1e-8)
    returns: NDArray[np.float64] = np.diff(path[_ENDS])
    return (returns / (sigma * _ROOTS)).astype(np.float32)


def levels_of(window: NDArray[np.float64]) -> NDArray[np.int64]:
    """Read the price signs off a window alone: int64[F], those of the other fields of no meaning.

    The path between two of the window's days is taken to be straight; what that gets wrong is what
    the window leaves out. Volatility is the last 20 days' against 1, what all windows have.
    """
    moves = np.asarray(window, np.float64) * _ROOTS
    path = np.interp(np.arange(HISTORY_DAYS), _ENDS, np.concatenate([[0.0], np.cumsum(moves)]))
    recent, days = moves[_ENDS[1:] > HISTORY_DAYS - 1 - RECENT_DAYS], float(RECENT_DAYS)
    low, high = path[-RANGE_DAYS:].min(), path[-RANGE_DAYS:].max()
    values = (
        (path[-1] - path[-1 - TREND_DAYS]) / TREND_DAYS**0.5,
        (path[-1] - path.mean()) / 60**0.5,
        (path[-1] - low) / max(high - low, 1e-12),
        np.sqrt(np.sum(recent**2) / days),
    )
    return to_levels(np.array([*values, *np.zeros(len(FIELDS) - len(values))]))


def real_windows(closes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Measure the window of every day of `training.examples.real_levels`: float32[T', `WINDOW`]."""
    log_prices = np.log(closes)
    days = range(HISTORY_DAYS, len(closes))
    return np.array([scaled_returns(log_prices[:day]) for day in days])


def shows_window(views: NDArray[np.int64] | int) -> NDArray[np.bool_]:
    """Say whose views show a price sign, and with it the window: bool[...]."""
    return np.asarray((decode_view(views)[..., IS_PRICE] >= 0).any(axis=-1))


def widen(views: NDArray[np.int64], levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Make the window one field: who sees any price sign sees them all, who sees none, none.

    Parameters
    ----------
    views
        int64[n].
    levels
        int64[F] or int64[n, F], of the same days.
    """
    visible = (decode_view(views) >= 0) & ~IS_PRICE | (shows_window(views)[:, None] & IS_PRICE)
    return encode_view(levels, visible)


def other_words(view: int) -> str:
    """Write the words of what is visible beside the window."""
    shown = zip(FIELDS, decode_view(view), IS_PRICE, strict=True)
    return "".join(f" {f.words[level]}" for f, level, price in shown if level >= 0 and not price)


def other_titles() -> str:
    """Name the signs beside the window and their words, for the rules of a prompt."""
    shown = (field for field, price in zip(FIELDS, IS_PRICE, strict=True) if not price)
    return "; ".join(f"{field.title} ({', '.join(field.words)})" for field in shown)
