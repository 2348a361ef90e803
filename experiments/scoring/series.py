"""Scoring prices, real or simulated, one path or many, against a real series: ``score``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evobourse.experiments.errors import ConfigError
from evobourse.experiments.scoring.daily import Daily
from evobourse.fitness.distance import Score, Target, covered, make_target, score_paths
from evobourse.fitness.fact_table import FactRow, compare_facts, spread_windows
from evobourse.fitness.moments import MIN_DAYS, FloatArray, moments, path_faults
from evobourse.fitness.resolution import LEVEL, Resolution, measure_resolution
from evobourse.fitness.target import known_volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEFAULT_WINDOW_DAYS = 250
REAL_WINDOWS = 100
"""Real windows that the facts are computed on: their GARCH fits are most of a command's time."""


@dataclass(frozen=True, eq=False, repr=False)
class SeriesScore:
    """A series against a real one.

    Attributes
    ----------
    series, real : Daily
        What was scored and what it was held against.
    target : fitness.distance.Target
        The real series' moments and their noise, for as many paths as the series has windows.
    score : fitness.distance.Score
        Of all windows together; infinite, with a verdict, if one is degenerate.
    windows, real_windows : float64 arrays, shapes [S, T] and [R, T]
        Log returns that the facts are of; a series too short for any is one window of NaN.
    mcr, real_mcr : float
        Share of windows whose moments all lie in the real 95 % intervals, scored and real.
    moments, facts : tuple of FactRow
        The moments and the reported facts beside the real ones.
    resolution : fitness.resolution.Resolution
        What a score of as many windows can tell.
    notes : tuple of str
        What a reader should know before believing a number.
    tried : int
        Configurations that the series is the best of.
    """

    series: Daily
    real: Daily
    target: Target
    score: Score
    windows: FloatArray
    real_windows: FloatArray
    mcr: float
    real_mcr: float
    moments: tuple[FactRow, ...]
    facts: tuple[FactRow, ...]
    resolution: Resolution
    notes: tuple[str, ...]
    tried: int = 1

    def __repr__(self) -> str:
        found = f"J/J95 {self.ratio:.2f}, {self.conclusion}"
        return f"<{self.series.name} against {self.real.name}: {found}>"

    @property
    def ratio(self) -> float:
        """J/J95: 1 is the 95 % quantile of real years' distance from each other."""
        return self.score.ratio

    @property
    def conclusion(self) -> str:
        """``not rejected``, ``undecided``, ``rejected`` or ``degenerate``.

        Undecided is what is not rejected on so few windows that random walks pass as well.
        """
        if self.score.verdict != "ok":
            return "degenerate"
        if self.score.p_value <= LEVEL:
            return "rejected"
        return "not rejected" if self.resolution.tells else "undecided"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the moments beside the real ones, see `fitness.plots.plot_moments`."""
        from evobourse.fitness.plots import plot_moments  # pyplot takes its time

        return plot_moments(self.target, {self.series.name: self.score.per_path}, ax)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values; null stands for infinite and for not defined."""
        return {
            "series": self.series.name,
            "series_span": self.series.span,
            "against": self.real.name,
            "against_span": self.real.span,
            "window_days": self.target.window_days,
            "windows": self.target.paths,
            "conclusion": self.conclusion,
            "verdict": self.score.verdict,
            "j": _finite(self.score.j),
            "j95": self.target.j95,
            "ratio": _finite(self.score.ratio),
            "p_value": self.score.p_value,
            "worst": self.score.worst,
            "walk_passes": self.resolution.walk_passes,
            "windows_needed": self.resolution.windows_needed,
            "mcr": self.mcr,
            "real_mcr": self.real_mcr,
            "moments": [_plain(row) for row in self.moments],
            "facts": [_plain(row) for row in self.facts],
            "tried": self.tried,
            "notes": list(self.notes),
        }


