import json

import pytest

from evobourse.fitness.errors import FitnessError
from evobourse.fitness.protocol import HeldOutDoor


def test_a_reading_is_on_record(tmp_path):
    HeldOutDoor(tmp_path / "run").read("heldout", "scoreboard", "abc")
    lines = (tmp_path / "run" / "heldout_readings.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"split": "heldout", "purpose": "scoreboard", "digest": "abc"}
    ]


def test_a_second_look_with_something_else_is_refused(tmp_path):
    HeldOutDoor(tmp_path).read("heldout", "scoreboard", "abc")
    with pytest.raises(FitnessError, match="start a new run"):
        HeldOutDoor(tmp_path).read("heldout", "scoreboard", "def")
    assert HeldOutDoor(tmp_path).ledger.read_text().count("\n") == 1


def test_a_resumed_run_reads_the_same_again_and_leaves_the_same_bytes(tmp_path):
    door = HeldOutDoor(tmp_path)
    door.read("heldout", "scoreboard", "abc")
    before = door.ledger.read_bytes()
    door.read("heldout", "scoreboard", "abc")
    assert door.ledger.read_bytes() == before


def test_splits_are_separate_and_another_purpose_is_recorded(tmp_path):
    door = HeldOutDoor(tmp_path)
    door.read("heldout", "scoreboard", "abc")
    door.read("nickel/heldout", "scoreboard", "def")
    door.read("heldout", "report", "abc")
    assert door.ledger.read_text().count("\n") == 3


def test_a_damaged_ledger_opens_no_door(tmp_path):
    door = HeldOutDoor(tmp_path)
    door.read("heldout", "scoreboard", "abc")
    door.ledger.write_text(door.ledger.read_text() + '{"split": "held')
    with pytest.raises(FitnessError, match="line 2"):
        door.read("heldout", "scoreboard", "abc")
