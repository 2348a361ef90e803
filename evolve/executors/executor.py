"""The interface of all executors, the one that is none, and waiting for what was handed out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, as_completed
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Executor(Protocol):
    """Carries out calls, some of them at a time, anywhere.

    What is called must depend on nothing but its arguments: it may be called again where a
    worker was lost, and in any order.
    """

    @property
    def workers(self) -> int:
        """How many calls may run at a time."""

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Hand a call out: a module's function and arguments that pickle."""

    def close(self) -> None:
        """End at once, work in progress included; twice is no harm."""


class InProcess:
    """Carries out every call here and now."""

    workers = 1

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Call; the future is done."""
        future: Future[T] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Nothing runs."""


def collect(futures: Iterable[Future[T]], on_done: Callable[[], None] = lambda: None) -> list[T]:
    """Wait for calls, which may be handed out one by one as this goes through them.

    Parameters
    ----------
    futures : iterable of Future
        Often a generator that submits.
    on_done : callable
        Called for each that is done, in whatever order.

    Returns
    -------
    list
        Results in the order of the calls.

    Raises
    ------
    Exception
        What the first call that was seen to fail has raised.
    """
    calls = Calls()
    handed_out = [calls.add(future, on_done) for future in futures]
    calls.wait()
    return [future.result() for future in handed_out]


class Calls:
    """Calls that are handed out one by one, and heard of while more are handed out."""

    def __init__(self) -> None:
        self._running: deque[tuple[Future[Any], Callable[[], None]]] = deque()

    def add(self, future: Future[T], on_done: Callable[[], None]) -> Future[T]:
        """Take in a call; hear of the oldest ones that are done by now, and raise what they did.

        Parameters
        ----------
        future
            The call.
        on_done
            Called when it is done, in whatever order.
        """
        self._running.append((future, on_done))
        while self._running and self._running[0][0].done():
            _hear(*self._running.popleft())
        return future

    def wait(self) -> None:
        """Hear of all; raise what the first call that was seen to fail has raised."""
        heard = dict(self._running)
        self._running.clear()
        for future in as_completed(heard):
            _hear(future, heard[future])


def _hear(future: Future[Any], on_done: Callable[[], None]) -> None:
    future.result()
    on_done()
