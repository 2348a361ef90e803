"""How many rows at once: as many as free memory holds, half as many when it was too little.

Answers are the same bits in every batch, so that none depends on a size chosen here.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

MEMORY_SHARE = 0.25
MOST_TOKENS = {"cpu": 1536, "cuda": 8192}
_MEMINFO = Path("/proc/meminfo")
_KEPT = {"M_TRIM_THRESHOLD": (-1, 1 << 30), "M_MMAP_THRESHOLD": (-3, 32 << 20)}
_OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")

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


@cache
def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GiB of what it frees, in place of asking for it again.

    glibc gives the memory of large arrays back to the system, which clears each page when it is
    touched anew: passes over a thousand tokens took up to a quarter longer. Where the environment
    chooses an allocator or its settings, those stay.

    Returns
    -------
    bool
        Whether it is so now: not where the C library is another one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None or any(name in os.environ for name in _OWN_SETTINGS):
        return False
    return all(mallopt(option, limit) for option, limit in _KEPT.values())


def give_back_freed_memory() -> None:
    """Give the system what this process has freed and kept, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


class BatchSize:
    """Batches as large as free memory and a limit of tokens allow.

    Parameters
    ----------
    device
        Where they are computed.

    Attributes
    ----------
    most_tokens
        The limit: more bring no more speed. Lower from where memory ran out.
    """

    def __init__(self, device: torch.device):
        self.device = device
        if device.type == "cpu":
            keep_freed_memory()
        self.most_tokens = MOST_TOKENS.get(device.type, MOST_TOKENS["cuda"])

    def rows(self, tokens: int, row_bytes: int) -> int:
        """Return how many rows of a size take at most `MEMORY_SHARE` of free memory; at least 1."""
        fitting = int(free_bytes(self.device) * MEMORY_SHARE) // row_bytes
        return max(1, min(self.most_tokens // tokens, fitting))

    def in_parts(
        self, rows: Sequence[Item], tokens: int, work: Callable[[Sequence[Item]], Result]
    ) -> Iterator[Result]:
        """Work on rows of a number of tokens, all at once or in parts as small as it takes.

        Raises
        ------
        MemoryError, RuntimeError
            Memory does not suffice for one row, or ``work`` fails otherwise.
        """
        at, most = 0, len(rows)
        while at < len(rows):
            part = rows[at : at + most]
            try:
                result = work(part)
            except (MemoryError, RuntimeError) as error:
                if not ran_out(error) or len(part) == 1:
                    raise
                result = None
            # Outside of the handler, whose traceback holds the tensors of the attempt.
            if result is None:
                most = len(part) // 2
                self.most_tokens = min(self.most_tokens, most * tokens)
                if self.device.type == "cuda":
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
