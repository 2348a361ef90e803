import errno
import hashlib
import importlib.util
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.book import BookRules, OrderBook
from market.errors import MarketError
from market.order_events import EVENT_DTYPES, OrderEvents
from market.recorded_tape import Manifest, part_name, read_tape, verify_tape
from market.recording import MemoryRecorder, Recorder
from market.tape_digest import TableDigest
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
        moment += 4 if moment < 60 else 19
    assert len(reached) > 2
    assert moment > 100


def test_a_process_killed_at_random_moments(days, tmp_path):
    n_days, folder = 90, tmp_path / "killed"
    command = [sys.executable, str(SCRIPT), str(folder), str(n_days)]
    memory, found = remember(days, map(days.draw_day, range(n_days))), [0]
    rng = np.random.default_rng(0)
    for day in (0, 0, 12, 30, 50):  # to strike a moment after the day is safe
        process = subprocess.Popen(command)
        while process.poll() is None and not (
            (folder / "tape.json").exists() and Manifest.read(folder).days >= day
        ):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.04))
        assert process.poll() is None
        process.kill()
        process.wait()
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


def test_what_is_recorded_replays_to_the_same_trades(random_events, tmp_path):
    rng = np.random.default_rng(0)
    rules, n_days, turns, count = BookRules(90, 110), 4, 3, 120
    events = [random_events(rng, n_days * turns * count, 90, 110) for _ in range(2)]
    books = [OrderBook(rules, 100) for _ in events]
    with Recorder(tmp_path, [{"name": "A"}, {"name": "B"}], part_days=1) as recorder:
        for slot in range(n_days * turns):
            now = {"day": slot // turns, "turn": slot % turns}
            for asset, book in enumerate(books):
                batch = events[asset][slot * count : (slot + 1) * count]
                first = book.events_seen
                fills, reports = book.process(batch)
                new = reports.number >= first
                recorder.record(
                    "orders",
                    {name: getattr(batch, name) for name in EVENT_DTYPES},
                    **now,
                    asset=asset,
                    number=reports.number[new],
                    filled=reports.filled[new],
                    status=reports.status[new],
                    reason=reports.reason[new],
                )
                recorder.record(
                    "fills",
                    vars(fills),
                    **now,
                    asset=asset,
                    buyer=events[asset].agent[fills.buy],
                    seller=events[asset].agent[fills.sell],
                    cancelled=False,
                )
            if now["turn"] == turns - 1:
                recorder.end_day(now["day"])
    tape = read_tape(tmp_path)
    orders, trades = tape.frame("orders"), tape.frame("fills")
    for asset in range(2):
        log = orders[orders["asset"] == asset]
        assert log["number"].tolist() == list(range(len(log)))
        fills, _ = OrderBook(rules, 100).process(OrderEvents.from_frame(log))
        assert len(fills) > 300
        for name, values in vars(fills).items():
            np.testing.assert_array_equal(trades.loc[trades["asset"] == asset, name], values)


def pools(**changed):
    cents = dict.fromkeys(SCHEMAS["pools"].names[1:], 0)
    return {"day": 0, **cents, **changed}


def said(**changed):
    columns = {"day": 0, "turn": 0, "kind": "news", "text": "a", "agent": -1, "source": "x"}
    return columns | changed


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        ("trades", {}, "there is no table 'trades', expected one of prices, orders, fills"),
        ("pools", pools(day=1), r"pools.day\[0\] is 1, expected 0, the open day"),
        ("pools", pools(day=[0, 0, -1]), r"pools.day\[2\] is -1, expected 0, the open day"),
        ("pools", {"day": 0}, "pools lacks column 'bankruptcy_cents', expected day, fees_cents"),
        ("pools", pools(fee=1), "pools has no column 'fee', expected day, fees_cents"),
        ("pools", pools(fees_cents=0.5), "pools.fees_cents is float64, expected integers"),
        ("pools", pools(fees_cents=True), "pools.fees_cents is bool, expected integers"),
        ("pools", pools(fees_cents="1"), "pools.fees_cents is <U1, expected integers"),
        (
            "pools",
            pools(fees_cents=[1, 2], taxes_cents=[1, 2, 3]),
            r"pools.taxes_cents has shape \(3,\), expected \(2,\) as pools.fees_cents",
        ),
        (
            "pools",
            pools(fees_cents=np.array([[1]])),
            r"pools.fees_cents has shape \(1, 1\), expected \(1,\) as pools.fees_cents",
        ),
        ("messages", said(turn=2**15), r"messages.turn\[0\] is 32768, expected int16"),
        ("messages", said(turn=[3, -(2**15) - 1]), r"messages.turn\[1\] is -32769, expected"),
        ("messages", said(agent=np.uint64(2**63)), r"messages.agent\[0\] is 9223372036854775808"),
        ("messages", said(text=["a", None]), "messages.text is not all text: .* NoneType found"),
        ("messages", said(text=3), "messages.text is not all text: .* int found"),
        ("messages", said(text="\ud800"), "messages.text is not all text: .*surrogates"),
        ("decisions", {"day": 0, "x": [0.5]}, "decisions lacks column 'turn'"),
        ("decisions", {"day": 0, "turn": 0, "x": [1j]}, "decisions.x is complex128, expected bool"),
    ],
)
def test_a_refused_batch_leaves_no_trace(tmp_path, table, columns, message):
    digests = []
    for folder, bad in (("with", True), ("without", False)):
        with Recorder(tmp_path / folder, []) as recorder:
            recorder.record("decisions", {"day": [], "turn": [], "x": []})
            if bad:
                with pytest.raises(MarketError, match=message) as caught:
                    recorder.record(table, columns)
                assert "\n" not in str(caught.value)
            recorder.record("decisions", day=0, turn=0, x=["now text"])
            recorder.record("pools", pools())
            recorder.record("messages", said())
            recorder.end_day(0)
            digests.append(recorder.digest)
    assert digests[0] == digests[1]


