"""A desk as its reader has it: days a second of a thousand agents, and memory over 2,000 days."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figure_lines import Report

BENCHMARK = Benchmark(
    measures="days a second of a desk of a thousand agents, and its memory over 2,000 days",
    minutes=4,
)

WANTED = 5.0
"""Days a second at which a person watches comfortably."""

FASTEST = 1_000


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    bundle
        Whose market.
    agents, days
        Of it.
    scenario
        YAML of an exchange; one call auction a day if left out.
    page
        Whether a headless Chromium looks on, through Playwright.
    """

    bundle: Path = Path("runs/quickstart/bundle")
    agents: int = 1_000
    days: int = 2_000
    scenario: Path | None = None
    page: bool = True


@dataclass(frozen=True)
class Seen:
    """What a reader of the stream has seen by a moment, and what the desk has taken for it.

    Attributes
    ----------
    day
        The last one seen.
    seconds, busy_seconds
        Since the desk began to play: of the clock, and of processors in the desk's process, which
        whatever else runs on a machine hardly changes.
    desk_bytes
        Memory that the desk's process holds.
    """

    day: int
    seconds: float
    busy_seconds: float
    desk_bytes: int


def run(settings: Settings, report: Report) -> None:
    """Play a desk at full speed, through its address alone, and look at how it fares."""
    what = f"{settings.agents:,} agents, {settings.days:,} days"
    last_day, behind = settings.days, 0.0
    with open_desk(settings) as (desk, address), look_on(address, settings.page) as page:
        heap = [script_bytes(page)]
        seen = list(read_stream(desk, address))
        ended = time.perf_counter()
        while page is not None and page.inner_text("#day") != f"day {last_day}":
            page.wait_for_timeout(20)
        behind = time.perf_counter() - ended
        heap.append(script_bytes(page))
    looked = ", a page open" if settings.page else ""
    peer = f"{WANTED:.0f} days a second"
    whole = last_day / (seen[-1].seconds + behind)
    report.figure(f"days a second, {what}{looked}", whole, "1/s", peer, whole / WANTED)
    day, busy = (np.array([getattr(one, key) for one in seen]) for key in ("day", "busy_seconds"))
    tenth = np.unique(np.searchsorted(day, np.linspace(day[0], day[-1], 11)))
    rates = np.diff(day[tenth]) / np.diff(busy[tenth])
    for name, rate in (("all", day[-1] / busy[-1]), ("slowest tenth", rates.min())):
        figure = f"days a second of the desk's own processor time, {name}"
        report.figure(figure, float(rate), "1/s", peer, float(rate) / WANTED)
    first = seen[int(np.searchsorted(day, last_day / 4))].desk_bytes
    last = seen[-1].desk_bytes
    name = f"memory of the desk on day {last_day:,}"
    report.figure(name, last, "bytes", f"day {last_day // 4:,}", last / first)
    if settings.page:
        name = f"memory of the page's script on day {last_day:,}"
        report.figure(name, heap[1], "bytes", "day 0", heap[1] / heap[0])


@contextmanager
def open_desk(settings: Settings) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a desk as its command does; it ends with the block."""
    with tempfile.TemporaryDirectory(prefix="evobourse-bench-") as folder:
        given: list[object] = [
            "desk", settings.bundle, "--port", 0, "--agents", settings.agents, "--days",
            settings.days, "--session", Path(folder) / "session", "--json",
        ]  # fmt: skip
        if settings.scenario is not None:
            given += ["--scenario", settings.scenario]
        command = [sys.executable, "-m", "evobourse.experiments.cli.main", *map(str, given)]
        desk = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert desk.stdout is not None  # it is a pipe
            line = desk.stdout.readline()
            if not line:
                raise ConfigError(f"{settings.bundle}: the desk did not open; its line says why")
            yield desk, json.loads(line)["desk"]
        finally:
            desk.terminate()
            desk.wait()


def read_stream(desk: subprocess.Popen[str], address: str) -> Iterator[Seen]:
    """Play to the last day at full speed, and yield what is seen, a message at a time."""
    with httpx.Client(follow_redirects=True, timeout=60) as client:
        client.get(address).raise_for_status()
        root = address.partition("?")[0]

        def act(**command: object) -> None:
            client.post(f"{root}act", json=command).raise_for_status()

        act(do="step", unit="day")  # compiles
        act(do="speed", days_a_second=FASTEST)
        began, busy, first = time.perf_counter(), busy_seconds(desk.pid), 0
        with client.stream("GET", f"{root}stream") as stream:
            act(do="play")
            for line in stream.iter_lines():
                if not line.startswith("data: "):
                    continue
                now: dict[str, Any] = json.loads(line.removeprefix("data: "))["parts"].get(
                    "now", {}
                )
                if not now:
                    continue
                first = first or now["day"]
                if now["day"] > first:
                    seconds = time.perf_counter() - began
                    spent = busy_seconds(desk.pid) - busy
                    yield Seen(now["day"], seconds, spent, resident_bytes(desk.pid))
                if now["over"]:
                    return


@contextmanager
def look_on(address: str, wanted: bool) -> Iterator[Any]:
    """Open the desk's page in a headless Chromium, if that is wanted; yield it, or None."""
    if not wanted:
        yield None
        return
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        program = None
    if program is None:
        raise ConfigError("bench desk: no Chromium or no playwright here; --set page=false")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.wait_for_selector("body[data-live]")
        yield page
        browser.close()


def script_bytes(page: Any) -> float:
    """Return what a page's script holds after its garbage is collected; 0 without a page."""
    if page is None:
        return 0.0
    inspector = page.context.new_cdp_session(page)
    inspector.send("HeapProfiler.collectGarbage")
    inspector.send("Performance.enable")
    metrics = inspector.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "JSHeapUsedSize"))


def busy_seconds(process: int) -> float:
    """Return the processor time that a process has taken, on Linux."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(process: int) -> int:
    """Return the memory that a process holds, on Linux."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines()
    )
    return int(fields["VmRSS"].split()[0]) * 1024
