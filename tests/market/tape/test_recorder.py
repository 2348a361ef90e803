import hashlib
import json
import re
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.market.book.book import BookRules, OrderBook
from evobourse.market.book.order_events import EVENT_DTYPES, OrderEvents
from evobourse.market.tape.recorded import read_tape
from evobourse.market.tape.recorder import MemoryRecorder, Recorder
from evobourse.market.tape.schema import SCHEMAS, describe_tables
from tests.market.tape.tapes import DAYS, whole_days

DOCUMENT = Path(__file__).parents[3] / "docs" / "tape.md"


def expected_frame(drawn, table):
    frames = [pd.DataFrame(day[table]) for day in drawn if table in day]
    return pd.concat(frames, ignore_index=True)


def assert_same_frame(found, expected):
    expected = expected[found.columns.tolist()]
    text = {name: "str" for name in found if found[name].dtype == "str"}
    pd.testing.assert_frame_equal(found, expected.astype(text))


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


def test_the_document_is_the_schema():
    text = DOCUMENT.read_text()
    assert text.partition("### prices")[1:] == describe_tables().partition("### prices")[1:], (
        "replace the tables in docs/tape.md by what `python -m evobourse.market.tape.schema` prints"
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
