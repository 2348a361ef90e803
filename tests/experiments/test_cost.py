"""What a dry run counts is what a sweep of the same config does."""

from pathlib import Path

import pytest

from agents.stand_ins import TeacherMinds
from agents.styles import FIRST_STYLES
from evolve.evaluation import MarketEvaluator
from evolve.loop import evolve
from experiments import cost
from experiments.config import load_config
from experiments.cost import Pace, Work, plan_judging, plan_search
from experiments.optimizers import make_search
from experiments.workshop import build_workshop

QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"
SMALL = ("market.agents=20", "market.days=60", "market.paths=2", "minds.attention=1", "workers=1")


def search_of(workshop):
    genome = workshop.market_genome
    seed, slow = workshop.search_seed(), genome.slow_segments()
    return make_search(workshop.config.search, genome.genome(), slow, seed)


class CountedMinds(TeacherMinds):
    """Rule-based traders that note, as the engine's memo would, which minds are new to a base."""

    def __init__(self):
        super().__init__(FIRST_STYLES)
        self.served = None
        self.asked = set()

    def serve(self, recipe):
        self.served = None if recipe is None else str(recipe.to_dict())
        return self

    def answer(self, mind, views):
        self.asked.add((self.served, mind.tobytes()))
        return super().answer(mind, views)


@pytest.mark.parametrize(
    ("slow", "every", "generations"), [(4, 2, 4), (3, 2, 3), (2, 1, 2), (1, 3, 2)]
)
def test_the_plan_is_what_the_search_does(tmp_path, slow, every, generations):
    overrides = (*SMALL, f"search.slow_count={slow}", f"search.slow_every={every}",
                 f"search.generations={generations}", "search.fast_count=3")  # fmt: skip
    config = load_config(QUICKSTART, overrides)
    workshop = build_workshop(config)
    minds = CountedMinds()
    split, genome = workshop.splits.train, workshop.market_genome
    evaluator = MarketEvaluator(workshop.stage, split, workshop.target(split), genome, minds)
    search = search_of(workshop)
    plan = plan_search(config, search)
    candidates = evolve(tmp_path, genome.genome(), search, evaluator, generations, config.seed)
    mean = genome.genome().to_values(search.mean_vector())
    evaluator.evaluate(generations, [[mean]], workshop.search_seed(), lambda *_: None)

    total = sum(plan, Work())
    assert [work.candidates for work in plan[:-1]] == [
        sum(c.generation == g for c in candidates) for g in range(generations)
    ]
    assert total.candidates == len(candidates) + 1
    assert total.markets * config.market.agents * config.market.days == evaluator.decisions
    assert len(minds.asked) == total.casts * len(config.personas)


def test_every_candidate_of_another_search_has_minds_of_its_own():
    config = load_config(QUICKSTART, (*SMALL, "search.optimizer=random", "search.generations=2"))
    plan = plan_search(config, search_of(build_workshop(config)))
    assert plan == [Work(16, 32, 16), Work(16, 32, 16), Work(1, 2, 1)]


def test_judging_is_counted_as_the_scoreboard_plays_it():
    config = load_config(QUICKSTART)
    choosing, judging = plan_judging(config)
    assert choosing.markets == 12 * 2 * 4 * 4  # finalists, splits, groups, paths
    assert judging.markets == (2 + 4) * 8 * 4 + 1  # champion on two splits, four casts held out
    assert (choosing.casts, judging.casts) == (12, 2)


def test_a_budget_cuts_the_plan_where_it_cuts_the_sweep():
    config = load_config(QUICKSTART, ("search.max_decisions=20000000",))
    pace = Pace(0.0, 1.0, 0.0, 1)
    workshop = build_workshop(config)
    plan, ends = cost._within_budget(config, plan_search(config, search_of(workshop)), pace)
    a_generation = 16 * 4 * 250 * 400
    assert len(plan) - 1 == 20_000_000 // a_generation
    assert ends == "by the decision budget after 3 of 80"
    config = load_config(QUICKSTART, ("search.max_minutes=3",))
    plan, ends = cost._within_budget(config, plan_search(config, search_of(workshop)), pace)
    assert len(plan) - 1 == 2  # 64 s each
    assert ends.startswith("by the time budget")
