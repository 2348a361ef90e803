"""What is kept on disk is what was computed, whoever else writes there and whatever broke."""

import os
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from evobourse.fitness import moments as moment_set
from evobourse.fitness import remembered
from evobourse.fitness.distance import make_target
from evobourse.fitness.errors import FitnessError
from evobourse.fitness.remembered import remember


class Counted:
    """A computation that counts how often it was made."""

    calls = 0

    def __call__(self):
        self.calls += 1
        return {"values": np.random.default_rng(5).standard_normal((50, 7))}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(remembered.FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def ask(compute, *inputs):
    return remember("thing", inputs, (moment_set,), compute)["values"]


def test_an_entry_is_computed_once_and_read_to_the_last_bit(folder):
    compute = Counted()
    first, second = (ask(compute, np.arange(3.0), 250) for _ in range(2))
    assert compute.calls == 1
    assert first.tobytes() == second.tobytes()
    assert [file.suffix for file in folder.iterdir()] == [".npz"]


@pytest.mark.parametrize(
    "other",
    [
        (np.arange(3.0), 251),
        (np.array([0.0, 1.0, np.nextafter(2.0, 3.0)]), 250),
        (np.arange(3), 250),
        (np.arange(3.0)[None], 250),
        (np.arange(3.0),),
    ],
)
def test_any_other_input_is_another_entry(folder, other):
    compute = Counted()
    ask(compute, np.arange(3.0), 250)
    ask(compute, *other)
    assert compute.calls == 2


def test_other_code_or_another_library_is_another_entry(folder, tmp_path, monkeypatch):
    source = tmp_path / "measure.py"
    code = types.ModuleType("measure")
    code.__file__ = str(source)
    compute = Counted()
    for text in ("a = 1", "a = 2", "a = 2"):
        source.write_text(text)
        remember("thing", (), (code,), compute)
    assert compute.calls == 2
    monkeypatch.setattr(remembered, "version", lambda library: "99")
    remembered._format_and_libraries.cache_clear()
    remember("thing", (), (code,), compute)
    remembered._format_and_libraries.cache_clear()
    assert compute.calls == 3


def _flip(data):
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"nonsense", _flip],
    ids=["empty", "truncated", "nonsense", "a flipped bit"],
)
def test_a_damaged_entry_is_computed_anew_and_mended(folder, damage):
    compute = Counted()
    whole = ask(compute, 1)
    [entry] = folder.iterdir()
    entry.write_bytes(damage(entry.read_bytes()))
    assert ask(compute, 1).tobytes() == whole.tobytes()
    assert compute.calls == 2
    assert ask(compute, 1).tobytes() == whole.tobytes()
    assert compute.calls == 2


def test_a_folder_that_cannot_be_made_costs_time_and_no_result(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(remembered.FOLDER_VARIABLE, str(tmp_path / "file"))
    compute = Counted()
    assert ask(compute, 1).tobytes() == ask(compute, 1).tobytes()
    assert compute.calls == 2


def test_a_failed_computation_leaves_nothing(folder):
    def fail():
        raise FitnessError("no")

    with pytest.raises(FitnessError):
        ask(fail, 1)
    assert not folder.exists()


WRITER = """
import sys
import numpy as np
from evobourse.fitness import moments, remembered

def compute():
    print("computing", flush=True)
    return {"values": np.random.default_rng(5).standard_normal((200_000, 7))}

while True:
    values = remembered.remember("thing", (int(sys.argv[1]),), (moments,), compute)["values"]
    assert values.tobytes() == np.random.default_rng(5).standard_normal((200_000, 7)).tobytes()
    if sys.argv[2] == "once":
        break
    next(remembered.cache_folder().glob("thing-*")).unlink(missing_ok=True)
"""


def _writer(how):
    command = [sys.executable, "-c", WRITER, "1", how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_processes_share_the_folder_and_a_killed_one_leaves_nothing_half_written(folder):
    busy = _writer("forever")
    assert busy.stdout.readline() == b"computing\n"
    together = [_writer("once") for _ in range(2)]
    for process in together:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, b"")
    time.sleep(0.05)
    os.kill(busy.pid, signal.SIGKILL)
    busy.communicate()
    after = _writer("once")
    _, errors = after.communicate(timeout=60)
    assert (after.returncode, errors) == (0, b"")


def test_a_target_from_the_cache_is_the_same_target_and_leaves_the_same_stream(
    folder, train_returns
):
    streams = [np.random.default_rng(1) for _ in range(2)]
    first, second = (
        make_target(train_returns, 100, 4, rng, resamples=200, split="train") for rng in streams
    )
    assert first.content_hash == second.content_hash
    assert streams[0].random() == streams[1].random()
    assert len(list(folder.iterdir())) == 1
