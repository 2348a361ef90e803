import errno
import json
import math
import os
import resource

import numpy as np
import pytest

from evobourse.evolve.errors import EvolveError, RunError
from evobourse.evolve.lineage import Candidate, Lineage


def make(generation, s=0, score=1.5, **changes):
    fields = {
        "id": f"g{generation:03d}-s{s:02d}-f00",
        "generation": generation,
        "parents": (("g000-s00-f00", 0.75), ("g000-s01-f00", 0.25)),
        "genome": {"society": {"p": 0.1 + 0.2}},
        "recipe": {"weights": [np.float32(0.5), np.int64(3)], "name": "a\u2028b\nc\r"},
        "seeds": (1, 2**63),
        "score": score,
        "parts": {"acf": 0.25, "bad": math.inf},
        "failure": None if score is not None else "out of memory",
    }
    return Candidate(**{**fields, **changes})


@pytest.fixture
def lineage(tmp_path):
    lineage = Lineage(tmp_path / "lineage.jsonl")
    for generation in range(3):
        lineage.append([make(generation, s) for s in range(2)])
    return lineage


def test_json_round_trip_without_nan():
    line = make(3, score=None).to_json()
    fields = json.loads(line, parse_constant=pytest.fail)
    assert list(fields) == sorted(fields)
    assert fields["score"] is None
    assert fields["parts"] == {"acf": 0.25, "bad": None}
    assert "\n" not in line
    back = Candidate.from_json(line)
    assert math.isnan(back.parts["bad"])
    assert back.to_json() == line
    plain = make(3, parts={"acf": 0.1}, recipe=None)
    assert Candidate.from_json(plain.to_json()) == plain


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(EvolveError, match="g001-s00-f00 cannot be recorded"):
        make(1, recipe={"x": object()}).to_json()
    with pytest.raises(EvolveError, match="g001-s00-f00 cannot be recorded"):
        make(1, score=math.inf).to_json()


def test_append_and_read(lineage):
    assert [c.id for c in lineage.read()] == [
        f"g{g:03d}-s{s:02d}-f00" for g in range(3) for s in range(2)
    ]
    assert Lineage(lineage.path.with_name("none.jsonl")).read() == []


@pytest.mark.parametrize("generation", [0, 1, 2, 3])
def test_truncate_drops_generations_and_a_torn_line(lineage, generation):
    whole = lineage.path.read_bytes()
    kept = b"".join(whole.splitlines(keepends=True)[: 2 * generation])
    with lineage.path.open("ab") as file:
        file.write(whole[:100])
    assert len(lineage.read()) == 6  # a torn last line is not there yet
    lineage.truncate_to(generation)
    assert lineage.path.read_bytes() == kept


def test_every_torn_length_is_cut(lineage):
    whole = lineage.path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for end in range(start, len(whole)):
        lineage.path.write_bytes(whole[:end])
        lineage.truncate_to(9)
        assert lineage.path.read_bytes() == whole[:start]


def test_a_damaged_line_is_named(lineage):
    lines = lineage.path.read_bytes().splitlines(keepends=True)
    for damage in (b'{"id": 1}\n', b"\n", b"\xff\n", b"[]\n", lines[0][:50] + b"\n"):
        lineage.path.write_bytes(b"".join([*lines[:3], damage, *lines[4:]]))
        for use in (lineage.read, lambda: lineage.truncate_to(5)):
            with pytest.raises(RunError, match="line 4 is damaged"):
                use()


def test_a_full_disk_leaves_the_file_intact(lineage, monkeypatch):
    before = lineage.path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"lineage\.jsonl: No space left on device") as caught:
        lineage.append([make(3)])
    assert "\n" not in str(caught.value)
    assert lineage.path.read_bytes() == before


def test_a_real_partial_write_is_taken_back(lineage):
    before = lineage.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 64, hard))
    try:
        with pytest.raises(RunError, match="File too large"):
            lineage.append([make(3)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert lineage.path.read_bytes() == before
    lineage.append([make(3)])
    assert len(lineage.read()) == 7


def test_the_full_device_gives_one_line():
    with pytest.raises(RunError, match="/dev/full: No space left on device"):
        Lineage("/dev/full").append([make(0)])
