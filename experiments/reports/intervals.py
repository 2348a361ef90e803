"""Intervals of means, and how they are printed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap, t

Interval = tuple[float, float, float]
"""A mean, and the low and high end of its 95 % interval."""


def t_interval(values: NDArray[np.float64]) -> Interval:
    """Return the mean over seeds with its interval by Student's t, of those that are numbers."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return (float(known.mean()) if len(known) else np.nan), np.nan, np.nan
    reach = t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
    return float(known.mean()), float(known.mean() - reach), float(known.mean() + reach)


def bootstrap_interval(values: NDArray[np.float64]) -> Interval:
    """Return the mean of float64[n] with its interval by resampling (percentiles)."""
    mean = float(values.mean())
    if values.min() == values.max():
        return mean, mean, mean
    rng = np.random.default_rng(0)
    found = bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=rng)
    low, high = found.confidence_interval
    return mean, float(low), float(high)


def show(values: ArrayLike, digits: int = 2, alone: bool = True) -> str:
    """Write a mean over seeds with its interval by Student's t.

    Parameters
    ----------
    values
        One a seed.
    digits
        After the point.
    alone
        Whether the mean stands alone where all are equal.
    """
    found = t_interval(np.array(values, np.float64))
    if np.isnan(found[0]):
        return "-"
    if np.isnan(found[1]) or (alone and not found[2] > found[1]):
        return f"{found[0]:z.{digits}f}"
    return write_interval(found, digits)


def write_interval(found: Interval, digits: int = 2, sign: str = "") -> str:
    """Write a mean and its interval; ``sign`` of the mean and ends, "+" for always."""
    mean, low, high = (f"{value:{sign}z.{digits}f}" for value in found)
    return f"{mean} [{low}, {high}]"
