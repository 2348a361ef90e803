"""A run's folder: its files are named once, and what it says before there is anything."""

import json
from pathlib import Path

from evobourse.evolve.run_folder import RunFolder

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_no_two_names_are_one_file_and_all_lie_in_the_folder(tmp_path):
    run = RunFolder(tmp_path)
    names = [name for name, value in vars(RunFolder).items() if isinstance(value, property)]
    files = [getattr(run, name) for name in names if name not in ("has_begun", "is_finished")]
    assert len(set(files)) == len(files) > 15
    assert all(file.is_relative_to(tmp_path) for file in files)
    assert str(run) == str(tmp_path)


def test_the_reference_names_what_a_sweep_leaves():
    run, page = RunFolder(Path()), REFERENCE.read_text()
    left = (run.config, run.splits, run.lineage, run.timings, run.stopped, run.search, run.archive)
    judged = (
        run.champion,
        run.scoreboard,
        run.report,
        run.bundle,
        run.mlflow,
        run.checkpoint.parent,
    )
    assert [file.name for file in (*left, *judged) if file.name not in page] == []


def test_a_run_says_nothing_before_there_is_something_to_say(tmp_path):
    run = RunFolder(tmp_path)
    assert (run.read_stop(), run.read_champion(), run.has_begun) == (None, None, False)
    run.checkpoint.parent.mkdir()
    assert not run.has_begun
    run.checkpoint.touch()
    run.stopped.write_text(json.dumps({"reason": "all 2 generations are done"}))
    run.champion.write_text(json.dumps({"champion": "g001-s00-f00"}))
    assert (run.read_stop(), run.read_champion(), run.has_begun) == (
        "all 2 generations are done", "g001-s00-f00", True,
    )  # fmt: skip
