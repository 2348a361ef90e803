"""Sweeps of a cloud of minds, with all that an experiment may set beside it."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.styles import FIRST_STYLES
from evobourse.evolve.executors.processes import local_processes
from evobourse.evolve.loop import evolve
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.planner.chips import find_chip
from evobourse.experiments.planner.rates import roofline_rates
from evobourse.experiments.studies.sp500.arms import ARMS
from evobourse.experiments.styles.reinforced import reinforce_styles
from evobourse.experiments.sweep.pace import count_answers
from evobourse.experiments.sweep.pipeline import make_evaluator
from evobourse.experiments.sweep.searches import make_search
from evobourse.experiments.sweep.setup import build_experiment

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"
SMALL = (
    "personas=[]", "cloud.minds=12", "market.agents=40", "market.days=60", "market.paths=2",
    "minds.attention=1", "workers=1",
)  # fmt: skip


class Teachers(TeacherMinds):
    """Rule-based traders behind every recipe."""

    def __init__(self):
        super().__init__(FIRST_STYLES)

    def expect(self, casts):
        pass

    def serve(self, recipe):
        return self


def sweep(folder, generations, *overrides, executor=None):
    experiment = build_experiment(load_config(QUICKSTART, (*SMALL, *overrides)))
    if executor is not None:
        experiment = replace(experiment, executor=executor)
    market = experiment.market_genome
    genome, how = market.genome(), experiment.config.search
    search = make_search(how, genome, market.slow_segments(), experiment.search_seed())
    evaluator = make_evaluator(experiment, Teachers())
    return evolve(RunFolder(folder), genome, search, evaluator, generations, 7)


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("society={}", "mechanisms={two_sided: 0.5, misalignment: 1.0}", "persona_genes=[]"),
        ("society={contest: {replaced: 0, by: profit}}", "minds.blocks=2", "cloud.rank=6"),
        ("series=[sp500, nasdaq]", "search.rungs=[1]"),
        ("search.optimizer=cma", "masks=false"),
        ("orders={}", "cloud.minds=1", "persona_genes=[]"),
    ],
    ids=lambda more: " ".join(more) or "as the quickstart",
)
def test_a_cloud_goes_with_whatever_else_is_set(tmp_path, more):
    crossed = ("search.cross.slow_count=2", "search.cross.fast_count=3")
    small = () if any("optimizer" in one for one in more) else crossed
    candidates = sweep(tmp_path, 2, *small, *more)
    assert {c.generation for c in candidates} == {0, 1}
    assert all(c.score is not None and np.isfinite(c.score) for c in candidates)
    assert len({c.score for c in candidates}) > 1


def test_a_sweep_goes_on_to_the_same_bytes_whoever_plays_its_markets(tmp_path):
    small = ("search.cross.slow_count=2", "search.cross.slow_every=2", "search.cross.fast_count=3")
    sweep(tmp_path / "whole", 4, *small)
    sweep(tmp_path / "parts", 2, *small)
    sweep(tmp_path / "parts", 4, *small)
    executor = local_processes(2)
    try:
        sweep(tmp_path / "workers", 4, *small, executor=executor)
    finally:
        executor.close()
    whole, *others = (
        RunFolder(tmp_path / name).lineage.read_bytes() for name in ("whole", "parts", "workers")
    )
    assert others == [whole, whole]


def test_a_rank_beyond_the_coefficients_is_refused():
    config = load_config(QUICKSTART, (*SMALL, "cloud.rank=3", "minds.styles=[herding, value]"))
    said = "cloud.rank is 3, and mixtures have 2 coefficients (styles herding, value); set a rank"
    with pytest.raises(ConfigError, match=re.escape(said)):
        build_experiment(config)


def test_there_is_no_style_of_a_cloud_to_refine(tmp_path):
    with pytest.raises(ConfigError, match=r"personas: none on minds.base has a style to refine"):
        reinforce_styles(load_config(QUICKSTART, SMALL), tmp_path)


def test_the_arms_of_an_equal_budget_are_there_for_a_cloud_too():
    config = load_config(QUICKSTART, SMALL)
    counts = {}
    for name, arm in ARMS.items():
        market = build_experiment(arm.change(config)).market_genome
        values = market.genome().to_values(market.genome().start_vector())
        counts[name] = len(market.population(values).personas)
    assert counts.pop("one_mind_evolved") == 1
    assert set(counts.values()) == {12}


def test_work_is_priced_by_the_minds_that_are_drawn():
    few, many = (load_config(QUICKSTART, (*SMALL, f"cloud.minds={n}")) for n in (10, 300))
    assert count_answers(many) == 30 * count_answers(few)
    chip = find_chip("h100")
    assert roofline_rates(many, chip).answer_s < roofline_rates(few, chip).answer_s  # shared work
