"""Every optimizer that a config can name, on real markets with the teachers' rules as minds."""

import json
from pathlib import Path

import numpy as np
import pytest

from evobourse.evolve import checkpoint
from evobourse.evolve.bases.stand_ins import TeacherBases
from evobourse.evolve.evaluation import MarketEvaluator
from evobourse.evolve.loop import evolve
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.sweep.searches import make_search, needed_measures
from evobourse.experiments.sweep.setup import build_experiment

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"
TINY = (
    "market.agents=30",
    "market.days=60",
    "market.paths=2",
    "search.population=4",
)
CROSS = [f"search.cross.{setting}" for setting in ("slow_count=2", "fast_count=2", "slow_every=2")]
CHOSEN = {
    "cross": CROSS,
    "cma": ["search.optimizer=cma", "search.cma.step_sizes={recipe: 0.2}"],
    "cma-noise": ["search.optimizer=cma", "search.cma.max_evaluations=4"],
    "tpe": ["search.optimizer=optuna", "search.optuna.sampler=tpe"],
    "qmc": ["search.optimizer=optuna", "search.optuna.sampler=qmc"],
    "optuna-cma": ["search.optimizer=optuna", "search.optuna.sampler=cma"],
    "nsga2": [
        "search.optimizer=optuna",
        "search.optuna.sampler=nsga2",
        "search.optuna.objectives=[score, path_error, questions]",
    ],
    "map_elites": ["search.optimizer=map_elites"],
    "cma_mae": ["search.optimizer=cma_mae"],
    "niches": ["search.optimizer=niches", "search.niches.size=3"],
    "random": ["search.optimizer=random"],
    "raced": ["search.optimizer=random", "search.rungs=[1]"],
}


@pytest.fixture(scope="module")
def stand_ins():
    return TeacherBases(build_experiment(load_config(QUICKSTART, TINY)).market_genome.styles)


@pytest.fixture(scope="module")
def target():
    experiment = build_experiment(load_config(QUICKSTART, TINY))
    return experiment.target(experiment.splits.train)


@pytest.fixture
def sweep(stand_ins, target):
    def run(folder, overrides, generations=2, observers=()):
        config = load_config(QUICKSTART, [*TINY, *overrides])
        experiment = build_experiment(config)
        genome = experiment.market_genome
        evaluator = MarketEvaluator(
            experiment.windows,
            experiment.splits.train,
            target,
            genome,
            stand_ins,
            measures=needed_measures(config.search),
            rungs=config.search.rungs,
            cells=config.search.optimizer == "niches",
        )
        search = make_search(
            config.search, genome.genome(), genome.slow_segments(), experiment.search_seed()
        )
        found = evolve(
            RunFolder(folder),
            genome.genome(),
            search,
            evaluator,
            generations,
            config.seed,
            observers,
        )
        return found, evaluator

    return run


@pytest.mark.parametrize("name", CHOSEN)
def test_a_sweep_resumed_is_a_sweep_uninterrupted(sweep, tmp_path, name):
    candidates, evaluator = sweep(tmp_path / "whole", CHOSEN[name])
    sweep(tmp_path / "halves", CHOSEN[name], 1)
    sweep(tmp_path / "halves", CHOSEN[name], 2)
    lines = RunFolder(tmp_path / "whole").lineage.read_bytes()
    assert RunFolder(tmp_path / "halves").lineage.read_bytes() == lines
    assert all(c.score is not None for c in candidates)
    search = checkpoint.load(RunFolder(tmp_path / "whole").checkpoint)["search"]
    evaluator.market_genome.population(search.best_guess())
    assert all(np.isfinite(x) for x in search.readings.values())
    if name in ("nsga2", "map_elites", "cma_mae", "niches"):
        ids = {c.id for c in candidates}
        assert {row["candidate"] for row in search.archive()} <= ids
        assert search.archive()
    if name == "raced":
        assert {len(c.seeds) for c in candidates} == {1, 2}
        assert evaluator.saved == 2 * 2
        assert evaluator.decisions == (2 * 4 * 2 - 4) * 30 * 60


