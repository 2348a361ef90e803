"""What a dry run counts is what a sweep of the same config does."""

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.observation import possible_views
from evobourse.agents.styles import FIRST_STYLES
from evobourse.evolve.budget import count_paths
from evobourse.evolve.evaluation import MarketEvaluator, play_candidates
from evobourse.evolve.executors.executor import InProcess
from evobourse.evolve.loop import evolve
from evobourse.evolve.memetic.teacher import gather
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.cli.cost_table import print_estimate
from evobourse.experiments.cli.main import app
from evobourse.experiments.cli.progress import ProgressScreen
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.planner.rates import Rates, find_rates, recall_rates, remember_rates
from evobourse.experiments.sweep import cost
from evobourse.experiments.sweep.cost import plan_judging, plan_lessons, plan_search
from evobourse.experiments.sweep.pace import Pace, Work
from evobourse.experiments.sweep.pipeline import make_evaluator, make_teacher
from evobourse.experiments.sweep.searches import make_search
from evobourse.experiments.sweep.setup import build_experiment

QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart.yaml"
SMALL = ("market.agents=20", "market.days=60", "market.paths=2", "minds.attention=1", "workers=1")


def search_of(experiment):
    genome = experiment.market_genome
    seed, slow = experiment.search_seed(), genome.slow_segments()
    return make_search(experiment.config.search, genome.genome(), slow, seed)


class CountedMinds(TeacherMinds):
    """Rule-based traders that note, as the engine's memo would, which minds are new to a base."""

    def __init__(self):
        super().__init__(FIRST_STYLES)
        self.served = None
        self.asked = set()

    def expect(self, casts):
        pass

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
    overrides = (*SMALL, f"search.cross.slow_count={slow}", f"search.cross.slow_every={every}",
                 f"search.generations={generations}", "search.cross.fast_count=3")  # fmt: skip
    config = load_config(QUICKSTART, overrides)
    experiment = build_experiment(config)
    minds = CountedMinds()
    split, genome = experiment.splits.train, experiment.market_genome
    evaluator = MarketEvaluator(experiment.windows, split, experiment.target(split), genome, minds)
    search = search_of(experiment)
    plan = plan_search(config, search)
    candidates = evolve(
        RunFolder(tmp_path), genome.genome(), search, evaluator, generations, config.seed
    )
    mean = search.best_guess()
    evaluator.evaluate(generations, [[mean]], experiment.search_seed(), lambda *_: None)

    total = sum(plan, Work())
    assert [work.candidates for work in plan[:-1]] == [
        sum(c.generation == g for c in candidates) for g in range(generations)
    ]
    assert total.candidates == len(candidates) + 1
    assert total.markets * config.market.agents * config.market.days == evaluator.decisions
    assert len(minds.asked) == total.casts * len(config.personas)


def test_every_candidate_of_another_search_has_minds_of_its_own():
    config = load_config(QUICKSTART, (*SMALL, "search.optimizer=random", "search.generations=2"))
    plan = plan_search(config, search_of(build_experiment(config)))
    assert plan == [Work(16, 32, 16), Work(16, 32, 16), Work(1, 2, 1)]


def test_judging_is_counted_as_the_scoreboard_plays_it():
    config = load_config(QUICKSTART)
    choosing, judging = plan_judging(config)
    assert choosing.markets == 12 * 2 * 8 * 4  # finalists, splits, groups, paths
    rows = (2 + 4) * 8 * 4  # champion on two splits, four casts held out
    pasts = 4 * 32 * 16 * 60 / 250  # casts, quarters, members, days of a window over a market's
    assert judging.markets == rows + round(pasts / 4) * 4 + 1
    assert (choosing.casts, judging.casts) == (12, 2)


def test_a_budget_cuts_the_plan_where_it_cuts_the_sweep():
    config = load_config(QUICKSTART, ("budget.max_decisions=20000000",))
    pace = Pace(0.0, 0.0, 1.0)
    experiment = build_experiment(config)
    plan, teaching = plan_search(config, search_of(experiment)), plan_lessons(config, 7)
    kept, ends = cost._within_budget(config, plan, teaching, pace)
    a_generation = 16 * 4 * 250 * 400
    assert kept == 20_000_000 // a_generation
    assert ends == f"by the decision budget after 3 of {config.search.generations}"
    config = load_config(QUICKSTART, ("budget.max_minutes=3",))
    kept, ends = cost._within_budget(config, plan, teaching, pace)
    assert kept == 2  # 64 s each
    assert ends.startswith("by the time budget")


class CountedMarkets(InProcess):
    """Counts the markets that are played, by what is done with them."""

    def __init__(self):
        self.played = Counter()

    def submit(self, function, *arguments):
        markets = 1
        if function is play_candidates:
            places, candidates = arguments
            markets = len(candidates) * sum(len(parts) for _, parts in places)
        self.played[function] += markets
        return super().submit(function, *arguments)


MEMETIC = "search.memetic={every: 2, steps: 2, markets: 3, nats: 0.001}"


