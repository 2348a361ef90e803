"""Forecasts of the next three days' returns, each beside the forecast that nothing will happen.

References
----------
Wang, Wang, Zeng and Jiang (2025), Advanced digital simulation for financial market dynamics: a
case of commodity futures, arXiv 2503.20787: the loss. The test: `fitness.comparisons`.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from evobourse.fitness.comparisons import diebold_mariano, holm
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import LARGEST_LOG_RETURN, MIN_DAYS, FloatArray, path_faults

HORIZON_DAYS = 3
"""Days of a forecast, n in the loss."""

LEAST_ORIGINS = 20
"""With fewer forecasts the test has neither its level nor any power."""

ARIMA_ORDER = (1, 0, 0)
"""Of log returns, with a constant: ARIMA(1, 1, 0) with drift of the log price."""

SIGNIFICANT = 0.05
"""Adjusted p-value under which a forecaster is called better or worse."""

NAIVE = "zero_return"

_PERCENT = 100.0  # the optimizers want a variance near one


@dataclass(frozen=True, eq=False)
class ForecastRow:
    """One forecaster beside the naive one.

    Parameters
    ----------
    name : str
        Key of the forecaster.
    loss : float
        Mean of `losses`, squared log returns; infinite if a forecast is missing.
    loss_ratio : float
        `loss` over the naive forecaster's; under 1 is better.
    dm : float
        Diebold-Mariano statistic with the correction of Harvey, Leybourne and Newbold (1997),
        negative where the loss is under the naive one; NaN where there is no test.
    p_value : float
        Two-sided, Student's t with one degree of freedom less than origins.
    p_adjusted : float
        Holm's correction of `p_value` for the number of forecasters tested.
    losses : float64 array, shape [O]
        ``L = (1 / n) sum (y_i - yhat_i)^2`` of each origin; NaN where a forecast is missing.
    verdict : str
        ``naive``, ``better`` or ``worse`` (`p_adjusted` under 5 %), ``undecided``, or what is
        wrong, as in ``no forecast at 2 of 40 origins``.
    """

    name: str
    loss: float
    loss_ratio: float
    dm: float
    p_value: float
    p_adjusted: float
    losses: FloatArray
    verdict: str


def rolling_origins(days: int, first: int) -> npt.NDArray[np.int64]:
    """Origins three days apart, so that no day is forecast twice.

    Parameters
    ----------
    days : int
        Length of the series of returns.
    first : int
        Returns known at the first origin.

    Returns
    -------
    int64 array, shape [O]
        Number of returns known at each origin; the three after them are forecast.
    """
    return np.arange(first, days - HORIZON_DAYS + 1, HORIZON_DAYS, dtype=np.int64)


def baseline_forecasts(log_returns: npt.ArrayLike, origins: npt.ArrayLike) -> dict[str, FloatArray]:
    """Forecast from what was known at each origin alone, without a market.

    Parameters
    ----------
    log_returns : array_like, shape [T]
        Daily log returns.
    origins : array_like of int, shape [O]
        Number of returns known at each origin, 30 or more.

    Returns
    -------
    dict of str to float64 array, shape [O, 3]
        Log returns of the three days after each origin: ``last_return`` (the last known one,
        three times), ``arima`` (`ARIMA_ORDER`) and ``ets`` (simple exponential smoothing with
        additive errors), the last two fitted by maximum likelihood anew at each origin. NaN where
        the known returns are degenerate or a fit does not converge. The zero return needs no
        forecaster: `compare_forecasts` adds it.

    Raises
    ------
    FitnessError
        If the series is degenerate or an origin has too few days on either side.

    References
    ----------
    ETS(A,N,N): Hyndman, Koehler, Ord and Snyder (2008), Forecasting with Exponential Smoothing,
    doi:10.1007/978-3-540-71918-2, section 2.5.
    """
    returns, starts = _checked(log_returns, origins)
    known = [returns[:start] for start in starts]
    return {
        "last_return": np.repeat(returns[starts - 1, None], HORIZON_DAYS, axis=1),
        "arima": np.stack([_fitted(history, _arima) for history in known]),
        "ets": np.stack([_fitted(history, _ets) for history in known]),
    }


def compare_forecasts(
    log_returns: npt.ArrayLike, origins: npt.ArrayLike, forecasts: Mapping[str, npt.ArrayLike]
) -> tuple[ForecastRow, ...]:
    """Score forecasters on the same days and test each against the zero return.

    Parameters
    ----------
    log_returns : array_like, shape [T]
        Real daily log returns.
    origins : array_like of int, shape [O]
        Number of returns known at each origin, ascending by three or more.
    forecasts : mapping of str to array_like, shape [O, 3]
        Log returns that each forecaster gave at each origin, as `baseline_forecasts` gives them.
        A simulated market's is the mean over its seeds.

    Returns
    -------
    tuple of ForecastRow
        The naive forecaster, zero return, then the others in their order.

    Raises
    ------
    FitnessError
        If the series is degenerate, origins are fewer than 20 or overlap, or a shape is wrong.

    Notes
    -----
    A fitted forecaster contains the zero return, and is worse on average where nothing can be
    forecast, since it estimates: "undecided" is then the best that it can hope for. Why origins do
    not overlap is measured in docs/decisions/031-forecast-test.md.

    Examples
    --------
    With settlement prices [O, S, 4] of S seeds, each simulated from the close of an origin on:

    >>> origins = rolling_origins(len(log_returns), first=250)
    >>> market = np.diff(np.log(settlement_prices), axis=-1).mean(axis=1)
    >>> forecasts = baseline_forecasts(log_returns, origins) | {"market": market}
    >>> for row in compare_forecasts(log_returns, origins, forecasts):
    ...     print(f"{row.name:12} {row.loss:.2e} {row.loss_ratio:.3f} {row.dm:+.2f} {row.verdict}")
    """
    returns, starts = _checked(log_returns, origins)
    if len(starts) < LEAST_ORIGINS or np.diff(starts).min() < HORIZON_DAYS:
        raise FitnessError(
            f"{len(starts)} origins, expected {LEAST_ORIGINS} or more, ascending by "
            f"{HORIZON_DAYS} days or more: use rolling_origins on a longer series"
        )
    actual = returns[starts[:, None] + np.arange(HORIZON_DAYS)]
    if NAIVE in forecasts:
        raise FitnessError(f"a forecaster named {NAIVE!r} is the naive one: give it another name")
    naive = _losses(NAIVE, np.zeros(actual.shape), actual)
    if not naive.any():
        raise FitnessError("every return to forecast is zero: no forecaster can be compared")
    losses = {name: _losses(name, forecast, actual) for name, forecast in forecasts.items()}
    tests = [diebold_mariano(each, naive) for each in losses.values()]
    adjusted = holm(np.array([p_value for _, p_value in tests]))
    nan = float("nan")
    return (
        ForecastRow(NAIVE, float(naive.mean()), 1.0, nan, nan, nan, naive, "naive"),
        *(
            _row(name, losses[name], naive, *test, float(p_adjusted))
            for name, test, p_adjusted in zip(losses, tests, adjusted, strict=True)
        ),
    )


def _checked(
    log_returns: npt.ArrayLike, origins: npt.ArrayLike
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    returns, starts = np.asarray(log_returns, dtype=np.float64), np.asarray(origins)
    if returns.ndim != 1 or starts.ndim != 1 or not np.issubdtype(starts.dtype, np.integer):
        raise FitnessError(
            f"log returns of shape {returns.shape} and {starts.dtype} origins of shape "
            f"{starts.shape}, expected [days] and integers [origins]"
        )
    if fault := str(path_faults(returns)):
        raise FitnessError(f"log returns: {fault}; there is nothing to forecast")
    last = len(returns) - HORIZON_DAYS
    if not len(starts) or starts.min() < MIN_DAYS or starts.max() > last:
        raise FitnessError(
            f"{len(returns)} days, origins {starts.tolist()}: expected one or more, each from "
            f"{MIN_DAYS} days known to {last}"
        )
    return returns, starts.astype(np.int64)


def _fitted(known: FloatArray, model: Callable[[FloatArray], Any]) -> FloatArray:
    """Forecast [3] of a statsmodels model with additive errors, NaN if it cannot be fitted."""
    nothing = np.full(HORIZON_DAYS, np.nan)
    if path_faults(known) != "":
        return nothing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # poor starting values; convergence is read below
        fit = model(known * _PERCENT)
        if not fit.mle_retvals["converged"]:
            return nothing
        return np.asarray(fit.forecast(HORIZON_DAYS) / _PERCENT)


def _arima(returns: FloatArray) -> Any:
    return ARIMA(returns, order=ARIMA_ORDER).fit(cov_type="none")


def _ets(returns: FloatArray) -> Any:
    return ETSModel(returns).fit(disp=False)


def _losses(name: str, forecast: npt.ArrayLike, actual: FloatArray) -> FloatArray:
    """Loss of each origin, [O, 3] -> [O] (Wang et al. 2025); NaN where a forecast is missing."""
    given = np.asarray(forecast, dtype=np.float64)
    if given.shape != actual.shape:
        raise FitnessError(
            f"forecasts of {name!r} have shape {given.shape}, expected {actual.shape} "
            "[origins, days]"
        )
    sound = np.abs(given).max(axis=1) <= LARGEST_LOG_RETURN  # False for NaN
    return np.where(sound, np.mean((actual - np.where(sound, given.T, 0.0).T) ** 2, axis=1), np.nan)


def _row(
    name: str, losses: FloatArray, naive: FloatArray, dm: float, p_value: float, p_adjusted: float
) -> ForecastRow:
    missing = int(np.isnan(losses).sum())
    loss = float("inf") if missing else float(losses.mean())
    if missing:
        verdict = f"no forecast at {missing} of {len(losses)} origins"
    elif p_adjusted < SIGNIFICANT:
        verdict = "better" if dm < 0 else "worse"
    else:
        verdict = "undecided"
    ratio = loss / float(naive.mean())
    return ForecastRow(name, loss, ratio, dm, p_value, p_adjusted, losses, verdict)
