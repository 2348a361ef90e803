"""How a market answers a buyer: paired runs on the exchange at several rates of buying."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.scenario import Scenario, Size
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figures import new_figure, plain_axes
from evobourse.experiments.simulate.exchange import run_scenario
from evobourse.fitness.palette import INK, MUTED, SIMULATED
from evobourse.fitness.responsiveness import KyleFit, Responsiveness, fit_kyle, measure_response
from evobourse.market.crowds.pov import VolumeParticipant

WEALTH_LOTS = 1_000
"""Lots that the buyer has for each agent, and as much in cash, so that it does not run dry."""


@dataclass(frozen=True, eq=False)
class Runs:
    """The same markets with a buyer at each rate; row 0 is without one.

    Attributes
    ----------
    rates
        Of the buyer, 0 first: R + 1 of them.
    closes
        Of each pair, before the first day and of each day: int64[R + 1, S, T + 1], ticks.
    volume, bought
        What all traded and what the buyer bought each day: int64[R + 1, S, T], lots.
    """

    rates: tuple[float, ...]
    closes: NDArray[np.int64]
    volume: NDArray[np.int64]
    bought: NDArray[np.int64]

    @property
    def flow(self) -> NDArray[np.float64]:
        """What the buyer bought over the pair's mean daily volume without it: [R + 1, S, T]."""
        usual: NDArray[np.float64] = np.maximum(self.volume[0].mean(axis=1), 1.0)[:, None]
        return self.bought / usual


@dataclass(frozen=True, eq=False)
class RateResponse:
    """The market's answer to one rate.

    Attributes
    ----------
    rate
        Asked for.
    participation
        Part of the volume bought in each pair, float64[S].
    measured
        See `fitness.responsiveness`; flows are in parts of a usual day's volume.
    """

    rate: float
    participation: NDArray[np.float64]
    measured: Responsiveness

    def as_json(self) -> dict[str, Any]:
        """Return plain values; the impact is that of the last day."""
        measured = self.measured
        return {
            "rate": self.rate,
            "participation": float(self.participation.mean()),
            "impact": float(measured.response[-1]),
            "impact_low": _number(measured.response_low[-1]),
            "impact_high": _number(measured.response_high[-1]),
            "kyle": _fit_json(measured.all_flows),
        }


@dataclass(frozen=True, eq=False)
class ResponseReport:
    """The market's answers.

    Attributes
    ----------
    rates
        One for each rate, in their order.
    pooled
        Kyle's regression over the days of all rates. Its errors take the rates' runs for
        independent though they share their markets: those of a single rate do not.
    """

    rates: tuple[RateResponse, ...]
    pooled: KyleFit

    def as_json(self) -> dict[str, Any]:
        """Return plain values; null stands for what is not finite."""
        return {"rates": [rate.as_json() for rate in self.rates], "pooled": _fit_json(self.pooled)}


def run_pairs(
    scenario: Scenario,
    bundle: Bundle,
    choices: NDArray[np.float64],
    rates: Sequence[float],
    pairs: int,
    size: Size,
    on_run: Callable[[], None] = lambda: None,
) -> Runs:
    """Run each seed's market without the buyer, then with it at each rate.

    Parameters
    ----------
    scenario, bundle, choices
        As for `experiments.simulate.exchange.run_scenario`.
    rates
        Parts of the volume that the buyer wants, over 0 and below 1.
    pairs
        Number of markets.
    size
        Of each market; the buyer is there on each day. The first has its seed, the others the
        seeds that follow.
    on_run
        Called after each run.
    """
    asked = (0.0, *rates)
    agents, days = size.agents, size.days
    own = agents + sum(asdict(scenario.beside).values())  # the buyer sits behind everybody else
    closes = np.empty((len(asked), pairs, days + 1), np.int64)
    volume, bought = (np.zeros((len(asked), pairs, days), np.int64) for _ in range(2))
    for pair in range(pairs):
        for row, rate in enumerate(asked):
            buyer = VolumeParticipant(rate, 0, days - 1)
            mine = replace(size, seed=size.seed + pair)
            with tempfile.TemporaryDirectory(prefix="evobourse-") as folder:
                tape = run_scenario(
                    scenario,
                    bundle,
                    choices,
                    mine,
                    Path(folder) / "tape",
                    further=[(buyer, WEALTH_LOTS * agents)],
                )
                prices = tape.frame("prices")
                fills = tape.frame("fills")
                fills = fills[(fills["buyer"] == own) & ~fills["cancelled"]]
            closes[row, pair] = [bundle.history[-1], *prices["close_ticks"]]
            volume[row, pair] = prices["volume"]
            np.add.at(bought[row, pair], fills["day"], fills["quantity"])
            on_run()
    return Runs(asked, closes, volume, bought)


