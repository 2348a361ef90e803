import io
import math
import re
import shutil
import sys
from dataclasses import asdict, fields, replace

import pytest
from rich.console import Console

from evobourse.evolve.lineage import Candidate
from evobourse.experiments.cli.cost_table import print_estimate
from evobourse.experiments.cli.options import print_next_steps
from evobourse.experiments.cli.progress import ProgressScreen, short_time
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.planner.rates import Rates
from evobourse.experiments.reports.scores import (
    WIDE,
    as_score,
    describe,
    format_score,
    print_scoreboard,
)
from evobourse.experiments.sweep.cost import SweepPlan
from evobourse.experiments.sweep.pace import Pace, Work

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


PLAN = SweepPlan(
    searching=(Work(2, 4, 2), Work(2, 4), Work(1, 2, 1)),
    teaching=(),
    choosing=Work(0, 8, 2),
    judging=Work(0, 10, 1, baselines=1),
    pace=Pace(merge_s=3.0, ask_s=10.0, market_s=1.0, load_s=20.0, baselines_s=5.0),
    ends="after all 2",
)


def test_a_line_a_generation_without_a_terminal():
    clock, console, count = Clock(), Console80(), [0]
    with ProgressScreen(console, generations=3, clock=clock) as screen:
        screen.count_decisions = lambda: count[0]
        clock.now, count[0] = 10.0, 12_400
        screen.on_progress(0, 1, 2, None)
        screen.on_generation(0, candidates(0, 2.5, None), None)
        clock.now = 20.0
        screen.on_generation(1, candidates(1, None, None), None)
        clock.now = 30.0
        screen.on_generation(2, candidates(2, 1.0, 3.0), None)
    assert console.file.getvalue().splitlines() == [
        "g000 (1 of 3) | best 2.50 | median 2.50 | 1 failed | 1,240 decisions/s | no end in sight",
        "g001 (2 of 3) | best 2.50 | all failed | 620 decisions/s | no end in sight",
        "g002 (3 of 3) | best 1.00 | median 2.00 | 413 decisions/s | no end in sight",
    ]


def test_before_anything_is_measured_the_time_left_is_the_plans():
    clock = Clock()
    screen = ProgressScreen(Console80(), PLAN, clock=clock)
    assert screen.left() == {
        "merge": 9.0,
        "ask": 30.0,
        "trade": 10.0,
        "choose": 34.0,
        "judge": 28.0,
    }
    assert screen.seconds_left() == pytest.approx(PLAN.seconds)
    clock.now = 15.0
    assert screen.seconds_left() == pytest.approx(PLAN.seconds - 15)
    clock.now = 30.0  # loading takes longer than planned
    assert screen.seconds_left() == pytest.approx(PLAN.seconds - 20)


def test_a_resumed_sweep_has_what_is_behind_it_no_longer_ahead():
    screen = ProgressScreen(Console80(), PLAN, clock=Clock())
    screen.on_progress(1, 0, 2, 1.5)
    assert screen.left() | {"choose": 0, "judge": 0} == {
        "merge": 3.0, "ask": 10.0, "trade": 6.0, "choose": 0, "judge": 0,
    }  # fmt: skip


def test_each_phase_is_corrected_by_what_it_has_taken():
    clock = Clock()
    screen = ProgressScreen(Console80(), PLAN, clock=clock)
    for _ in range(2):  # two merges and sets of questions, at twice the plan's time
        screen.begin("merge", 1, lambda: 0)
        clock.now += 6.0
        screen.begin("ask", 100, lambda: 100)
        clock.now += 20.0
    screen.begin("trade", 4, lambda: 4)
    clock.now += 4.0  # and markets as planned
    screen.on_generation(0, candidates(0, 1.0), None)
    left = screen.left()
    assert left["merge"] == pytest.approx(3.0 * (12 + 2) / (6 + 2))
    assert left["ask"] == pytest.approx(10.0 * (40 + 2) / (20 + 2))
    assert left["trade"] == pytest.approx(6.0)
    assert (left["choose"], left["judge"]) == (34.0, 28.0)
    measured = screen.measured(load_config("quickstart"))
    assert measured["merge_s"] == 6.0
    assert "answer_s" not in measured  # 200 answers are too few to go by


def test_time_left_runs_down_within_a_phase():
    clock = Clock()
    screen = ProgressScreen(Console80(), PLAN, clock=clock)
    screen.begin("ask", 100, lambda: 0)
    before = screen.left()["ask"]
    done = [50]
    screen.begin("ask", 100, lambda: done[0])
    clock.now = 5.0  # half of one of two populations' questions, as fast as planned
    assert screen.left()["ask"] < before
    screen.begin("choose", 2, lambda: 1)
    clock.now = 22.0
    assert screen.left()["choose"] == pytest.approx(17.0)
    screen.begin("judge", 16, lambda: 0)
    assert screen.left()["choose"] == 0.0


