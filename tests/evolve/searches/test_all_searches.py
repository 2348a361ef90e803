"""What every search must do, whoever proposes: same seed, same proposals, also after a kill."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.lineage import Lineage
from evobourse.evolve.run_folder import RunFolder
from tests.evolve.sphere_sweep import cells
from tests.held_sweep import held, kill_when

SCRIPT = Path(__file__).parents[1] / "sphere_sweep.py"
NAMES = (
    "cma",
    "cma-diagonal",
    "cma-noise",
    "cma-mixed",
    "cma-mixed-noise",
    "tpe",
    "random",
    "optuna-cma",
    "qmc",
    "nsga2",
    "map_elites",
    "cma_mae",
    "niches",
)
LEARNERS = (
    "cma",
    "cma-diagonal",
    "cma-noise",
    "cma-mixed",
    "tpe",
    "optuna-cma",
    "cma_mae",
    "niches",
)
GENERATIONS = 4


def distance(genome, values):
    return float(np.sum((genome.to_vector(values) - 0.8) ** 2))


def step(search, number, fails=()):
    proposal = search.ask()
    rng = np.random.default_rng(number)
    vectors = [search.genome.to_vector(values) for [values] in search.genomes(proposal)]
    scores = np.array([[np.sum((v - 0.8) ** 2) * np.exp(0.1 * rng.normal())] for v in vectors])
    parts = [[{"first": float(v[0]), "second": float(v[1]), **cells(v)}] for v in vectors]
    for i in fails:
        scores[i], parts[i] = np.inf, [{}]
    return proposal, search.tell(proposal, scores, parts)


@pytest.fixture(params=NAMES)
def make(request, sphere):
    return sphere.OPTIMIZERS[request.param]


def test_names_are_all(sphere):
    assert tuple(sphere.OPTIMIZERS) == NAMES


def test_proposals_follow_from_the_seed_and_survive_a_pickle(make):
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()  # noqa: NPY002
    first, twin = make(), make()
    for number in range(7):
        if number == 4:
            twin = pickle.loads(pickle.dumps(twin))
        (a, weights), (b, of_twin) = (step(s, number, (number % 4,)) for s in (first, twin))
        assert a == b
        np.testing.assert_array_equal(weights, of_twin)
    assert first.best_guess() == twin.best_guess()
    assert (first.stop(), first.notes, first.readings) == (twin.stop(), twin.notes, twin.readings)
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


def test_every_proposal_and_guess_lies_in_the_genome(make):
    search = make()
    for number in range(5):
        proposal, weights = step(search, number, fails=(0,))
        for values in (*proposal, search.best_guess()):
            search.genome.to_vector(values)
        assert weights is None or weights.shape == (len(proposal), 1)
        assert weights is None or not weights.any() or weights.sum() == pytest.approx(1)
        assert weights is None or weights[0] == 0
    assert search.planned_candidates(0) == search.population


def test_a_generation_of_failures_is_survived(make):
    search = make()
    proposal = search.ask()
    parts = [[{}] for _ in proposal]
    weights = search.tell(proposal, np.full((len(proposal), 1), np.inf), parts)
    assert weights is None or not weights.any()
    for number in range(3):
        step(search, number)


def test_bad_scores_are_refused(make):
    search = make()
    proposal = search.ask()
    with pytest.raises(EvolveError, match="shape"):
        search.tell(proposal, np.ones(len(proposal)))
    for bad in (-1.0, np.nan):
        scores = np.ones((len(proposal), 1))
        scores[1] = bad
        with pytest.raises(EvolveError, match=r"candidate \(1, 0\) scored"):
            search.tell(proposal, scores)


@pytest.mark.parametrize("name", LEARNERS)
def test_those_that_learn_come_closer(sphere, name):
    search = sphere.OPTIMIZERS[name]()
    start = distance(search.genome, search.genome.to_values(search.genome.start_vector()))
    for number in range(30 if name in ("tpe", "optuna-cma") else 70):
        step(search, number)
    assert distance(search.genome, search.best_guess()) < 0.5 * start


def test_sigkill_and_resume_give_the_same_bytes(sphere, tmp_path):
    sphere.run_each(tmp_path / "whole", GENERATIONS)
    command = [sys.executable, str(SCRIPT), str(tmp_path / "killed"), str(GENERATIONS), "each"]
    for reached in ("cma-noise", "tpe"):
        file = RunFolder(tmp_path / "killed" / reached).lineage
        kill_when(
            lambda file=file: file.exists() and file.stat().st_size > 0,
            subprocess.Popen(held(command, file.parent, GENERATIONS - 1)),
        )
    assert not (tmp_path / "killed" / NAMES[-1]).exists()
    subprocess.run(command, check=True)
    for name in NAMES:
        whole, killed = (RunFolder(tmp_path / w / name).lineage for w in ("whole", "killed"))
        assert killed.read_bytes() == whole.read_bytes(), name
        candidates = Lineage(whole).read()
        assert any(c.failure == "toy failure" for c in candidates)
