"""What a real split does, and how far apart years are: the target that scores are held against.

References
----------
Franke and Westerhoff (2012), Structural stochastic volatility in asset pricing dynamics:
estimation and model contest, J. Econ. Dyn. Control 36, 1193-1211,
doi:10.1016/j.jedc.2011.10.004. Kuensch (1989), Annals of Statistics 17, 1217-1241,
doi:10.1214/aos/1176347265.
"""

import hashlib
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evobourse.fitness import moments as moment_set
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.moments import (
    MIN_DAYS,
    SMALLEST_STD,
    FloatArray,
    measured,
    moments,
    path_faults,
)
from evobourse.fitness.remembered import remember

MIN_RESAMPLES = 100
"""Fewer resamples pin down no 95 % quantile."""

REGIME_DAYS = 750
"""Length of the bootstrap's blocks: three years, in which markets keep their ways."""

TRADED_SHARE = 0.9
"""A series knows its volume if it has one on so many of its days."""


@dataclass(frozen=True, eq=False)
class Target:
    """What a score is measured against: the real split's moments, and how far apart years are.

    Parameters
    ----------
    split : str
        Name of the split, as in ``train``.
    window_days : int
        Length of a path in daily returns.
    paths : int
        Number of paths averaged in one score.
    names : tuple of str
        The moments, see `fitness.moments.measured`.
    m_star : float64 array, shape [M]
        Mean moment vector of the split's windows.
    gaps : float64 array, shape [resamples, M]
        How far the mean of `paths` real windows was from the mean of another history as long as
        the split.
    gap_sd : float64 array, shape [M]
        Their standard deviations: what a score divides by.
    j95 : float
        95 % quantile of J over the resamples.
    j_real, worst_real : float64 array, shape [resamples]
        J of the resamples and their largest squared gap in `gap_sd`, both ascending.
    ease : float64 array, shape [resamples]
        The smaller of the shares of resamples at or above each of the two, ascending.
    history : float64 array, shape [W, M]
        Moments of the windows that resamples are drawn from, oldest first.
    earlier_windows : int
        So many of them begin before the split.
    split_days : int
        Length of the split in daily returns.
    sigma_real : float
        Standard deviation of the split's daily log returns.
    moment_low, moment_high, moment_sd : float64 array, shape [M]
        2.5 % and 97.5 % quantiles and standard deviation of the moments of the split's windows.
    content_hash : str
        SHA-256 of all the above, in hexadecimal.
    """

    split: str
    window_days: int
    paths: int
    names: tuple[str, ...]
    m_star: FloatArray
    gaps: FloatArray
    gap_sd: FloatArray
    j95: float
    j_real: FloatArray
    worst_real: FloatArray
    ease: FloatArray
    history: FloatArray
    earlier_windows: int
    split_days: int
    sigma_real: float
    moment_low: FloatArray
    moment_high: FloatArray
    moment_sd: FloatArray
    content_hash: str

    @property
    def has_volume(self) -> bool:
        """Whether volume is among what is measured."""
        return self.names != measured(self.window_days, False)

    def without_volume(self) -> "Target":
        """Return the same of prices alone, for paths that have no volume."""
        if not self.has_volume:
            return self
        kept = measured(self.window_days, False)
        at = [self.names.index(name) for name in kept]
        return _target(
            self.split, self.window_days, self.paths, kept, self.gaps[:, at], self.history[:, at],
            self.earlier_windows, self.split_days, self.sigma_real,
        )  # fmt: skip

    def redraw(self, paths: int, rng: np.random.Generator) -> "Target":
        """Return the same for scores of another number of paths."""
        gaps = _draw_gaps(
            self.history, self.split_days, self.window_days, paths, len(self.gaps), rng
        )
        return _target(
            self.split, self.window_days, paths, self.names, gaps, self.history,
            self.earlier_windows, self.split_days, self.sigma_real,
        )  # fmt: skip

    def squares(self, means: FloatArray) -> FloatArray:
        """Squared gaps of mean moment vectors [..., M] in `gap_sd`; J is their sum."""
        return np.asarray(((means - self.m_star) / self.gap_sd) ** 2)

    def p_value(self, squares: FloatArray) -> float:
        """Share of real resamples as far or farther, in all moments together or in one alone.

        Parameters
        ----------
        squares : float64 array, shape [M]
            See `squares`.
        """
        each = _ease(squares, self.j_real, self.worst_real)
        return float(np.searchsorted(self.ease, each, side="right") / len(self.ease))


