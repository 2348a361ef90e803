import errno
import os
import pickle

import pytest

from evobourse.evolve import checkpoint
from evobourse.evolve.errors import RunError


def test_the_last_state_is_loaded(tmp_path):
    path = tmp_path / "run" / "state.pickle"
    for generation in range(3):
        checkpoint.save(path, {"generation": generation})
    assert checkpoint.load(path) == {"generation": 2}
    assert list(path.parent.iterdir()) == [path]


def test_missing_torn_and_foreign_states_are_refused(tmp_path):
    path = tmp_path / "state.pickle"
    with pytest.raises(RunError, match="no checkpoint at"):
        checkpoint.load(path)
    checkpoint.save(path, {"x": list(range(100))})
    whole = path.read_bytes()
    for end in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(RunError, match="is damaged"):
            checkpoint.load(path)
    for foreign in ({"version": 99, "state": {}}, [1], {}):
        path.write_bytes(pickle.dumps(foreign))
        with pytest.raises(RunError, match="this toolkit reads 3"):
            checkpoint.load(path)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_keeps_the_old_state(tmp_path, monkeypatch, call):
    path = tmp_path / "state.pickle"
    checkpoint.save(path, {"x": 1})

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(RunError, match="No space left on device") as caught:
            checkpoint.save(path, {"x": 2})
    assert "\n" not in str(caught.value)
    assert checkpoint.load(path) == {"x": 1}
    assert len(list(tmp_path.iterdir())) == 1
