"""What tests of recorded tapes compare: whole days, digests, files."""

from evobourse.market.tape.recorded import read_tape, verify_tape
from evobourse.market.tape.recorder import MemoryRecorder

DAYS = 23
SMALL = {"part_bytes": 20_000, "part_days": 4}
TINY = {"part_bytes": 1_500, "part_days": 4}  # days larger than a part


def remember(days, drawn):
    """Record in memory, and keep the digest after each day."""
    recorder = MemoryRecorder(days.INSTRUMENTS)
    recorder.digests = [recorder.digest]
    for day, tables in enumerate(drawn):
        days.record_day(recorder, day, tables)
        recorder.digests.append(recorder.digest)
    return recorder


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
