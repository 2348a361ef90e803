"""How many long markets of populations and of Franke-Westerhoff pass all moments of their paper.

Reference: Franke and Westerhoff (2012), Structural stochastic volatility in asset pricing dynamics:
estimation and model contest, J. Econ. Dyn. Control 36, doi:10.1016/j.jedc.2011.10.004, Table A1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray

from evobourse.agents.crowds.persona_crowd import history_ticks
from evobourse.evolve.markets import World, play_markets
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.simulate.bundle import open_population
from evobourse.experiments.studies.run import Page, Study
from evobourse.fitness.baselines.calibration import calibrate_franke_westerhoff
from evobourse.fitness.baselines.franke_westerhoff import PUBLISHED, franke_westerhoff
from evobourse.fitness.baselines.without_agents import block_bootstrap
from evobourse.fitness.distance import Target, make_target
from evobourse.fitness.moments import ac1, acf, hill, moments, on_sound_paths
from evobourse.market.series.named import load_series

STUDY = Study(
    question="how many long markets pass all of the paper's moments: populations, laws, real days?",
    minutes=5,
    page="docs/studies/coverage.md",
)

PAPERS_DAYS = 6866
PAPERS_COVERAGE = 0.101
PAPER = "Franke and Westerhoff (2012), S&P 500 1980-2007"
BLOCK_DAYS = PAST_DAYS = 750
LAGS = (1, 5, 10, 25, 50, 100)
NINE = ("AC1", "1/Hill", "mean |r|", *(f"ACF |r| {lag}" for lag in LAGS))
PAPERS_INTERVALS = np.array(
    [
        (-0.042, 0.027),
        (0.269, 0.334),
        (0.672, 0.754),
        (0.106, 0.280),
        (0.142, 0.231),
        (0.118, 0.200),
        (0.095, 0.162),
        (0.074, 0.148),
        (0.041, 0.105),
    ]
)
"""95 % intervals of `NINE` in the paper's Table A1, of 6,866 returns in percent."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """What is compared.

    Attributes
    ----------
    series
        The real one.
    last_year
        Of it.
    paths
        Of each law.
    populations
        Bundles' folders, configs (the populations that their sweeps begin with), or `hand-set`.
    markets
        Of each population, a path each.
    agents
        Of a market.
    """

    series: str = "sp500"
    last_year: int = 2018
    paths: int = 1000
    populations: tuple[str, ...] = ("hand-set",)
    markets: int = 100
    agents: int = 200


@dataclass(frozen=True, eq=False)
class Intervals:
    """What paths are held against.

    Attributes
    ----------
    heading
        Of the page's section.
    names
        Of the moments.
    measure
        From log returns [N, T] to moments [N, M], NaN for a degenerate path.
    low, high
        Ends of the 95 % intervals, float64[M].
    """

    heading: str
    names: tuple[str, ...]
    measure: Callable[[Array], Array]
    low: Array
    high: Array

    def covers(self, values: Array) -> NDArray[np.bool_]:
        """Say which moments [N, M] lie inside; those of a degenerate path do not."""
        return (self.low <= values) & (values <= self.high)


def run(settings: Settings, report: Report) -> Page:
    """Play and draw all markets, and hold them against the paper's and our own intervals."""
    series = load_series(settings.series)
    days = int(np.sum(series.dates < np.datetime64(f"{settings.last_year + 1}-01-01")))
    real = series.log_returns[: days - 1]
    period = f"{series.name} {series.dates[0].astype('M8[Y]')}-{settings.last_year}"
    rng = np.random.default_rng(0)
    target = make_target(real, window_days=250, paths=4, rng=rng)
    redrawn = block_bootstrap(real, settings.paths, PAPERS_DAYS, rng, BLOCK_DAYS)
    sections = {one: _Table(one) for one in make_intervals(period, redrawn, target)}
    for name, returns in _markets(real, target, settings, rng, report):
        for intervals, table in sections.items():
            joint = table.add(name, returns)
            report.figure(
                f"joint moment coverage ratio, {intervals.heading[3:]}, {name}",
                joint, "1", PAPER, joint / PAPERS_COVERAGE, paths=len(returns),
            )  # fmt: skip
    page = PAGE.format(
        command=report.command,
        paper=PAPER,
        coverage=PAPERS_COVERAGE,
        days=PAPERS_DAYS,
        paths=settings.paths,
        markets=settings.markets,
        agents=settings.agents,
        block=BLOCK_DAYS,
        period=period,
        returns=len(real),
        sections="\n\n".join(table.text() for table in sections.values()),
    )
    return Page(page)


def make_intervals(period: str, redrawn: Array, target: Target) -> tuple[Intervals, ...]:
    """List what paths are held against: the paper's intervals, and those of real days redrawn."""

    def ours(log_returns: Array) -> Array:
        return moments(log_returns, target.sigma_real)

    def of_redrawn(
        heading: str, names: tuple[str, ...], measure: Callable[[Array], Array]
    ) -> Intervals:
        low, high = np.nanquantile(measure(redrawn), [0.025, 0.975], axis=0)
        return Intervals(heading, names, measure, low, high)

    return (
        Intervals("## The paper's nine moments in the paper's intervals", NINE, nine_moments,
                  *PAPERS_INTERVALS.T),
        of_redrawn(f"## The paper's nine moments in those of {period}", NINE, nine_moments),
        of_redrawn(f"## This project's moments in those of {period}", target.names, ours),
    )  # fmt: skip


