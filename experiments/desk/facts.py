"""Stylised facts of a path so far, beside windows of the real history as long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.fitness import facts
from evobourse.fitness.fact_table import max_drawdown, spread_windows
from evobourse.fitness.moments import FloatArray

LEAST_DAYS, STEP_DAYS, WINDOWS = 60, 20, 60

_FACTS: dict[str, Callable[[NDArray[np.float64]], FloatArray]] = {
    # all that a window of three months can show, but for the one that fits a GARCH to each
    "daily volatility": lambda returns: returns.std(axis=-1),
    "autocorrelation of returns": facts.mean_abs_acf,
    "excess kurtosis": facts.excess_kurtosis,
    "skewness": facts.skewness,
    "kurtosis of weeks less days": facts.aggregational_gaussianity,
    "volatility clustering": facts.volatility_clustering,
    "memory of a month": facts.acf_abs_month,
    "leverage": facts.leverage,
    "largest fall": max_drawdown,
}


class FactBands:
    """Facts of a path beside a real history's.

    Parameters
    ----------
    history
        Real closes, shape [H].
    """

    def __init__(self, history: NDArray[np.int64]) -> None:
        self._returns = np.diff(np.log(history))
        self._bands: dict[int, dict[str, tuple[float, float, float]]] = {}

    def of(self, closes: NDArray[np.int64]) -> dict[str, Any] | None:
        """Return what the last days of a path show, in whole months; None before the third.

        Parameters
        ----------
        closes
            In ticks, shape [T + 1], the first that of the day before.

        Returns
        -------
        dict
            ``days``, and of each fact ``name``, ``value``, and the ``low``, ``middle`` and
            ``high`` of real windows of as many days (quantiles of 5, 50 and 95 %).
        """
        longest = min(len(closes) - 1, len(self._returns))
        days = longest - longest % STEP_DAYS
        if days < LEAST_DAYS:
            return None
        path = np.diff(np.log(closes[-days - 1 :]))[None]
        bands = self._of_history(days)
        rows = []
        with np.errstate(all="ignore"):
            for name, fact in _FACTS.items():
                value, (low, middle, high) = float(fact(path)[0]), bands[name]
                if np.isfinite([value, low, middle, high]).all():
                    found = {"value": value, "low": low, "middle": middle, "high": high}
                    rows.append({"name": name} | {key: round(n, 5) for key, n in found.items()})
        return {"days": days, "rows": rows}

    def _of_history(self, days: int) -> dict[str, tuple[float, float, float]]:
        if days not in self._bands:
            windows = spread_windows(self._returns, days, WINDOWS)
            with np.errstate(all="ignore"):
                self._bands[days] = {name: _band(fact(windows)) for name, fact in _FACTS.items()}
        return self._bands[days]


def _band(values: FloatArray) -> tuple[float, float, float]:
    """Return quantiles of 5, 50 and 95 % of what is defined; NaN where that is not the most."""
    defined = values[np.isfinite(values)]
    if 2 * len(defined) < len(values):
        return np.nan, np.nan, np.nan
    low, middle, high = np.quantile(defined, (0.05, 0.5, 0.95)).tolist()
    return low, middle, high
