"""A pool of workers: whoever is free takes the next call, and who is lost is replaced.

Each worker has a thread here; a call whose worker was lost is made again.
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from threadpoolctl import threadpool_limits

from evobourse.evolve.errors import EvolveError

T = TypeVar("T")

MOST_LOSSES = 8
"""Workers that one call may cost before the sweep ends."""

MOST_FAILED_STARTS = 5
"""Workers in a row that may end while they start, in one place, before it is given up."""

_PAUSE_SECONDS = 0.5


class WorkerLost(Exception):
    """The worker is gone, and with it the answer to the call; it can be made again."""


class Worker(Protocol):
    """Whoever carries out one call at a time."""

    def ready(self) -> None:
        """Wait until there is room for the worker and it is there; raise `WorkerLost` if not."""

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Carry out a call: return or raise what the function does, or `WorkerLost`."""

    def stop(self) -> None:
        """End at once; may be called by any thread, while it waits or works, and twice."""


@dataclass(eq=False)
class _Call:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any] = field(default_factory=Future)
    losses: int = 0


class WorkerPool:
    """Workers that share one queue of calls; an `evolve.executors.executor.Executor`.

    Workers are running when there are calls for them. A place whose worker cannot be had yet (its
    node has not joined) waits without holding a call.

    Parameters
    ----------
    start : callable
        Begins to make a worker, and does not wait for it.
    count : callable
        Says how many workers there may be, now.
    on_close : callable
        Called once at the end, after all workers were stopped.
    """

    def __init__(
        self,
        start: Callable[[], Worker],
        count: Callable[[], int],
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._start, self._count, self._on_close = start, count, on_close
        self._changed = threading.Condition()
        self._waiting: deque[_Call] = deque()
        self._running: set[Worker] = set()
        self._places = 0
        self._closed = False

    @property
    def workers(self) -> int:
        """How many calls may run at a time, now."""
        return max(1, self._count())

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Hand a call out to whoever is free next.

        Raises
        ------
        EvolveError
            The pool was let go.
        """
        call = _Call(function, arguments)
        allowed = self.workers
        with self._changed:
            if self._closed:
                raise EvolveError("the executor is closed; open another one")
            self._waiting.append(call)
            if self._places < allowed:
                self._places += 1
                threading.Thread(target=self._man_place, daemon=True).start()
            self._changed.notify()
        return call.future

    def close(self) -> None:
        """Stop all workers at once; calls that are not done are cancelled."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            running, waiting = list(self._running), list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for call in waiting:
            call.future.cancel()
        for worker in running:
            worker.stop()
        self._on_close()

    def _man_place(self) -> None:
        """Keep one place filled until the end, or until no worker can be had for it."""
        failed_starts = 0
        while True:
            try:
                with self._changed:
                    if self._closed:
                        return
                    worker = self._start()
                    self._running.add(worker)
            except Exception as error:
                self._give_up_place(error)
                return
            try:
                worker.ready()
            except WorkerLost as loss:
                failed_starts += 1
                why = str(loss)
            else:
                failed_starts = 0
                self._employ(worker)
            worker.stop()
            with self._changed:
                self._running.discard(worker)
            if failed_starts == MOST_FAILED_STARTS:
                self._give_up_place(
                    EvolveError(
                        f"{failed_starts} workers in a row ended while they started, the last one "
                        f"because {why}; see what it printed, or give workers more memory, then "
                        "resume the run"
                    )
                )
                return
            if failed_starts:
                time.sleep(_PAUSE_SECONDS)

    def _employ(self, worker: Worker) -> None:
        """Give a worker calls until it is lost or the pool is closed."""
        while (call := self._next_call()) is not None:
            try:
                result = worker.call(call.function, call.arguments)
            except WorkerLost as loss:
                self._call_again(call, loss)
                return
            except Exception as error:
                call.future.set_exception(error)
            else:
                call.future.set_result(result)

    def _next_call(self) -> _Call | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            return None if self._closed else self._waiting.popleft()

    def _call_again(self, call: _Call, loss: WorkerLost) -> None:
        call.losses += 1
        with self._changed:
            if self._closed:
                call.future.cancel()
            elif call.losses < MOST_LOSSES:
                self._waiting.appendleft(call)
                self._changed.notify()
            else:
                # Not a failure of its candidate: what kills workers may be the machine, and the
                # lineage must not depend on machines.
                call.future.set_exception(
                    EvolveError(
                        f"{MOST_LOSSES} workers were lost over one task, the last one because "
                        f"{loss}; nothing is recorded of it: give workers more memory or look at "
                        "the machine, then resume the run"
                    )
                )

    def _give_up_place(self, error: Exception) -> None:
        """Leave a place; if it was the last one, all who wait hear why."""
        with self._changed:
            self._places -= 1
            if self._places:
                return
            waiting = list(self._waiting)
            self._waiting.clear()
        for call in waiting:
            call.future.set_exception(error)


def attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    """Call inside a worker; return whether it went well, and its result or its exception.

    An exception that cannot travel is replaced by an `EvolveError` that names it.
    """
    try:
        return True, function(*arguments)
    except Exception as error:
        error.add_note("in a worker:\n" + traceback.format_exc())
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return False, EvolveError(f"a worker's task raised {type(error).__name__}: {error}")
        return False, error


def settle(outcome: tuple[bool, Any]) -> Any:
    """Return or raise what `attempt` brought."""
    well, value = outcome
    if well:
        return value
    raise value


def settle_in() -> None:
    """Make this process a worker: one thread for all arithmetic, and nothing to say.

    One worker is one core; the driver's screen is the driver's.
    """
    one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update({**one, "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"})
    threadpool_limits(1)  # of libraries that are loaded already
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
