"""What an investor can see on one morning: named fields, a few levels each, one word a level.

There is no date, name or absolute price among them: nothing here can leak the future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

TREND_DAYS = 10
VALUE_DAYS = 250
RANGE_DAYS = 55
RECENT_DAYS = 20
HISTORY_DAYS = VALUE_DAYS + 1


@dataclass(frozen=True)
class Field:
    """One named observation.

    Attributes
    ----------
    name
        Field name, used by masks and genes.
    title
        How the rules of the prompt call it.
    words
        One word a level, from lowest to highest; each a token of its own in common vocabularies.
    edges
        Boundaries between levels in the unit of the field's value, ascending,
        ``len(words) - 1`` of them.
    """

    name: str
    title: str
    words: tuple[str, ...]
    edges: tuple[float, ...]


FIELDS: tuple[Field, ...] = (
    Field(
        "trend",
        "two-week trend",
        ("crashing", "falling", "flat", "rising", "soaring"),
        (-1.0, -0.3, 0.3, 1.0),
    ),
    Field(
        "value",
        "price against its yearly mean",
        ("bargain", "cheap", "fair", "expensive", "bubble"),
        (-1.2, -0.4, 0.4, 1.2),
    ),
    Field("range", "place in the quarter's range", ("bottom", "middle", "top"), (0.15, 0.85)),
    Field("volatility", "recent risk", ("calm", "usual", "nervous"), (0.8, 1.1)),
    Field("crowd", "what the others did", ("selling", "split", "buying"), (-0.05, 0.05)),
    Field("news", "news", ("bad", "quiet", "good"), (-0.5, 0.5)),
)
FIELD_NAMES: tuple[str, ...] = tuple(field.name for field in FIELDS)
LEVELS: tuple[int, ...] = tuple(len(field.words) for field in FIELDS)
_EDGES = np.array([[*f.edges, *[np.inf] * (max(LEVELS) - len(f.words))] for f in FIELDS])
STRIDES = np.cumprod([1, *(n + 1 for n in LEVELS[:-1])]).astype(np.int64)
"""What a level more of each field adds to a view, int64[F]."""

VIEWS = int(np.prod([n + 1 for n in LEVELS]))

INVOCATION = "\nToday:"
CUE = " ->"
TENDENCIES: tuple[str, ...] = ("strong sell", "sell", "hold", "buy", "strong buy")
OPTIONS: tuple[str, ...] = (" A", " B", " C", " D", " E")


@njit(cache=True)
def price_values(log_prices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure the price-based fields at the end of a price path.

    Parameters
    ----------
    log_prices
        float64[H], natural logarithms of daily closes, H at least `HISTORY_DAYS`; only the
        last `HISTORY_DAYS` are read.

    Returns
    -------
    NDArray
        float64[4]: trend (10-day return in its own standard deviations), value (log price
        over its 250-day mean, in standard deviations of a 60-day return), range (0 at the
        55-day low, 1 at the high), volatility (20-day over 250-day standard deviation).
    """
    return measure_prices(log_prices)[0]


@njit(cache=True)
def measure_prices(log_prices: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    """Return what `price_values` does, the path's mean, and the value field's unit.

    The unit is the log return that counts as 1: a standard deviation of a 60-day return.
    """
    path = log_prices[-HISTORY_DAYS:]
    days = path.size - 1
    # One loop, in which sums do not wait for each other.
    total, squares, recent = path[0], 0.0, 0.0
    for day in range(1, path.size):
        square = (path[day] - path[day - 1]) * (path[day] - path[day - 1])
        total += path[day]
        squares += square
        recent += square if day > days - RECENT_DAYS else 0.0
    mean, sigma = total / path.size, max(np.sqrt(squares / days), 1e-8)
    unit = sigma * 60**0.5
    low = high = path[-1]
    for day in range(max(0, path.size - RANGE_DAYS), path.size):
        low, high = min(low, path[day]), max(high, path[day])
    values = np.array(
        [
            (path[-1] - path[-1 - TREND_DAYS]) / (sigma * TREND_DAYS**0.5),
            (path[-1] - mean) / unit,
            (path[-1] - low) / max(high - low, 1e-12),
            np.sqrt(recent / RECENT_DAYS) / sigma,
        ]
    )
    return values, mean, unit


def to_levels(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Sort field values into levels.

    Parameters
    ----------
    values
        float64[..., F] in the order of `FIELDS`.

    Returns
    -------
    NDArray
        int64[..., F], 0 for a field's lowest word.
    """
    levels: NDArray[np.int64] = (values[..., None] >= _EDGES).sum(axis=-1)
    return levels


def encode_view(levels: NDArray[np.int64], visible: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Encode a masked observation as one number.

    Parameters
    ----------
    levels
        int64[..., F].
    visible
        bool[..., F]; a field that is False leaves no trace in the number.

    Returns
    -------
    NDArray
        int64[...] in 0..`VIEWS` - 1; 0 is the view that shows nothing.
    """
    views: NDArray[np.int64] = np.where(visible, levels + 1, 0) @ STRIDES
    return views


@njit(cache=True)
def public_codes(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return what each field adds to a view that shows it: values float64[F] to int64[F]."""
    codes = np.empty(values.size, np.int64)
    for field in range(values.size):
        level = 0
        for edge in _EDGES[field]:
            level += values[field] >= edge
        codes[field] = (level + 1) * STRIDES[field]
    return codes


def decode_view(views: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Undo `encode_view`: int64[...] to levels int64[..., F], -1 where masked."""
    sizes = np.array(LEVELS) + 1
    levels: NDArray[np.int64] = np.asarray(views)[..., None] // STRIDES % sizes - 1
    return levels


def possible_views(attention: int) -> NDArray[np.int64]:
    """List every view that shows at most ``attention`` fields, ascending: int64[n]."""
    return _possible_views(attention).copy()


@cache
def _possible_views(attention: int) -> NDArray[np.int64]:
    views = np.arange(VIEWS)
    possible: NDArray[np.int64] = views[(decode_view(views) >= 0).sum(axis=1) <= attention]
    return possible


def render_view(view: int) -> str:
    """Write the private part of a prompt: the visible words in field order, then the cue.

    A masked field is absent: neither its word nor its name nor a blank stands for it.
    """
    return INVOCATION + "".join(" " + word for word in view_words(view)) + CUE


def view_words(view: int) -> list[str]:
    """Return the visible words of a view in field order, none for what is masked."""
    levels = decode_view(view)
    return [field.words[level] for field, level in zip(FIELDS, levels, strict=True) if level >= 0]


def render_rules(tendencies: Sequence[str] = TENDENCIES) -> str:
    """Write the shared prefix of every prompt: the market, the signs, the five choices.

    ``tendencies`` are what the letters stand for, in their order; all but the usual order is for
    measuring what the order does.
    """
    signs = "; ".join(f"{field.title} ({', '.join(field.words)})" for field in FIELDS)
    return (
        "You are an investor in a market for one stock. Every morning you see some of these "
        f"signs: {signs}. {render_choices(tendencies)}"
    )


def render_choices(tendencies: Sequence[str] = TENDENCIES) -> str:
    """Write the end of the shared prefix: the five choices."""
    choices = ", ".join(f"{o.strip()} {t}" for o, t in zip(OPTIONS, tendencies, strict=True))
    return f"You answer with one letter: {choices}."
