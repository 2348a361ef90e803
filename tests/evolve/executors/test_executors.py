"""What is handed out comes back, whoever does it, and whoever is lost on the way."""

import operator
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from evobourse.evolve.errors import EvolveError, RunError
from evobourse.evolve.executors.executor import InProcess, collect
from evobourse.evolve.executors.processes import local_processes
from evobourse.evolve.executors.ray_actors import ray_actors
from evobourse.evolve.executors.worker_pool import MOST_FAILED_STARTS, MOST_LOSSES

ROOT = Path(__file__).parents[3]


def die_while_missing(path, value):
    """Take the worker along, the first time."""
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value


class Stubborn(Exception):
    """Pickles, and cannot be made again."""

    def __init__(self, one, two):
        super().__init__(one)


def raise_stubborn():
    raise Stubborn(1, 2)


@pytest.fixture(scope="module")
def two():
    with closing(local_processes(2)) as executor:
        yield executor


@pytest.mark.parametrize("kind", ["in process", "processes"])
def test_results_come_in_the_order_of_the_calls_and_each_is_heard_of(two, kind):
    executor = InProcess() if kind == "in process" else two
    heard = []
    pauses = [0.2, 0.0, 0.1, 0.0]
    futures = (executor.submit(_after, pause, n) for n, pause in enumerate(pauses))
    assert collect(futures, lambda: heard.append(1)) == [0, 1, 2, 3]
    assert len(heard) == 4


def _after(pause, value):
    time.sleep(pause)
    return value


def test_a_workers_errors_are_raised_here(two):
    with pytest.raises(RunError, match="no room") as caught:
        two.submit(_refuse).result()
    assert "in a worker" in caught.value.__notes__[0]
    with pytest.raises(EvolveError, match="a worker's task raised Stubborn"):
        two.submit(raise_stubborn).result()
    assert two.submit(operator.add, 1, 2).result() == 3


def _refuse():
    raise RunError("no room")


def test_a_worker_is_one_core_and_says_nothing(two, capfd):
    assert two.submit(_environment).result() == ("1", "PASSIVE", 1)
    assert capfd.readouterr() == ("", "")


def _environment():
    import warnings

    import torch

    warnings.warn("not heard", stacklevel=1)
    return os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"], torch.get_num_threads()


def test_a_lost_workers_call_is_made_again_by_another(two, tmp_path):
    calls = [two.submit(die_while_missing, tmp_path / str(n), n) for n in range(3)]
    assert [future.result() for future in calls] == [0, 1, 2]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_call_that_kills_whoever_takes_it_ends_the_sweep(two):
    with pytest.raises(EvolveError, match=f"{MOST_LOSSES} workers were lost over one task"):
        two.submit(os._exit, 3).result()
    assert two.submit(operator.add, 1, 2).result() == 3


def test_the_free_take_what_is_waiting():
    with closing(local_processes(2)) as executor:
        long = executor.submit(_after, 300.0, "long")
        short = (executor.submit(_after, 0.0, n) for n in range(20))
        assert collect(short) == list(range(20))
        assert not long.done()


def test_a_closed_executor_leaves_nothing_behind():
    before = set(psutil.Process().children(recursive=True))
    executor = local_processes(2)
    calls = [executor.submit(_after, 60.0, n) for n in range(5)]
    until = time.monotonic() + 60
    while len(executor._running) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    executor.close()
    executor.close()
    _, alive = psutil.wait_procs(
        set(psutil.Process().children(recursive=True)) - before, timeout=20
    )
    assert not alive
    assert sum(call.cancelled() for call in calls) >= 3
    with pytest.raises(EvolveError, match="closed"):
        executor.submit(operator.add, 1, 2)


BUSY = """
import time
from evobourse.evolve.executors.processes import local_processes
executor = local_processes(2)
calls = [executor.submit(time.sleep, 600) for _ in range(2)]
calls[0].result()
"""


def test_workers_end_with_a_killed_driver():
    process = subprocess.Popen([sys.executable, "-c", BUSY], cwd=ROOT)
    driver = psutil.Process(process.pid)
    until = time.monotonic() + 60
    while len(family := driver.children(recursive=True)) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert len(family) == 2
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive


UNGUARDED = """
from contextlib import closing
from evobourse.evolve.executors.executor import collect
from evobourse.evolve.executors.processes import local_processes

print("begun", flush=True)


class Doubled:
    def __init__(self, value):
        self.value = 2 * value


def double(value):
    return Doubled(value)


with closing(local_processes(2)) as executor:
    doubled = collect(executor.submit(double, n) for n in range(4))
assert all(type(one) is Doubled for one in doubled)
print([one.value for one in doubled])
"""


def test_a_script_without_a_main_guard_runs_once_and_what_it_defines_travels(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(UNGUARDED)
    done = subprocess.run(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("begun\n[0, 2, 4, 6]\n", "")


def test_workers_that_end_while_they_start_end_the_sweep(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with closing(local_processes(2)) as executor:
        calls = [executor.submit(operator.add, 1, n) for n in range(3)]
        for call in calls:
            with pytest.raises(
                EvolveError, match=f"{MOST_FAILED_STARTS} workers in a row .*code 1"
            ):
                call.result(timeout=60)
        monkeypatch.undo()
        assert executor.submit(operator.add, 1, 2).result(timeout=60) == 3


def test_ray_that_is_not_there_is_said_in_one_line(monkeypatch):
    for address, why in (
        ("127.0.0.1:1", "Connection refused"),
        ("ray://there", "expected auto or host:port"),
        ("auto", "Could not find any running Ray instance"),
    ):
        with pytest.raises(EvolveError, match=f"address '{address}' .*{why}") as caught:
            ray_actors(2, address)
        assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EvolveError, match=r"pip install 'evobourse\[ray\]'"):
        ray_actors(2)
