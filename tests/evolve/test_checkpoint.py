import errno
import os
import pickle

import pytest

from evobourse.evolve import checkpoint
from evobourse.evolve.errors import RunError


def test_the_last_state_is_loaded(tmp_path):
    folder = tmp_path / "run" / "checkpoint"
    assert not checkpoint.exists(folder)
    for generation in range(3):
        checkpoint.save(folder, {"generation": generation})
    assert checkpoint.load(folder) == {"generation": 2}
    assert [path.name for path in folder.iterdir()] == [checkpoint.FILE_NAME]


def test_missing_torn_and_foreign_states_are_refused(tmp_path):
    with pytest.raises(RunError, match="no checkpoint at"):
        checkpoint.load(tmp_path)
    checkpoint.save(tmp_path, {"x": list(range(100))})
    path = tmp_path / checkpoint.FILE_NAME
    whole = path.read_bytes()
    for end in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(RunError, match="is damaged"):
            checkpoint.load(tmp_path)
    for foreign in ({"version": 99, "state": {}}, [1], {}):
        path.write_bytes(pickle.dumps(foreign))
        with pytest.raises(RunError, match="this toolkit reads 2"):
            checkpoint.load(tmp_path)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_keeps_the_old_state(tmp_path, monkeypatch, call):
    checkpoint.save(tmp_path, {"x": 1})

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(RunError, match="No space left on device") as caught:
            checkpoint.save(tmp_path, {"x": 2})
    assert "\n" not in str(caught.value)
    assert checkpoint.load(tmp_path) == {"x": 1}
    assert len(list(tmp_path.iterdir())) == 1
