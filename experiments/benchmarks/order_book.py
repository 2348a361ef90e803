"""The order book against other people's books, in one run, as ratios.

The peers live in an environment of their own, which is made on first use.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from evobourse.experiments.benchmarks.peers import peers_python
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.reports.figure_lines import Report
from evobourse.market.book.book import BookRules, OrderBook
from evobourse.market.book.order_events import EVENT_DTYPES, Fills, Kind, OrderEvents

BENCHMARK = Benchmark(
    measures="the order book's events a second against bourse and pams",
    minutes=2,
)

EVENTS = 200_000
SHARES = {Kind.LIMIT: 0.53, Kind.MARKET: 0.10, Kind.CANCEL: 0.37}
DEPTH = 1_000
MID_TICKS = 10_000
BLOCK = 200
PAMS_EVENTS = 5_000  # at a thousand a second the whole stream would take minutes


@dataclass(frozen=True)
class Settings:
    """How it is timed.

    Attributes
    ----------
    runs
        Of all events, the fastest of which counts.
    """

    runs: int = 7


def run(settings: Settings, report: Report) -> None:
    """Send one stream of events through all books."""
    python = peers_python()
    events = order_flow(np.random.default_rng(0))
    shares = ", ".join(f"{share:.0%} {kind.name.lower()}" for kind, share in SHARES.items())
    best = f"best of {settings.runs} runs"
    report.say(f"{len(events):,} events, {shares}, about {DEPTH:,} orders resting; {best}")
    send(events)  # compiles
    own, bourse = [], []
    for _ in range(settings.runs):  # in turns, so that whatever else runs slows both
        began = time.perf_counter()
        fills = send(events)
        own.append(time.perf_counter() - began)
        seconds, trades = ask_peer(python, "bourse", events)
        bourse.append(seconds)
    alike = np.array_equal(as_trades(fills), trades)
    report.say(
        f"trades of both: {len(fills)} and {len(trades)}, {'' if alike else 'NOT '}identical"
    )
    seconds, _ = ask_peer(python, "pams", events[:PAMS_EVENTS])
    rate = len(events) / min(own)
    against = {"bourse 0.4.0": len(events) / min(bourse), "pams 0.3.0": PAMS_EVENTS / seconds}
    for peer, peer_rate in against.items():
        report.figure("events per second, one batch", rate, "1/s", peer, rate / peer_rate)


def order_flow(rng: np.random.Generator) -> OrderEvents:
    """Draw events around a fixed price, with about DEPTH orders resting once they have come in.

    Limit orders cross the price while more than DEPTH orders rest. Cancels name orders that
    rested when their block of events began, so that nearly all find their order.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws everything.

    Returns
    -------
    OrderEvents
        EVENTS events, each order with an agent and a time stamp of its own.
    """
    counts = {kind: round(EVENTS * share) for kind, share in SHARES.items()}
    first = np.full(DEPTH, Kind.LIMIT)
    others = np.repeat(
        list(counts), [counts[kind] - DEPTH * (kind == Kind.LIMIT) for kind in counts]
    )
    book = OrderBook(BookRules(), MID_TICKS)
    blocks = []
    for kind in np.split(np.concatenate([first, rng.permutation(others)]), EVENTS // BLOCK):
        number = book.events_seen + np.arange(BLOCK)
        cancels = kind == Kind.CANCEL
        target = np.zeros(BLOCK, np.int64)
        target[cancels] = rng.choice(book.resting.number, cancels.sum(), replace=False)
        side = rng.choice([-1, 1], BLOCK)
        away = rng.geometric(0.02, BLOCK) * (-1 if len(book.resting) > DEPTH else 1)
        block = OrderEvents.of(
            kind,
            time=number,
            agent=np.where(cancels, target, number),
            side=side,
            price_ticks=MID_TICKS - side * away,
            quantity=np.where(cancels, 0, rng.integers(1, 100, BLOCK)),
            target=target,
        )
        book.process(block)
        blocks.append(block)
    return OrderEvents.concatenate(blocks)


def send(events: OrderEvents) -> Fills:
    """Process the columns of all events in one batch, checking them included."""
    book = OrderBook(BookRules(), MID_TICKS)
    return book.process(OrderEvents(*(getattr(events, name) for name in EVENT_DTYPES)))[0]


def as_trades(fills: Fills) -> NDArray[np.int64]:
    """Return price, quantity, incoming and resting order's number of each trade, shape [f, 4]."""
    bought = fills.aggressor > 0
    incoming = np.where(bought, fills.buy, fills.sell)
    resting = np.where(bought, fills.sell, fills.buy)
    return np.stack([fills.price_ticks, fills.quantity, incoming, resting], axis=1)


def ask_peer(python: Path, name: str, events: OrderEvents) -> tuple[float, NDArray[np.float64]]:
    """Return the seconds that a peer takes for the events, one call an event, and its trades."""
    with TemporaryDirectory() as folder:
        stream, answer = Path(folder) / "stream.npz", Path(folder) / "answer.npz"
        arrays = {str(name): values.to_numpy() for name, values in events.frame.items()}
        np.savez(stream, allow_pickle=False, **arrays)
        script = Path(__file__).with_name("peer_books.py")
        subprocess.run([python, script, name, stream, answer], check=True)
        with np.load(answer) as answers:
            return float(answers["seconds"]), answers["fills"]
