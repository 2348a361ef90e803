"""Whole markets of rule-based agents against `pams` with agents of its own, in one run."""

from __future__ import annotations

import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evobourse.experiments.benchmarks.own_process import process_command
from evobourse.experiments.benchmarks.peers import peers_python
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.reports.figure_lines import Report
from evobourse.market.crowds.chiarella_iori import Forecasters, ForecastRule, mixture
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.session import SessionRules

BENCHMARK = Benchmark(
    measures="whole markets of rule-based agents against pams, time and memory by size",
    minutes=5,
)

AGENTS, DAYS = 1_000, 250
PEER_STEPS = 5  # pams would take minutes for 250
SIZES = (1_000, 10_000, 100_000)
MEMORY_SIZES = (100_000, 200_000, 400_000)
ORDERS = 400_000
CLOSE_TICKS = 30_000


@dataclass(frozen=True)
class Settings:
    """How it is timed.

    Attributes
    ----------
    runs
        Of each market, the fastest of which counts.
    """

    runs: int = 5


def run(settings: Settings, report: Report) -> None:
    """Time whole markets."""
    python = peers_python()
    script = Path(__file__).with_name("peer_market.py")
    make_market(100).run(2)  # compiles
    own, peer = [], []
    for _ in range(settings.runs):  # in turns, so that whatever else runs slows both
        began = time.perf_counter()
        make_market(AGENTS).run(DAYS)
        own.append(AGENTS * DAYS / (time.perf_counter() - began))
        command = [str(python), "-W", "ignore", str(script), str(AGENTS), str(PEER_STEPS)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        decisions, spent = map(float, answer.splitlines()[-1].split())
        peer.append(decisions / spent)
    size = f"{AGENTS:,} agents, {DAYS} days; {PEER_STEPS} steps there"
    rate = max(own)
    report.figure(f"agent decisions a second, {size}", rate, "1/s", "pams 0.3.0", rate / max(peer))
    per_order = {agents: seconds_per_order(agents, settings.runs) for agents in SIZES}
    for agents, seconds in per_order.items():
        ratio = seconds / per_order[SIZES[0]]
        peer_size = f"{SIZES[0]:,} agents"
        report.figure(f"time per order, {agents:,} agents", seconds, "s", peer_size, ratio)
    peaks = [peak_of_process(agents) for agents in MEMORY_SIZES]
    near, far = np.diff(peaks) / np.diff(MEMORY_SIZES)
    name = "memory per further agent, 200,000 to 400,000"
    report.figure(name, far, "bytes", "100,000 to 200,000 agents", far / near)


def make_market(agents: int, seed: int = 0) -> Exchange:
    """Return a market of forecasters who all order every day, in continuous trading."""
    of_weights, of_crowd, of_market = np.random.default_rng(seed).spawn(3)
    rule = ForecastRule(activity=1.0, most_margin=0.1, longest_trend_days=200)
    weights = mixture(agents, (1.0, 0.1, 1.0), of_weights)
    crowd = Forecasters(weights, float(CLOSE_TICKS), rule, of_crowd)
    return Exchange(
        [Instrument("stock")],
        [np.array([CLOSE_TICKS])],
        [crowd],
        np.full(agents, 50 * CLOSE_TICKS),
        np.full((agents, 1), 50),
        of_market,
        SessionRules(("continuous",)),
    )


def seconds_per_order(agents: int, runs: int) -> float:
    """Return the least time per order of several runs."""
    days = max(2, ORDERS // agents)
    exchange = make_market(agents)
    exchange.run(1)
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        exchange.run(days)
        times.append((time.perf_counter() - began) / (days * agents))
    return min(times)


def peak_of_process(agents: int) -> int:
    """Return the peak memory of a process of its own that runs a market of so many agents."""
    command = process_command(print_peak, agents=agents)
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak(agents: int) -> None:
    """Run a few days and print this process's peak memory in bytes."""
    make_market(agents).run(5)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
