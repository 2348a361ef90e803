"""The command `desk`: what it refuses, at once and in one line, before any model is opened."""

import subprocess
import sys
from pathlib import Path

import pytest

from evobourse.experiments.desk.server import listen

ROOT = Path(__file__).parents[3]


def desk(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "evobourse.experiments.cli.main", "desk", *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "nowhere/hashes.json cannot be read"),
        ([str(ROOT / "experiments" / "quickstart.yaml"), "--scenario", "none.yaml"], "a scenario"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, arguments, complaint):
    done = desk(*arguments, "--port", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_refused(tmp_path):
    with listen(0) as own:
        done = desk("nowhere", "--port", str(own.getsockname()[1]), cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "name another one, or 0" in done.stderr