def test_measured_rates_are_those_of_the_sweep():
    clock = Clock()
    config = load_config("quickstart", ("market.agents=10", "market.days=100", "market.paths=2"))
    screen = ProgressScreen(Console80(), PLAN, clock=clock)
    clock.now = 7.0
    screen.begin("ask", 1776, lambda: 1776)
    clock.now += 20.0
    screen.count_decisions = lambda: 80_000_000
    screen.begin("trade", 8, lambda: 8)
    clock.now += 4.0
    screen.begin("judge", 16, lambda: 16)
    clock.now += 25.0
    screen.begin("write", 1, lambda: 0)
    measured = screen.measured(config)
    assert measured["load_s"] == 7.0
    assert measured["answer_s"] == pytest.approx(20 / 1776)
    assert measured["decision_s"] == pytest.approx(4 / 80_000_000)
    fits = 25 - 10 * 10 * 100 * 4 / 80_000_000  # less the ten markets
    assert measured["baseline_day_s"] == pytest.approx(fits / 200)
    assert set(measured) <= {field.name for field in fields(Rates)}
    screen.count_decisions = lambda: 8_000  # too few to go by
    assert "decision_s" not in screen.measured(config)


@pytest.mark.parametrize(
    ("phase", "total", "done"),
    [("merge", 1, 0), ("ask", 177_600, 81_200), ("trade", 64_000, 12_345), ("judge", 16, 4)],
)
def test_both_lines_fit_80_columns_and_cut_no_number(phase, total, done):
    clock, console = Clock(), Console80(terminal=True)
    long = replace(PLAN, pace=Pace(900.0, 90_000.0, 5_000.0, 20.0, 0.0, 90_000.0))
    long = replace(long, searching=(PLAN.searching[0],) * 1000)
    screen = ProgressScreen(console, long, clock=clock)
    screen.on_generation(97, candidates(97, 1234.56), None)
    screen.begin(phase, total, lambda: done)
    clock.now = 4000.0
    console.print(screen._render())
    lines = [line.rstrip() for line in console.text.splitlines()]
    assert len(lines) == 2
    assert all(len(line) <= WIDTH for line in lines)
    assert lines[0].endswith("best 1234.56")
    if total > 1:
        assert f"{phase} {done:,} / {total:,}" in lines[0]
    assert re.fullmatch(r"  left: (\w+ [\d:dh]+  )*all [\d:dh]+", lines[1])
    assert "…" not in console.text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0:00"), (42, "0:42"), (725, "12:05"), (4680, "1h18"), (183_600, "2d03h"), (-3, "0:00")],
)
def test_durations_are_short(seconds, said):
    assert short_time(seconds) == said


def test_a_dry_run_of_much_work_cuts_no_number_at_80_columns():
    part = dict.fromkeys(("candidates", "markets", "simulated_days"), 1_234_567)
    part |= {"decisions": 614_800_000_000, "forward_passes": 44_400_000, "seconds": 360_000.0}
    rates = asdict(Rates(0.01, 2.0, 1e-6, 2e-6, 0.05, 3.0, "measured on this machine (a chip)"))
    names = ("search", "choosing", "judging")
    cost = {"parts": dict.fromkeys(names, part), "total": part, "rates": rates, "workers": 2}
    cost |= {"generations": 80, "ends": "after all 80", "disk_bytes": 57e6}
    console = Console80()
    print_estimate(cost, console)
    assert "…" not in console.text
    assert console.text.count("614,800,000,000") == 4
    assert all(len(line) <= WIDTH for line in console.text.splitlines())


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
    print_scoreboard([], console)
    console.width = WIDE
    print_scoreboard(rows, console)
    assert "evolved, no masks" in console.text


@pytest.mark.parametrize("width", [WIDTH, WIDE])
def test_a_row_says_how_many_it_is_the_best_of_and_why_it_has_no_score(width):
    console = Console80()
    console.width = width
    rows = [
        row("evolved", 1.4, p_holm=0.04, tried=1313, verdict="ok"),
        row("gbm", 1.2, p_holm=0.06, tried=1, verdict="ok"),
        row("unevolved", math.inf, p_holm=0.0, verdict="group 3, path 2: constant price"),
    ]
    print_scoreboard(rows, console)
    lines = console.text.splitlines()
    assert all(len(line) <= width for line in lines)
    evolved = next(line for line in lines if line.startswith("evolved"))
    [walk] = [line for line in lines if line.startswith("gbm")]
    assert "rejected" in evolved
    assert "undecided" in walk
    assert any(x.startswith("evolved") and x.endswith("best of 1,313") for x in lines)
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
    assert console.text == (
        "simulate  .venv/bin/python -m evobourse.experiments.cli.main simulate x\n"
    )
    beside = tmp_path / ".venv" / "bin" / "evobourse"
    beside.parent.mkdir(parents=True)
    beside.touch()
    console = Console80()
    print_next_steps(console, [("simulate", "evobourse simulate x")])
    assert console.text == "simulate  .venv/bin/evobourse simulate x\n"
