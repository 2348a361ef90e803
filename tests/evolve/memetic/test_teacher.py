from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from evobourse.agents.observation import possible_views
from evobourse.agents.styles import STYLES
from evobourse.evolve import checkpoint
from evobourse.evolve.bases.stand_ins import TeacherBases
from evobourse.evolve.errors import EvolveError, RunError
from evobourse.evolve.evaluation import MarketEvaluator
from evobourse.evolve.executors.processes import local_processes
from evobourse.evolve.genomes.cloud import Cloud
from evobourse.evolve.genomes.market import MarketGenome, PersonaStart
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.loop import Lesson, evolve
from evobourse.evolve.markets import MarketWindows, World
from evobourse.evolve.memetic.settings import MemeticConfig
from evobourse.evolve.memetic.teacher import PROBE, MindTeacher, natural_step
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.searches.cross import CrossSearch
from evobourse.fitness.distance import make_target
from evobourse.market.rules import MarketRules
from evobourse.market.series.splits import SplitDates

SETTINGS = MemeticConfig(every=2, steps=2, markets=2)
BASES = TeacherBases(STYLES[:3])


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


@pytest.fixture
def linear():
    """A policy whose logits are linear in two coefficients: features, coefficients, counts."""
    rng = np.random.default_rng(0)
    features, start = rng.normal(size=(2, 7, 5)) / 3, np.array([0.4, -0.2])
    chance = softmax(np.tensordot(start, features, axes=1))
    return features, start, chance, rng.multinomial(400, np.full(5, 0.2), size=7)


def tables(features, start):
    moved = [start, *(start + PROBE * np.eye(2))]
    return np.stack([softmax(np.tensordot(c, features, axes=1)).cumsum(axis=1) for c in moved])


def test_a_step_climbs_as_the_natural_gradient_does(linear):
    features, start, chance, counts = linear
    advantages = np.random.default_rng(1).normal(size=(7, 5))
    step = natural_step(tables(features, start), advantages, counts, 1e-4)
    met = counts.sum(axis=1) / counts.sum()
    scores = features - (features * chance).sum(axis=2, keepdims=True)
    exact = (scores * advantages).sum(axis=(1, 2))
    fisher = np.einsum("ivo,jvo,vo,v->ij", scores, scores, chance, met)
    best = np.linalg.solve(fisher + 0.1 * np.trace(fisher) / 2 * np.eye(2), exact)
    assert step @ best / np.linalg.norm(step) / np.linalg.norm(best) > 0.999


@pytest.mark.parametrize("nats", [1e-4, 1e-2])
def test_a_step_goes_as_far_as_it_may(linear, nats):
    features, start, chance, counts = linear
    advantages = np.random.default_rng(1).normal(size=(7, 5))
    step = natural_step(tables(features, start), advantages, counts, nats)
    after = softmax(np.tensordot(start + step, features, axes=1))
    met = counts.sum(axis=1) / counts.sum()
    divergence = met @ (after * np.log(after / chance)).sum(axis=1)
    assert divergence == pytest.approx(nats, rel=0.15)


def test_who_met_or_learned_nothing_stays(linear):
    features, start, _, counts = linear
    some = tables(features, start)
    assert not natural_step(some, np.ones((7, 5)), np.zeros((7, 5), int), 0.1).any()
    assert not natural_step(some, np.zeros((7, 5)), counts, 0.1).any()
    assert not natural_step(some[[0, 0, 0]], np.ones((7, 5)), counts, 0.1).any()


@pytest.fixture(scope="module", params=["cast", "cloud"])
def setup(sp500, offsets, request):
    """A small market of three rules: everything that a sweep needs but the folder."""
    split = (
        SplitDates(
            ("1999-01-04", "2006-12-29"), ("2007-06-01", "2010-06-30"), ("2010-12-01", "2018-12-31")
        )
        .cut(sp500)
        .train
    )
    world = World(offsets, MarketRules(), 40, 60)
    who = {"personas": tuple(PersonaStart(style, "", style) for style in STYLES[:3])}
    if request.param == "cloud":
        who = {"personas": (), "cloud": Cloud(7, 2)}
    genome = MarketGenome(
        styles=STYLES[:3], blocks=1, base="rules", sources=(), recipe_blocks=0, attention=2, **who
    )
    returns = sp500.log_returns[split.start : split.stop]
    target = make_target(returns, 60, 2, np.random.default_rng(0), split="train")
    return MarketWindows(sp500, world), split, target, genome


@pytest.fixture
def sweep(setup):
    """Run a sweep of the small market with memetic steps, or without."""
    windows, split, target, genome = setup

    def run(folder, generations, settings=SETTINGS, executor=None):
        more = {} if executor is None else {"executor": executor}
        evaluator = MarketEvaluator(windows, split, target, genome, BASES, **more)
        teacher = settings and MindTeacher(windows, split, genome, BASES, settings, **more)
        seed = np.random.SeedSequence(5)
        search = CrossSearch(
            genome.genome(), ("minds",), ("society",), 3, 3, 0.5, 0.5, seed, slow_every=2
        )
        return evolve(
            RunFolder(folder), genome.genome(), search, evaluator, generations, 7, teacher=teacher
        ), search

    return run


