"""Work on a range of rows or blocks, on as many threads as torch may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch

Work = Callable[[int, int], object]


def in_threads(work: Work, count: int, least: int = 1) -> None:
    """Call ``work(start, stop)`` on parts of ``range(count)``, at the same time.

    The parts' results must not depend on the cut. A process of one thread starts none, so that
    workers that are forked or spawned with one thread each stay as they are.

    Parameters
    ----------
    work
        Releases the interpreter's lock.
    count
        Of rows, blocks or heads.
    least
        Fewest in a part.
    """
    parts = max(1, min(torch.get_num_threads(), count // least))
    if parts == 1:
        work(0, count)
        return
    cuts = [count * part // parts for part in range(parts + 1)]
    pool = _pool(os.getpid(), parts - 1)
    others = [pool.submit(work, cuts[part], cuts[part + 1]) for part in range(1, parts)]
    try:
        work(0, cuts[1])
    finally:
        for other in others:
            other.result()


@lru_cache(maxsize=4)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return this process's own threads: those of before a fork are not there after it."""
    return ThreadPoolExecutor(threads, thread_name_prefix="evobourse-exact")
