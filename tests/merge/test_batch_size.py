import psutil
import pytest
import torch

from merge import batch_size
from merge.batch_size import BatchSize, free_bytes, ran_out

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
