"""A small sweep of the real market that drills strike at, in a process of its own."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from evobourse.evolve.loop import Observer
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.benchmarks.own_process import process_command

SMALL = [
    "search.generations=8",
    "search.cross.slow_count=2",
    "search.cross.slow_every=3",
    "search.cross.fast_count=6",
    "market.agents=100",
    "market.days=60",
    "market.paths=2",
    "minds.attention=1",
]
TEACHERS, MODEL = "teachers", "model"
OVERRIDES = {
    TEACHERS: [*SMALL, "minds.recipe_blocks=0"],
    MODEL: [*SMALL, "search.generations=3", "search.cross.fast_count=3", "market.agents=40"],
}
_LONGEST_S = 900.0
INTERRUPTED = 130


def sweep(
    folder: Path,
    minds: str,
    overrides: Sequence[str],
    observers: Sequence[Observer] = (),
    mlflow_uri: str | None = None,
) -> None:
    """Run or resume the small sweep; say when its search begins."""
    from evobourse.evolve.bases.stand_ins import TeacherBases
    from evobourse.evolve.bases.workers import WorkerBases
    from evobourse.evolve.evaluation import MarketEvaluator
    from evobourse.evolve.loop import evolve
    from evobourse.evolve.tracking.follower import MlflowTracker, View
    from evobourse.experiments.config.experiment import load_config
    from evobourse.experiments.sweep.searches import make_search
    from evobourse.experiments.sweep.setup import build_experiment

    quickstart = Path(__file__).parents[1] / "quickstart.yaml"
    config = load_config(quickstart, [*OVERRIDES[minds], *overrides])
    experiment = build_experiment(config)
    genome, train = experiment.market_genome, experiment.splits.train
    with closing(experiment.executor) as executor:
        if minds == MODEL:
            bases = experiment.open_bases()
        else:
            opener = partial(TeacherBases, genome.styles)
            bases = opener() if config.executor.kind == "local" else WorkerBases(opener, executor)
        evaluator = MarketEvaluator(
            experiment.windows, train, experiment.target(train), genome, bases, executor
        )
        search = make_search(
            config.search, genome.genome(), genome.slow_segments(), experiment.search_seed()
        )
        tracker = MlflowTracker(View.of(RunFolder(folder), mlflow_uri)) if mlflow_uri else None
        print("begun", flush=True)
        try:
            generations, seed = config.search.generations, config.seed
            run = RunFolder(folder)
            evolve(run, genome.genome(), search, evaluator, generations, seed, observers)
        finally:
            if tracker:
                tracker.close()


class Hold:
    """Lets a sweep stand still for good in one of its generations."""

    def __init__(self, generation: int) -> None:
        self.generation = generation

    def on_progress(self, generation: int, done: int, total: int, best: float | None) -> None:
        """Wait in that generation."""
        if generation == self.generation:
            time.sleep(_LONGEST_S)
            raise RuntimeError(f"nobody struck the sweep that was held in generation {generation}")

    def on_generation(self, generation: int, candidates: object, search: object) -> None:
        """Nothing to do."""


def sweep_like_the_command(
    folder: str,
    minds: str,
    overrides: Sequence[str],
    file_limit: int | None = None,
    mlflow: str | None = None,
    hold: int | None = None,
) -> None:
    """Sweep in this process, and end it with the exit codes of `evobourse`.

    Parameters
    ----------
    folder, minds, overrides
        See `sweep`.
    file_limit
        Bytes that a file may grow to.
    mlflow
        URI that hears of the sweep.
    hold
        Generation that never ends.
    """
    from evobourse.evolve.errors import EvolveError

    # A shell's background jobs are started deaf to Ctrl-C, and hand that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, resource.RLIM_INFINITY))
    try:
        holds = () if hold is None else (Hold(hold),)
        sweep(Path(folder), minds, overrides, holds, mlflow)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except EvolveError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


@dataclass
class Session:
    """A sweep in a process of its own, from its start to its end.

    Attributes
    ----------
    process
        The driver; head of its own process group, as a command on a terminal is.
    folder
        The run's.
    """

    process: subprocess.Popen[str]
    folder: Path

    @classmethod
    def start(
        cls, folder: Path, minds: str = TEACHERS, *overrides: str, **options: str | int
    ) -> Session:
        """Start or resume a sweep; options are those of `sweep_like_the_command`."""
        asked = {"folder": str(folder), "minds": minds, "overrides": overrides, **options}
        command = process_command(sweep_like_the_command, **asked)
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return cls(process, folder)

    def begun(self) -> None:
        """Wait until the search begins."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if line.strip() != "begun":
            raise RuntimeError(f"the sweep has not begun: {self.finish()}")

    def finish(self) -> tuple[int, str]:
        """Wait for the end: exit code and what was said on stderr."""
        _, errors = self.process.communicate(timeout=_LONGEST_S)
        return self.process.returncode, errors


def family_of(driver: int) -> list[psutil.Process]:
    """List all processes below a driver."""
    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(driver).children(recursive=True)
    return family


def worker_ids(driver: int) -> list[int]:
    """List the ids of worker processes and Ray actors below a driver, ready or not."""
    found = []
    for process in family_of(driver):
        with suppress(psutil.Error):
            said = " ".join(process.cmdline())
            if "executors.worker" in said or "ray::Servant" in said:
                found.append(process.pid)
    return found


def kill(pid: int) -> bool:
    """Kill -9 a process, if it is there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def orphans(family: list[psutil.Process], patience_s: float = 60.0) -> int:
    """Count the processes that are still there after a while."""
    _, alive = psutil.wait_procs(family, timeout=patience_s)
    return len(alive)


def ended(session: Session) -> bytes:
    """Wait for a sweep's end; return its lineage."""
    code, said = session.finish()
    if code:
        raise RuntimeError(f"the sweep in {session.folder} ended with exit code {code}: {said}")
    return RunFolder(session.folder).lineage.read_bytes()


def undisturbed(folder: Path, minds: str, *overrides: str) -> tuple[bytes, float]:
    """Run a sweep in peace: its lineage, and the seconds that its search takes."""
    session = Session.start(folder, minds, *overrides)
    session.begun()
    began = time.monotonic()
    return ended(session), time.monotonic() - began