def test_the_crowds_columns_stay_those_of_the_first_batch(tmp_path):
    for _ in range(2):  # fixed in memory, then read from the folder
        with Recorder(tmp_path, []) as recorder:
            day = recorder.day
            recorder.record("decisions", day=day, turn=0, level=np.array([1, 2], np.int8))
            with pytest.raises(MarketError, match=r"decisions.level\[1\] is 300, expected int8"):
                recorder.record("decisions", day=day, turn=0, level=[1, 300])
            with pytest.raises(MarketError, match="has no column 'more', expected day, turn, lev"):
                recorder.record("decisions", day=day, turn=0, level=1, more=1)
            recorder.record("decisions", day=day, turn=0, level=[])
            recorder.end_day(day)
    assert read_tape(tmp_path).frame("decisions")["level"].tolist() == [1, 2, 1, 2]


def test_days_follow_one_another(tmp_path):
    recorder = Recorder(tmp_path, [], first_day=7)
    with pytest.raises(MarketError, match="day 8 cannot end: day 7 is the open one"):
        recorder.end_day(8)
    recorder.end_day(7)
    recorder.close()
    assert Recorder(tmp_path, [], first_day=7).day == 8
    assert len(read_tape(tmp_path).frame("prices")) == 0


def test_an_exception_keeps_the_whole_days(days, drawn, memory, tmp_path):
    def run():
        with Recorder(tmp_path, days.INSTRUMENTS) as recorder:
            for day in range(3):
                days.record_day(recorder, day, drawn[day])
            recorder.record("messages", said(day=3))
            raise KeyError("a trader's own")

    with pytest.raises(KeyError, match="a trader's own"):
        run()
    assert whole_days(tmp_path, memory) == 3


