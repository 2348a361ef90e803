"""What runs in a worker's own process: it answers calls that come through a pipe."""

from __future__ import annotations

import os
import pickle
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from evobourse.evolve.executors.worker_pool import attempt, settle_in


def serve(handle: int, parent: int) -> None:
    """Carry out calls until the pipe or the parent ends.

    Parameters
    ----------
    handle
        The worker's end of the pipe, an open file descriptor.
    parent
        Process that the worker belongs to.
    """
    _follow(parent)
    settle_in()
    with Connection(handle) as pipe:
        pipe.send_bytes(b"ready")
        while True:
            try:
                message = pipe.recv_bytes()
            except EOFError:
                return
            answer = attempt(_carry_out, (message,))
            try:
                packed = pack(answer)
            except Exception as error:
                packed = pack((False, error))
            pipe.send_bytes(packed)


def pack(message: Any) -> bytes:
    """Pickle; what the parent's script has defined travels whole, since nobody runs it again."""
    return bytes(cloudpickle.dumps(message, protocol=5))


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