def test_a_pupil_and_what_it_was_taught_are_candidates_with_one_parent(sweep, setup, tmp_path):
    candidates, _ = sweep(tmp_path, 5)
    by_id = {c.id: c for c in candidates}
    for generation in range(5):
        born = [c for c in candidates if c.generation == generation]
        own = 9 if generation % 2 else 3
        if generation in (0, 1, 3):
            assert len(born) == own
            continue
        assert len(born) == own + 2
        pupil, child = born[-2:]
        assert pupil.parents == child.parents
        [(parent, weight)] = child.parents
        before = [c for c in candidates if c.generation < generation and c.score is not None]
        assert weight == 1.0
        assert by_id[parent].score == min(c.score for c in before)
        assert pupil.genome == by_id[parent].genome
        assert child.seeds == pupil.seeds == born[0].seeds
        assert child.genome["society"] == pupil.genome["society"]
        changed = np.array(list(child.genome["minds"].values()))
        changed -= list(pupil.genome["minds"].values())
        assert np.count_nonzero(changed) == 9  # three personas, or a mean and two spreads
        setup[3].genome().to_vector(child.genome)  # within its bounds
        later = [c for c in candidates if c.generation == generation + 1]
        assert not {id_ for c in later for id_, _ in c.parents} & {pupil.id, child.id}


def test_the_lineage_is_the_seeds_whoever_works_and_however_often_killed(
    sweep, tmp_path, monkeypatch
):
    sweep(tmp_path / "whole", 5)
    whole = RunFolder(tmp_path / "whole").lineage.read_bytes()
    executor = local_processes(2)
    try:
        sweep(tmp_path / "workers", 5, executor=executor)
    finally:
        executor.close()
    assert RunFolder(tmp_path / "workers").lineage.read_bytes() == whole

    save, calls = checkpoint.save, count()

    def killed(folder, state):
        if next(calls) % 2:  # every other time, between a generation's record and its checkpoint
            raise KeyboardInterrupt
        save(folder, state)

    monkeypatch.setattr(checkpoint, "save", killed)
    kills = 0
    while True:
        try:
            sweep(tmp_path / "killed", 5)
            break
        except KeyboardInterrupt:
            kills += 1
    assert kills >= 4
    assert RunFolder(tmp_path / "killed").lineage.read_bytes() == whole


def test_another_teacher_is_another_sweep(sweep, tmp_path):
    sweep(tmp_path, 1)
    with pytest.raises(RunError, match="started with another memetic"):
        sweep(tmp_path, 2, replace(SETTINGS, steps=3))
    with pytest.raises(RunError, match="started with another memetic"):
        sweep(tmp_path, 2, None)


def test_learning_raises_what_decisions_earn_on_other_seeds(setup):
    windows, split, _, genome = setup
    windows = replace(windows, world=replace(windows.world, n_agents=90, days=120))
    config = MemeticConfig(every=1, steps=4, markets=6, nats=0.05)
    teacher = MindTeacher(windows, split, genome, BASES, config)
    start = genome.genome().to_values(genome.genome().start_vector())
    best = Candidate("g000-s00-f00", 0, (), start, None, (1,), 1.0, {}, None)
    worse = replace(best, id="g000-s00-f01", score=2.0)
    failed = replace(best, id="g000-s00-f02", score=None, failure="toy")
    lesson = teacher.teach(1, [failed, worse, best], np.random.SeedSequence(1))
    assert lesson.pupil is best
    from evobourse.agents.minds.choices import tabulate_choices

    earned = []
    for values in (start, lesson.genome):
        population = genome.population(values)
        [choices] = tabulate_choices([population], BASES.serve(None))
        assert choices.shape[1] == len(possible_views(2))
        found = teacher._play(population, choices, range(900, 924))
        earned.append(found.mean_reward())
    # Trading is a game of nothing to win in all: some persona gains most from having learned.
    assert (earned[1] - earned[0]).max() > 0
    assert teacher.teach(1, [failed], np.random.SeedSequence(1)) is None


def numbers(candidate):
    return [x for x in candidate.genome["minds"].values() if not isinstance(x, str)]


class Mirror:
    """Teaches the sphere's best candidate a step towards the optimum."""

    settings = {"toy": 1}  # noqa: RUF012

    def __init__(self, genome):
        self.genome = genome

    def teach(self, generation, candidates, seed):
        alive = [c for c in candidates if c.score is not None]
        if not alive:
            return None
        best = min(alive, key=lambda c: (c.score, c.id))
        vector = self.genome.to_vector(best.genome)
        return Lesson(best, self.genome.to_values(vector + 0.3 * (0.8 - vector)))


@pytest.mark.parametrize("name", ["cross", "cma", "cma-noise", "cma-diagonal", "tpe", "nsga2"])
def test_a_gain_is_handed_back_to_the_search(sphere, tmp_path, name):
    def run(folder, generations):
        search = sphere.OPTIMIZERS.get(name, lambda: sphere.make_search(sphere.make_genome()))()
        genome = search.genome
        evaluator, teacher = sphere.SphereEvaluator(genome), Mirror(genome)
        return evolve(RunFolder(folder), genome, search, evaluator, generations, 3, teacher=teacher)

    candidates = run(tmp_path / "whole", 6)
    taken = 0
    for generation in range(1, 5):
        pupil, child = [c for c in candidates if c.generation == generation][-2:]
        if child.score < pupil.score:
            wanted = numbers(child)
            proposed = [c for c in candidates if c.generation == generation + 1][:-2]
            # as near as proposals are rounded
            taken += any(np.allclose(numbers(c), wanted, rtol=1e-5, atol=1e-6) for c in proposed)
    assert taken > 0
    run(tmp_path / "parts", 2)
    run(tmp_path / "parts", 6)
    first, second = (RunFolder(tmp_path / p).lineage.read_bytes() for p in ("whole", "parts"))
    assert first == second


def test_a_strange_config_is_refused():
    with pytest.raises(EvolveError, match="every is 0, expected at least 1"):
        MemeticConfig(every=0)
    with pytest.raises(EvolveError, match=r"nats is 0\.0, expected above 0"):
        MemeticConfig(nats=0.0)
