"""What a study or benchmark says while it runs: one JSON line a figure, and its progress."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


class Report:
    """Prints figures on standard output, and everything else on standard error.

    Parameters
    ----------
    name
        Of the study or benchmark, on every line.
    command
        The command line that runs it, for its page.
    """

    def __init__(self, name: str, command: str):
        self.name, self.command = name, command
        self.console = Console(stderr=True, highlight=False)
        self._began = time.perf_counter()

    def figure(
        self,
        figure: str,
        value: float,
        unit: str,
        peer: str | None = None,
        ratio: float | None = None,
        **further: float,
    ) -> None:
        """Print a figure.

        Parameters
        ----------
        figure
            What was measured, where and with how much of everything.
        value, unit
            What came out.
        peer, ratio
            What it is held against, and how many times that it is.
        further
            More numbers on the same line, such as the ends of an interval.
        """
        line = {"bench": self.name, "figure": figure, "value": value, "unit": unit}
        line |= {"peer": peer, "ratio": ratio, **further}
        print(json.dumps(line, default=float), flush=True)

    def say(self, text: str) -> None:
        """Say what is being done, with the seconds since the start."""
        seconds = time.perf_counter() - self._began
        self.console.print(f"[{seconds:5.0f} s] {text}", markup=False, soft_wrap=True)

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """Show a bar while steps are done; what it gives is called after each."""
        # standard output is for figures, and may lead into a file
        with Progress(console=self.console, transient=True, redirect_stdout=False) as bar:
            task = bar.add_task(title, total=total)
            yield lambda: bar.advance(task)
