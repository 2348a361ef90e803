"""The moments that describe how a market moves: tails, memory, volatility, drift, volume.

A new moment is one function and one entry in `MOMENTS`; scores, tables, plots and reports read it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from evobourse.fitness.errors import FitnessError

FloatArray = npt.NDArray[np.float64]

MIN_DAYS = 30
"""Shortest path with moments: fewer days leave under three observations in the Hill tail."""

LARGEST_LOG_RETURN = 100.0
"""A price that moves by a factor of exp(100) in a day has left the range of a market."""

SMALLEST_STD = 1e-12
"""Below this a standard deviation of log returns is rounding error of a constant price."""

FLAT_TAIL_TOLERANCE = 1e-9
"""Relative spread of the Hill tail below which it is a tie, or a threshold of zero."""

SHORT_LAGS = (1, 2)
MEDIUM_LAG_GROUPS = ((4, 5, 6), (9, 10, 11))
LONG_LAGS = range(20, 51)
LEVERAGE_LAGS = range(1, 11)

LONG_MEMORY_DAYS = 5 * LONG_LAGS[-1]
"""Shortest path on which lags of 50 days are a fifth of it at most."""


def path_faults(log_returns: npt.ArrayLike) -> npt.NDArray[np.str_]:
    """Name what makes a path's moments undefined.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns, in natural units (0.01 is about one percent).

    Returns
    -------
    ndarray of str, shape [...]
        Empty for a sound path, else the first fault found, in a fixed order of checks.
    """
    returns = np.asarray(log_returns, dtype=np.float64)
    days = returns.shape[-1]
    if days < MIN_DAYS:
        return np.full(returns.shape[:-1], f"{days} days, fewer than {MIN_DAYS}")
    missing = ~np.isfinite(returns).all(axis=-1)
    bounded = np.asarray((np.abs(returns) <= LARGEST_LOG_RETURN).all(axis=-1))
    safe = np.where(bounded[..., None], returns, 0.0)
    deviation = np.abs(safe - safe.mean(axis=-1, keepdims=True))
    threshold, tail = _split_tail(deviation)
    largest = tail.max(axis=-1)
    moves = (safe != 0.0).sum(axis=-1)
    faults = np.select(
        [
            missing,
            ~bounded,
            (safe == 0.0).all(axis=-1),
            safe.std(axis=-1) <= SMALLEST_STD,
            (threshold <= FLAT_TAIL_TOLERANCE * largest) | (moves <= _tail_days(days)),
            largest - threshold <= FLAT_TAIL_TOLERANCE * largest,
        ],
        [
            "non-finite return",
            f"log return beyond {LARGEST_LOG_RETURN:g}",
            "constant price",
            "constant return",
            "price hardly ever moves",
            "returns of one size only",
        ],
        default="",
    )
    return np.asarray(faults, dtype=np.str_)


def standardise(log_returns: npt.ArrayLike) -> FloatArray:
    """Scale each path to mean zero and standard deviation one.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.

    Returns
    -------
    float64 array, shape [..., T]
        ``z = (r - mean) / std`` per path (divisor T); NaN where `path_faults` names a fault.
    """
    return on_sound_paths(_z, log_returns, (np.shape(log_returns)[-1],))


def acf(values: npt.ArrayLike, lags: Sequence[int]) -> FloatArray:
    """Sample autocorrelation at given lags, with divisor T at every lag.

    Parameters
    ----------
    values : array_like, shape [..., T]
        Series along the last axis, each with positive variance.
    lags : sequence of int
        Lags in steps, each from 0 to T - 1.

    Returns
    -------
    float64 array, shape [..., len(lags)]
        Autocorrelations in [-1, 1].

    References
    ----------
    Brockwell and Davis (1991), Time Series: Theory and Methods, eq. 7.2.1.
    """
    series = np.asarray(values, dtype=np.float64)
    centred = series - series.mean(axis=-1, keepdims=True)
    days = series.shape[-1]
    # Products first, then sums: einsum adds up in another order when it is given other paths too.
    covariances = [(centred[..., : days - lag] * centred[..., lag:]).sum(axis=-1) for lag in lags]
    variance = (centred * centred).sum(axis=-1)
    return np.asarray(np.stack(covariances, axis=-1) / variance[..., None])


def acf_abs(log_returns: npt.ArrayLike, max_lag: int) -> FloatArray:
    """Autocorrelation of absolute standardised returns, the fingerprint of volatility clusters.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.
    max_lag : int
        Largest lag in days, below T.

    Returns
    -------
    float64 array, shape [..., max_lag]
        Lags 1 to `max_lag`; NaN for a degenerate path.
    """
    lags = range(1, max_lag + 1)
    return on_sound_paths(lambda r: acf(np.abs(_z(r)), lags), log_returns, (max_lag,))


def ac1(log_returns: npt.ArrayLike) -> FloatArray:
    """Lag-1 autocorrelation of returns, [..., T] -> [...]; near zero in an unpredictable market."""
    return on_sound_paths(lambda r: acf(r, (1,))[..., 0], log_returns)


def hill(log_returns: npt.ArrayLike) -> FloatArray:
    """Tail index of absolute standardised returns; smaller means fatter tails.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns. The tail is the largest 10 % under 1,000 days, else 5 %.

    Returns
    -------
    float64 array, shape [...]
        Tail index, positive; about 3 for daily equity returns. NaN for a degenerate path.

    References
    ----------
    Hill (1975), Annals of Statistics 3(5), 1163-1174, doi:10.1214/aos/1176343247.
    """

    def index(returns: FloatArray) -> FloatArray:
        threshold, tail = _split_tail(np.abs(_z(returns)))
        return np.asarray(1.0 / np.log(tail / threshold[..., None]).mean(axis=-1))

    return on_sound_paths(index, log_returns)


def mean_abs(log_returns: npt.ArrayLike) -> FloatArray:
    """Mean absolute standardised return, [..., T] -> [...]; sqrt(2/pi) if Gaussian, else less."""
    return on_sound_paths(lambda r: np.asarray(np.abs(_z(r)).mean(axis=-1)), log_returns)


def acf_abs_short(log_returns: npt.ArrayLike) -> FloatArray:
    """Mean autocorrelation of absolute z at lags 1-2, [..., T] -> [...]."""
    return on_sound_paths(lambda r: _mean_acf_abs(r, SHORT_LAGS), log_returns)


def acf_abs_medium(log_returns: npt.ArrayLike) -> FloatArray:
    """Mean autocorrelation of absolute z at lags 4-6 and at 9-11, [..., T] -> [...].

    Averages of three neighbouring lags are less noisy than single ones, as in Franke and
    Westerhoff (2012), J. Econ. Dyn. Control 36, doi:10.1016/j.jedc.2011.10.004.
    """
    return on_sound_paths(
        lambda r: np.mean([_mean_acf_abs(r, lags) for lags in MEDIUM_LAG_GROUPS], axis=0),
        log_returns,
    )


def log_volatility(log_returns: npt.ArrayLike, sigma_real: float) -> FloatArray:
    """Natural log of a path's volatility over the real one's, [..., T] -> [...].

    The logarithm makes half and double the real volatility equally wrong. `sigma_real` is the
    standard deviation of the real split's daily log returns (positive).
    """
    return on_sound_paths(lambda r: np.log(r.std(axis=-1) / sigma_real), log_returns)


def displacement(log_returns: npt.ArrayLike) -> FloatArray:
    """How far a path gets from its start, in units of a random walk's standard deviation.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.

    Returns
    -------
    float64 array, shape [...]
        ``|sum r| / (std * sqrt(T))``: sqrt(2/pi) on average for a random walk without drift, more
        where prices run away, less where they return. NaN for a degenerate path.

    References
    ----------
    The longest horizon of a variance ratio: Lo and MacKinlay (1988), Review of Financial
    Studies 1(1), 41-66, doi:10.1093/rfs/1.1.41.
    """
    return np.abs(drift(log_returns))


def drift(log_returns: npt.ArrayLike) -> FloatArray:
    """Where a path ends, in units of a random walk's standard deviation, with its sign.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.

    Returns
    -------
    float64 array, shape [...]
        ``sum r / (std * sqrt(T))``: 0 on average for a random walk without drift, of standard
        deviation 1. Its size is the `displacement`. NaN for a degenerate path.
    """
    return on_sound_paths(
        lambda r: r.sum(axis=-1) / (r.std(axis=-1) * np.sqrt(r.shape[-1])), log_returns
    )


def leverage_abs(log_returns: npt.ArrayLike) -> FloatArray:
    """Mean correlation of a return with the size of those 1 to 10 days later, [..., T] -> [...].

    Below 0 where losses are followed by larger moves than gains (Bouchaud, Matacz and Potters 2001,
    Physical Review Letters 87, 228701, doi:10.1103/PhysRevLett.87.228701, who square the later
    return). Covariances have divisor T. NaN for a degenerate path.
    """

    def each(returns: FloatArray) -> FloatArray:
        z, days = _z(returns), returns.shape[-1]
        size = np.abs(z)
        size -= size.mean(axis=-1, keepdims=True)
        together = [(z[..., : days - k] * size[..., k:]).sum(axis=-1) for k in LEVERAGE_LAGS]
        # Stacked last: a mean over the first axis adds up in another order for one path.
        return np.asarray(np.stack(together, axis=-1).mean(axis=-1) / days / size.std(axis=-1))

    return on_sound_paths(each, log_returns)


def acf_abs_long(log_returns: npt.ArrayLike) -> FloatArray:
    """Mean autocorrelation of absolute z at lags 20 to 50, [..., T] -> [...]."""
    return on_sound_paths(lambda r: _mean_acf_abs(r, LONG_LAGS), log_returns)


def volume_volatility(log_returns: npt.ArrayLike, volume: npt.ArrayLike) -> FloatArray:
    """Rank correlation of a day's volume with the size of its return.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.
    volume : array_like, shape [..., T]
        Units traded on the same days, 0 or more.

    Returns
    -------
    float64 array, shape [...]
        Spearman's, in [-1, 1]; 0 where volume is the same on all days, as it then follows nothing.
        NaN for a degenerate path.

    Raises
    ------
    FitnessError
        If the shapes differ, or a volume is negative or not finite.
    """
    returns, traded = (np.asarray(x, dtype=np.float64) for x in (log_returns, volume))
    if returns.shape != traded.shape:
        raise FitnessError(f"volume of shape {traded.shape}, expected {returns.shape}, a day each")
    if not (np.isfinite(traded) & (traded >= 0)).all():
        raise FitnessError("volume holds a value that is no finite number of 0 or more")
    sound = path_faults(returns) == ""
    found = np.full(returns.shape[:-1], np.nan)
    sizes = np.abs(returns[sound] - returns[sound].mean(axis=-1, keepdims=True))
    first, second = (rankdata(x, axis=-1) for x in (sizes, traded[sound]))
    first -= first.mean(axis=-1, keepdims=True)
    second -= second.mean(axis=-1, keepdims=True)
    scale = np.sqrt((first * first).sum(axis=-1) * (second * second).sum(axis=-1))
    products = (first * second).sum(axis=-1)
    found[sound] = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)
    return found


@dataclass(frozen=True)
class Moment:
    """One number of a price path, and what to call it.

    Attributes
    ----------
    name : str
        Its key in files and lineages, such as ``acf_abs_short``.
    short : str
        Heading of a narrow column.
    meaning : str
        A few words for tables and plots, at best under 25 letters with the unit.
    unit : str
        ``"1"`` for a number without one.
    function : callable
        From log returns, shape [..., T], to values, shape [...]; NaN for a degenerate path, as
        `on_sound_paths` gives it.
    needs : tuple of str
        What else of `moments` it takes, as keywords of the same names.
    least_days : int
        Shortest path that it is taken of.
    """

    name: str
    short: str
    meaning: str
    unit: str
    function: Callable[..., FloatArray]
    needs: tuple[Literal["sigma_real", "volume"], ...] = ()
    least_days: int = MIN_DAYS

    @property
    def label(self) -> str:
        """The meaning with its unit, if it has one."""
        return self.meaning if self.unit == "1" else f"{self.meaning}, {self.unit}"


MOMENTS: tuple[Moment, ...] = (
    Moment("ac1", "AC1", "autocorrelation, lag 1", "1", ac1),
    Moment("hill", "Hill", "tail index, Hill", "1", hill),
    Moment("mean_abs", "mean", "mean |return|", "sd", mean_abs),
    Moment("acf_abs_short", "ACF 1-2", "ACF |r|, lags 1-2", "1", acf_abs_short),
    Moment("acf_abs_medium", "ACF 4-11", "ACF |r|, lags 4-6, 9-11", "1", acf_abs_medium),
    Moment(
        "log_volatility", "vol", "log volatility, to real", "1", log_volatility, ("sigma_real",)
    ),
    Moment("displacement", "displ.", "displacement", "sd of walk", displacement),
    Moment("drift", "drift", "drift", "sd of walk", drift),
    Moment("leverage_abs", "lever.", "leverage, r to later |r|", "1", leverage_abs),
    Moment(
        "acf_abs_long",
        "ACF 20-50",
        "ACF |r|, lags 20-50",
        "1",
        acf_abs_long,
        least_days=LONG_MEMORY_DAYS,
    ),
    Moment("volume_volatility", "volume", "volume with |r|", "1", volume_volatility, ("volume",)),
)
"""All that a score can be the distance of; their order is that of every moment vector."""

MOMENT_NAMES: tuple[str, ...] = tuple(moment.name for moment in MOMENTS)

MOMENT_LABELS = {moment.name: moment.label for moment in MOMENTS}


def measured(days: int, with_volume: bool) -> tuple[str, ...]:
    """Name the moments that paths of so many days have, in the order of `MOMENTS`.

    Parameters
    ----------
    days : int
        Of a path.
    with_volume : bool
        Whether volumes are known.
    """
    length = max(days, MIN_DAYS)  # of a path too short for any, all are NaN
    return tuple(
        m.name
        for m in MOMENTS
        if length >= m.least_days and (with_volume or "volume" not in m.needs)
    )


def moments(
    log_returns: npt.ArrayLike, sigma_real: float, volume: npt.ArrayLike | None = None
) -> FloatArray:
    """All moments that paths have, in the order of `measured`.

    Parameters
    ----------
    log_returns : array_like, shape [..., T]
        Daily log returns.
    sigma_real : float
        Standard deviation of the real split's daily log returns.
    volume : array_like, shape [..., T], optional
        Units traded on the same days; without it there is no moment of volume.

    Returns
    -------
    float64 array, shape [..., M]
        All NaN for a path in which `path_faults` names a fault; no warning is given.

    Raises
    ------
    FitnessError
        If volumes are of another shape, negative or not finite.
    """
    known = {"sigma_real": sigma_real, "volume": volume}
    names = measured(np.shape(log_returns)[-1], volume is not None)
    values = [
        m.function(log_returns, **{key: known[key] for key in m.needs})
        for m in MOMENTS
        if m.name in names
    ]
    return np.stack(values, axis=-1)


def on_sound_paths(
    statistic: Callable[[FloatArray], FloatArray],
    log_returns: npt.ArrayLike,
    trailing: tuple[int, ...] = (),
) -> FloatArray:
    """Apply a statistic to the paths without a fault.

    Parameters
    ----------
    statistic : callable
        From log returns [N, T] to values [N, *trailing].
    log_returns : array_like, shape [..., T]
        Daily log returns.
    trailing : tuple of int
        Shape of one path's value; a number by default.

    Returns
    -------
    float64 array, shape [..., *trailing]
        NaN for a path in which `path_faults` names a fault.
    """
    returns = np.asarray(log_returns, dtype=np.float64)
    sound = path_faults(returns) == ""
    result = np.full(returns.shape[:-1] + trailing, np.nan)
    if np.any(sound):
        result[sound] = statistic(returns[sound])
    return result


def _z(returns: FloatArray) -> FloatArray:
    deviation = returns - returns.mean(axis=-1, keepdims=True)
    return np.asarray(deviation / returns.std(axis=-1, keepdims=True))


def _tail_days(days: int) -> int:
    return int((0.10 if days < 1000 else 0.05) * days)


def _split_tail(magnitudes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the largest value outside the Hill tail [...] and the tail itself [..., k]."""
    days = magnitudes.shape[-1]
    first = days - _tail_days(days)
    ordered = np.partition(magnitudes, first - 1, axis=-1)
    return ordered[..., first - 1], ordered[..., first:]


def _mean_acf_abs(returns: FloatArray, lags: Sequence[int]) -> FloatArray:
    return np.asarray(acf(np.abs(_z(returns)), lags).mean(axis=-1))