def score_series(
    series: Daily, real: Daily, window_days: int | None = None, seed: int = 0, tried: int = 1
) -> SeriesScore:
    """Score a series in windows, all of them as the paths of one score.

    Parameters
    ----------
    series, real
        What to score and what to hold it against.
    window_days
        Length of a window in daily returns; 250 by default, or the shortest path's length if that
        is shorter. A path's windows lie side by side; the days over are left out at its beginning.
    seed
        Of the real years' bootstrap, and of random walks.
    tried
        Configurations that the series is the best of; it stands beside the score.

    Returns
    -------
    SeriesScore
        Infinite, with a verdict, for a series without a market in it: a constant price, too few
        days or moves, a missing price, a tape without a trade.

    Raises
    ------
    ConfigError
        The series is shorter than the window asked for, or that is too short for moments.
    FitnessError
        The real series is too short or has a window without moments.
    """
    paths = series.paths()
    days = min(len(returns) for returns, _ in paths)
    if window_days is not None and window_days < MIN_DAYS:
        raise ConfigError(f"--window-days {window_days}: expected {MIN_DAYS} or more")
    if window_days is not None and window_days > days >= MIN_DAYS:
        raise ConfigError(
            f"{series.name}: {days} daily returns, expected at least {window_days}: "
            "give more days or a smaller --window-days"
        )
    length = max(min(days, window_days or DEFAULT_WINDOW_DAYS), MIN_DAYS)
    returns, volume, fault = _cut(series, length)
    count = len(returns)
    rng = np.random.default_rng(seed)
    target = make_target(real.log_returns, length, count, rng, split=real.name, volume=real.volume)
    resolution = measure_resolution(target, real.log_returns, rng)
    traded = series.simulated or known_volume(series.volume) is not None
    if not traded:
        target = target.without_volume()
    score = score_paths(returns, target, volume)
    if fault:
        score = replace(score, verdict=fault)
    inside = covered(score.per_path, target)
    real_returns, real_volume = (
        spread_windows(values, length, REAL_WINDOWS) for values in (real.log_returns, real.volume)
    )
    measured = moments(real_returns, target.sigma_real, real_volume if target.has_volume else None)
    return SeriesScore(
        series=series,
        real=real,
        target=target,
        score=score,
        windows=returns,
        real_windows=real_returns,
        mcr=float(inside.all(axis=1).mean()),
        real_mcr=float(covered(measured, target).all(axis=1).mean()),
        moments=_moment_rows(score, target, inside.mean(axis=0)),
        facts=compare_facts(returns, real_returns, rng, volume, real_volume),
        resolution=resolution,
        notes=tuple(_notes(series, real, count, length, tried)),
        tried=tried,
    )


def _cut(series: Daily, length: int) -> tuple[FloatArray, FloatArray, str]:
    """Cut each path's last days into windows [S, length], returns and volume, and name a fault.

    A path that is no market has windows of NaN: none of them says anything.
    """
    returns, volumes, faults = [], [], []
    paths = series.paths()
    for i, (path, volume) in enumerate(paths):
        count = max(len(path) // length, 1)
        windows = _side_by_side(path, count, length)
        fault = str(path_faults(path))
        if not fault and series.simulated and not volume.any():
            fault = "no trade on any day"
        if fault:
            windows = np.full_like(windows, np.nan)
            faults.append(fault if len(paths) == 1 else f"path {i}: {fault}")
        returns.append(windows)
        volumes.append(np.nan_to_num(_side_by_side(volume, count, length)))
    return np.concatenate(returns), np.concatenate(volumes), "; ".join(faults[:3])


def _side_by_side(values: FloatArray, count: int, length: int) -> FloatArray:
    """Cut the last days into windows [count, length]; too few days are a window of NaN."""
    if len(values) < length:
        return np.full((1, length), np.nan)
    return np.asarray(values[len(values) - count * length :].reshape(count, length))


def _moment_rows(score: Score, target: Target, coverage: FloatArray) -> tuple[FactRow, ...]:
    known = score.per_path[np.isfinite(score.per_path).all(axis=1)]
    nothing = np.full((1, len(target.names)), np.nan)
    simulated = (known if len(known) else nothing).mean(axis=0)
    simulated_low, simulated_high = np.quantile(
        known if len(known) else nothing, [0.025, 0.975], axis=0
    )
    errors = (simulated - target.m_star) / target.moment_sd * math.sqrt(len(known))
    return tuple(
        FactRow(
            name=name,
            simulated=float(simulated[i]),
            simulated_low=float(simulated_low[i]),
            simulated_high=float(simulated_high[i]),
            real=float(target.m_star[i]),
            low=float(target.moment_low[i]),
            high=float(target.moment_high[i]),
            standard_errors=float(errors[i]),
            coverage=float(coverage[i]),
            defined=len(known),
            paths=target.paths,
        )
        for i, name in enumerate(target.names)
    )


def _notes(series: Daily, real: Daily, count: int, length: int, tried: int) -> Sequence[str]:
    notes = []
    if tried > 1:
        notes.append(
            f"the best of {tried:,} tried: luck is in the score unless these days chose nothing"
        )
    if (over := len(series.log_returns) - count * length) > 0:
        whose = f"{over} first days of its paths" if series.lengths else f"its first {over} days"
        notes.append(f"{series.name}: {whose} are over and left out")
    same = np.array_equal(series.log_returns, real.log_returns)
    if same:
        notes.append(f"{series.name} is held against itself: this is a check, not a test")
    for daily in (series,) if same else (series, real):
        idle = int((daily.volume == 0).sum())
        if idle == len(daily.volume):
            notes.append(f"{daily.name}: no volume, or zero throughout")
        elif idle:
            notes.append(f"{daily.name}: volume is zero on {idle} of {len(daily.volume)} days")
    return notes


def _plain(row: FactRow) -> dict[str, Any]:
    return {
        key: _finite(value) if isinstance(value, float) else value
        for key, value in asdict(row).items()
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
