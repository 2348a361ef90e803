import io
import math
import re
import shutil
import sys

import pytest
from rich.console import Console

from evobourse.evolve.lineage import Candidate
from evobourse.experiments.cli.options import print_next_steps
from evobourse.experiments.cli.progress import ProgressScreen
from evobourse.experiments.reports.scores import as_score, describe, format_score, print_scoreboard

WIDTH = 80


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Console80(Console):
    def __init__(self, terminal=False):
        super().__init__(file=io.StringIO(), width=WIDTH, force_terminal=terminal)

    @property
    def text(self):
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.file.getvalue())


def candidates(generation, *scores):
    return [
        Candidate(f"g{i}", generation, (), {}, None, (), s, {}, None if s is not None else "flat")
        for i, s in enumerate(scores)
    ]


def row(name, score, split="heldout", asset="sp500", **changes):
    known = {"score": score, "ci_low": 0.8 * score, "ci_high": 1.2 * score}
    if not math.isfinite(score):
        known = dict.fromkeys(known, score)
    return {"name": name, "asset": asset, "split": split, "mcr": 0.5, "seeds": 32} | known | changes


def test_a_line_a_generation_without_a_terminal():
    clock, console, count = Clock(), Console80(), [0]
    with ProgressScreen(3, lambda: count[0], [2, 2, 2], console, clock) as screen:
        clock.now, count[0] = 10.0, 12_400
        screen.on_progress(0, 1, 2, None)
        screen.on_generation(0, candidates(0, 2.5, None), None)
        clock.now = 20.0
        screen.on_generation(1, candidates(1, None, None), None)
        clock.now = 30.0
        screen.on_generation(2, candidates(2, 1.0, 3.0), None)
        screen.close()
    assert console.file.getvalue().splitlines() == [
        "generation 1/3 | best 2.50 | median 2.50 | 1 failed | 1,240 decisions/s | 00:20 left",
        "generation 2/3 | best 2.50 | all failed | 620 decisions/s | 00:10 left",
        "generation 3/3 | best 1.00 | median 2.00 | 413 decisions/s | done in 00:30",
    ]


def test_time_left_prices_each_size_of_generation_at_its_own_pace():
    clock = Clock()
    screen = ProgressScreen(4, lambda: 0, [30, 10, 30, 10], Console80(), clock)
    assert "--:-- left" in screen.status()
    clock.now = 300.0  # 10 s a candidate with new forward passes ...
    screen.on_generation(0, candidates(0, 1.0), None)
    screen.on_progress(1, 0, 10, 1.0)
    clock.now = 305.0  # ... and 1 s with remembered ones
    screen.on_progress(1, 5, 10, 1.0)
    assert screen.status().endswith("05:15 left")
    clock.now = 308.0  # counts down between two reports
    assert screen.status().endswith("05:12 left")


def test_a_resumed_sweep_counts_from_where_it_goes_on():
    clock = Clock()
    with ProgressScreen(4, lambda: 500, None, Console80(), clock) as screen:
        screen.on_progress(2, 0, 8, 1.5)
        clock.now = 60.0
        screen.on_progress(2, 4, 8, 1.5)
        assert screen.status() == "generation 3/4 | best 1.50 | 0 decisions/s | 03:00 left"


def test_the_bar_fits_80_columns_on_a_terminal():
    clock, console = Clock(), Console80(terminal=True)
    with ProgressScreen(24, lambda: 1_240_000, [42] * 24, console, clock) as screen:
        clock.now = 1000.0
        screen.on_generation(0, candidates(0, 12.31), None)
    last = console.text.strip().splitlines()[-1]
    assert "generation 2/24 | best 12.31" in last
    assert "6:23:20 left" in last
    assert len(last) <= WIDTH


def test_scoreboard_sorts_within_splits_and_survives_infinity():
    console = Console80()
    rows = [
        row("gbm", 12.0),
        row("unevolved", math.inf, ci_low=None, ci_high=None, mcr=None),
        row("evolved-no_masks", math.nan),
        row("random_tendencies", 123.4),
        row("evolved", 0.9),
        row("evolved", 0.7, split="train"),
    ]
    print_scoreboard(rows, console)
    lines = console.text.splitlines()
    assert all(len(line) <= WIDTH for line in lines)
    assert [line.split()[0] for line in lines if "rejected" in line] == [
        "evolved", "evolved", "gbm", "random_tendencies", "unevolved", "evolved-no_masks",
    ]  # fmt: skip
    assert next(i for i, x in enumerate(lines) if x.startswith("Training")) == 0
    assert sum("not rejected" in line for line in lines) == 2
    assert "evolved, no masks" in console.text
    print_scoreboard([], console)


def test_a_row_says_how_many_it_is_the_best_of_and_why_it_has_no_score():
    console = Console80()
    rows = [
        row("evolved", 1.4, p_holm=0.04, tried=1313, verdict="ok"),
        row("gbm", 1.2, p_holm=0.06, tried=1, verdict="ok"),
        row("unevolved", math.inf, p_holm=0.0, verdict="group 3, path 2: constant price"),
    ]
    print_scoreboard(rows, console)
    lines = console.text.splitlines()
    assert all(len(line) <= WIDTH for line in lines)
    [evolved] = [line for line in lines if line.startswith("evolved")]
    [walk] = [line for line in lines if line.startswith("gbm")]
    assert "rejected" in evolved
    assert "undecided" in walk
    assert "best of 1,313" in console.text.replace("\n", "")
    assert "unevolved: group 3, path 2: constant price" in lines


def test_scores_are_read_and_written():
    assert as_score(None) == as_score(math.nan) == math.inf
    assert format_score(row("gbm", 0.5)) == "0.50 [0.40, 0.60]"
    assert format_score(row("gbm", 15.0)) == "15.0 [12.0, 18.0]"
    assert format_score(row("gbm", math.inf)) == "inf"


@pytest.mark.parametrize(
    ("name", "meaning"),
    [("fw", "Franke-Westerhoff"), ("evolved-no_masks", "evolved, no masks"), ("mine", "mine")],
)
def test_rows_are_described(name, meaning):
    assert describe(name) == meaning


def test_what_was_made_stays_whole_for_the_clipboard(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    console = Console80()
    path, command = "runs/" + 90 * "x" + "[1]", "evobourse simulate runs/x/bundle"
    print_next_steps(console, [("report", path), ("simulate", command)])
    assert console.text.splitlines() == [f"report    {path}", f"simulate  {command}"]
    print_next_steps(console, [])


def test_a_program_off_the_path_is_named_with_its_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    monkeypatch.chdir(tmp_path)
    console = Console80()
    print_next_steps(console, [("simulate", "evobourse simulate x")])
    assert console.text == "simulate  .venv/bin/evobourse simulate x\n"
