"""Kill, fill and stop everything that a sweep stands on, and compare its lineage.

The moments are drawn from a seed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evobourse.experiments.benchmarks.drilled_sweep import (
    MODEL,
    TEACHERS,
    Session,
    ended,
    family_of,
    kill,
    orphans,
    undisturbed,
    worker_ids,
)
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.reports.figure_lines import Report

BENCHMARK = Benchmark(
    measures="that a sweep's lineage is the same whoever dies: drivers, workers, nodes, the disk",
    minutes=60,
)


def kill_driver(
    folder: Path,
    kills: int,
    rng: np.random.Generator,
    seconds: float,
    minds: str,
    *overrides: str,
) -> tuple[list[bytes], int]:
    """Kill -9 drivers at random moments, resuming each time; begin anew when a run has ended.

    Returns
    -------
    lineages : list of bytes
        Of the runs.
    left : int
        Processes that outlived their driver.
    """
    lineages: list[bytes] = []
    left = struck = 0
    while struck < kills or not lineages:
        session = Session.start(folder / str(len(lineages)), minds, *overrides)
        if struck < kills:
            if rng.random() < 0.75:  # else it may be struck while it starts
                session.begun()
            time.sleep(rng.uniform(0.0, seconds))
            family = family_of(session.process.pid)
            if session.process.poll() is None:
                session.process.send_signal(signal.SIGKILL)
                struck += 1
                session.finish()
                left += orphans(family)
                continue
        lineages.append(ended(session))
    return lineages, left


def kill_workers(
    folder: Path, kills: int, rng: np.random.Generator, seconds: float, minds: str, *overrides: str
) -> tuple[list[bytes], int]:
    """Kill -9 workers while their driver lives; return lineages and the kills that struck."""
    struck = 0
    lineages: list[bytes] = []
    while struck < kills:
        session = Session.start(folder / str(len(lineages)), minds, *overrides)
        session.begun()
        while session.process.poll() is None and struck < kills:
            time.sleep(rng.uniform(0.0, seconds / 2))
            if (workers := worker_ids(session.process.pid)) and kill(int(rng.choice(workers))):
                struck += 1
        lineages.append(ended(session))
    return lineages, struck


def lose_nodes(
    folder: Path, losses: int, rng: np.random.Generator, seconds: float
) -> tuple[list[bytes], int]:
    """Take nodes out of a Ray cluster, and let others join, while a sweep runs on it."""
    from ray.cluster_utils import Cluster

    store_bytes = 80 * 2**20
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "object_store_memory": store_bytes,
        },
    )
    try:
        nodes = [cluster.add_node(num_cpus=1, object_store_memory=store_bytes)]
        lost = 0
        lineages: list[bytes] = []
        while lost < losses:
            there = [f"executor.address={cluster.address}", "executor.kind=ray", "workers=2"]
            session = Session.start(folder / str(len(lineages)), TEACHERS, *there)
            session.begun()
            # joins a sweep that runs
            nodes.append(cluster.add_node(num_cpus=1, object_store_memory=store_bytes))
            while session.process.poll() is None and lost < losses:
                time.sleep(rng.uniform(0.0, seconds))
                if session.process.poll() is None:
                    cluster.remove_node(nodes.pop(0), allow_graceful=False)
                    lost += 1
                    nodes.append(cluster.add_node(num_cpus=1, object_store_memory=store_bytes))
            lineages.append(ended(session))
        return lineages, lost
    finally:
        cluster.shutdown()


def fill_disk(folder: Path, shares: Sequence[float], whole: bytes) -> tuple[list[bytes], int]:
    """Let no file grow beyond parts of the lineage's size, then resume; count the refusals."""
    refused, lineages = 0, []
    for share in shares:
        run = folder / f"{share:g}"
        code, said = Session.start(run, file_limit=int(share * len(whole))).finish()
        refused += code == 2 and "File too large" in said and len(said.splitlines()) == 1
        lineages.append(ended(Session.start(run)))
    # No space for the checkpoint, at once: the device that is always full.
    run = folder / "full"
    waiting = run / "checkpoint" / ".state.pickle.new"
    waiting.parent.mkdir(parents=True)
    waiting.symlink_to("/dev/full")
    code, said = Session.start(run).finish()
    refused += code == 2 and "No space left" in said and len(said.splitlines()) == 1
    waiting.unlink(missing_ok=True)
    lineages.append(ended(Session.start(run)))
    return lineages, refused


