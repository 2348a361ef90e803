"""A sweep on several series: each in its own units, pooled as the geometric mean."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.styles import FIRST_STYLES
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.sweep.cost import plan_judging
from evobourse.experiments.sweep.pipeline import make_evaluator, pick_finalists
from evobourse.experiments.sweep.setup import build_experiment

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"
SMALL = ("market.agents=20", "market.days=60", "market.paths=2", "minds.attention=1", "workers=1")


class Teachers(TeacherMinds):
    """Rule-based traders behind every recipe."""

    def __init__(self):
        super().__init__(FIRST_STYLES)

    def expect(self, casts):
        pass

    def serve(self, recipe):
        return self


def scored(series, *more):
    experiment = build_experiment(load_config(QUICKSTART, [*SMALL, f"series={series}", *more]))
    genome = experiment.market_genome.genome()
    values = genome.to_values(genome.start_vector())
    evaluator = make_evaluator(experiment, Teachers())
    [[found]] = evaluator.evaluate(
        0, [[values]], np.random.SeedSequence(5), lambda done, total: None
    )
    return found, evaluator


@pytest.mark.parametrize("more", [(), ("search.rungs=[1]",)])
def test_a_score_is_the_geometric_mean_of_those_on_each_series(more):
    """By racing as well, where paths come a rung at a time."""
    first, one = scored("sp500", *more)
    second, other = scored("nasdaq", *more)
    both, pooled = scored("[sp500, nasdaq]", *more)
    assert both.score == pytest.approx(
        np.sqrt(first.score * second.score), rel=1e-7
    )  # eight digits
    assert both.parts["score_sp500"] == first.score
    assert both.parts["score_nasdaq"] == second.score
    assert both.parts["drift"] == pytest.approx((first.parts["drift"] + second.parts["drift"]) / 2)
    assert set(first.parts) == {"j", *one.target.names}
    assert "volume_volatility" in first.parts
    assert pooled.decisions == one.decisions + other.decisions


def test_a_dead_market_says_on_which_series():
    def still(self, *arguments):
        [paths] = play(self, *arguments)
        paths[1][:, 1] = 0.0
        return [paths]

    experiment = build_experiment(load_config(QUICKSTART, [*SMALL, "series=[sp500, nasdaq]"]))
    evaluator = make_evaluator(experiment, Teachers())
    play = type(evaluator)._play
    genome = experiment.market_genome.genome()
    patch = pytest.MonkeyPatch()
    patch.setattr(type(evaluator), "_play", still)
    [[found]] = evaluator.evaluate(
        0,
        [[genome.to_values(genome.start_vector())]],
        np.random.SeedSequence(5),
        lambda done, total: None,
    )
    patch.undo()
    assert np.isinf(found.score)
    assert found.failure == "nasdaq: path 0: constant price; path 1: constant price"


def test_one_series_may_be_written_without_brackets_and_none_or_twice_is_refused():
    plain, listed = (load_config(QUICKSTART, [f"series={s}"]) for s in ("sp500", "[sp500]"))
    assert plain == listed
    assert plain.candidate_markets == plain.market.paths
    for wrong in ("[]", "[sp500, sp500]"):
        with pytest.raises(ConfigError, match="expected one name or file, or several once each"):
            load_config(QUICKSTART, [f"series={wrong}"])


def test_the_plan_counts_the_markets_of_every_series():
    one, two = (
        plan_judging(load_config(QUICKSTART, [f"series={s}"])) for s in ("sp500", "[sp500, ibm]")
    )
    assert two[0].markets == 2 * one[0].markets
    assert two[1].markets == 2 * one[1].markets - 1  # the bundle's market is the first's
    assert two[1].baselines == 2 * one[1].baselines


def candidate(generation, f, score):
    return Candidate(
        f"g{generation:03d}-s00-f{f:02d}", generation, (), {}, None, (), score, {}, None
    )


def test_half_of_the_finalists_are_the_latest_bests_and_the_lucky_one_is_only_one_of_them(tmp_path):
    lucky = candidate(0, 0, 0.1)
    born = [lucky, *(candidate(g, f, 5.0 - 0.1 * g + f) for g in range(1, 9) for f in range(3))]
    end = candidate(9, 0, 7.0)
    chosen = pick_finalists([*born, end], 6, RunFolder(tmp_path))
    assert [c.id for c in chosen[:3]] == [f"g{g:03d}-s00-f00" for g in (8, 7, 6)]
    assert chosen[3] is lucky
    assert chosen[-1] is end
    assert len({c.id for c in chosen}) == 6
    failed = replace(end, score=None, failure="constant price")
    assert pick_finalists([*born, failed], 4, RunFolder(tmp_path))[-1] is born[-1]
    assert pick_finalists([lucky], 4, RunFolder(tmp_path)) == [lucky]
    assert pick_finalists([*born, end], 1, RunFolder(tmp_path)) == [end]
