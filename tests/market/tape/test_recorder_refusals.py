"""What no tape takes, and what is no tape: a line each."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from evobourse.market.errors import MarketError
from evobourse.market.tape.recorded import part_name, read_tape, verify_tape
from evobourse.market.tape.recorder import Recorder
from evobourse.market.tape.schema import SCHEMAS
from tests.market.tape.tapes import files_of


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
