"""Sweeps over settings: whole searches as trials, with the teachers' rules as minds."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
import yaml

from evobourse.evolve.bases.stand_ins import TeacherBases
from evobourse.evolve.errors import EvolveError, GenomeError, RunError
from evobourse.evolve.lineage import Lineage
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.cli.sweeps import lineage
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.config.search import FAST_STEP
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.ancestry import front
from evobourse.experiments.sweep.tuning import (
    TrialEvaluator,
    Tuning,
    read_objectives,
    run_tuning,
    settings_genome,
)
from tests.held_sweep import kill_when

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"
TINY = (
    "market.days=60",
    "market.paths=2",
    "minds.recipe_blocks=0",
    "search.generations=1",
    "search.cross.slow_every=2",
    "search.cross.slow_count=2",
    "search.cross.fast_count=3",
    "search.population=4",
    "selection.champions=2",
    "selection.validation_groups=2",
    "workers=1",
)
VARY = (
    "market.agents=20:60:log",
    "search.cross.sigma_fast=0.1:0.9",
    "search.optimizer=cross|random",
)
TUNING = Tuning(VARY, trials=4, population=2, objectives=("score", "decisions"))
SCRIPT = """
import sys
from pathlib import Path
from tests.experiments.sweep.test_tuning import RunFolder, tune
from tests.held_sweep import hold
folder = Path(sys.argv[1])
hold(folder, 1)
tune(RunFolder(folder), storage=sys.argv[2])
"""


def stand_ins(experiment):
    return TeacherBases(experiment.market_genome.styles)


def tune(folder, tuning=TUNING, overrides=(), **changes):
    tuning = Tuning(**{**vars(tuning), **changes})
    found, _ = run_tuning(tuning, QUICKSTART, [*TINY, *overrides], folder, (), stand_ins)
    return found


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("tuned"))
    return folder, tune(folder)


def test_a_trial_is_the_search_that_its_settings_make(tuned):
    folder, trials = tuned
    assert len(trials) == 4
    assert {t.genome["search"]["optimizer"] for t in trials} == {"cross", "random"}
    start = trials[0].genome
    assert start["market"]["agents"] == round(np.sqrt(20 * 60))  # 400 is out of range
    assert start["search"] == {"cross.sigma_fast": 0.5, "optimizer": "cross"}
    for trial in trials:
        assert trial.failure is None
        run = RunFolder(folder.trials / trial.id)
        config = load_config(run.config)
        values = {"agents": config.market.agents}
        assert trial.genome["market"] == values
        chosen = trial.genome["search"]["optimizer"]
        step = trial.genome["search"]["cross.sigma_fast"] if chosen == "cross" else FAST_STEP
        assert config.search.cross.sigma_fast == step
        candidates = Lineage(run.lineage).read()
        paths = sum(len(c.seeds) for c in candidates)
        assert trial.parts["decisions"] == config.market.agents * 60 * paths
        assert trial.score == pytest.approx(
            np.sqrt(trial.parts["validation"] * trial.parts["train"])
        )
        assert trial.recipe["champion"] in {c.id for c in candidates}
        assert not run.scoreboard.exists()  # no held-out reading


def test_the_front_is_what_optuna_finds_and_the_lineage_lists(tuned, capsys):
    folder, trials = tuned
    config = load_config(folder.config)
    assert read_objectives(folder, config) == ("score", "decisions")
    mine = {t.id for t in front(trials, ("score", "decisions"))}
    study = optuna.create_study(directions=["minimize"] * 2)
    for t in trials:
        study.add_trial(
            optuna.trial.create_trial(
                values=[t.score, t.parts["decisions"]], user_attrs={"id": t.id}
            )
        )
    assert mine == {t.user_attrs["id"] for t in study.best_trials}
    lineage(folder.path)
    listed = capsys.readouterr().out.partition("not beaten in all of them")[2]
    assert {t.id for t in trials if t.id in listed} == mine


def test_a_killed_tuning_goes_on_to_the_same_bytes(tuned, tmp_path):
    whole = tuned[0].lineage.read_bytes()
    storage = f"sqlite:///{tmp_path / 'trials.db'}"
    folder = RunFolder(tmp_path / "killed")
    command = [sys.executable, "-c", SCRIPT, str(folder), storage]
    last = RunFolder(folder.trials / "g001-s01-f00").lineage
    kill_when(
        lambda: last.exists() and last.stat().st_size > 0,
        subprocess.Popen(command, cwd=QUICKSTART.parents[1]),
    )
    assert whole.startswith(folder.lineage.read_bytes())
    assert folder.lineage.stat().st_size < len(whole)
    trials = tune(folder, storage=storage)
    assert folder.lineage.read_bytes() == whole
    study = optuna.load_study(storage=storage, study_name="quickstart-tuning")
    assert [t.user_attrs["candidate"] for t in study.trials] == [t.id for t in trials]
    assert [t.values for t in study.trials] == [[t.score, t.parts["decisions"]] for t in trials]
    with pytest.raises(RunError, match="started with another genome"):
        tune(folder, vary=VARY[:2])
    assert yaml.safe_load(folder.tuning.read_text())["vary"] == list(VARY)


def test_settings_that_no_search_can_have_fail_their_trial_alone(tmp_path):
    fixed = (*TINY, "market.agents=20", "search.population=3")
    evaluator = TrialEvaluator(QUICKSTART, fixed, RunFolder(tmp_path), stand_ins)
    settings = [[{"search": {"optimizer": name}}] for name in ("cma_mae", "random")]
    heard = []
    [[bad], [good]] = evaluator.evaluate(
        0, settings, np.random.SeedSequence(0), lambda *done: heard.append(done)
    )
    assert heard == [(1, 2), (2, 2)]
    assert good.failure is None
    assert np.isfinite(good.score)
    assert np.isinf(bad.score)
    assert "cma_mae needs a multiple of 2" in bad.failure


def test_ranges_that_make_no_sense_are_refused(tmp_path):
    config = load_config(QUICKSTART)
    for text, why in (
        ("seed=1:2", "expected section.key"),
        ("search.cross.sigma_fast", "expected section.key"),
        ("search.cross.sigma_fast=low:high", "is no range"),
        ("search.cross.sigma_fast=.1:.2:exp", "scale is 'exp'"),
    ):
        with pytest.raises(ConfigError, match=why):
            settings_genome([text], config)
    with pytest.raises(GenomeError, match="does not hold"):
        settings_genome(["search.cross.sigma_fast=.9:.2"], config)
    with pytest.raises(ConfigError, match="nothing is varied"):
        settings_genome([], config)
    for changes, why in (
        ({"vary": ("search.sigma_fats=.1:.2",)}, "did you mean 'search.cross.sigma_fast'"),
        (
            {"vary": ("search.cma.restart=1:2", "search.optimizer=cross|cma")},
            "did you mean 'search.cma.restarts'",
        ),
        ({"objectives": ("speed",)}, "--objective 'speed': use some of score, validation"),
    ):
        with pytest.raises(ConfigError, match=why):
            tune(RunFolder(tmp_path), **changes)
    with pytest.raises(EvolveError, match="'nsga2' needs two or more"):
        tune(RunFolder(tmp_path), objectives=("score",), sampler="nsga2")
    assert not RunFolder(tmp_path).lineage.exists()
