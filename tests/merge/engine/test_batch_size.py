import os
import platform
import subprocess
import sys

import psutil
import pytest
import torch

from evobourse.merge.engine import batch_size
from evobourse.merge.engine.batch_size import BatchSize, free_bytes, keep_freed_memory, ran_out

CPU = torch.device("cpu")


def exhaust_processor():
    torch.empty(1 << 60, dtype=torch.uint8)


def exhaust_gpu():
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def exhaust_python():
    raise MemoryError


def exhaust_windows():
    raise RuntimeError(
        "[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: not enough memory: you "
        "tried to allocate 4294967296 bytes."
    )


EXHAUST = (exhaust_processor, exhaust_gpu, exhaust_python, exhaust_windows)


@pytest.mark.parametrize("exhaust", EXHAUST)
def test_where_memory_runs_out_the_batch_is_halved_and_goes_on(exhaust):
    tried = []

    def work(part):
        tried.append(len(part))
        if len(part) > 3:
            exhaust()
        return list(part)

    batches = BatchSize(CPU)
    done = list(batches.in_parts(range(20), 5, work))
    assert [x for part in done for x in part] == list(range(20))
    assert tried == [20, 10, 5, *[2] * 10]
    assert batches.most_tokens == 2 * 5  # and the next batches begin there
    assert batches.rows(5, 1) == 2


@pytest.mark.parametrize("exhaust", EXHAUST)
def test_one_row_too_many_is_the_end(exhaust):
    def work(_):
        exhaust()

    with pytest.raises((MemoryError, RuntimeError)) as caught:
        list(BatchSize(CPU).in_parts([1, 2], 1, work))
    assert ran_out(caught.value)


def test_another_failure_is_not_tried_again():
    def work(_):
        torch.zeros(2, 3) @ torch.zeros(2, 3)

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(BatchSize(CPU).in_parts([1, 2], 1, work))


def test_rows_follow_free_memory(monkeypatch):
    monkeypatch.setattr(batch_size, "free_bytes", lambda device: 4000)
    batches = BatchSize(CPU)
    assert [batches.rows(3, size) for size in (1, 10, 300, 5000)] == [512, 100, 3, 1]
    assert batches.rows(5000, 1) == 1


def test_free_memory_is_what_psutil_says(monkeypatch):
    free = psutil.virtual_memory().available
    assert 0.7 * free < free_bytes(CPU) < 1.3 * free
    monkeypatch.setattr(batch_size, "_MEMINFO", batch_size._MEMINFO / "none")
    assert 0 < free_bytes(CPU) < psutil.virtual_memory().total


TOUCHES = """
import resource
import torch
from evobourse.merge.engine.batch_size import keep_freed_memory

keep_freed_memory()
for turn in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        held = [torch.ones(3_000_000) for _ in range(4)]
        del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_large_arrays_are_made_again_of_the_memory_of_those_before():
    def faults(**settings):
        done = subprocess.run(
            [sys.executable, "-c", TOUCHES], env=os.environ | settings, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        return int(done.stdout)

    pages = 20 * 4 * 12_000_000 // os.sysconf("SC_PAGE_SIZE")
    assert faults() < pages / 100
    assert faults(MALLOC_TRIM_THRESHOLD_="1000000") > pages / 2  # one's own settings stay


HOLES = """
import psutil
import torch
from evobourse.merge.engine.batch_size import give_back_freed_memory, keep_freed_memory

keep_freed_memory()
held = [torch.ones(1_000_000) for _ in range(100)]
del held[::2]
before = psutil.Process().memory_info().rss
give_back_freed_memory()
print(before - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_holes_between_what_stays_are_given_back():
    done = subprocess.run(
        [sys.executable, "-c", HOLES], capture_output=True, text=True, check=True
    )  # fmt: skip
    assert int(done.stdout) > 40 * 4_000_000


def test_settings_of_ones_own_stay(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert not keep_freed_memory.__wrapped__()
