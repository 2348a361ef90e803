"""MLflow as a view of the lineage: beside a sweep, or afterwards from the file alone.

Knows: a queue, a background thread, what is still to be logged, how to catch up.
Does not know: how runs look in the store; and it never decides anything in a sweep.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from evolve.errors import EvolveError
from evolve.lineage import Candidate, Lineage
from evolve.loop import LINEAGE_FILE
from evolve.mlflow_store import FigureMaker, SweepStore
from evolve.optimizer import Optimizer


@dataclass(frozen=True)
class _Generation:
    candidates: tuple[Candidate, ...]
    readings: Mapping[str, float]

    @property
    def number(self) -> int:
        return self.candidates[0].generation


def default_tracking_uri(run_folder: Path) -> str:
    """Return the address of the store that needs no server: SQLite in the run's folder."""
    return f"sqlite:///{Path(run_folder).resolve() / 'mlflow.db'}"


class MlflowObserver:
    """Log a sweep while it runs, in a background thread, at no risk to it.

    It never raises and never waits: what could not be logged, since a server died, is
    tried again with the next generation and at `close`. What a killed or resumed sweep
    left out is taken from the lineage; nothing is logged twice.

    Parameters
    ----------
    run_folder : Path
        The sweep's; its lineage is read to catch up.
    tracking_uri : str, optional
        The store; by default SQLite in the run's folder.
    experiment : str
        Name of the experiment.
    run_name : str, optional
        Name of the parent run; by default the folder's.
    params : mapping, optional
        Parameters of the parent run, such as the config.
    figure : callable, optional
        Draws a generation's best candidate, called in the background thread.
    """

    def __init__(
        self,
        run_folder: Path,
        *,
        tracking_uri: str | None = None,
        experiment: str = "evobourse",
        run_name: str | None = None,
        params: Mapping[str, Any] | None = None,
        figure: FigureMaker | None = None,
    ) -> None:
        run_folder = Path(run_folder).resolve()
        self._lineage = Lineage(run_folder / LINEAGE_FILE)
        self.tracking_uri = tracking_uri or default_tracking_uri(run_folder)
        self._where = (self.tracking_uri, experiment, run_name or run_folder.name)
        self._params = dict(params or {})
        self._figure = figure
        self._queue: queue.SimpleQueue[_Generation | None] = queue.SimpleQueue()
        self._pending: list[_Generation] = []
        self._store: SweepStore | None = None
        self._error: Exception | None = None
        self._worker = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._worker.start()

    def on_progress(self, generation: int, done: int, total: int, best: float | None) -> None:
        """Ignore progress within a generation."""

    def on_generation(
        self, generation: int, candidates: Sequence[Candidate], search: Optimizer
    ) -> None:
        """Queue a generation for logging."""
        self._queue.put(_Generation(tuple(candidates), search.readings))

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
        self._queue.put(None)
        self._worker.join(timeout_s)
        missing = sum(len(generation.candidates) for generation in tuple(self._pending))
        artifacts = self._store.artifact_errors if self._store is not None else []
        if self._worker.is_alive() or self._error is not None:
            reason = (
                f"{type(self._error).__name__}: {' '.join(str(self._error).split())[:160]}"
                if self._error is not None
                else f"not done after {timeout_s:g} s"
            )
            return (
                f"MLflow at {self.tracking_uri}: {missing} candidates not logged ({reason}); "
                f"they are safe in {self._lineage.path}, and log_lineage catches up"
            )
        if artifacts:
            return (
                f"MLflow at {self.tracking_uri}: {len(artifacts)} artifacts not logged, "
                f"first {artifacts[0][:160]}"
            )
        return None

    def _work(self) -> None:
        closing = False
        while not closing:
            items = [self._queue.get()]
            while not self._queue.empty():
                items.append(self._queue.get())
            closing = None in items
            self._pending += [item for item in items if item is not None]
            try:
                self._catch_up()
                if closing and self._store is not None:
                    self._store.finish()
                self._error = None
            except Exception as error:  # the sweep must never hear of a server's death
                self._error = error

    def _catch_up(self) -> None:
        if not self._pending:
            return
        if self._store is None:
            recorded = self._lineage.read()
            self._store = SweepStore(*self._where, recorded[0], self._params, self._figure)
            first = self._pending[0].number
            before = [g for g in _by_generation(recorded) if g.number < first]
            self._pending[:0] = before
        while self._pending:
            generation = self._pending[0]
            self._store.log_generation(generation.candidates, generation.readings)
            del self._pending[0]


def log_lineage(
    lineage_path: Path,
    *,
    tracking_uri: str | None = None,
    experiment: str = "evobourse",
    run_name: str | None = None,
    params: Mapping[str, Any] | None = None,
    figure: FigureMaker | None = None,
) -> int:
    """Bring an MLflow store up to date from a lineage file alone.

    Parameters
    ----------
    lineage_path : Path
        The file; its folder gives the defaults.
    tracking_uri, experiment, run_name, params, figure
        As for `MlflowObserver`.

    Returns
    -------
    int
        How many candidates were not there before.

    Raises
    ------
    RunError
        When the lineage is damaged.
    EvolveError
        When it is empty or the store cannot be written.
    """
    lineage_path = Path(lineage_path).resolve()
    candidates = Lineage(lineage_path).read()
    if not candidates:
        raise EvolveError(f"{lineage_path} holds no candidates; nothing to log")
    folder = lineage_path.parent
    uri = tracking_uri or default_tracking_uri(folder)
    try:
        store = SweepStore(
            uri, experiment, run_name or folder.name, candidates[0], params or {}, figure
        )
        new = sum(store.log_generation(g.candidates, {}) for g in _by_generation(candidates))
        store.finish()
    except Exception as error:  # MLflow raises its own, requests' and SQLAlchemy's
        raise EvolveError(
            f"MLflow at {uri}: {type(error).__name__}: {' '.join(str(error).split())[:160]}; "
            "log_lineage can be run again"
        ) from error
    return new


def _by_generation(candidates: Iterable[Candidate]) -> list[_Generation]:
    return [
        _Generation(tuple(group), {})
        for _, group in groupby(candidates, key=lambda candidate: candidate.generation)
    ]
