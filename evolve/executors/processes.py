"""Workers that are processes of this machine: spoken to through a pipe, ended with their parent."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from evobourse.evolve.executors.worker_pool import (
    WorkerLost,
    WorkerPool,
    attempt,
    settle,
    settle_in,
)


def local_processes(workers: int) -> WorkerPool:
    """Make an executor of so many processes; the first calls start them."""
    return WorkerPool(ProcessWorker, lambda: workers)


class ProcessWorker:
    """A process of its own, a fresh interpreter, that carries out calls."""

    def __init__(self) -> None:
        spawn = multiprocessing.get_context(
            "spawn"
        )  # a fork would take the driver's threads' locks
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_work, args=(theirs, os.getpid()), daemon=True)
        resource_tracker.ensure_running()  # which would let interrupts through again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:  # interrupts are the driver's, from the process's first moment on
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()  # so that the pipe ends with the process

    def ready(self) -> None:
        """Take calls from the first moment on."""

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Carry out a call."""
        message = pickle.dumps((function, arguments), protocol=5)
        try:
            self._pipe.send_bytes(message)
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            self._process.join(timeout=5)
            code = self._process.exitcode
            raise WorkerLost(f"process {self._process.pid} ended with exit code {code}") from error
        return settle(pickle.loads(answer))

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join(timeout=5)


def _work(pipe: Connection, parent: int) -> None:
    """Carry out calls until the pipe ends."""
    _follow(parent)
    settle_in()
    while True:
        try:
            message = pipe.recv_bytes()
        except EOFError:
            return
        answer = attempt(_carry_out, (message,))
        try:
            packed = pickle.dumps(answer, protocol=5)
        except Exception as error:
            packed = pickle.dumps((False, error))
        pipe.send_bytes(packed)


def _carry_out(message: bytes) -> Any:
    function, arguments = pickle.loads(message)
    return function(*arguments)


def _follow(parent: int) -> None:
    """End when a killed parent cannot say so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
