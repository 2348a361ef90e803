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
    handed_out: list[Future[T]] = []
    running: deque[Future[T]] = deque()

    def hear(future: Future[T]) -> None:
        future.result()
        on_done()

    for future in futures:
        handed_out.append(future)
        running.append(future)
        while running and running[0].done():
            hear(running.popleft())
    for future in as_completed(running):
        hear(future)
    return [future.result() for future in handed_out]
