"""`make bench-market`, second half: whole markets of rule-based agents, as ratios in one run.

The peer is `pams` with agents of its own, in the environment that the first half makes.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from evobourse.experiments.benchmarks.peers import peers_python
from evobourse.market.crowds.chiarella_iori import Forecasters, ForecastRule, mixture
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.session import SessionRules

AGENTS, DAYS = 1_000, 250
PEER_STEPS = 5  # pams would take minutes for 250
SIZES = (1_000, 10_000, 100_000)
MEMORY_SIZES = (100_000, 200_000, 400_000)
ORDERS = 400_000
RUNS = 5
CLOSE_TICKS = 30_000


def main() -> None:
    """Time whole markets and print one JSON line a figure."""
    if len(sys.argv) > 1:
        print(peak_bytes(int(sys.argv[1])))
        return
    python = peers_python()
    script = Path(__file__).with_name("peer_market.py")
    make_market(100).run(2)  # compiles
    own, peer = [], []
    for _ in range(RUNS):  # in turns, so that whatever else runs slows both
        began = time.perf_counter()
        make_market(AGENTS).run(DAYS)
        own.append(AGENTS * DAYS / (time.perf_counter() - began))
        command = [str(python), "-W", "ignore", str(script), str(AGENTS), str(PEER_STEPS)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        decisions, spent = map(float, answer.splitlines()[-1].split())
        peer.append(decisions / spent)
    print(f"{AGENTS:,} forecasters: {DAYS} days here, {PEER_STEPS} steps in pams; best of {RUNS}")
    line: dict[str, object] = {"bench": "market", "figure": "agent decisions per second"}
    line["value"] = max(own)
    print(json.dumps({**line, "unit": "1/s", "peer": "pams 0.3.0", "ratio": max(own) / max(peer)}))
    per_order = {agents: seconds_per_order(agents) for agents in SIZES}
    for agents, seconds in per_order.items():
        line = {"bench": "market", "figure": f"time per order, {agents:,} agents", "value": seconds}
        ratio = seconds / per_order[SIZES[0]]
        print(json.dumps({**line, "unit": "s", "peer": f"{SIZES[0]:,} agents", "ratio": ratio}))
    peaks = [peak_of_process(agents) for agents in MEMORY_SIZES]
    near, far = np.diff(peaks) / np.diff(MEMORY_SIZES)
    line = {"bench": "market", "figure": "memory per further agent, 200,000 to 400,000"}
    line |= {"value": far, "unit": "bytes", "peer": "100,000 to 200,000 agents"}
    print(json.dumps({**line, "ratio": far / near}))


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


def seconds_per_order(agents: int) -> float:
    """Return the least time per order of several runs."""
    days = max(2, ORDERS // agents)
    exchange = make_market(agents)
    exchange.run(1)
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        exchange.run(days)
        times.append((time.perf_counter() - began) / (days * agents))
    return min(times)


def peak_of_process(agents: int) -> int:
    """Return the peak memory of a process of its own that runs a market of so many agents."""
    command = [sys.executable, "-m", "evobourse.experiments.benchmarks.exchange", str(agents)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak_bytes(agents: int) -> int:
    """Run a few days and return this process's peak memory."""
    make_market(agents).run(5)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