def test_measures_stand_beside_the_moments_and_change_no_score(sweep, tmp_path):
    plain, _ = sweep(tmp_path / "plain", CHOSEN["random"], 1)
    sampler = ["search.optimizer=optuna", "search.optuna.sampler=nsga2"]
    both = [*sampler, "search.optuna.objectives=[diversity, volatility, path_error]"]
    measured, _ = sweep(tmp_path / "measured", both, 1)
    assert plain[0].genome == measured[0].genome  # the start
    assert plain[0].score == measured[0].score
    assert set(measured[0].parts) - set(plain[0].parts) == {"diversity", "volatility", "path_error"}
    assert 1.0 <= measured[0].parts["diversity"] <= 8.0
    assert 0.0 < measured[0].parts["path_error"] < 2.0


def test_a_race_changes_no_score_of_those_that_finish(sweep, tmp_path):
    rows = [
        f"search.cross.{setting}" for setting in ("slow_every=1", "slow_count=2", "fast_count=4")
    ]
    full, _ = sweep(tmp_path / "full", rows, 1)
    raced, evaluator = sweep(tmp_path / "raced", [*rows, "search.rungs=[1]"], 1)
    assert len(full) == len(raced) == 8
    finished = [(a, b) for a, b in zip(full, raced, strict=True) if len(b.seeds) == 2]
    assert len(finished) == 4
    worst = max(b.score for _, b in finished)
    for a, b in zip(full, raced, strict=True):
        assert a.genome == b.genome
        assert json.loads(a.to_json()) == json.loads(b.to_json()) or b.score >= worst
    assert all(a == b for a, b in finished)
    assert evaluator.saved == 4


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["search.optimizer=cmaes"], "search.optimizer is 'cmaes', expected cross or cma or opt"),
        (
            ["search.optimizer=optuna", "search.optuna.sampler=nsga"],
            "expected tpe or random or cma",
        ),
        (["search.population=1"], "search.population is 1, expected at least 2"),
        (["search.rungs=[2]"], r"search.rungs is \[2\], expected ascending .* from 1 to 1"),
        (
            ["search.optimizer=cma", "search.cma.step_sizes=3"],
            "search.cma.step_sizes is 3, expected a section",
        ),
        (
            ["search.optimizer=cma", "search.cma.step_sizes={recipe: a}"],
            "search.cma.step_sizes.recipe is 'a', expected a number",
        ),
        (["search.optimizer=cma", "search.cma.step_sizes={socety: 1}"], "did you mean 'society'"),
        (
            ["search.optimizer=map_elites", "search.archive.measures=[{name: x}, {name: y}]"],
            r"search.archive.measures\[0\].low is missing",
        ),
        (
            [
                "search.optimizer=map_elites",
                "search.archive.measures="
                "[{name: divers, low: 1, high: 2}, {name: j, low: 0, high: 1}]",
            ],
            "unknown measure 'divers'; did you mean 'diversity'",
        ),
        (
            [
                "search.optimizer=optuna",
                "search.optuna={sampler: nsga2, objectives: [score, pathe_error]}",
            ],
            "unknown measure 'pathe_error'; did you mean 'path_error'",
        ),
        (
            ["search.optimizer=niches", "search.niches.founders=[nowhere]"],
            "founders: nowhere has no champion; name the folder of a finished run",
        ),
    ],
)
def test_bad_settings_name_the_key_and_what_to_do(overrides, message):
    def prepare():
        config = load_config(QUICKSTART, [*TINY, *overrides])
        needed_measures(config.search)
        genome = build_experiment(config).market_genome
        seed = np.random.SeedSequence(0)
        make_search(config.search, genome.genome(), genome.slow_segments(), seed)

    with pytest.raises(ConfigError, match=message) as caught:
        prepare()
    assert "\n" not in str(caught.value)


def test_champions_of_other_runs_found_an_archive_if_their_genome_is_the_same(sweep, tmp_path):
    candidates, _ = sweep(tmp_path / "first", CROSS)
    run = RunFolder(tmp_path / "first")
    best = min(candidates, key=lambda c: c.score)
    run.champion.write_text(json.dumps({"champion": best.id}))
    founded = ["search.optimizer=niches", f"search.niches.founders=[{run}]"]
    [first, *_], _ = sweep(tmp_path / "second", founded, 1)
    for segment, genes in best.genome.items():
        assert first.genome[segment] == pytest.approx(genes, rel=1e-5)
    with pytest.raises(ConfigError, match="has another genome"):
        sweep(tmp_path / "third", [*founded, "persona_genes=[activity]"], 1)
