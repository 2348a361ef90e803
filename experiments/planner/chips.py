"""What chips can do on paper: memory, bandwidth, operations a second, and their MIG slices.

What a program gets out of a chip is `experiments.planner.roofline`'s efficiency.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from evobourse.experiments.errors import ConfigError


@dataclass(frozen=True)
class Chip:
    """A chip or a slice of one, dense rates.

    Attributes
    ----------
    name, source
        Which, and where the figures are from.
    memory
        Bytes.
    bandwidth
        Bytes a second between memory and chip.
    bf16, int8
        Operations a second, multiplications and additions counted apart.
    slices
        MIG profiles: name, streaming multiprocessors and memory eighths.
    processors
        Streaming multiprocessors, of which a slice has some.
    """

    name: str
    memory: float
    bandwidth: float
    bf16: float
    int8: float
    source: str
    slices: tuple[tuple[str, int, int], ...] = ()
    processors: int = 1

    def cut(self) -> list[Chip]:
        """Return the MIG slices as chips of their own."""
        return [
            Chip(
                name,
                self.memory * eighths / 8,
                self.bandwidth * eighths / 8,
                self.bf16 * processors / self.processors,
                self.int8 * processors / self.processors,
                f"{processors} of {self.processors} multiprocessors, {eighths}/8 of the memory",
            )
            for name, processors, eighths in self.slices
        ]


BF16_GAIN = {"avx512_bf16": 2.0}
"""By instruction set: a pair of products a lane. AMX tiles are not used (`merge.__init__`)."""

_MIG = (
    ("1g.{}gb", 16, 1),
    ("2g.{}gb", 32, 2),
    ("3g.{}gb", 60, 4),
    ("4g.{}gb", 64, 4),
    ("7g.{}gb", 132, 8),
)


def _slices(eighth: int, total: int) -> tuple[tuple[str, int, int], ...]:
    return tuple(
        (form.format(total if parts == 8 else eighth * parts), processors, parts)
        for form, processors, parts in _MIG
    )


CHIPS: dict[str, Chip] = {
    "h100": Chip(
        "H100 SXM 80 GB", 80e9, 3.35e12, 989e12, 1979e12,
        "NVIDIA H100 data sheet, dense; slices: NVIDIA MIG user guide", _slices(10, 80), 132,
    ),
    "h100-pcie": Chip(
        "H100 PCIe 80 GB", 80e9, 2.0e12, 756e12, 1513e12, "NVIDIA H100 data sheet, dense",
    ),
    "h200": Chip(
        "H200 SXM 141 GB", 141e9, 4.8e12, 989e12, 1979e12,
        "NVIDIA H200 data sheet, dense; slices: NVIDIA MIG user guide", _slices(18, 141), 132,
    ),
    "a100": Chip(
        "A100 SXM 80 GB", 80e9, 2.039e12, 312e12, 624e12, "NVIDIA A100 data sheet, dense",
    ),
}  # fmt: skip


def find_chip(name: str) -> Chip:
    """Find a chip by its key, or measure this machine's processor for ``cpu``.

    Raises
    ------
    ConfigError
        The chip is unknown.
    """
    if name == "cpu":
        return measure_processor()
    if name not in CHIPS:
        raise ConfigError(f"--gpu {name!r}: unknown; known: {', '.join(CHIPS)} and cpu")
    return CHIPS[name]


def measure_processor(cores: int | None = None, seconds: float = 1.0) -> Chip:
    """Measure this machine: the best of repeated fp32 matrix products and copies in NumPy.

    Products are timed on one core, in processor seconds, and counted for ``cores`` (None: all that
    we may use): what others do on a busy machine is left out as far as it can be.

    The bf16 rate is the fp32 rate times what the processor's instructions do at once more:
    `BF16_GAIN`. INT8 products are not used by the engine and counted as bf16.
    """
    side = 768
    matrix = np.random.default_rng(0).standard_normal((side, side), np.float32)
    block, target = np.zeros(8_000_000), np.zeros(8_000_000)
    product = np.empty_like(matrix)
    cores = cores or len(os.sched_getaffinity(0))
    with threadpool_limits(1):
        one = 2 * side**3 / _fastest(lambda: np.matmul(matrix, matrix, out=product), seconds)
    fp32 = cores * one
    bandwidth = 2 * block.nbytes / _fastest(lambda: np.copyto(target, block), seconds)
    bf16 = fp32 * bf16_gain()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    source = f"NumPy just now: fp32 {one / 1e9:.0f} Gop/s a core, bf16 {bf16 / fp32:g} times that"
    return Chip(f"this machine, {cores} cores", memory, bandwidth, bf16, bf16, source)


def bf16_gain() -> float:
    """Return how many bf16 operations this processor does in the time of one in fp32."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return 1.0
    return next((gain for flag, gain in BF16_GAIN.items() if flag in flags), 1.0)


def _fastest(work: Callable[[], object], seconds: float) -> float:
    """Return the fewest processor seconds of one run, over runs that last so long together."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best
