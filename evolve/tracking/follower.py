"""MLflow as a view of the lineage: beside a sweep, or afterwards from the file alone.

It decides nothing in a sweep: where a store is gone, the lineage still holds all.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shlex
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evobourse.evolve.addresses import sqlite_address, sqlite_path
from evobourse.evolve.errors import EvolveError, hide_password
from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.timings import Timings
from evobourse.evolve.tracking.mlflow_store import FigureMaker, SweepStore

POLL_S = 1.0
LONGEST_WAIT_S = 30.0
"""Between two attempts to reach a store that is gone."""

NICENESS = 10
"""Markets come first: the process takes what they leave of the processors."""


@dataclass(frozen=True)
class View:
    """Where a sweep's view lies, and what is on its first page.

    Attributes
    ----------
    run_folder, tracking_uri, experiment, run_name : str
    params : dict
        Of the parent run.
    """

    run_folder: str
    tracking_uri: str
    experiment: str
    run_name: str
    params: dict[str, Any]

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return RunFolder(Path(self.run_folder))

    @property
    def shown_uri(self) -> str:
        """The store's address without a password."""
        return hide_password(self.tracking_uri)

    @property
    def artifact_location(self) -> str | None:
        """Where a new experiment keeps its files; a server knows of its own accord.

        Those of SQLite lie beside the file, those of any other database beside the runs' folders.
        """
        if self.tracking_uri.startswith(("http://", "https://")):
            return None
        beside = sqlite_path(self.tracking_uri) or Path(self.run_folder)
        return (beside.resolve().parent / "mlflow-artifacts").as_uri()

    @classmethod
    def of(
        cls,
        run_folder: RunFolder,
        tracking_uri: str | None = None,
        experiment: str = "evobourse",
        run_name: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> View:
        """Fill in the defaults: a store, and a name, in the run's folder."""
        folder = run_folder.path.resolve()
        uri = tracking_uri or default_tracking_uri(run_folder)
        return cls(str(folder), uri, experiment, run_name or folder.name, dict(params or {}))


def default_tracking_uri(run_folder: RunFolder) -> str:
    """Return the address of the store that needs no server: SQLite in the run's folder."""
    return sqlite_address(RunFolder(run_folder.path.resolve()).mlflow)


class MlflowTracker:
    """Log a sweep while it runs, in a process of its own, at no risk to it.

    The process follows the lineage file, so that the sweep hands it nothing and waits for
    nothing. Where a store cannot be reached it is tried again, at longer and longer intervals,
    and once more at `close`. The process ends with the sweep, however that ends, and logs what
    is there; what it could not log, the next one or `log_run` takes from the file. Nothing is
    logged twice.

    Parameters
    ----------
    view : View
    figure : callable, optional
        Draws a candidate that is better than all before, in the other process: anything that
        cloudpickle can carry there.
    """

    def __init__(self, view: View, figure: FigureMaker | None = None) -> None:
        pickled = None
        if figure is not None:
            import cloudpickle  # type: ignore[import-untyped]

            pickled = b64encode(cloudpickle.dumps(figure)).decode()
        self.view = view
        root = str(Path(__file__).absolute().parents[3])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "evobourse.evolve.tracking.follower"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=root,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # an interrupt is for the sweep
        )
        order = json.dumps({**asdict(view), "figure": pickled})
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # `close` says that it has ended
            self._process.stdin.write(order.encode() + b"\n")
            self._process.stdin.flush()

    def close(self, timeout_s: float = 60.0) -> str | None:
        """Log what is left and stop.

        Parameters
        ----------
        timeout_s : float
            How long to wait for the store, in seconds.

        Returns
        -------
        str or None
            One line about what could not be logged, or None when all was.
        """
        where = f"MLflow at {self.view.shown_uri}"
        safe = (
            f"they are safe in {self.view.folder.lineage}, and "
            f"'evobourse track {shlex.quote(self.view.run_folder)}' catches up"
        )
        try:
            answer, _ = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return f"{where}: not all candidates logged (not done after {timeout_s:g} s); {safe}"
        try:
            said = json.loads(answer)
        except ValueError:
            code = self._process.returncode
            return f"{where}: not all candidates logged (its process ended with {code}); {safe}"
        if said["error"]:
            return f"{where}: {said['missing']} candidates not logged ({said['error']}); {safe}"
        if artifacts := said["artifacts"]:
            first = artifacts[0][:160]
            return f"{where}: {len(artifacts)} artifacts not logged, first {first}"
        return None


