"""Ctrl-C is answered at once, whatever long call the program is in."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SAID = b"\nevobourse: interrupted; stopping as soon as what is under way ends\n"


@contextmanager
def acknowledge_interrupts() -> Iterator[None]:
    """Say on stderr that an interrupt was heard, while the exception waits for its turn.

    Python raises it between two of its own instructions, and a matrix product or a merge may last
    for seconds. The signal itself wakes a thread through a pipe.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, rings = os.pipe()
    os.set_blocking(rings, False)
    before = signal.set_wakeup_fd(rings, warn_on_full_buffer=False)
    threading.Thread(target=_answer, args=(heard,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(rings)  # ends the thread


def _answer(heard: int) -> None:
    while rung := os.read(heard, 1):
        if rung[0] == signal.SIGINT:
            os.write(2, _SAID)
    os.close(heard)
