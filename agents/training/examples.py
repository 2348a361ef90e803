"""Forced-choice examples over real market windows: views that occurred, labelled by teachers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.errors import AgentError
from evobourse.agents.observation import (
    FIELDS,
    HISTORY_DAYS,
    RECENT_DAYS,
    encode_view,
    price_values,
    to_levels,
)
from evobourse.agents.styles import TEACHERS, Policy, teach

if TYPE_CHECKING:
    from datasets import Dataset


def real_levels(closes: NDArray[np.float64], volumes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Observe a real series, day by day, as an investor would have.

    Price fields use the days before. A daily series carries neither order flow nor text, so
    two fields are stood in for, for the making of examples alone: the crowd is yesterday's
    standardised return times relative volume, the news is the day's own standardised return
    (the market's reaction to it). An adapter learns what a word means for a style, not what
    follows from it.

    Parameters
    ----------
    closes
        float64[T], daily closes.
    volumes
        float64[T], daily volumes.

    Returns
    -------
    NDArray
        int64[T - HISTORY_DAYS, F], one row a day from day `HISTORY_DAYS` on.

    Raises
    ------
    AgentError
        Fewer than ``HISTORY_DAYS + 1`` days.
    """
    if len(closes) <= HISTORY_DAYS:
        raise AgentError(
            f"examples: {len(closes)} days of prices, {HISTORY_DAYS + 1} needed; "
            "give a longer series"
        )
    log_prices = np.log(closes)
    returns = np.diff(log_prices)
    rows = []
    for day in range(HISTORY_DAYS, len(closes)):
        past = returns[day - HISTORY_DAYS : day - 1]
        sigma = past.std()
        busy = volumes[day - 1] / max(volumes[day - RECENT_DAYS : day].mean(), 1.0)
        crowd = 0.15 * returns[day - 2] / sigma * (busy if np.isfinite(busy) else 1.0)
        news = returns[day - 1] / sigma
        rows.append([*price_values(log_prices[:day]), crowd, news])
    return to_levels(np.array(rows))


def sample_views(
    levels: NDArray[np.int64],
    count: int,
    attention: int,
    rng: np.random.Generator,
    days: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Draw masked views of real days.

    Parameters
    ----------
    levels
        int64[T, F] from `real_levels`.
    count
        Number of views.
    attention
        Most fields a view may show; the number shown is the larger of two uniform draws
        from 1..attention, so that full views are the most frequent.
    rng
        Source of all choices.
    days
        int64[count], the days to see; None to draw them.

    Returns
    -------
    NDArray
        int64[count] views.
    """
    return sample_days(levels, count, attention, rng, days)[1]


def sample_days(
    levels: NDArray[np.int64],
    count: int,
    attention: int,
    rng: np.random.Generator,
    days: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw what `sample_views` does, and say of which days: rows of levels and views, int64[n]."""
    days = rng.integers(len(levels), size=count) if days is None else days
    shown = rng.integers(1, attention + 1, size=(count, 2)).max(axis=1)
    rank = rng.random((count, len(FIELDS))).argsort(axis=1).argsort(axis=1)
    return days, encode_view(levels[days], rank < shown[:, None])


def labelled_dataset(
    views: NDArray[np.int64],
    styles: tuple[str, ...],
    teachers: Mapping[str, Policy] = TEACHERS,
    windows: NDArray[np.float32] | None = None,
) -> Dataset:
    """Label views by one teacher, or by the rounded mean of several.

    Parameters
    ----------
    views
        int64[n].
    styles
        Keys of ``teachers``.
    teachers
        Policies by name.
    windows
        float32[n, W] of the same days, for encodings of numbers.

    Returns
    -------
    datasets.Dataset
        Columns ``view`` and ``label`` (0 strong sell .. 4 strong buy), and ``window`` if given.
    """
    from datasets import Dataset

    taught = [teach(style, views, teachers) for style in styles]
    columns = {"view": views, "label": np.rint(np.mean(taught, axis=0)).astype(np.int64)}
    return Dataset.from_dict(columns if windows is None else columns | {"window": windows})
