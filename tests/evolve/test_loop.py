import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from evobourse.evolve import checkpoint
from evobourse.evolve.errors import EvolveError, RunError
from evobourse.evolve.lineage import Lineage
from evobourse.evolve.loop import evolve, generation_seed
from evobourse.evolve.run_folder import RunFolder
from tests.held_sweep import held, kill_when

SCRIPT = Path(__file__).with_name("sphere_sweep.py")
GENERATIONS = 12


@pytest.fixture(scope="module")
def uninterrupted(sphere, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    sphere.run(folder, GENERATIONS)
    return RunFolder(folder).lineage.read_bytes()


def test_a_sweep_improves_and_records_everything(sphere, tmp_path):
    candidates = sphere.run(tmp_path, 25)
    assert Lineage(RunFolder(tmp_path).lineage).read()[0].id == "g000-s00-f00"
    assert len(candidates) == 25 * 4 * 5
    medians = [
        np.median([c.score for c in candidates if c.generation == g and c.score is not None])
        for g in (0, 24)
    ]
    assert medians[1] < 0.4 * medians[0]
    failed = [c for c in candidates if c.failure is not None]
    assert len(failed) == 25 * 3
    assert all(c.score is None and c.failure == "toy failure" for c in failed)


def test_parents_are_of_the_generation_before(sphere, tmp_path):
    candidates = sphere.run(tmp_path, 4)
    for candidate in candidates:
        if candidate.generation == 0:
            assert candidate.parents == ()
        else:
            assert sum(weight for _, weight in candidate.parents) == pytest.approx(1)
            assert {id_[:4] for id_, _ in candidate.parents} == {f"g{candidate.generation - 1:03d}"}


def test_where_all_fail_the_parents_stay(sphere, tmp_path):
    genome = sphere.make_genome()

    class FailsOnce(sphere.SphereEvaluator):
        def evaluate(self, generation, *args):
            self.fail_every = 1 if generation == 1 else 0
            return super().evaluate(generation, *args)

    search = sphere.make_search(genome)
    candidates = evolve(RunFolder(tmp_path), genome, search, FailsOnce(genome), 3, 0)
    parents = {c.generation: c.parents for c in candidates}
    assert parents[2] == parents[1] != ()


def test_a_second_run_adds_the_missing_generations(sphere, tmp_path, uninterrupted):
    for generations in (1, 5, 5, 3, GENERATIONS):
        candidates = sphere.run(tmp_path, generations)
    assert RunFolder(tmp_path).lineage.read_bytes() == uninterrupted
    assert len(candidates) == GENERATIONS * 20


def test_a_kill_between_record_and_checkpoint_costs_nothing(
    sphere, tmp_path, uninterrupted, monkeypatch
):
    save = checkpoint.save

    def killed(folder, state):
        if state["generation"] == 3:
            raise KeyboardInterrupt
        save(folder, state)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            sphere.run(tmp_path, GENERATIONS)
    assert Lineage(RunFolder(tmp_path).lineage).read()[-1].generation == 2
    sphere.run(tmp_path, GENERATIONS)
    assert RunFolder(tmp_path).lineage.read_bytes() == uninterrupted


def test_sigkill_at_any_moment_and_resume_gives_the_same_bytes(tmp_path, uninterrupted):
    command = [sys.executable, str(SCRIPT), str(tmp_path), str(GENERATIONS)]
    path = RunFolder(tmp_path).lineage
    size = len(uninterrupted)
    # Sizes at which to strike: right at the start, within generations, and near the end.
    for kills, share in enumerate((0.0, 0.25, 0.5, 0.8)):
        kill_when(
            lambda share=share: (
                RunFolder(tmp_path).checkpoint.exists()
                and (path.stat().st_size if path.exists() else 0) >= share * size
            ),
            subprocess.Popen(held(command, tmp_path, GENERATIONS - 1)),
            pause_s=0.007 * kills,
        )
        with path.open("ab") as file:  # a torn line, as a kill within the write leaves it
            file.write(uninterrupted[: 17 * (kills + 1)])
    subprocess.run(command, check=True)
    assert path.read_bytes() == uninterrupted


def test_generation_seeds_are_their_own():
    states = {
        tuple(seq.generate_state(4))
        for seq in (
            *(generation_seed(5, g) for g in range(3)),
            generation_seed(6, 0),
            np.random.SeedSequence(5),
            *np.random.SeedSequence(5).spawn(3),
        )
    }
    assert len(states) == 8


def test_observers_hear_all_and_their_failure_is_resumable(sphere, tmp_path, uninterrupted):
    heard = []

    class Watcher:
        def on_progress(self, generation, done, total, best):
            heard.append((generation, done, total, best))

        def on_generation(self, generation, candidates, search):
            assert checkpoint.load(RunFolder(tmp_path).checkpoint)["generation"] == generation + 1
            assert {c.generation for c in candidates} == {generation}
            if generation == 2:
                raise RuntimeError("watcher")

    with pytest.raises(RuntimeError, match="watcher"):
        sphere.run(tmp_path, GENERATIONS, observers=[Watcher()])
    assert [h[:3] for h in heard] == [(g, d, 20) for g in range(3) for d in range(1, 21)]
    assert heard[0][3] is None
    bests = [h[3] for h in heard[20:]]
    assert all(a >= b for a, b in pairwise(bests))
    sphere.run(tmp_path, GENERATIONS)
    assert RunFolder(tmp_path).lineage.read_bytes() == uninterrupted


def test_a_converged_search_ends_the_sweep(sphere, tmp_path):
    genome = sphere.make_genome()
    evaluator = sphere.SphereEvaluator(genome, noise=0.0)
    candidates = evolve(
        RunFolder(tmp_path), genome, sphere.make_search(genome, 8, 1), evaluator, 900, 0
    )
    assert candidates[-1].generation < 899
    again = evolve(RunFolder(tmp_path), genome, sphere.make_search(genome, 8, 1), evaluator, 900, 0)
    assert len(again) == len(candidates)


def test_another_sweep_is_refused(sphere, tmp_path):
    sphere.run(tmp_path, 1)
    genome = sphere.make_genome()
    evaluator = sphere.SphereEvaluator(genome)
    with pytest.raises(RunError, match="another slow_count;"):
        evolve(
            RunFolder(tmp_path), genome, sphere.make_search(genome, 3), evaluator, 2, sphere.SEED
        )
    with pytest.raises(RunError, match="another seed;"):
        evolve(RunFolder(tmp_path), genome, sphere.make_search(genome), evaluator, 2, 99)


def test_missing_files_are_refused(sphere, tmp_path):
    sphere.run(tmp_path, 2)
    lineage = RunFolder(tmp_path).lineage
    whole = lineage.read_bytes()
    lineage.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match=r"holds \d+ of the 40 candidates before generation 2"):
        sphere.run(tmp_path, 3)
    lineage.write_bytes(whole)
    RunFolder(tmp_path).checkpoint.unlink()
    with pytest.raises(RunError, match="has a lineage but no checkpoint"):
        sphere.run(tmp_path, 3)


def test_an_evaluator_of_the_wrong_shape_is_refused(sphere, tmp_path):
    genome = sphere.make_genome()

    class Short(sphere.SphereEvaluator):
        def evaluate(self, *args):
            return super().evaluate(*args)[:-1]

    with pytest.raises(EvolveError, match="generation 0: the evaluator returned rows of"):
        evolve(RunFolder(tmp_path), genome, sphere.make_search(genome), Short(genome), 1, 0)
