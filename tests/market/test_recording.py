import errno
import hashlib
import importlib.util
import json
import os
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import durable
from market.book import BookRules, OrderBook
from market.errors import MarketError
from market.order_events import EVENT_DTYPES, OrderEvents
from market.recorded_tape import Manifest, part_name, read_tape, verify_tape
from market.recording import MemoryRecorder, Recorder
from market.tape_schema import SCHEMAS, describe_tables

SCRIPT = Path(__file__).with_name("recorded_days.py")
DOCUMENT = Path(__file__).parents[2] / "docs" / "tape.md"
DAYS = 23
SMALL = {"part_bytes": 20_000, "part_days": 4}
TINY = {"part_bytes": 1_500, "part_days": 4}  # days larger than a part


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk():
    """What a process wrote outlives it without fsync, which guards against loss of power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(name="days", scope="module")
def days_fixture():
    """The script that is also run in processes that get killed."""
    spec = importlib.util.spec_from_file_location("recorded_days", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def drawn(days):
    return [days.draw_day(day) for day in range(DAYS)]


@pytest.fixture(scope="module")
def memory(days, drawn):
    return remember(days, drawn)


def remember(days, drawn):
    """Record in memory, and keep the digest after each day."""
    recorder = MemoryRecorder(days.INSTRUMENTS)
    recorder.digests = [recorder.digest]
    for day, tables in enumerate(drawn):
        days.record_day(recorder, day, tables)
        recorder.digests.append(recorder.digest)
    return recorder


@pytest.fixture(scope="module")
def recorded(days, drawn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    days.run(folder, DAYS, draw=drawn.__getitem__, **SMALL)
    return folder


def expected_frame(drawn, table):
    frames = [pd.DataFrame(day[table]) for day in drawn if table in day]
    return pd.concat(frames, ignore_index=True)


def assert_same_frame(found, expected):
    expected = expected[found.columns.tolist()]
    text = {name: "str" for name in found if found[name].dtype == "str"}
    pd.testing.assert_frame_equal(found, expected.astype(text))


def whole_days(folder, memory):
    """Return how many days a tape holds, having checked that they are what was recorded."""
    manifest = read_tape(folder).manifest
    assert verify_tape(folder) == manifest.digest == memory.digests[manifest.days]
    return manifest.days


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def slow_digest(instruments, drawn):
    """The digest's definition again, a value at a time."""
    chains = dict.fromkeys(SCHEMAS, "")
    codes = {"int8": "b", "uint8": "B", "int16": "h", "int64": "q", "bool": "?"}
    codes |= {"double": "d", "float": "f"}
    own = {"tendency": "double", "style": "string", "n": "uint8", "mood": "float", "ok": "bool"}
    for day, tables in enumerate(drawn):
        for table, columns in tables.items():
            types = {field.name: str(field.type) for field in SCHEMAS[table]}
            types |= own if table == "decisions" else {}
            state = f"{chains[table]}/{day}/{len(columns['day'])}".encode()
            for name, type_ in types.items():
                values, text = b"", b""
                for value in columns[name].tolist():
                    if type_ == "string":
                        values += struct.pack("<i", len(value.encode()))
                        text += value.encode()
                    else:
                        value = np.nan if value != value else value
                        values += struct.pack("<" + codes[type_], value)
                state += f"/{name}:{type_}:".encode()
                state += hashlib.sha256(values).digest() + hashlib.sha256(text).digest()
            chains[table] = hashlib.sha256(state).hexdigest()
    present = sorted([table, chain] for table, chain in chains.items() if chain)
    said = json.dumps([list(instruments), 0, len(drawn), present], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def test_every_table_comes_back_value_by_value(recorded, drawn, memory):
    assert whole_days(recorded, memory) == DAYS
    tape, kept = read_tape(recorded), memory.tape()
    for table, schema in SCHEMAS.items():
        assert_same_frame(tape.frame(table), expected_frame(drawn, table))
        pd.testing.assert_frame_equal(tape.frame(table), kept.frame(table))
        found = tape.datasets[table].schema
        for field in schema:
            assert found.field(field.name).equals(field, check_metadata=True)
        assert tape.manifest.rows[table] == kept.manifest.rows[table] == len(tape.frame(table))
    assert tape.manifest.instruments == kept.manifest.instruments
    assert tape.frame("orders", ["day", "price_ticks"]).columns.tolist() == ["day", "price_ticks"]
    assert len(tape.manifest.cuts) > 4


def test_other_readers_see_the_same_rows(recorded, drawn, tmp_path):
    import datasets

    datasets.disable_progress_bars()
    for table in ("orders", "messages", "decisions", "depth"):
        expected = expected_frame(drawn, table)
        assert_same_frame(pd.read_parquet(recorded / table), expected)
        assert_same_frame(pq.read_table(recorded / table).to_pandas(), expected)
        parts = [pd.read_parquet(path) for path in sorted((recorded / table).glob("*.parquet"))]
        assert_same_frame(pd.concat(parts, ignore_index=True), expected)
        rows = datasets.load_dataset(
            "parquet", data_dir=str(recorded / table), cache_dir=str(tmp_path), split="train"
        )
        assert_same_frame(rows.to_pandas(), expected)


@settings(deadline=None, max_examples=8)
@given(
    splits=st.integers(1, 6),
    part_bytes=st.sampled_from([0, 1_500, 6_000, 40_000]),
    part_days=st.integers(1, 12),
    breaks=st.sets(st.integers(1, 9), max_size=2),
)
def test_digest_is_of_the_content_alone(
    tmp_path_factory, days, drawn, memory, splits, part_bytes, part_days, breaks
):
    folder = tmp_path_factory.mktemp("split")
    budgets = {"part_bytes": part_bytes, "part_days": part_days}
    for end in (*sorted(breaks), 10):
        digest = days.run(folder, end, splits, drawn.__getitem__, **budgets)
    assert digest == memory.digests[10]
    assert whole_days(folder, memory) == 10


def test_digest_follows_its_definition_on_every_platform(days, drawn, memory):
    assert memory.digest == slow_digest(days.INSTRUMENTS, drawn)
    recorder = MemoryRecorder([{"name": "A"}], first_day=5)
    cents = {"fees_cents": 1, "taxes_cents": 2, "bankruptcy_cents": -3, "granted_cents": 4}
    recorder.record("pools", cents, day=5)
    recorder.record("messages", day=5, turn=0, kind="news", text=["é", ""], agent=-1, source="x")
    recorder.record("decisions", day=[5], turn=[1], tendency=[-np.nan], bold=[True])
    recorder.end_day(5)
    assert recorder.digest == "ab97df7ed3e4e687bd95b3913064ce3a9b096af8d1565e81220296a5a9b6b40b"


def test_digest_sees_every_change(days, drawn, memory):
    def digest(tables, instruments=days.INSTRUMENTS):
        recorder = MemoryRecorder(instruments)
        for day, rows in enumerate(tables):
            days.record_day(recorder, day, rows)
        return recorder.digest

    assert digest(drawn) == memory.digest
    seen = {memory.digest, digest(drawn, ({"name": "other"}, {})), digest([*drawn, {}])}
    changes = 3
    first = {table: next(d for d in range(DAYS) if table in drawn[d]) for table in SCHEMAS}
    for table, day in first.items():
        columns = drawn[day][table]
        changed = [{name: values[::-1] for name, values in columns.items()}]
        for name, values in columns.items():
            if name != "day":
                other = values.copy()
                flip = {"O": lambda v: v + "x", "b": lambda v: not v, "f": lambda v: 0.5}
                other[-1] = flip.get(values.dtype.kind, lambda v: v ^ 1)(values[-1])
                changed.append(columns | {name: other})
        if table == "decisions":
            changed.append(columns | {"more": np.zeros(len(columns["day"]))})
        for rows in changed:
            tables = [*drawn[:day], drawn[day] | {table: rows}]
            seen.add(digest(tables))
            changes += 1
    assert len(seen) == changes


def test_what_waits_in_memory_stays_under_the_budget(days, drawn, memory, tmp_path):
    partials = 0
    with Recorder(tmp_path, days.INSTRUMENTS, part_bytes=4_000) as recorder:
        for day, tables in enumerate(drawn):
            for table, columns in tables.items():
                for row in range(len(columns["day"])):
                    recorder.record(table, {n: v[row : row + 1] for n, v in columns.items()})
                    assert recorder.buffered_bytes <= 4_000
            partials += any(tmp_path.rglob(".part*"))
            recorder.end_day(day)
    assert partials > 3
    assert len(read_tape(tmp_path).manifest.cuts) > 15
    assert whole_days(tmp_path, memory) == DAYS


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
        moment += 3 if moment < 60 else 17
    assert len(reached) > 2
    assert moment > 100


def test_a_process_killed_at_random_moments(days, tmp_path):
    n_days, folder = 80, tmp_path / "killed"
    command = [sys.executable, str(SCRIPT), str(folder), str(n_days)]
    memory, found = remember(days, map(days.draw_day, range(n_days))), [0]
    rng = np.random.default_rng(0)
    for _ in range(5):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(rng.uniform(0.02, 0.2))
        process.kill()
        process.communicate()
        if (folder / "tape.json").exists():
            found.append(whole_days(folder, memory))
    assert found == sorted(found)
    assert 0 < found[-1]
    assert days.run(folder, n_days, **SMALL) == memory.digest
    days.run(tmp_path / "whole", n_days, **SMALL)
    assert files_of(folder) == files_of(tmp_path / "whole")


@pytest.mark.parametrize("budgets", [SMALL, TINY], ids=["small", "tiny"])
def test_a_full_disk_is_one_line_and_costs_no_whole_day(
    days, drawn, memory, tmp_path, monkeypatch, budgets
):
    n_days, refusals = 6, 0
    digest = days.run(tmp_path / "whole", n_days, draw=drawn.__getitem__, **budgets)
    for moment in range(0, 200, 9):
        folder = tmp_path / str(moment)
        with monkeypatch.context() as patch:
            failing(patch, moment, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            try:
                days.run(folder, n_days, draw=drawn.__getitem__, **budgets)
            except MarketError as error:
                kept = whole_days(folder, memory) if (folder / "tape.json").exists() else 0
                refusals += 1
                assert re.fullmatch(
                    rf"cannot write {folder}/\S+: No space left on device; the tape keeps its "
                    rf"first {kept} days: [^\n]+",
                    str(error),
                )
        assert not list(folder.rglob(".*"))
        assert days.run(folder, n_days, draw=drawn.__getitem__, **budgets) == digest
    assert refusals > 8


def test_a_device_without_room(days, drawn, memory, tmp_path):
    recorder = Recorder(tmp_path, days.INSTRUMENTS, **SMALL)
    for day in range(4):
        days.record_day(recorder, day, drawn[day])
    cuts = len(read_tape(tmp_path).manifest.cuts)
    partial = tmp_path / "orders" / f".{part_name(cuts)}.partial"
    partial.symlink_to("/dev/full")
    path = re.escape(str(partial))
    with pytest.raises(MarketError, match=rf"cannot write {path}: .*No space left") as caught:
        for day in range(4, DAYS):
            days.record_day(recorder, day, drawn[day])
    assert "\n" not in str(caught.value)
    assert f"keeps its first {whole_days(tmp_path, memory)} days" in str(caught.value)
    with pytest.raises(MarketError, match="is closed; open the folder anew"):
        recorder.end_day(recorder.day)
    recorder.close()
    days.run(tmp_path, DAYS, draw=drawn.__getitem__, **SMALL)
    assert whole_days(tmp_path, memory) == DAYS
