import numpy as np
import optuna
import pytest

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.lineage import Lineage
from evobourse.evolve.loop import evolve
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.searches.optuna import OptunaSearch


def make(genome, sampler="random", objectives=("score",), population=6, seed=5, **kwargs):
    return OptunaSearch(
        genome, population, sampler, np.random.SeedSequence(seed), objectives, **kwargs
    )


def sweep(sphere, folder, search, generations=3):
    evaluator = sphere.SphereEvaluator(search.genome, fail_every=5)
    return evolve(RunFolder(folder), search.genome, search, evaluator, generations, 0)


def test_one_at_a_time_it_is_bare_optuna(sphere):
    genome = sphere.make_mixed_genome()
    search = make(genome, "tpe", population=1)
    seed = int(np.random.SeedSequence(5).generate_state(1)[0])
    bare = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    start = genome.to_values(genome.start_vector())
    bare.enqueue_trial({f"{s}.{g}": v for s, of in start.items() for g, v in of.items()})
    for _ in range(25):
        [values] = proposal = search.ask()
        trial = bare.ask()
        drawn = {
            "recipe": {f"w{i}": trial.suggest_float(f"recipe.w{i}", -1.0, 2.0) for i in range(3)},
            "minds": {
                "memory": trial.suggest_int("minds.memory", 1, 200, log=True),
                "base": trial.suggest_categorical("minds.base", ("small", "middle", "large")),
                "switch": trial.suggest_int("minds.switch", 0, 1),
                "pinned": trial.suggest_float("minds.pinned", 1.0, 1.0),
            },
        }
        assert values == drawn
        score = float(np.sum((genome.to_vector(values) - 0.8) ** 2))
        search.tell(proposal, np.array([[score]]))
        bare.tell(trial, score)


def test_the_first_candidate_is_the_start(sphere):
    genome = sphere.make_mixed_genome()
    for sampler in ("tpe", "random", "qmc"):
        assert make(genome, sampler).ask()[0] == genome.to_values(genome.start_vector())


def test_a_database_shows_every_candidate_once_also_after_a_break(sphere, tmp_path):
    url = f"sqlite:///{tmp_path / 'trials.db'}"

    def fresh():
        return make(sphere.make_mixed_genome(), "tpe", storage=url, study_name="toy")

    sweep(sphere, tmp_path / "run", fresh(), 2)
    sweep(sphere, tmp_path / "again", fresh(), 1)  # as after a kill: fewer than are shown already
    candidates = sweep(sphere, tmp_path / "run", fresh(), 4)
    study = optuna.load_study(storage=url, study_name="toy")
    assert [t.user_attrs["candidate"] for t in study.trials] == [c.id for c in candidates]
    for trial, candidate in zip(study.trials, candidates, strict=True):
        assert trial.user_attrs["failed"] == (candidate.score is None)
        if candidate.score is not None:
            assert trial.value == candidate.score
        assert trial.params == {
            f"{s}.{g}": v for s, of in candidate.genome.items() for g, v in of.items()
        }
    alone = tmp_path / "alone"
    sweep(sphere, alone, make(sphere.make_mixed_genome(), "tpe"), 4)
    lines = RunFolder(tmp_path / "run").lineage.read_bytes()
    assert lines == RunFolder(alone).lineage.read_bytes()  # and it never decides anything
    with pytest.raises(EvolveError, match="is another sweep's; name another database"):
        make(sphere.make_mixed_genome(), "tpe", seed=6, storage=url, study_name="toy")


def test_a_database_that_dies_costs_nothing(sphere, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    search = make(sphere.make_genome(), storage=f"sqlite:///{folder / 'trials.db'}")
    sweep(sphere, tmp_path / "run", search, 1)
    search._mirror = None
    (folder / "trials.db").unlink()
    folder.rmdir()
    assert len(sweep(sphere, tmp_path / "other", search, 2)) == 12
    assert "unable to open database file" in search.notes[0]
    assert "\n" not in search.notes[0]
    with pytest.raises(EvolveError, match=r"search\.optuna\.storage .*no_such_host"):
        make(sphere.make_genome(), storage="postgresql://me:secret@no_such_host/x")


def test_several_objectives_keep_a_front_that_nothing_beats(sphere, tmp_path):
    search = make(sphere.make_mixed_genome(), "nsga2", ("score", "first"))
    sweep(sphere, tmp_path, search, 12)
    candidates = [c for c in Lineage(RunFolder(tmp_path).lineage).read() if c.score is not None]
    points = np.array([[c.score, c.parts["first"]] for c in candidates])
    beaten = [
        np.any((points <= point).all(axis=1) & (points < point).any(axis=1)) for point in points
    ]
    expected = {c.id for c, b in zip(candidates, beaten, strict=True) if not b}
    assert {row["candidate"] for row in search.archive()} == expected
    assert len(expected) > 1


def test_bad_settings_are_refused(sphere):
    genome = sphere.make_genome()
    for sampler, objectives in (("tpe", ("score", "first")), ("nsga2", ("score",)), ("tpe", ())):
        with pytest.raises(EvolveError, match="'nsga2' needs two or more"):
            make(genome, sampler, objectives)
    search = make(genome, "nsga2", ("score", "speed"))
    proposal = search.ask()
    with pytest.raises(EvolveError, match="no evaluation has a part 'speed'; use some of near"):
        search.tell(proposal, np.ones((6, 1)), [[{"near": 1.0}] for _ in proposal])