def measure_response_to(
    bundle: Bundle,
    choices: NDArray[np.float64],
    scenario: Scenario,
    rates: Sequence[float],
    pairs: int,
    size: Size,
    on_run: Callable[[], None] = lambda: None,
) -> ResponseReport:
    """Run a population's pairs and measure them; see `run_pairs`.

    Raises
    ------
    ConfigError
        The rates are out of range or given twice, or the scenario has personas of its own.
    """
    if not rates or len(set(rates)) != len(rates) or not all(0 < rate < 1 for rate in rates):
        raise ConfigError(
            f"rates {list(rates)}: expected different numbers over 0 and below 1, as in 0.05, 0.1"
        )
    for key in ("cast", "deliberation", "named_numbers"):
        if getattr(scenario, key):
            raise ConfigError(
                f"response: the scenario has {key}, and the buyer is put beside the bundle's own "
                "personas, who choose at a glance; leave it out"
            )
    runs = run_pairs(scenario, bundle, choices, rates, pairs, size, on_run)
    return measure_rates(runs, np.random.default_rng(size.seed))


def measure_rates(runs: Runs, rng: np.random.Generator) -> ResponseReport:
    """Measure the market's answer to each rate, and to all together.

    Parameters
    ----------
    runs
        See `run_pairs`.
    rng
        Source of the bootstrap over pairs.

    Raises
    ------
    fitness.errors.FitnessError
        A rate has fewer than 30 days with a fill, or its fills are all alike.
    """
    without, flow = runs.closes[0], runs.flow
    found = tuple(
        RateResponse(
            rate,
            runs.bought[row].sum(axis=1) / np.maximum(runs.volume[row].sum(axis=1), 1),
            measure_response(runs.closes[row], without, flow[row], rng),
        )
        for row, rate in enumerate(runs.rates)
        if row
    )
    daily = np.diff(np.log(runs.closes[1:]) - np.log(without), axis=2)
    days, flows = (x.reshape(-1, x.shape[2]) for x in (daily, flow[1:]))
    return ResponseReport(found, fit_kyle(days, flows, flows != 0))


def print_response(report: ResponseReport, console: Console | None = None) -> None:
    """Print a line for each rate, then Kyle's lambda over all of them."""
    console = console or Console()
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in ("rate", "of volume", "impact [95 %], %", "lambda ± s.e., %", "linear, p"):
        table.add_column(column, justify="right", no_wrap=True)
    for rate in report.rates:
        measured, fit = rate.measured, rate.measured.all_flows
        ends = (measured.response[-1], measured.response_low[-1], measured.response_high[-1])
        shown = "{:+.2f} [{:+.2f}, {:+.2f}]".format(*(100 * end for end in ends))
        table.add_row(
            f"{rate.rate:g}",
            f"{rate.participation.mean():.3f}",
            shown,
            f"{100 * fit.slope:.2f} ± {100 * fit.standard_error:.2f}",
            f"{fit.linearity_p:.3f}",
        )
    console.print(table)
    fit = report.pooled
    console.print(
        f"Kyle's lambda over all rates: {100 * fit.slope:.2f} ± {100 * fit.standard_error:.2f} % "
        f"per usual day's volume, R² {fit.r_squared:.3f}, {fit.days} days, linear: p = "
        f"{fit.linearity_p:.3f}",
        highlight=False,
    )
    console.print(
        "impact: log price on the last day with the buyer less without, mean over pairs; lambda: "
        "the day's impact per usual day's volume bought, Newey-West errors; linear: RESET, small "
        "where the response is curved.",
        style="dim",
    )


def draw_response(report: ResponseReport) -> Figure:
    """Draw the last day's log price impact against the part of the volume bought."""
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    part = np.array([rate.participation.mean() for rate in report.rates])
    last = [
        (m.response[-1], m.response_low[-1], m.response_high[-1])
        for m in (rate.measured for rate in report.rates)
    ]
    mean, low, high = 100 * np.array(last).T
    for rate in report.rates:
        pairs = 100 * rate.measured.impact[:, -1]
        axes.plot(rate.participation, pairs, ".", color=MUTED, ms=5, zorder=1)
    axes.plot([], [], ".", color=MUTED, label="a pair of runs")
    axes.vlines(part, low, high, color=SIMULATED, lw=1.6)  # NaN ends, of a single pair, are bare
    axes.plot(part, mean, "o-", color=SIMULATED, lw=1.2, label="mean, 95 % over pairs")
    axes.axhline(0, color=INK, lw=0.8)
    axes.set(
        xlim=(0, None),
        xlabel="part of the volume that the buyer takes",
        ylabel="log price impact on the last day (%)",
        title="The market with the buyer less without",
    )
    plain_axes(axes)
    axes.legend(frameon=False, fontsize="small")
    return figure


def read_rates(text: str) -> tuple[float, ...]:
    """Read rates as they are typed, ``0.05,0.1``.

    Raises
    ------
    ConfigError
        They are no numbers.
    """
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise ConfigError(f"rates {text!r}: expected numbers, as in 0.05,0.1") from None


def _fit_json(fit: KyleFit) -> dict[str, Any]:
    return {key: _number(value) for key, value in asdict(fit).items()}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