def interrupt(folder: Path, seconds: float, *overrides: str) -> tuple[bytes, int, int]:
    """Press Ctrl-C (all of the terminal's processes hear it): lineage, exit code, orphans.

    The sweep cannot end before: it is held in its third generation.
    """
    session = Session.start(folder, TEACHERS, *overrides, hold=2)
    session.begun()
    time.sleep(seconds)
    while session.process.poll() is None and not worker_ids(session.process.pid):
        time.sleep(0.05)
    family = family_of(session.process.pid)
    os.killpg(session.process.pid, signal.SIGINT)
    code, _ = session.finish()
    left = orphans(family)
    return ended(Session.start(folder)), code, left


def stop_server(folder: Path, seconds: float) -> list[bytes]:
    """Stop the MLflow server that hears of a sweep, and start it again."""
    port = 5057
    uri = f"http://127.0.0.1:{port}"
    with _mlflow_server(folder, port):
        session = Session.start(folder / "run", mlflow=uri)
        session.begun()
        time.sleep(seconds / 3)
    time.sleep(seconds / 3)
    with _mlflow_server(folder, port):
        return [ended(session)]


@contextmanager
def _mlflow_server(folder: Path, port: int) -> Iterator[None]:
    """Serve from a folder's database, and stop without a goodbye."""
    import urllib.request

    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", str(port), "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


PROCESSES = ("executor.kind=processes", "workers=2")
RAY = ("executor.kind=ray", "workers=2")
IN_PROCESS = ("workers=1",)


@dataclass(frozen=True)
class Settings:
    """How often to strike.

    Attributes
    ----------
    kills
        Of drivers, by each executor.
    few
        Of workers, actors and nodes.
    seed
        Of the moments.
    """

    kills: int = 20
    few: int = 5
    seed: int = 1


def run(settings: Settings, report: Report) -> None:
    """Run all drills."""
    with tempfile.TemporaryDirectory(prefix="kill-drill-") as folder:
        drill(Path(folder), settings, report)


def drill(folder: Path, settings: Settings, report: Report) -> None:
    """Run all drills in a folder."""
    rng, kills, few = np.random.default_rng(settings.seed), settings.kills, settings.few
    whole, seconds = undisturbed(folder / "whole", TEACHERS, *IN_PROCESS)

    def tell(figure: str, lineages: Sequence[bytes], expected: bytes = whole) -> None:
        same = sum(lineage == expected for lineage in lineages)
        report.figure(figure, same, "lineages alike", "undisturbed", same / len(lineages))

    for name, how in {"in process": IN_PROCESS, "processes": PROCESSES, "Ray": RAY}.items():
        found, left = kill_driver(folder / f"driver {name}", kills, rng, seconds, TEACHERS, *how)
        tell(f"driver killed {kills} times, {name}; {left} processes outlived it", found)
    for name, how in {"worker process": PROCESSES, "Ray actor": RAY}.items():
        found, struck = kill_workers(folder / name, few, rng, seconds, TEACHERS, *how)
        tell(f"{name} killed {struck} times", found)
    found, lost = lose_nodes(folder / "node", few, rng, seconds)
    tell(f"Ray node lost {lost} times, others joined", found)
    found, refused = fill_disk(folder / "disk", (0.1, 0.3, 0.5, 0.7, 0.9), whole)
    tell(f"disk full {refused} times", found)
    ended = [interrupt(folder / f"ctrl-c {how[0]}", seconds / 2, *how) for how in (PROCESSES, RAY)]
    codes, left = [code for _, code, _ in ended], sum(left for *_, left in ended)
    tell(f"interrupted, exit codes {codes}; {left} processes outlived it", [e[0] for e in ended])
    tell("MLflow server stopped and started again", stop_server(folder / "mlflow", seconds))

    real, seconds = undisturbed(folder / "whole model", MODEL, *IN_PROCESS)
    tell("135M model, two processes", [undisturbed(folder / "two", MODEL, *PROCESSES)[0]], real)
    found, left = kill_driver(folder / "model", few, rng, seconds, MODEL, *PROCESSES)
    tell(f"135M model, driver killed {few} times; {left} processes outlived it", found, real)
    found, struck = kill_workers(folder / "model worker", few, rng, seconds, MODEL, *PROCESSES)
    tell(f"135M model, worker process killed {struck} times", found, real)
