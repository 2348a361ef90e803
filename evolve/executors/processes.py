"""Workers that are processes of this machine, each a fresh interpreter at the end of a pipe."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from evobourse.evolve.executors.worker import pack
from evobourse.evolve.executors.worker_pool import WorkerLost, WorkerPool, settle


def local_processes(workers: int) -> WorkerPool:
    """Make an executor of so many processes; the first calls start them."""
    return WorkerPool(ProcessWorker, lambda: workers)


class ProcessWorker:
    """A process of its own that carries out calls.

    multiprocessing's would run the user's script again (without a main guard, the sweep in it),
    and a fork would take the locks of the driver's threads along.
    """

    def __init__(self) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        handle = theirs.fileno()
        path = [os.path.abspath(place) for place in sys.path]  # noqa: PTH100 - "" is the folder
        begin = (
            f"import sys; sys.path[:] = {path!r}; "
            f"from evobourse.evolve.executors.worker import serve; serve({handle}, {os.getpid()})"
        )
        # Interrupts are the driver's, from the process's first moment on.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", begin], stdin=subprocess.DEVNULL, pass_fds=(handle,)
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()  # so that the pipe ends with the process

    def ready(self) -> None:
        """Wait until the process takes calls."""
        self._receive()

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Carry out a call."""
        message = pack((function, arguments))
        try:
            self._pipe.send_bytes(message)
        except OSError as error:
            raise self._lost() from error
        return settle(pickle.loads(self._receive()))

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)

    def _receive(self) -> bytes:
        try:
            return self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._lost() from error

    def _lost(self) -> WorkerLost:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        process = self._process
        return WorkerLost(f"process {process.pid} ended with exit code {process.returncode}")