def nine_moments(log_returns: Array) -> Array:
    """Return the moments of Franke and Westerhoff (2012), [N, T] -> [N, 9] (names in `NINE`).

    Returns in percent; an autocorrelation of absolute returns beyond lag 1 is the mean of three
    neighbouring lags. NaN for a degenerate path.
    """

    def nine(returns: Array) -> Array:
        absolute = np.abs(100.0 * returns)
        memory = [
            acf(absolute, (lag,) if lag == 1 else (lag - 1, lag, lag + 1)).mean(axis=-1)
            for lag in LAGS
        ]
        first = (ac1(returns), 1.0 / hill(returns), absolute.mean(axis=-1))
        return np.stack([*first, *memory], axis=-1)

    return on_sound_paths(nine, log_returns, (len(NINE),))


def _markets(
    real: Array, target: Target, settings: Settings, rng: np.random.Generator, report: Report
) -> Iterator[tuple[str, Array]]:
    """Draw or play each row's paths, by name."""
    count, days = settings.paths, PAPERS_DAYS
    yield "Franke-Westerhoff, published", franke_westerhoff(PUBLISHED, count, days, rng)
    for name, student in (("calibrated", False), ("calibrated, Student noise", True)):
        market = calibrate_franke_westerhoff(target, np.random.SeedSequence(0), student=student)
        report.say(f"{name}: {market}")
        yield f"Franke-Westerhoff, {name}", franke_westerhoff(market, count, days, rng)
    yield "real blocks redrawn", block_bootstrap(real, count, days, rng, BLOCK_DAYS)
    for place in settings.populations:
        yield f"`{place}`", play_long(place, settings, report)


def play_long(place: str, settings: Settings, report: Report) -> Array:
    """Play a population's long markets: log returns, float64[markets, `PAPERS_DAYS`].

    Each follows a real past of its own, spread evenly over the series: how much prices move in a
    market depends on the years that it begins with.
    """
    opened = open_population(place)
    bundle, table, threads = opened.bundle, opened.table(), cpu_count()
    world = World(bundle.offsets, bundle.rules, settings.agents, PAPERS_DAYS)
    close = load_series(settings.series).close
    ends = np.linspace(PAST_DAYS, len(close), settings.markets, dtype=np.int64).tolist()
    parts = [(bundle.population, history_ticks(close[:end]), n) for n, end in enumerate(ends, 1)]
    found: list[Array] = []
    with report.steps(f"markets of {place}", len(parts)) as step:
        for first in range(0, len(parts), threads):
            some = parts[first : first + threads]
            for tape in play_markets(world, some, [table] * len(some), threads):
                found.append(tape.log_returns())
                step()
    return np.stack(found)


class _Table:
    """Rows of one section."""

    def __init__(self, intervals: Intervals) -> None:
        self.intervals = intervals
        columns = [name.replace("|", "\\|") for name in intervals.names]
        self.lines = [
            intervals.heading,
            "",
            f"| | all | paths | {' | '.join(columns)} |",
            "|---" + "|---:" * (len(columns) + 2) + "|",
            _row("95 % from", "", "", intervals.low),
            _row("95 % to", "", "", intervals.high),
        ]

    def add(self, name: str, returns: Array) -> float:
        """Add a market's two rows, and return its joint coverage."""
        values = self.intervals.measure(returns)
        inside = self.intervals.covers(values)
        joint = float(inside.all(axis=1).mean())
        sound = np.isfinite(values).all(axis=1)
        means = values[sound].mean(axis=0) if sound.any() else np.full(values.shape[1], np.nan)
        paths = f"{len(returns):,}"
        self.lines += [
            _row(f"{name}: mean", "", "", means),
            _row(f"{name}: inside", f"**{joint:.3f}**", paths, inside.mean(axis=0)),
        ]
        return joint

    def text(self) -> str:
        return "\n".join(self.lines)


def _row(name: str, joint: str, paths: str, values: Array) -> str:
    return f"| {name} | {joint} | {paths} | {' | '.join(f'{value:.3f}' for value in values)} |"


PAGE = """# How many long markets pass all moments

Written by `{command}`; do not edit.

- A moment of a path is inside where it lies in the 95 % interval; *all* is the share of paths with
  every moment inside, the joint moment coverage ratio.
- Each path has {days:,} days, as the paper's series of S&P 500 from 1980 to 2007.
- {paper}, reports {coverage:.1%} for its market.
- Intervals of {period}, {returns:,} returns, are of {paths:,} series glued from blocks of {block}
  days; so are *real blocks redrawn*.
- Laws are calibrated on windows of 250 days of {period}.
- Populations play {markets} markets of {agents} agents each, which follow real pasts spread evenly
  over the series.

{sections}
"""
