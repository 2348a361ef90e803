"""Intervals of means and of statistics, and how they are printed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return mean and 95 % interval over seeds (Student's t) of those that are numbers."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return (float(known.mean()) if len(known) else np.nan), np.nan, np.nan
    reach = t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
    return float(known.mean()), float(known.mean() - reach), float(known.mean() + reach)


def show(values: ArrayLike, digits: int = 2) -> str:
    """Write a mean over seeds with its interval, or the mean alone where all are equal."""
    mean, low, high = interval(np.array(values, np.float64))
    if np.isnan(mean):
        return "-"
    if not high > low:
        return f"{mean:z.{digits}f}"
    return f"{mean:z.{digits}f} [{low:z.{digits}f}, {high:z.{digits}f}]"
