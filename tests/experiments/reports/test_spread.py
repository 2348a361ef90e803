"""The spread of a sweep over seeds, and the command that runs the sweeps."""

import json
import math

import pytest
from typer.testing import CliRunner

from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.cli import progress
from evobourse.experiments.cli.main import app
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.reports.spread import spread
from evobourse.experiments.sweep.pipeline import Outcome


def row(name, score, split="heldout", lower=0.5):
    return {"name": name, "asset": "sp500", "split": split, "score": score, "ends_lower": lower}


def test_a_row_is_summarised_over_the_seeds_that_have_a_score():
    boards = {
        1: [row("evolved", 1.0, lower=0.25), row("gbm", 2.0)],
        2: [row("evolved", 3.0, lower=0.75), row("gbm", None)],
    }
    evolved, walk = spread(boards)
    assert (evolved["mean"], evolved["least"], evolved["most"]) == (2.0, 1.0, 3.0)
    # Student's t with one degree of freedom: 12.706 standard errors of 1
    assert (evolved["ci_low"], evolved["ci_high"]) == pytest.approx((2 - 12.7062, 2 + 12.7062))
    assert (evolved["seeds"], evolved["ends_lower"]) == (2, 0.5)
    assert (walk["seeds"], walk["mean"], walk["ci_low"]) == (1, 2.0, None)
    assert walk["scores"] == {"1": 2.0, "2": None}


def test_a_row_that_fails_with_every_seed_has_no_mean_and_stays_json():
    [failed] = spread({1: [row("unevolved", math.inf)], 2: [row("unevolved", None)]})
    assert (failed["seeds"], failed["mean"], failed["least"], failed["most"]) == (0, None) + (
        None,
    ) * 2
    json.dumps(failed, allow_nan=False)


@pytest.fixture
def sweeps(monkeypatch):
    """Sweeps that take no time: what was asked for, and a scoreboard of the seed."""
    asked = []

    def watch(config, folder, console):
        asked.append(config.seed)
        if config.seed == 99:
            raise KeyboardInterrupt
        rows = [row("evolved", float(config.seed)), row("evolved", 2.0, "train"), row("gbm", 5.0)]
        folder.scoreboard.write_text(json.dumps(rows))
        for file in (folder.stopped, folder.report, folder.bundle / "hashes.json"):
            file.parent.mkdir(exist_ok=True)
            file.write_text("{}")
        return Outcome(folder, "g000", None, "", "", "the tracking server went away")

    monkeypatch.setattr(progress, "watch_sweep", watch)
    return asked


def call(*arguments):
    return CliRunner().invoke(app, ["evolve", "quickstart", *arguments], env={"COLUMNS": "80"})


def test_seeds_are_sweeps_with_a_folder_each_that_are_not_run_again(sweeps, tmp_path):
    given = ("--seeds", "3", "--run", str(tmp_path / "runs"), "--set", "seed=7")
    done = call(*given)
    assert done.exit_code == 0, done.output
    assert sweeps == [7, 8, 9]
    assert all(len(line) <= 80 for line in done.output.splitlines() if str(tmp_path) not in line)
    assert "8.00 [5.52, 10.48] 7.00 9.00" in " ".join(done.output.split())
    assert "the tracking server went away" in done.output
    for seed in (7, 8, 9):
        folder = RunFolder(tmp_path / "runs" / f"seed-{seed}")
        assert load_config(folder.config).seed == seed
    summary = json.loads((tmp_path / "runs" / "spread.json").read_text())
    again = call(*given, "--json")
    assert sweeps == [7, 8, 9]
    assert json.loads(again.stdout) == summary


def test_an_interrupted_sweep_of_several_says_the_whole_command(sweeps, tmp_path):
    given = ("--seeds", "2", "--run", str(tmp_path / "runs"), "--set", "seed=98")
    stopped = call(*given)
    assert stopped.exit_code == 130
    assert sweeps == [98, 99]
    assert f"evobourse evolve quickstart {' '.join(given)}" in " ".join(stopped.output.split())
    assert (tmp_path / "runs" / "seed-98" / "scoreboard.json").is_file()