def test_what_is_no_such_tape_is_refused(days, recorded, tmp_path):
    with pytest.raises(MarketError, match=r"no tape in .*: it has no tape.json"):
        read_tape(tmp_path)
    (tmp_path / "orders").mkdir()
    with pytest.raises(MarketError, match=r"holds 'orders' but no tape.json"):
        Recorder(tmp_path, [])
    with pytest.raises(MarketError, match=r"holds a tape with instruments .*name another folder"):
        Recorder(recorded, [{"name": "IF2409"}])
    with pytest.raises(MarketError, match="holds a tape with first_day 0, expected 1"):
        Recorder(recorded, days.INSTRUMENTS, first_day=1)
    with pytest.raises(MarketError, match="instruments cannot be written as JSON"):
        Recorder(tmp_path, [{"name": object()}])
    (tmp_path / "file").touch()
    with pytest.raises(MarketError, match=f"cannot write {tmp_path}/file.*: Not a directory"):
        Recorder(tmp_path / "file" / "tape", [])
    before = files_of(recorded)
    for damage, message in (
        (b"{", "tape.json is damaged"),
        (b'{"schema_version": 1}', "tape.json is damaged"),
        (before["tape.json"].replace(b'"days": 23', b'"days": 24'), "its digests disagree"),
        (before["tape.json"].replace(b'_version": 1', b'_version": 2'), "version 2, this toolkit"),
    ):
        (recorded / "tape.json").write_bytes(damage)
        for opens in (read_tape, lambda folder: Recorder(folder, days.INSTRUMENTS)):
            with pytest.raises(MarketError, match=message):
                opens(recorded)
        (recorded / "tape.json").write_bytes(before["tape.json"])
    assert files_of(recorded) == before


def test_a_damaged_part_is_named(days, recorded, tmp_path):
    def copy(name):
        return Path(shutil.copytree(recorded, tmp_path / name))

    folder = copy("missing")
    (folder / "fills" / part_name(0)).unlink()
    for opens in (read_tape, lambda folder: Recorder(folder, days.INSTRUMENTS)):
        with pytest.raises(MarketError, match=rf"fills/{part_name(0)} is damaged"):
            opens(folder)
    path = copy("torn") / "orders" / part_name(1)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(MarketError, match=rf"orders/{part_name(1)} is damaged"):
        read_tape(tmp_path / "torn")
    path = copy("short") / "orders" / part_name(1)
    table = pq.read_table(path)
    pq.write_table(table[1:], path)
    with pytest.raises(MarketError, match=rf"orders/{part_name(1)} is damaged \(\d+ rows, exp"):
        read_tape(tmp_path / "short")
    path = copy("edited") / "orders" / part_name(1)
    changed = table["price_ticks"].to_numpy().copy()
    changed[-1] ^= 1
    column = table.schema.get_field_index("price_ticks")
    pq.write_table(table.set_column(column, table.field(column), [changed]), path)
    read_tape(tmp_path / "edited")
    with pytest.raises(MarketError, match=rf"orders/{part_name(1)} is damaged \(its content is no"):
        verify_tape(tmp_path / "edited")


def test_the_document_is_the_schema():
    text = DOCUMENT.read_text()
    assert text.partition("### prices")[1:] == describe_tables().partition("### prices")[1:], (
        "replace the tables in docs/tape.md by what `python -m market.tape_schema` prints"
    )
    assert {field.type for field in SCHEMAS["orders"]} == {"int64", "int16", "int8", "bool"}
    own = {field.name: field.type for field in SCHEMAS["orders"]}
    assert own.items() >= EVENT_DTYPES.items()


def test_the_documents_examples_run(tmp_path):
    reading, recording = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names = {"folder": tmp_path / "tape"}
    exec(recording, names)
    exec(
        reading.replace('read_parquet(folder / "prices")', 'read_parquet(folder / "pools")'), names
    )
    assert names["tape"].manifest.days == len(names["same"]) == 250
