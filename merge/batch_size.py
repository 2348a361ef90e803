"""How many rows at once: as many as free memory holds, half as many when it was too little.

Knows free bytes on a device and what running out of them raises. Deliberately knows nothing of
what a row is: answers are the same bits in every batch, so that none depends on a size chosen here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch

MEMORY_SHARE = 0.25
_MEMINFO = Path("/proc/meminfo")

Item = TypeVar("Item")
Result = TypeVar("Result")


def free_bytes(device: torch.device) -> int:
    """Return the bytes that can still be had on a device (of several processes, by each)."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    if _MEMINFO.exists():
        lines = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def rows_that_fit(row_bytes: int, device: torch.device, most: int) -> int:
    """Return how many rows of a size take `MEMORY_SHARE` of free memory: 1 to ``most``."""
    return max(1, min(most, int(free_bytes(device) * MEMORY_SHARE) // row_bytes))


def in_parts(
    items: Sequence[Item], most: int, work: Callable[[Sequence[Item]], Result]
) -> Iterator[Result]:
    """Work on items in order, ``most`` at once, or fewer from where memory ran out.

    Raises
    ------
    MemoryError, RuntimeError
        Memory does not suffice for one item, or ``work`` fails otherwise.
    """
    at = 0
    while at < len(items):
        part = items[at : at + most]
        try:
            result = work(part)
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error) or len(part) == 1:
                raise
            result = None
        # Outside of the handler, whose traceback holds the tensors of the attempt.
        if result is None:
            most = len(part) // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        at += len(part)
        yield result


def ran_out(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on a GPU or in torch's CPU allocator."""
    said = str(error)
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError)
        and ("can't allocate memory" in said or "not enough memory" in said)
    )
