"""How a market answers a buyer: the same market run with and without one, and their difference.

Pairs must share all their random numbers.

References
----------
Kyle (1985), Continuous auctions and insider trading, Econometrica 53(6), 1315-1335,
doi:10.2307/1913210: prices move by lambda times the order flow. The experiment, one run with and
one without a percentage-of-volume buyer, is that of Berti, Prenkaj and Velardi (2025), TRADES,
arXiv 2502.07071.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import statsmodels.api as sm
from statsmodels.stats.diagnostic import linear_reset

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray

HAC_LAGS_DAYS = 5
"""A trading week of memory in the errors (Newey and West 1987, Bartlett weights)."""

LEAST_FLOWS = 30
"""Days with a fill that a slope needs."""

LINEARITY_POWER = 3
"""Highest power of the flow that RESET tries: squares for one-sided flow, cubes for two-sided."""

EXACT = 1e-24
"""Share of squares left by a line that explains all but rounding."""


@dataclass(frozen=True)
class KyleFit:
    """A regression of the day's impact on the day's flow.

    Parameters
    ----------
    slope, standard_error : float
        Lambda, log price per unit of flow, and its Newey-West standard error.
    low, high : float
        Ends of its 95 % interval.
    intercept : float
        Log price a day without flow; near 0 for true pairs.
    r_squared : float
        Share of the impact's variance that the flow explains.
    linearity_p : float
        P-value of RESET with the flow's square and cube: small where the response is not linear.
        NaN where the line leaves nothing to explain, or flows are of three sizes or fewer.
    days : int
        Days in the regression.
    """

    slope: float
    standard_error: float
    low: float
    high: float
    intercept: float
    r_squared: float
    linearity_p: float
    days: int


@dataclass(frozen=True, eq=False)
class Responsiveness:
    """A market's answer to a buyer.

    Parameters
    ----------
    impact : float64 array, shape [S, T]
        Log price with the buyer less without, at each day's close, of each pair.
    response : float64 array, shape [T]
        Mean impact over the pairs.
    response_low, response_high : float64 array, shape [T]
        95 % percentile bootstrap interval of the mean, over pairs; NaN for a single one.
    all_flows : KyleFit
        Over all days with flow.
    small_flows : KyleFit or None
        Over the days with the smaller half of the flows: what is linear even where large flows
        meet an empty book. None where that half is too short or all alike.
    bin_flow, bin_impact, bin_error : float64 array, shape [B]
        Mean flow and mean impact of the day in equally filled bins of flow, ascending, and the
        latter's standard error: the shape of the response.
    """

    impact: FloatArray
    response: FloatArray
    response_low: FloatArray
    response_high: FloatArray
    all_flows: KyleFit
    small_flows: KyleFit | None
    bin_flow: FloatArray
    bin_impact: FloatArray
    bin_error: FloatArray


def measure_response(
    prices_with: npt.ArrayLike,
    prices_without: npt.ArrayLike,
    flow: npt.ArrayLike,
    rng: np.random.Generator,
    bins: int = 8,
    resamples: int = 1000,
) -> Responsiveness:
    """Measure what a buyer does to the price, pair by pair.

    Parameters
    ----------
    prices_with, prices_without : array_like, shape [S, T + 1]
        Closes of S pairs of runs, before the first day and of each day, over 0. The two of a pair
        share their start and all their random numbers.
    flow : array_like, shape [S, T]
        The buyer's fills less its sales on each day, in any unit: shares, or the order-flow
        imbalance ``fills / volume without the buyer``. 0 on a day without a fill.
    rng : numpy.random.Generator
        Source of the bootstrap over pairs.
    bins : int
        Bins of the response's shape, 2 or more.
    resamples : int
        Bootstrap resamples.

    Returns
    -------
    Responsiveness

    Raises
    ------
    FitnessError
        If the shapes do not fit together, a pair does not start at one price, or too few days
        have a fill.
    """
    with_buyer, without, flows = (
        np.asarray(x, np.float64) for x in (prices_with, prices_without, flow)
    )
    if with_buyer.ndim != 2 or with_buyer.shape != without.shape:
        raise FitnessError(
            f"prices of shape {with_buyer.shape} with and {without.shape} without the buyer, "
            "expected [pairs, days + 1] for both"
        )
    if flows.shape != (len(with_buyer), with_buyer.shape[1] - 1) or not np.isfinite(flows).all():
        raise FitnessError(
            f"flow of shape {flows.shape}, expected finite numbers of shape "
            f"{(len(with_buyer), with_buyer.shape[1] - 1)}, one a day"
        )
    if (
        not (np.isfinite(with_buyer) & np.isfinite(without)).all()
        or min(with_buyer.min(), without.min()) <= 0
    ):
        raise FitnessError("prices: not finite or not over 0 somewhere; there is no log price")
    if (apart := np.flatnonzero(with_buyer[:, 0] != without[:, 0])).size:
        raise FitnessError(
            f"pair {apart[0]} starts at {with_buyer[apart[0], 0]} with and "
            f"{without[apart[0], 0]} without the buyer: pairs share their history"
        )
    gap = np.log(with_buyer) - np.log(without)
    impact, daily = gap[:, 1:], np.diff(gap, axis=1)
    active = flows != 0
    small = active & (np.abs(flows) <= np.median(np.abs(flows[active]))) if active.any() else active
    low, high = _interval(impact, rng, resamples)
    bin_flow, bin_impact, bin_error = _bins(flows[active], daily[active], bins)
    return Responsiveness(
        impact=impact,
        response=impact.mean(axis=0),
        response_low=low,
        response_high=high,
        all_flows=fit_kyle(daily, flows, active),
        small_flows=fit_kyle(daily, flows, small) if _has_slope(flows[small]) else None,
        bin_flow=bin_flow,
        bin_impact=bin_impact,
        bin_error=bin_error,
    )


def fit_kyle(
    daily_impact: npt.ArrayLike, flow: npt.ArrayLike, counted: npt.ArrayLike | None = None
) -> KyleFit:
    """Regress the day's impact on the day's flow.

    Parameters
    ----------
    daily_impact, flow : array_like, shape [S, T]
        Change of log price that the flow of the day is to explain, and that flow.
    counted : array_like of bool, shape [S, T], optional
        Days of the regression; all by default.

    Returns
    -------
    KyleFit

    Raises
    ------
    FitnessError
        If fewer than 30 days count or all flows are alike.

    References
    ----------
    Kyle (1985), doi:10.2307/1913210, theorem 1. Newey and West (1987), Econometrica 55(3),
    703-708, doi:10.2307/1913610, the lags never reaching over from one path to the next. Ramsey
    (1969), J. R. Stat. Soc. B 31(2), 350-371, doi:10.1111/j.2517-6161.1969.tb00796.x.
    """
    change, flows = (np.asarray(x, np.float64) for x in (daily_impact, flow))
    use = np.ones(flows.shape, np.bool_) if counted is None else np.asarray(counted, np.bool_)
    if not change.shape == flows.shape == use.shape or flows.ndim != 2:
        raise FitnessError(
            f"impact, flow and days have shapes {change.shape}, {flows.shape}, {use.shape}, "
            "expected [pairs, days] for all"
        )
    x, y = flows[use], change[use]
    if not _has_slope(x):
        raise FitnessError(
            f"{len(x)} days with {len(np.unique(x))} different flows, expected {LEAST_FLOWS} days "
            "or more with flows that vary: let the buyer trade longer, or at several rates"
        )
    unit = np.abs(x).max()
    path = np.nonzero(use)[0]
    robust = {"groups": path, "maxlags": HAC_LAGS_DAYS}
    fit = sm.OLS(y, sm.add_constant(x / unit)).fit(cov_type="hac-panel", cov_kwds=robust)
    exact = fit.ssr <= EXACT * float(y @ y)
    curved = not exact and len(np.unique(x)) > LINEARITY_POWER
    reset = (
        linear_reset(fit, LINEARITY_POWER, "exog", cov_type="hac-panel", cov_kwds=robust)
        if curved
        else None
    )
    low, high = fit.conf_int()[1] / unit
    return KyleFit(
        slope=float(fit.params[1] / unit),
        standard_error=float(fit.bse[1] / unit),
        low=float(low),
        high=float(high),
        intercept=float(fit.params[0]),
        r_squared=float(fit.rsquared),
        linearity_p=float("nan") if reset is None else float(reset.pvalue),
        days=len(x),
    )


def _has_slope(flow: FloatArray) -> bool:
    return len(flow) >= LEAST_FLOWS and bool(np.ptp(flow) > 0)


def _interval(
    impact: FloatArray, rng: np.random.Generator, resamples: int
) -> tuple[FloatArray, FloatArray]:
    if len(impact) < 2:
        nothing = np.full(impact.shape[1], np.nan)
        return nothing, nothing
    drawn = rng.integers(len(impact), size=(resamples, len(impact)))
    low, high = np.quantile(impact[drawn].mean(axis=1), [0.025, 0.975], axis=0)
    return np.asarray(low), np.asarray(high)


def _bins(
    flow: FloatArray, daily: FloatArray, bins: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean flow, mean impact and its standard error in bins of as many days each."""
    parts = [p for p in np.array_split(np.argsort(flow, kind="stable"), bins) if len(p) > 1]
    columns = [
        (flow[p].mean(), daily[p].mean(), daily[p].std(ddof=1) / np.sqrt(len(p))) for p in parts
    ]
    table = np.array(columns, np.float64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]