@pytest.mark.parametrize("generations", [2, 5])
def test_lessons_are_what_the_sweep_takes(tmp_path, generations):
    overrides = (*SMALL, f"search.generations={generations}", MEMETIC,
                 "search.cross={slow_count: 2, slow_every: 2, fast_count: 3}")  # fmt: skip
    config = load_config(QUICKSTART, overrides)
    experiment = build_experiment(config)
    minds, markets = CountedMinds(), CountedMarkets()
    experiment = replace(experiment, executor=markets)
    evaluator, search = make_evaluator(experiment, minds), search_of(experiment)
    genome = experiment.market_genome.genome()
    teacher = make_teacher(experiment, minds)
    candidates = evolve(
        RunFolder(tmp_path), genome, search, evaluator, generations, config.seed, teacher=teacher
    )
    searching, teaching = plan_search(config, search), plan_lessons(config, 7)
    born = Counter(c.generation for c in candidates)
    assert [born[g] for g in range(generations)] == [
        s.candidates + t.candidates for s, t in zip(searching[:-1], teaching[:-1], strict=True)
    ]
    total = sum(searching[:-1] + teaching, Work())
    assert markets.played[gather] == total.lesson_markets
    assert markets.played.total() == total.markets
    paths = count_paths(candidates, config.search.memetic)
    assert paths.sum() == total.markets
    asked = (total.casts + total.probes) * len(config.personas)
    # One that is the best again is taught again: a lesson may ask what another has asked.
    lessons = max(1, sum(t.probes > 0 for t in teaching))
    least = (total.casts + total.probes / lessons) * len(config.personas)
    assert least <= len(minds.asked) <= asked


def test_lessons_are_counted_in_both_budgets_of_a_plan():
    pace = Pace(0.0, 0.0, 1.0, lesson_market_s=2.0)
    a_market = 250 * 400

    def kept(*overrides):
        config = load_config(QUICKSTART, overrides)
        search = plan_search(config, search_of(build_experiment(config)))
        return cost._within_budget(config, search, plan_lessons(config, 7), pace)[0]

    memetic = "search.memetic={every: 1, steps: 1, markets: 8}"
    rest = (16 + 2) * 4 + 8  # markets of a generation with a lesson
    limit = (64 + 2 * rest) * a_market
    assert kept(memetic, f"budget.max_decisions={limit}") == 3
    assert kept(memetic, f"budget.max_decisions={limit - 1}") == 2
    assert kept(f"budget.max_decisions={limit}") == limit // (64 * a_market)
    minutes = (64 + 72 + 2 * 8) / 60
    assert kept(memetic, f"budget.max_minutes={minutes + 0.01}") == 2
    assert kept(memetic, f"budget.max_minutes={minutes - 0.01}") == 1


def test_lessons_are_printed_where_there_are_any(monkeypatch):
    pace = Pace(0.5, 0.5, 0.1, lesson_market_s=0.2)
    monkeypatch.setattr(cost, "find_rates", pace.rates)

    def printed(*overrides):
        config = load_config(QUICKSTART, (*SMALL, "search.generations=5", *overrides))
        found, console = cost.estimate(config), Console(record=True, width=200)
        print_estimate(found, console)
        return found, console.export_text()

    plain, words = printed()
    assert "lesson" not in words
    assert "lessons" not in {*plain, *plain["parts"]}
    taught, words = printed(MEMETIC)
    assert list(taught["parts"]) == ["search", "lessons", "choosing", "judging"]
    assert taught["lessons"] == {"count": 2, "steps": 4, "markets": 12}
    lessons = taught["parts"]["lessons"]
    assert (lessons["candidates"], lessons["markets"]) == (4, 12 + 4 * 2)
    assert lessons["decisions"] == lessons["markets"] * 60 * 20
    assert lessons["seconds"] == pytest.approx(4 * 1.0 + 2 * 14 * 0.5 + 8 * 0.1 + 12 * 0.2)
    assert lessons["forward_passes"] == 2 * 2 * 8 * 8 * len(possible_views(1))
    assert "2 of 4 training steps in all, on 12 recorded markets at 6,000 decisions/s" in words
    for key in ("candidates", "markets", "decisions", "forward_passes"):
        assert taught["total"][key] == plain["total"][key] + lessons[key]


def test_plan_dry_run_and_progress_predict_the_same_time(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOBOURSE_CACHE", str(tmp_path))
    file = tmp_path / "small.yaml"
    config = load_config(QUICKSTART, (*SMALL, "search.generations=5"))
    file.write_text(config.to_yaml())
    assert recall_rates(config) is None
    remember_rates(config, Rates(0.01, 2.0, 1e-5, 2e-5, 0.05, 3.0, "a test's"))
    known = recall_rates(config)
    assert known.source.startswith("measured on this machine (")
    assert recall_rates(load_config(QUICKSTART, (*SMALL, "workers=7"))) is None

    def told(*command):
        done = CliRunner().invoke(app, [*command, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    seconds = told("evolve", str(file), "--dry-run")["total"]["seconds"]
    planned = told("plan", "--config", str(file), "--gpu", "cpu")
    assert planned["places"][0]["questions_per_second"] == pytest.approx(100)
    assert 3600 * planned["sweep"]["hours"]["total"] == pytest.approx(seconds, abs=0.06)
    experiment = build_experiment(config)
    plan = cost.plan_sweep(experiment, search_of(experiment), find_rates(config))
    screen = ProgressScreen(Console(quiet=True), plan)
    assert screen.seconds_left() == pytest.approx(seconds, abs=0.06)
    elsewhere = told("plan", "--config", str(file), "--gpu", "h100")["rates"]
    assert elsewhere["decision_s"] == known.decision_s  # markets run here
    assert elsewhere["answer_s"] != known.answer_s


def test_what_is_measured_is_remembered_and_spoilt_memory_is_no_trouble(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOBOURSE_CACHE", str(tmp_path))
    config = load_config(QUICKSTART, SMALL)
    pace = Pace(2.0, 3.0, 0.5, 4.0, 0.75, 5.0)
    remember_rates(config, pace.rates(config))
    again = Pace.of(recall_rates(config), config)
    assert asdict(again) == pytest.approx(asdict(pace))
    (tmp_path / "rates.json").write_text("{")
    assert recall_rates(config) is None
    assert "roofline" in find_rates(config).source
    remember_rates(config, pace.rates(config))
    assert recall_rates(config) is not None