def make_target(
    log_returns: npt.ArrayLike,
    window_days: int,
    paths: int,
    rng: np.random.Generator,
    resamples: int = 2000,
    split: str = "train",
    volume: npt.ArrayLike | None = None,
    earlier_days: int = 0,
) -> Target:
    """Measure a real split's moments, and with a block bootstrap how far years lie apart.

    A resample is what a score computes of a simulation: the distance between the mean of `paths`
    windows and the mean of a history. Both are redrawn from the days given, each as whole
    stretches of `REGIME_DAYS`, since markets of another year differ by more than the chance of
    which windows were drawn. Each moment is held against its own standard deviation over the
    resamples: a history of some years holds too few regimes for correlations (both measured in
    docs/decisions/132-a-score-that-knows-other-years.md).

    Parameters
    ----------
    log_returns : array_like, shape [T]
        Daily log returns of the split, and before them those of all that is known of earlier days.
    window_days : int
        Length of a window, 30 or more.
    paths : int
        Windows per resample, the number of simulated paths in a score.
    rng : numpy.random.Generator
        Source of the resampling.
    resamples : int
        Bootstrap resamples, 100 or more.
    split : str
        Name kept in the target and in messages.
    volume : array_like, shape [T], optional
        Units traded on the same days; not used unless nine days of ten have any.
    earlier_days : int
        So many of the days come before the split. They say how far years lie apart, nothing else.

    Returns
    -------
    Target
        The fewer years are known, the stricter a judge: of other decades nothing is known from
        eight years. Compare rows on one split, and read skill where a split is short.

    Raises
    ------
    FitnessError
        If an argument is out of range, the split is shorter than two windows, a real window has
        no moments, or a moment is the same in all.
    """
    returns = np.asarray(log_returns, dtype=np.float64)
    days = len(returns) - earlier_days if returns.ndim == 1 else 0
    if days < 2 * window_days or earlier_days < 0:
        raise FitnessError(
            f"split {split!r}: log returns of shape {returns.shape}, {earlier_days} of them from "
            f"before it, expected [T] with at least two windows of {window_days} days in it: "
            "lengthen the split or shorten the window"
        )
    if window_days < MIN_DAYS or paths < 1 or resamples < MIN_RESAMPLES:
        raise FitnessError(
            f"split {split!r}: window_days={window_days}, paths={paths}, resamples={resamples}; "
            f"expected at least {MIN_DAYS}, 1 and {MIN_RESAMPLES}"
        )
    sigma_real = float(returns[earlier_days:].std())
    traded = known_volume(volume)
    history = _moments_of_windows(returns, traded, window_days, sigma_real, split)
    return target_of_windows(
        history,
        measured(window_days, traded is not None),
        sigma_real,
        window_days,
        paths,
        days,
        rng,
        resamples,
        split,
        earlier_days,
    )


def target_of_windows(
    history: FloatArray,
    names: tuple[str, ...],
    sigma_real: float,
    window_days: int,
    paths: int,
    split_days: int,
    rng: np.random.Generator,
    resamples: int = 2000,
    split: str = "train",
    earlier_windows: int = 0,
) -> Target:
    """Make a target from the moments of real windows, wherever those lie.

    Parameters
    ----------
    history : float64 array, shape [W, M]
        Moments of the windows to draw from in order of time, with log volatility relative to
        `sigma_real`.
    names : tuple of str
        The moments.
    sigma_real : float
        Standard deviation that scored paths' log volatility is relative to.
    window_days, paths, rng, resamples, split
        As in `make_target`.
    split_days : int
        How many days the split holds.
    earlier_windows : int
        So many windows come before the split.

    Raises
    ------
    FitnessError
        If a moment is the same in all windows.
    """
    gaps = _draw_gaps(history, split_days, window_days, paths, resamples, rng)
    return _target(
        split, window_days, paths, names, gaps, history, earlier_windows, split_days, sigma_real
    )


def known_volume(volume: npt.ArrayLike | None) -> FloatArray | None:
    """Return a series' volume as an array, or None where it has none on over a tenth of days."""
    if volume is None:
        return None
    traded = np.asarray(volume, dtype=np.float64)
    return traded if np.mean(traded > 0) >= TRADED_SHARE else None


