import json
from collections import Counter
from dataclasses import replace

import pytest

from evobourse.evolve.budget import Budget, count_paths
from evobourse.evolve.errors import EvolveError
from evobourse.evolve.lineage import Candidate, Lineage
from evobourse.evolve.loop import (
    Lesson,
    evolve,
)
from evobourse.evolve.memetic.settings import MemeticConfig
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.timings import Timings

A_GENERATION = 20
A_PATH = 1000  # decisions; the toy evaluator plays one path a candidate


def budget(folder, **limits):
    timings = Timings(RunFolder(folder).timings)
    return Budget(timings, decisions_a_path=A_PATH, paths=1, **limits)


def generations_of(folder):
    return len(Lineage(RunFolder(folder).lineage).read()) // A_GENERATION


def test_a_decision_budget_is_never_overdrawn_and_its_end_is_in_words(sphere, tmp_path):
    limit = 3 * A_GENERATION * A_PATH + 5
    sphere.run(tmp_path, 9, budget=budget(tmp_path, max_decisions=limit))
    assert generations_of(tmp_path) == 3
    assert RunFolder(tmp_path).read_stop() == (
        "the decision budget: 60,000 of 60,005 decisions are taken, "
        "the next generation would take 20,000"
    )
    noted = json.loads(RunFolder(tmp_path).stopped.read_text())
    assert (noted["generations"], noted["candidates"]) == (3, 60)


def test_a_decision_budget_ends_a_resumed_sweep_where_it_ends_any_other(sphere, tmp_path):
    limit = 4 * A_GENERATION * A_PATH
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    sphere.run(whole, 9, budget=budget(whole, max_decisions=limit))
    for generations in (1, 3, 9, 9):
        sphere.run(parts, generations, budget=budget(parts, max_decisions=limit))
    assert RunFolder(parts).lineage.read_bytes() == RunFolder(whole).lineage.read_bytes()
    assert RunFolder(parts).stopped.read_bytes() == RunFolder(whole).stopped.read_bytes()


LESSONS = MemeticConfig(every=2, steps=3, markets=4)


class Repeater:
    """Hands the best candidate on as it is, when it is time."""

    settings = {}  # noqa: RUF012

    def teach(self, generation, candidates, seed):
        if not LESSONS.due(generation, candidates):
            return None
        best = min((c for c in candidates if c.score is not None), key=lambda c: (c.score, c.id))
        return Lesson(best, best.genome)


def taught(sphere, folder, generations, limit):
    genome = sphere.make_genome()
    evaluator, search = sphere.SphereEvaluator(genome), sphere.make_search(genome)
    allowed = budget(folder, max_decisions=limit, lessons=LESSONS)
    return evolve(
        RunFolder(folder),
        genome,
        search,
        evaluator,
        generations,
        3,
        budget=allowed,
        teacher=Repeater(),
    )


A_TAUGHT = A_GENERATION + 2 + 3 * 4  # its pupil before and after, and the lesson's markets


def test_a_decision_budget_counts_lessons_and_what_they_lead_to(sphere, tmp_path):
    limit = A_PATH * (3 * A_GENERATION + A_TAUGHT)
    candidates = taught(sphere, tmp_path, 9, limit)
    assert Counter(c.generation for c in candidates) == {0: 20, 1: 20, 2: 22, 3: 20}
    assert RunFolder(tmp_path).read_stop() == (
        "the decision budget: 94,000 of 94,000 decisions are taken, "
        "the next generation and its lesson would take 34,000"
    )
    assert count_paths(candidates, LESSONS).sum() == 94
    assert count_paths(candidates, LESSONS, 40).tolist() == [13, *[1] * 41]
    one_less = tmp_path / "one-less"
    one_less.mkdir()
    assert len(taught(sphere, one_less, 9, limit - 1)) == 62