def log_run(view: View, figure: FigureMaker | None = None) -> int:
    """Bring an MLflow store up to date from a run's files alone.

    Returns
    -------
    int
        How many candidates were not there before.

    Raises
    ------
    RunError
        When the lineage is damaged.
    EvolveError
        When it is empty, the store cannot be written, or the sweep is running and logs itself.
    """
    follower = _Follower(view, figure)
    if next(follower.lineage.scan(), None) is None:
        raise EvolveError(f"{follower.lineage.path} holds no candidates; nothing to log")
    try:
        with _alone(follower.lineage.path, wait=False):
            follower.catch_up(to_the_end=True)
    except BlockingIOError as error:
        raise EvolveError(
            f"{view.run_folder} is being logged by its own sweep; wait for it to end"
        ) from error
    except EvolveError:
        raise
    except Exception as error:  # MLflow raises its own, requests' and SQLAlchemy's
        raise EvolveError(
            f"MLflow at {view.shown_uri}: {_in_a_line(error)}; "
            f"'evobourse track {shlex.quote(view.run_folder)}' can be run again"
        ) from error
    return follower.new


class _Follower:
    """Takes a view from where it stands to where the lineage stands."""

    def __init__(self, view: View, figure: FigureMaker | None) -> None:
        self.lineage = Lineage(view.folder.lineage)
        self.new = 0
        self.artifact_errors: list[str] = []
        self._view = view
        self._figure = figure
        self._timings = Timings(view.folder.timings)
        self._offset = 0
        self._store: SweepStore | None = None

    def catch_up(self, to_the_end: bool) -> None:
        """Log each generation that is over; at the end all, and close the parent run."""
        if self.lineage.path.exists() and self.lineage.path.stat().st_size < self._offset:
            self._offset = 0  # a resume has cut the file
        timings = {timing.generation: timing for timing in self._timings.read()}
        over = max(timings, default=-1)
        try:
            for group, end in _generations(self.lineage, self._offset):
                generation = group[0].generation
                if generation > over and not to_the_end:
                    break
                store = self._open(group[0])
                self.new += store.log_generation(group, timings.get(generation))
                self._offset = end
            if to_the_end and self._store is not None:
                self._store.finish(self._view.folder.read_stop())
        except Exception:
            self._store = None  # what it knew of the store may no longer hold
            raise
        finally:
            if self._store is not None:
                self.artifact_errors += self._store.artifact_errors
                self._store.artifact_errors = []

    def missing(self) -> int:
        """Count the candidates that are not logged."""
        return sum(1 for _ in self.lineage.scan(self._offset))

    def _open(self, candidate: Candidate) -> SweepStore:
        if self._store is None:
            first = candidate if not self._offset else next(self.lineage.scan())[0]
            view = self._view
            where = (view.tracking_uri, view.artifact_location, view.experiment, view.run_name)
            self._store = SweepStore(*where, first, view.params, self._figure)
        return self._store


def _generations(lineage: Lineage, start: int) -> Iterator[tuple[list[Candidate], int]]:
    """Yield each generation's candidates with the offset in bytes at which they end."""
    group: list[Candidate] = []
    end = start
    for candidate, after in lineage.scan(start):
        if group and candidate.generation != group[0].generation:
            yield group, end
            group = []
        group.append(candidate)
        end = after
    if group:
        yield group, end


@contextmanager
def _alone(path: Path, wait: bool) -> Iterator[None]:
    """Keep other loggers of a run out: one that a killed sweep left may still be at work."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _in_a_line(error: Exception) -> str:
    if isinstance(error, EvolveError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def _follow() -> None:
    """Follow a lineage until standard input ends, as it does with the sweep, however that ends."""
    os.nice(NICENESS)
    sweep = open(sys.stdin.fileno(), "rb", buffering=0)  # noqa: PTH123, SIM115 - unlike sys.stdin
    order = json.loads(sweep.readline())
    pickled = order.pop("figure")
    figure = None if pickled is None else _unpickled_when_needed(b64decode(pickled))
    follower = _Follower(View(**order), figure)
    error: Exception | None = None
    wait_s, ended = 0.0, False
    while not ended:
        ended = bool(select.select([sweep], [], [], wait_s)[0])
        wait_s = POLL_S if error is None else min(2 * wait_s, LONGEST_WAIT_S)
        if not follower.lineage.path.exists():
            continue
        try:
            with _alone(follower.lineage.path, wait=ended):
                follower.catch_up(ended)
            error = None
        except BlockingIOError:
            pass  # an earlier sweep's logger is not done
        except Exception as trouble:  # the sweep must never hear of a server's death
            error = trouble
    missing = follower.missing() if error is not None else 0
    said = {
        "missing": missing,
        "error": None if error is None else _in_a_line(error),
        "artifacts": follower.artifact_errors,
    }
    print(json.dumps(said))


def _unpickled_when_needed(pickled: bytes) -> FigureMaker:
    """Load a figure's code when the first one is drawn: what it imports takes seconds."""
    made: list[FigureMaker] = []

    def draw(candidate: Candidate) -> Any:
        if not made:
            import cloudpickle

            made.append(cloudpickle.loads(pickled))
        return made[0](candidate)

    return draw


if __name__ == "__main__":
    _follow()