def _target(
    split: str,
    window_days: int,
    paths: int,
    names: tuple[str, ...],
    gaps: FloatArray,
    history: FloatArray,
    earlier_windows: int,
    split_days: int,
    sigma_real: float,
) -> Target:
    gap_sd = gaps.std(axis=0)
    still = [name for name, sd in zip(names, gap_sd, strict=True) if not sd > SMALLEST_STD]
    if still:
        raise FitnessError(
            f"split {split!r}: {still[0]} is the same in all of its windows, so that nothing can "
            "be held against it: use a longer split"
        )
    own = history[earlier_windows:]
    low, high = np.quantile(own, [0.025, 0.975], axis=0)
    squares = (gaps / gap_sd) ** 2
    j_real, worst_real = np.sort(squares.sum(axis=1)), np.sort(squares.max(axis=1))
    arrays = {
        "m_star": own.mean(axis=0),
        "gaps": gaps,
        "gap_sd": gap_sd,
        "j_real": j_real,
        "worst_real": worst_real,
        "ease": np.sort(_ease(squares, j_real, worst_real)),
        "history": history,
        "moment_low": low,
        "moment_high": high,
        "moment_sd": own.std(axis=0),
    }
    j95 = float(np.quantile(j_real, 0.95))
    plain = {
        "split": split,
        "window_days": window_days,
        "paths": paths,
        "names": names,
        "j95": j95,
        "earlier_windows": earlier_windows,
        "split_days": split_days,
        "sigma_real": sigma_real,
    }
    content = hashlib.sha256(repr(plain).encode())
    for array in arrays.values():
        content.update(np.ascontiguousarray(array).tobytes())
    return Target(**plain, **arrays, content_hash=content.hexdigest())  # type: ignore[arg-type]


def _draw_gaps(
    history: FloatArray,
    split_days: int,
    window_days: int,
    paths: int,
    resamples: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Redraw a history and paths from windows [W, M], and take the distance of their means.

    The history is as many stretches as the split holds. The paths lie in as many as they have days,
    at most those of the split: more paths of the same years do not make more years. Stretches run
    on from the last window to the first.
    """
    count = len(history)
    stretch = min(REGIME_DAYS, count)
    sums = np.cumsum(
        np.concatenate([np.zeros_like(history[:1]), history, history[: stretch - 1]]), 0
    )
    means = (sums[stretch:] - sums[:-stretch]) / stretch  # of the stretch that begins at a window
    days = min(paths * window_days, split_days)
    of_history, of_paths = (max(1, round(d / REGIME_DAYS)) for d in (split_days, days))
    known = means[rng.integers(count, size=(resamples, of_history))].mean(axis=1)
    begins = rng.integers(count, size=(resamples, of_paths))
    within = rng.integers(of_paths, size=(resamples, paths))
    drawn = np.take_along_axis(begins, within, axis=1)
    drawn = (drawn + rng.integers(stretch, size=(resamples, paths))) % count
    return np.asarray(history[drawn].mean(axis=1) - known)


def _ease(squares: FloatArray, j_real: FloatArray, worst_real: FloatArray) -> FloatArray:
    """Take the smaller share of resamples at or above J and the worst gap, [..., M] -> [...]."""
    count = len(j_real)
    together = count - np.searchsorted(j_real, squares.sum(axis=-1))
    alone = count - np.searchsorted(worst_real, squares.max(axis=-1))
    return np.asarray(np.minimum(together, alone) / count)


def _moments_of_windows(
    returns: FloatArray,
    volume: FloatArray | None,
    window_days: int,
    sigma_real: float,
    split: str,
) -> FloatArray:
    """Moments of all overlapping windows, [T] -> [T - window_days + 1, M], kept on disk."""

    def compute() -> dict[str, FloatArray]:
        windows = np.lib.stride_tricks.sliding_window_view(returns, window_days)
        traded = None
        if volume is not None:
            traded = np.lib.stride_tricks.sliding_window_view(volume, window_days)
        faults = path_faults(windows)
        faulty = np.flatnonzero(faults != "")
        if faulty.size:
            first = int(faulty[0])
            raise FitnessError(
                f"split {split!r}: the {window_days} days from day {first}: "
                f"{faults[first]}: clean the series or lengthen the window"
            )
        return {"moments": moments(windows, sigma_real, traded)}

    code = (sys.modules[__name__], moment_set)
    return remember("moments", (returns, volume, window_days, sigma_real), code, compute)["moments"]