def test_a_budget_of_lessons_ends_a_resumed_sweep_where_it_ends_any_other(sphere, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    limit = A_PATH * (3 * A_GENERATION + 2 * A_TAUGHT)
    for folder in (whole, parts):
        folder.mkdir()
    assert taught(sphere, whole, 9, limit)[-1].generation == 4
    for generations in (1, 3, 4, 9):
        taught(sphere, parts, generations, limit)
    parts, whole = RunFolder(parts), RunFolder(whole)
    assert parts.lineage.read_bytes() == whole.lineage.read_bytes()
    assert parts.stopped.read_bytes() == whole.stopped.read_bytes()


def test_a_budget_that_is_not_reached_changes_no_byte(sphere, tmp_path):
    for folder, limit in ((tmp_path / "none", None), (tmp_path / "much", 10**9)):
        folder.mkdir()
        taught(sphere, folder, 5, limit)
    assert (
        RunFolder(tmp_path / "none").lineage.read_bytes()
        == RunFolder(tmp_path / "much").lineage.read_bytes()
    )


def test_where_everyone_failed_nobody_is_taught(sphere, tmp_path):
    candidates = taught(sphere, tmp_path, 3, None)
    failed = [replace(c, score=None, failure="toy") for c in candidates[:40]]
    assert not LESSONS.due(2, failed)
    allowed = budget(tmp_path, max_decisions=60_000, lessons=LESSONS)
    assert allowed(A_GENERATION, failed) is None
    again = budget(tmp_path, max_decisions=60_000, lessons=LESSONS)
    assert "its lesson would take 34,000" in again(A_GENERATION, candidates[:40])


def test_minutes_of_a_generation_with_a_lesson_are_those_of_the_last_one(tmp_path):
    now = [0.0]
    timings = Timings(RunFolder(tmp_path).timings, lambda: now[0])
    for candidates, seconds in ((20, 60.0), (20, 60.0), (22, 180.0), (20, 60.0)):
        timings.start()
        now[0] += seconds
        timings.note(0, candidates, {})
    alive = [Candidate("g003-s00-f00", 3, (), {}, None, (1,), 1.0, {}, None)]
    allowed = Budget(timings, max_minutes=8.0, lessons=LESSONS, clock=lambda: now[0])
    assert "would take about 3.0" in allowed(20, alive)  # the fifth begins with a lesson
    assert allowed(20, [replace(alive[0], generation=4)]) is None


def test_a_budget_below_the_first_generation_is_refused(sphere, tmp_path):
    with pytest.raises(EvolveError, match=r"max_decisions is 7, but the first .* 20,000") as caught:
        sphere.run(tmp_path, 2, budget=budget(tmp_path, max_decisions=7))
    assert "\n" not in str(caught.value)


def test_minutes_before_a_resume_count_and_the_next_generation_must_fit(tmp_path):
    now = [100.0]
    timings = Timings(RunFolder(tmp_path).timings, lambda: now[0])
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
    assert RunFolder(tmp_path).read_stop().startswith("the time budget: 0.0 of 0 minutes")


def test_other_ends_have_words_too(sphere, tmp_path):
    assert RunFolder(tmp_path).read_stop() is None
    sphere.run(tmp_path, 2)
    assert RunFolder(tmp_path).read_stop() == "all 2 generations are done"

    class Flat(sphere.SphereEvaluator):
        def evaluate(self, *args):
            rows = super().evaluate(*args)
            return [[type(e)(1.0, e.parts, e.recipe, e.seeds, None) for e in row] for row in rows]

    genome = sphere.make_genome()
    folder = tmp_path / "flat"
    evolve(RunFolder(folder), genome, sphere.make_search(genome, 8, 1), Flat(genome), 900, 0)
    assert "the" in RunFolder(folder).read_stop()
    assert "generations are done" not in RunFolder(folder).read_stop()


def test_timings_outlive_a_torn_line_and_a_full_disk(tmp_path):
    timings = Timings(RunFolder(tmp_path).timings)
    assert timings.note(0, 20, {"sigma": 0.5})
    with timings.path.open("a") as file:
        file.write('{"generation": 1, "cand')
    assert [timing.generation for timing in timings.read()] == [0]
    full = Timings(tmp_path / "full.jsonl")
    full.path.symlink_to("/dev/full")
    assert not full.note(0, 20, {})
    assert full.read() == []
