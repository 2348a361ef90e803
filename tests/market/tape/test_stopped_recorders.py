"""Killed, interrupted, out of room: a tape keeps its whole days, and goes on."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from evobourse.market.errors import MarketError
from evobourse.market.tape.digest import TableDigest
from evobourse.market.tape.recorded import Manifest, part_name, read_tape
from evobourse.market.tape.recorder import Recorder
from evobourse.market.tape.schema import SCHEMAS
from tests.held_sweep import kill_when
from tests.market.tape.tapes import DAYS, SMALL, TINY, files_of, remember, whole_days

SCRIPT = Path(__file__).with_name("recorded_days.py")


def test_a_days_end_survives_once_flushed(days, drawn, memory, tmp_path):
    recorder = Recorder(tmp_path, days.INSTRUMENTS)
    for day in range(3):
        days.record_day(recorder, day, drawn[day])
        assert read_tape(tmp_path).manifest.days == day
        recorder.flush()
        assert whole_days(tmp_path, memory) == day + 1
    recorder.record("pools", drawn[0]["pools"] | {"day": 3})
    recorder.flush()
    with pytest.raises(MarketError, match=r"day 3 was not ended.*call end_day\(3\) before close"):
        recorder.close()
    assert whole_days(tmp_path, memory) == 3


class Killed(BaseException):
    """Nothing cleans up after it, as after SIGKILL."""


def failing(monkeypatch, moment, error):
    """Raise at the n-th of the steps by which anything reaches the disk."""
    steps = iter(range(10**9))

    def dies(owner, name):
        whole = getattr(owner, name)

        def step(*args, **kwargs):
            if next(steps) == moment:
                raise error
            return whole(*args, **kwargs)

        monkeypatch.setattr(owner, name, step)

    dies(os, "open")
    dies(os, "write")
    dies(os, "fsync")
    dies(Path, "replace")
    dies(pq.ParquetWriter, "write_table")
    dies(pq.ParquetWriter, "close")
    return steps


@pytest.mark.parametrize("budgets", [SMALL, TINY], ids=["small", "tiny"])
def test_killed_at_any_step_a_tape_is_whole_and_goes_on(
    days, drawn, memory, tmp_path, monkeypatch, budgets
):
    n_days = 6
    whole = tmp_path / "whole"
    digest = days.run(whole, n_days, draw=drawn.__getitem__, **budgets)
    reached, moment = set(), 0
    while True:
        folder = tmp_path / str(moment)
        with monkeypatch.context() as patch:
            steps = failing(patch, moment, Killed())
            try:
                recorder = Recorder(folder, days.INSTRUMENTS, **budgets)
                for day in range(n_days):
                    days.record_day(recorder, day, drawn[day], 3)
                recorder.close()
            except Killed:
                pass
            if next(steps) <= moment:
                break
        if (folder / "tape.json").exists():
            reached.add(whole_days(folder, memory))
            for table in SCHEMAS:
                for path in (folder / table).glob("*.parquet"):
                    assert pq.read_metadata(path).num_rows
        assert days.run(folder, n_days, draw=drawn.__getitem__, **budgets) == digest
        assert files_of(folder) == files_of(whole)
        moment += 4 if moment < 60 else 19
    assert len(reached) > 2
    assert moment > 100


def test_a_process_killed_at_random_moments(days, tmp_path):
    n_days, folder = 90, tmp_path / "killed"
    command = [sys.executable, str(SCRIPT), str(folder), str(n_days), "never ends"]
    memory, found = remember(days, map(days.draw_day, range(n_days))), [0]
    rng = np.random.default_rng(0)
    for day in (0, 0, 12, 30, 50):  # to strike a moment after the day is safe
        kill_when(
            lambda day=day: (folder / "tape.json").exists() and Manifest.read(folder).days >= day,
            subprocess.Popen(command),
            pause_s=rng.uniform(0, 0.04),
        )
        found.append(whole_days(folder, memory))
    assert found == sorted(found)
    assert 50 <= found[-1] < n_days
    assert days.run(folder, n_days, **SMALL) == memory.digest
    days.run(tmp_path / "whole", n_days, **SMALL)
    assert files_of(folder) == files_of(tmp_path / "whole")


@pytest.mark.parametrize("budgets", [SMALL, TINY], ids=["small", "tiny"])
@pytest.mark.parametrize("interrupted", [False, True], ids=["full disk", "interrupted"])
def test_a_recorder_stopped_by_an_exception_keeps_the_whole_days(
    days, drawn, memory, tmp_path, monkeypatch, budgets, interrupted
):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    n_days, stops = 6, 0
    for moment in range(0, 200, 17):
        folder, refusal = tmp_path / str(moment), None
        with monkeypatch.context() as patch:
            failing(patch, moment, KeyboardInterrupt() if interrupted else full)
            try:
                days.run(folder, n_days, draw=drawn.__getitem__, **budgets)
            except (MarketError, KeyboardInterrupt) as error:
                refusal = str(error)
                stops += 1
        kept = whole_days(folder, memory) if (folder / "tape.json").exists() else 0
        if refusal is not None and not interrupted:
            assert re.fullmatch(
                rf"cannot write {folder}/\S+: No space left on device; "
                rf"the tape keeps its first {kept} days: [^\n]+",
                refusal,
            )
            assert not list(folder.rglob(".*"))
        assert days.run(folder, n_days, draw=drawn.__getitem__, **budgets) == memory.digests[n_days]
    assert stops > 4


@pytest.mark.parametrize("moment", [0, 4, 8])
def test_an_interrupt_while_a_day_ends(days, drawn, memory, tmp_path, monkeypatch, moment):
    tables, end_day = iter(range(100)), TableDigest.end_day

    def interrupted(digest, day):
        if day == 2 and next(tables) == moment:
            raise KeyboardInterrupt
        return end_day(digest, day)

    with monkeypatch.context() as patch:
        patch.setattr(TableDigest, "end_day", interrupted)
        with pytest.raises(KeyboardInterrupt):
            days.run(tmp_path, 5, draw=drawn.__getitem__)
    assert whole_days(tmp_path, memory) == 2


def test_a_device_without_room(days, drawn, memory, tmp_path):
    recorder = Recorder(tmp_path, days.INSTRUMENTS, **SMALL)
    for day in range(4):
        days.record_day(recorder, day, drawn[day])
    cuts = len(read_tape(tmp_path).manifest.cuts)
    partial = tmp_path / "orders" / f".{part_name(cuts)}.partial"
    partial.symlink_to("/dev/full")
    path = re.escape(str(partial))

    def go_on():
        for day in range(4, DAYS):
            days.record_day(recorder, day, drawn[day])

    with pytest.raises(MarketError, match=rf"cannot write {path}: .*No space left") as caught:
        go_on()
    assert "\n" not in str(caught.value)
    assert f"keeps its first {whole_days(tmp_path, memory)} days" in str(caught.value)
    with pytest.raises(MarketError, match="is closed; open the folder anew"):
        recorder.end_day(recorder.day)
    recorder.close()
    days.run(tmp_path, DAYS, draw=drawn.__getitem__, **SMALL)
    assert whole_days(tmp_path, memory) == DAYS


def test_an_exception_keeps_the_whole_days(days, drawn, memory, tmp_path):
    def run():
        with Recorder(tmp_path, days.INSTRUMENTS) as recorder:
            for day in range(3):
                days.record_day(recorder, day, drawn[day])
            recorder.record("messages", day=3, turn=0, kind="news", text="a", agent=-1, source="x")
            raise KeyError("a trader's own")

    with pytest.raises(KeyError, match="a trader's own"):
        run()
    assert whole_days(tmp_path, memory) == 3
