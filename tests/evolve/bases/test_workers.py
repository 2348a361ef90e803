"""Answers are the same bits whoever gives them, and each distinct question is answered once."""

from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from evobourse import agents
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.observation import possible_views
from evobourse.agents.styles import FIRST_STYLES as STYLES
from evobourse.evolve.bases.base_pool import BasePool, PooledBase
from evobourse.evolve.bases.stand_ins import TeacherBases
from evobourse.evolve.bases.workers import SHARE_MINDS, WorkerBases
from evobourse.evolve.executors.executor import InProcess
from evobourse.evolve.executors.processes import local_processes
from evobourse.merge.errors import RecipeError
from evobourse.merge.sources import adapter_folders

VIEWS = possible_views(1)
BASE = "smollm2-135m-instruct"


class Counted(InProcess):
    """Does all here, says it were several, and notes which minds each task had."""

    def __init__(self, workers):
        self.workers, self.tasks = workers, []

    def submit(self, function, *arguments):
        if len(arguments) == 4:
            self.tasks.append((arguments[1], len(arguments[2])))
        return super().submit(function, *arguments)


COUNT = len(STYLES)


def minds_of(count, styles=COUNT):
    return list(np.random.default_rng(count).random((count, 1, styles)).astype(np.float32))


def test_answers_are_those_of_the_bases_and_a_question_is_put_once(population):
    executor = Counted(2)
    bases = WorkerBases(partial(TeacherBases, STYLES), executor)
    assert (bases.base_hash, bases.depth) == ("teachers", 0)
    cast = tuple(map(tuple, np.eye(len(STYLES)).tolist()))
    people = [population(cast, temperature=t) for t in (0.5, 1.0)]
    for _ in range(2):
        given = tabulate_choices(people, bases.serve(None))
        np.testing.assert_array_equal(given, tabulate_choices(people, TeacherMinds(STYLES)))
    assert sum(count for _, count in executor.tasks) == len(STYLES)
    assert len(executor.tasks) == 2
    assert bases.counters.computed == len(STYLES) * len(possible_views(3))


def test_a_worker_names_a_base_of_its_pool():
    members = {name: PooledBase(partial(TeacherBases, STYLES, f"hash of {name}")) for name in "ab"}
    bases = WorkerBases(partial(BasePool, members), InProcess())
    assert bases.base_hash == "hash of a"
    assert bases.hash_of("b") == "hash of b"


class Written:
    """A recipe that nobody carries out."""

    def __init__(self, name):
        self.name = name

    def to_dict(self):
        return {"name": self.name}


@pytest.mark.parametrize(
    ("workers", "rows", "minds", "expected"),
    [
        (2, 5, 8, [8] * 5),  # whole rows: a recipe is merged once
        (8, 2, 8, [2] * 8),  # parts of rows: nobody idles
        (4, 3, 1, [1] * 3),
        (1, 1, 3 * SHARE_MINDS, [SHARE_MINDS] * 3),  # what a lost worker costs is bounded
    ],
)
def test_questions_are_shared_out_by_rows_or_parts_of_them(workers, rows, minds, expected):
    executor = Counted(workers)
    bases = WorkerBases(partial(TeacherBases, STYLES), executor)
    names = [Written(f"r{n}") for n in range(rows)]
    bases.put([((name, None), mind, VIEWS) for name in names for mind in minds_of(minds)])
    assert [count for _, count in executor.tasks] == expected
    alone = TeacherMinds(STYLES)
    for name in names:
        for mind in minds_of(minds):
            given = bases.serve(name).answer(mind, VIEWS)
            np.testing.assert_array_equal(given, alone.answer(mind, VIEWS))
    assert len(executor.tasks) == len(expected)


@pytest.mark.slow
def test_the_135m_model_answers_the_same_bits_in_workers_and_with_any_threads(style_folders):
    import torch

    from evobourse.evolve.bases.opening import open_bases
    from evobourse.merge.recipes.recipe import Recipe

    sources = adapter_folders(Path(agents.__file__).with_name("sources"))[:1]
    opener = partial(open_bases, BASE, tuple(style_folders.values()), tuple(sources))
    recipe = Recipe("task_arithmetic", BASE, (sources[0].name,), ((0.3,), (0.1,), (0.2,)))
    unknown = Recipe("task_arithmetic", BASE, ("nobody",), ((0.3,), (0.1,), (0.2,)))
    minds = minds_of(2, len(style_folders))
    here, threads = opener(), torch.get_num_threads()
    found = []
    try:
        for count in (2, 1):
            torch.set_num_threads(count)
            for made in (None, recipe):
                here.engine.budget.clear("answers")  # computed anew
                served = here.serve(made)
                found.append([served.answer(mind, VIEWS) for mind in minds])
    finally:
        torch.set_num_threads(threads)
    plain, merged, *alone = found
    np.testing.assert_array_equal([plain, merged], alone)
    assert not np.array_equal(plain, merged)
    with closing(local_processes(1)) as executor:
        bases = WorkerBases(opener, executor)
        assert (bases.base_hash, bases.depth) == (here.base_hash, here.depth)
        questions = [((made, None), mind, VIEWS) for made in (None, recipe) for mind in minds]
        bases.put(questions)
        for made, answers in ((None, plain), (recipe, merged)):
            served = bases.serve(made)
            for mind, answer in zip(minds, answers, strict=True):
                np.testing.assert_array_equal(served.answer(mind, VIEWS), answer)
        with pytest.raises(RecipeError) as there:
            bases.serve(unknown).answer(minds[0], VIEWS)
    with pytest.raises(RecipeError) as inside:
        here.serve(unknown)
    assert str(there.value) == str(inside.value)
