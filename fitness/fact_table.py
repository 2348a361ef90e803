"""The stylised facts of simulated paths and of real windows, side by side.

No fact is a score: no search optimises these.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import wasserstein_distance

from evobourse.fitness import facts, garch_filter, moments, signature
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import FloatArray, on_sound_paths, standardise
from evobourse.fitness.remembered import remember
from evobourse.fitness.signature import price_signature, signature_mmd

_FROM_RETURNS: dict[str, Callable[[npt.ArrayLike], FloatArray]] = {
    "mean_abs_acf": facts.mean_abs_acf,
    "excess_kurtosis": facts.excess_kurtosis,
    "skewness": facts.skewness,
    "aggregational_gaussianity": facts.aggregational_gaussianity,
    "fano_factor": facts.fano_factor,
    "volatility_clustering": facts.volatility_clustering,
    "conditional_kurtosis": facts.conditional_kurtosis,
    "decay_exponent": facts.decay_exponent,
    "acf_abs_month": facts.acf_abs_month,
    "acf_abs_quarter": facts.acf_abs_quarter,
    "leverage": facts.leverage,
}

FACT_NAMES: tuple[str, ...] = (
    *_FROM_RETURNS,
    "volume_volatility",
    "coarse_fine_asymmetry",
    "quantile_distance",
    "max_drawdown",
    "signature_mmd",
)
"""Cont's eleven in his order, three of them for the slow decay, then three of this project's."""

OF_SETS = ("signature_mmd",)
"""Facts of all paths together, held against as many real windows instead of against one."""

_OF_PATHS = tuple(name for name in FACT_NAMES if name not in OF_SETS)


@dataclass(frozen=True, eq=False)
class FactRow:
    """One fact, simulated and real.

    Parameters
    ----------
    name : str
        One of `FACT_NAMES`.
    simulated, real : float
        Mean over the paths and over the real windows on which the fact is defined; NaN if none.
    simulated_low, simulated_high : float
        2.5 % and 97.5 % quantiles over those paths.
    low, high : float
        2.5 % and 97.5 % quantiles over those real windows. Of a fact of sets, one number for all
        paths: 0 and the 95 % quantile over sets of real windows.
    standard_errors : float
        ``simulated - real`` over the real windows' standard deviation divided by the square root
        of `defined`: beyond 2 or 3 is more than the chance of which windows were drawn.
    coverage : float
        Share of all paths from `low` to `high`; a path on which the fact is not defined is
        outside. NaN if no real window defines the fact.
    defined, paths : int
        Paths on which the fact is defined, and all.
    """

    name: str
    simulated: float
    simulated_low: float
    simulated_high: float
    real: float
    low: float
    high: float
    standard_errors: float
    coverage: float
    defined: int
    paths: int


def compare_facts(
    simulated_returns: npt.ArrayLike,
    real_returns: npt.ArrayLike,
    rng: np.random.Generator,
    simulated_volume: npt.ArrayLike | None = None,
    real_volume: npt.ArrayLike | None = None,
) -> tuple[FactRow, ...]:
    """Compute every fact on simulated paths and on real windows of the same length.

    What the real windows show is kept on disk.

    Parameters
    ----------
    simulated_returns, real_returns : array_like, shapes [S, T] and [R, T]
        Daily log returns.
    rng : numpy.random.Generator
        Draws the sets of real windows that facts of sets are held against.
    simulated_volume, real_volume : array_like, shapes [S, T] and [R, T], optional
        Units traded on the same days; without them the fact on volume is not defined.

    Returns
    -------
    tuple of FactRow
        In the order of `FACT_NAMES`. A degenerate path has no fact.

    Raises
    ------
    FitnessError
        If the shapes do not fit together or no real window is sound.
    """
    simulated, real = (np.asarray(x, dtype=np.float64) for x in (simulated_returns, real_returns))
    if simulated.ndim != 2 or real.ndim != 2 or simulated.shape[1] != real.shape[1]:
        raise FitnessError(
            f"simulated returns of shape {simulated.shape} beside real ones of {real.shape}, "
            "expected [paths, days] and [windows, days] with as many days"
        )
    code = (sys.modules[__name__], facts, garch_filter, moments, signature)
    traded = None if real_volume is None else np.asarray(real_volume, dtype=np.float64)

    def compute() -> dict[str, FloatArray]:
        quantiles = _quantiles(real)
        return {
            "quantiles": quantiles,
            "facts": _all_facts(real, traded, quantiles),
            "signatures": price_signature(real),
        }

    known = remember("facts", (real, traded), code, compute)
    of_simulated = _all_facts(simulated, simulated_volume, known["quantiles"])
    mmd = signature_mmd(price_signature(simulated), known["signatures"], rng)
    rows = [
        _row(name, of_simulated[:, i], known["facts"][:, i]) for i, name in enumerate(_OF_PATHS)
    ]
    return (*rows, _set_row("signature_mmd", mmd.value, mmd.real, rows[0].defined, len(simulated)))


def spread_windows(values: npt.ArrayLike, window_days: int, count: int) -> FloatArray:
    """Cut windows that start at even distances over the whole series.

    Parameters
    ----------
    values : array_like, shape [T]
        One value a day.
    window_days : int
        Length of a window, T or less.
    count : int
        Windows to cut; fewer where the series has fewer. They overlap unless it is long enough.

    Returns
    -------
    float64 array, shape [windows, window_days]

    Raises
    ------
    FitnessError
        If the series is shorter than a window.
    """
    series = np.asarray(values, dtype=np.float64)
    if len(series) < window_days:
        raise FitnessError(f"{len(series)} days, expected a window of {window_days} at least")
    windows = np.lib.stride_tricks.sliding_window_view(series, window_days)
    starts = np.unique(np.linspace(0, len(windows) - 1, count).round().astype(np.int64))
    return np.asarray(windows[starts])


def quantile_distance(log_returns: npt.ArrayLike, real_quantiles: npt.ArrayLike) -> FloatArray:
    """Wasserstein-1 distance of the distribution of standardised returns from the real one.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.
    real_quantiles : array_like, shape [Q]
        Standardised real returns at evenly spaced probabilities.

    Returns
    -------
    float64 array, shape [...]
        Mean distance of the two distributions' quantiles, in standard deviations; 0 if equal.
        NaN for a degenerate path.
    """
    quantiles = np.asarray(real_quantiles, dtype=np.float64)
    return on_sound_paths(
        lambda r: np.array([wasserstein_distance(z, quantiles) for z in standardise(r)]),
        log_returns,
    )


def max_drawdown(log_returns: npt.ArrayLike) -> FloatArray:
    """Largest fall from an earlier peak of the price, as a share of that peak.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns; the price before the first counts as a peak.

    Returns
    -------
    float64 array, shape [...]
        0 to 1; NaN for a degenerate path.

    References
    ----------
    Magdon-Ismail and Atiya (2004), Maximum drawdown, Risk 17(10), 99-102.
    """

    def fall(returns: FloatArray) -> FloatArray:
        log_price = np.pad(returns.cumsum(axis=-1), [(0, 0), (1, 0)])
        below_peak = log_price - np.maximum.accumulate(log_price, axis=-1)
        return np.asarray(-np.expm1(below_peak.min(axis=-1)))

    return on_sound_paths(fall, log_returns)


def _all_facts(
    returns: FloatArray, volume: npt.ArrayLike | None, quantiles: FloatArray
) -> FloatArray:
    """Every fact of single paths [N, T], as [N, len(_OF_PATHS)]."""
    traded = np.full(returns.shape, np.nan) if volume is None else volume
    columns = {name: fact(returns) for name, fact in _FROM_RETURNS.items()} | {
        "volume_volatility": facts.volume_volatility(returns, traded),
        "coarse_fine_asymmetry": facts.coarse_fine_asymmetry(returns),
        "quantile_distance": quantile_distance(returns, quantiles),
        "max_drawdown": max_drawdown(returns),
    }
    return np.stack([columns[name] for name in _OF_PATHS], axis=-1)


def _quantiles(real: FloatArray) -> FloatArray:
    """Standardised returns of all sound windows together, at as many probabilities as days."""
    z = standardise(real)
    sound = z[np.isfinite(z).all(axis=-1)]
    if not len(sound):
        raise FitnessError("no real window has facts: every one is degenerate")
    days = real.shape[1]
    return np.asarray(np.quantile(sound, (np.arange(days) + 0.5) / days))


def _row(name: str, simulated: FloatArray, real: FloatArray) -> FactRow:
    paths, drawn = len(simulated), real[np.isfinite(real)]
    known = simulated[np.isfinite(simulated)]
    value, simulated_low, simulated_high = _middle(known)
    centre, low, high = _middle(drawn)
    spread = float(drawn.std()) if len(drawn) else 0.0
    gap = (value - centre) / spread * len(known) ** 0.5 if spread > 0 else float("nan")
    inside = int(((low <= known) & (known <= high)).sum()) / paths if len(drawn) else float("nan")
    return FactRow(
        name=name,
        simulated=value,
        simulated_low=simulated_low,
        simulated_high=simulated_high,
        real=centre,
        low=low,
        high=high,
        standard_errors=gap,
        coverage=inside,
        defined=len(known),
        paths=paths,
    )


def _set_row(name: str, value: float, real: FloatArray, defined: int, paths: int) -> FactRow:
    """Row of a distance between sets: the smaller the better, and one number for all paths."""
    high, spread = float(np.quantile(real, 0.95)), float(real.std())
    gap = (value - float(real.mean())) / spread if spread > 0 else float("nan")
    return FactRow(
        name=name,
        simulated=value,
        simulated_low=value,
        simulated_high=value,
        real=float(real.mean()),
        low=0.0,
        high=high,
        standard_errors=gap,
        coverage=float(value <= high and defined == paths),
        defined=defined,
        paths=paths,
    )


def _middle(values: FloatArray) -> tuple[float, float, float]:
    """Mean, 2.5 % and 97.5 % quantile, NaN of nothing."""
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
