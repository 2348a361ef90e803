import json

import pytest

from evolve.budget import Budget
from evolve.errors import EvolveError
from evolve.lineage import Lineage
from evolve.loop import LINEAGE_FILE, STOPPED_FILE, TIMINGS_FILE, evolve, read_stop
from evolve.timings import Timings

A_GENERATION = 20
A_PATH = 1000  # decisions; the toy evaluator plays one path a candidate


def budget(folder, **limits):
    timings = Timings(folder / TIMINGS_FILE)
    return Budget(timings, decisions_a_path=A_PATH, paths=1, **limits)


def generations_of(folder):
    return len(Lineage(folder / LINEAGE_FILE).read()) // A_GENERATION


def test_a_decision_budget_is_never_overdrawn_and_its_end_is_in_words(sphere, tmp_path):
    limit = 3 * A_GENERATION * A_PATH + 5
    sphere.run(tmp_path, 9, budget=budget(tmp_path, max_decisions=limit))
    assert generations_of(tmp_path) == 3
    assert read_stop(tmp_path) == (
        "the decision budget: 60,000 of 60,005 decisions are taken, "
        "the next generation would take 20,000"
    )
    noted = json.loads((tmp_path / STOPPED_FILE).read_text())
    assert (noted["generations"], noted["candidates"]) == (3, 60)


def test_a_decision_budget_ends_a_resumed_sweep_where_it_ends_any_other(sphere, tmp_path):
    limit = 4 * A_GENERATION * A_PATH
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    sphere.run(whole, 9, budget=budget(whole, max_decisions=limit))
    for generations in (1, 3, 9, 9):
        sphere.run(parts, generations, budget=budget(parts, max_decisions=limit))
    assert (parts / LINEAGE_FILE).read_bytes() == (whole / LINEAGE_FILE).read_bytes()
    assert (parts / STOPPED_FILE).read_bytes() == (whole / STOPPED_FILE).read_bytes()


def test_a_budget_below_the_first_generation_is_refused(sphere, tmp_path):
    with pytest.raises(EvolveError, match=r"max_decisions is 7, but the first .* 20,000") as caught:
        sphere.run(tmp_path, 2, budget=budget(tmp_path, max_decisions=7))
    assert "\n" not in str(caught.value)


def test_minutes_before_a_resume_count_and_the_next_generation_must_fit(tmp_path):
    now = [100.0]
    timings = Timings(tmp_path / TIMINGS_FILE, lambda: now[0])
    for generation in range(2):
        timings.start()
        now[0] += 60.0
        timings.note(generation, 20, {})
    now[0] = 5.0  # another session
    resumed = Budget(timings, max_minutes=3.5, clock=lambda: now[0])
    assert resumed(20, []) is None
    now[0] += 29.0
    assert resumed(20, []) is None
    now[0] += 2.0
    assert resumed(20, []) == (
        "the time budget: 2.5 of 3.5 minutes are used, the next generation would take about 1.0"
    )
    assert resumed(5, []) is None  # of another size, never timed: it may begin


def test_a_sweep_out_of_time_ends_in_good_order(sphere, tmp_path):
    sphere.run(tmp_path, 2)
    sphere.run(tmp_path, 9, budget=budget(tmp_path, max_minutes=0.0))
    assert generations_of(tmp_path) == 2
    assert read_stop(tmp_path).startswith("the time budget: 0.0 of 0 minutes")


def test_other_ends_have_words_too(sphere, tmp_path):
    assert read_stop(tmp_path) is None
    sphere.run(tmp_path, 2)
    assert read_stop(tmp_path) == "all 2 generations are done"

    class Flat(sphere.SphereEvaluator):
        def evaluate(self, *args):
            rows = super().evaluate(*args)
            return [[type(e)(1.0, e.parts, e.recipe, e.seeds, None) for e in row] for row in rows]

    genome = sphere.make_genome()
    folder = tmp_path / "flat"
    evolve(folder, genome, sphere.make_search(genome, 8, 1), Flat(genome), 900, 0)
    assert "the" in read_stop(folder)
    assert "generations are done" not in read_stop(folder)


def test_timings_outlive_a_torn_line_and_a_full_disk(tmp_path):
    timings = Timings(tmp_path / TIMINGS_FILE)
    assert timings.note(0, 20, {"sigma": 0.5})
    with timings.path.open("a") as file:
        file.write('{"generation": 1, "cand')
    assert [timing.generation for timing in timings.read()] == [0]
    full = Timings(tmp_path / "full.jsonl")
    full.path.symlink_to("/dev/full")
    assert not full.note(0, 20, {})
    assert full.read() == []
