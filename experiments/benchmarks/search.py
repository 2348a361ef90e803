"""The searches against bare pycma and bare Optuna, and against each other.

On functions whose optimum is known, and on a market of the style teachers whose optimum is not.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evobourse.evolve.bases.stand_ins import TeacherBases
from evobourse.evolve.evaluation import MarketEvaluator
from evobourse.evolve.genomes.gene import ChoiceGene, Gene, IntegerGene
from evobourse.evolve.genomes.genome import Genome, Values
from evobourse.evolve.loop import generation_seed
from evobourse.evolve.searches.cma import CmaSearch
from evobourse.evolve.searches.optuna import OptunaSearch
from evobourse.evolve.searches.search import Optimizer
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.benchmarks.search_problems import NEAR, PROBLEMS, Problem
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.config.runnable import choose
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.intervals import bootstrap_interval
from evobourse.experiments.sweep.searches import make_search
from evobourse.experiments.sweep.setup import Experiment, build_experiment

BENCHMARK = Benchmark(
    measures="the searches against bare pycma, bare Optuna and chance",
    minutes=40,
)

QUICKSTART = Path(__file__).parents[1] / "quickstart.yaml"
POPULATION = 10
STEP = 0.6
WAYS = {
    "cma": ["search.optimizer=cma", "search.cma.step_sizes={society: 0.5}"],
    "cross": [f"search.cross.{key}" for key in ("slow_count=3", "slow_every=4", "fast_count=16")],
    "niches": ["search.optimizer=niches"],
    "tpe": ["search.optimizer=optuna"],
    "random": ["search.optimizer=random"],
}


Part = Literal["functions", "sweeps", "races"]


@dataclass(frozen=True)
class Settings:
    """What is searched.

    Attributes
    ----------
    only
        Functions whose optimum is known, sweeps of a market, races within a generation.
    seeds
        Of each function.
    market_seeds
        Sweeps of each search.
    budget
        Candidates of a market sweep; by default a whole number of rounds of every search, the
        cross with its slow turns included.
    searches
        That breed markets; `random` is always one.
    """

    only: tuple[Part, ...] = ("functions", "sweeps", "races")
    seeds: int = 15
    market_seeds: int = 5
    budget: int = 192
    searches: tuple[str, ...] = tuple(WAYS)


def run(settings: Settings, report: Report) -> None:
    """Compare the searches, part by part."""
    if "functions" in settings.only:
        compare_functions(settings.seeds, report)
    if "sweeps" in settings.only:
        ways = {name: choose(WAYS, name, "search") for name in (*settings.searches, "random")}
        compare_sweeps(market_experiment(), ways, settings.market_seeds, settings.budget, report)
    if "races" in settings.only:
        compare_races(market_experiment(), report)


def compare_functions(seeds: int, report: Report) -> None:
    """Count evaluations until the target is met, ours and the peer's: the medians."""
    for problem in PROBLEMS:
        ours = [search_evaluations(cma_search(problem, s), problem, s) for s in range(seeds)]
        peers = {"bare pycma": [pycma_evaluations(problem, s) for s in range(seeds)]}
        if problem.genome.is_mixed:
            peers["bare Optuna, CMA with margin"] = [
                optuna_evaluations(problem, s, "cma") for s in range(seeds)
            ]
        for peer, found in peers.items():
            tell_medians(f"cma, {problem.name}", problem, ours, (peer, found), report)
    for problem in NEAR:
        found = [optuna_evaluations(problem, s, "tpe") for s in range(seeds)]
        ours = [search_evaluations(tpe_search(problem, s), problem, s) for s in range(seeds)]
        name = f"tpe, {POPULATION} at a time, {problem.name}"
        peer = "bare Optuna, TPE, one at a time"
        tell_medians(name, problem, ours, (peer, found), report)


def cma_search(problem: Problem, seed: int) -> Optimizer:
    """Set up this project's CMA-ES."""
    steps = {segment.name: STEP for segment in problem.genome.segments}
    return CmaSearch(problem.genome, POPULATION, steps, np.random.SeedSequence(seed))


def tpe_search(problem: Problem, seed: int) -> Optimizer:
    """Set up this project's use of Optuna."""
    return OptunaSearch(problem.genome, POPULATION, "tpe", np.random.SeedSequence(seed))


def search_evaluations(search: Optimizer, problem: Problem, seed: int) -> int:
    """Count the evaluations that a search needs."""
    rng, count = np.random.default_rng((seed, 1)), 0
    while count < problem.most:
        proposal = search.ask()
        costs = [problem.cost(values) for [values] in search.genomes(proposal)]
        for cost in costs:
            count += 1
            if cost <= problem.target:
                return count
        search.tell(proposal, np.array([[_shaken(cost, problem, rng)] for cost in costs]))
    return problem.most


def pycma_evaluations(problem: Problem, seed: int) -> int:
    """Count the evaluations that pycma needs by itself: its bounds, restarts and whole numbers."""
    import cma

    low, high, start, deviations, whole, read = _plain_space(problem.genome)
    rng, normals = np.random.default_rng((seed, 1)), np.random.default_rng((seed, 2))
    count, population = 0, POPULATION
    while count < problem.most:
        search = cma.CMAEvolutionStrategy(
            start,
            1.0,
            {
                "bounds": [low, high],
                "CMA_stds": deviations,
                "integer_variables": whole,
                "popsize": population,
                "randn": lambda *shape: normals.standard_normal(shape),
                "seed": np.nan,
                "verbose": -9,
            },
        )
        while not search.stop() and count < problem.most:
            rows = search.ask()
            costs = [problem.cost(read(row)) for row in rows]
            for cost in costs:
                count += 1
                if cost <= problem.target:
                    return count
            search.tell(rows, [_shaken(cost, problem, rng) for cost in costs])
        population *= 2
        start = normals.uniform(low, high)
    return problem.most


def optuna_evaluations(problem: Problem, seed: int, sampler: str) -> int:
    """Count the evaluations that Optuna needs by itself, one trial after the other.

    With the seed that `OptunaSearch` gives its sampler: what differs is that it is told later.
    """
    import optuna

    own = int(np.random.SeedSequence(seed).generate_state(1)[0])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng = np.random.default_rng((seed, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        chosen = (
            optuna.samplers.TPESampler(seed=own)
            if sampler == "tpe"
            else optuna.samplers.CmaEsSampler(
                seed=own, with_margin=True, popsize=POPULATION, warn_independent_sampling=False
            )
        )
    study = optuna.create_study(sampler=chosen)
    genes = [(s.name, gene) for s in problem.genome.segments for gene in s.genes]
    study.enqueue_trial({f"{s}.{gene.name}": gene.start for s, gene in genes})
    for count in range(1, problem.most + 1):
        trial = study.ask()
        values: Values = {segment.name: {} for segment in problem.genome.segments}
        for s, gene in genes:
            key = f"{s}.{gene.name}"
            if isinstance(gene, ChoiceGene):
                values[s][gene.name] = trial.suggest_categorical(key, gene.choices)
            elif isinstance(gene, IntegerGene):
                values[s][gene.name] = trial.suggest_int(key, gene.low, gene.high)
            else:
                values[s][gene.name] = trial.suggest_float(key, gene.low, gene.high)
        cost = problem.cost(values)
        if cost <= problem.target:
            return count
        study.tell(trial, _shaken(cost, problem, rng))
    return problem.most


def _plain_space(genome: Genome) -> Any:
    """Write a genome as pycma's users would: plain units, colours as whole numbers."""
    genes = [(s.name, gene) for s in genome.segments for gene in s.genes]
    low = [0.0 if isinstance(g, ChoiceGene) else float(g.low) for _, g in genes]
    high = [len(g.choices) - 1.0 if isinstance(g, ChoiceGene) else float(g.high) for _, g in genes]
    start = [
        float(g.choices.index(g.start)) if isinstance(g, ChoiceGene) else float(g.start)
        for _, g in genes
    ]
    whole = [i for i, (_, g) in enumerate(genes) if not isinstance(g, Gene)]

    def read(row: NDArray[np.float64]) -> Values:
        values: Values = {segment.name: {} for segment in genome.segments}
        for (s, gene), x in zip(genes, row, strict=True):
            number = float(x) if isinstance(gene, Gene) else round(float(x))
            values[s][gene.name] = (
                gene.choices[int(number)] if isinstance(gene, ChoiceGene) else number
            )
        return values

    deviations = STEP * (np.array(high) - np.array(low)) / 4.0
    return low, high, start, deviations, whole, read


def _shaken(cost: float, problem: Problem, rng: np.random.Generator) -> float:
    return cost * float(np.exp(problem.noise * rng.normal()))


def market_experiment() -> Experiment:
    """Build the quickstart's market, small; the style teachers will be its minds."""
    config = load_config(
        QUICKSTART,
        ["market.agents=100", "market.days=60", "search.population=16", "minds.recipe_blocks=0"],
    )
    return build_experiment(config)


def _evaluator(experiment: Experiment, **settings: Any) -> MarketEvaluator:
    train = experiment.splits.train
    bases = TeacherBases(experiment.market_genome.styles)
    target = experiment.target(train)
    genome = experiment.market_genome
    return MarketEvaluator(experiment.windows, train, target, genome, bases, **settings)


def compare_sweeps(
    experiment: Experiment,
    ways: Mapping[str, Sequence[str]],
    seeds: int,
    budget: int,
    report: Report,
) -> None:
    """Let the searches breed markets, and score what each ends at on fresh training windows."""
    evaluator, genome = _evaluator(experiment), experiment.market_genome
    ends: dict[str, list[float]] = {}
    tried = {"start": 0}
    for way, overrides in ways.items():
        began, search_config = time.perf_counter(), _search_config(overrides)
        scoring = replace(evaluator, cells=search_config.optimizer == "niches")
        for seed in range(seeds):
            search = make_search(
                search_config, genome.genome(), genome.slow_segments(), np.random.SeedSequence(seed)
            )
            done = generation = 0
            while done < budget:
                proposal = search.ask()
                genomes = search.genomes(proposal)
                found = scoring.evaluate(
                    generation, genomes, generation_seed(seed, generation), lambda d, t: None
                )
                scores = np.array([[e.score for e in row] for row in found])
                search.tell(proposal, scores, [[e.parts for e in row] for row in found])
                done, generation = done + scores.size, generation + 1
            ends.setdefault(way, []).append(_fresh_log_score(evaluator, search.best_guess(), seed))
        seconds = (time.perf_counter() - began) / seeds
        tried[way] = done
        report.say(f"{way}: {seeds} sweeps of {done} candidates, {seconds:.0f} s each")
    start = genome.genome().to_values(genome.genome().start_vector())
    ends["start"] = [_fresh_log_score(evaluator, start, seed) for seed in range(seeds)]
    for way, logs in ends.items():
        mean, low, high = np.exp(bootstrap_interval(np.array(logs)))
        figure = (
            f"J/J95 of what {way} ends at, {tried[way]} candidates, {seeds} sweeps, "
            f"95 % interval {low:.2f} to {high:.2f}"
        )
        report.figure(figure, mean, "1", "random", mean / np.exp(np.mean(ends["random"])))
    for way in (way for way in ways if way != "random"):
        gaps = np.array(ends[way]) - np.array(ends["random"])
        mean, low, high = np.exp(bootstrap_interval(gaps))
        figure = (
            f"J/J95 of {way} over that of random, same seeds, 95 % interval {low:.2f} to {high:.2f}"
        )
        report.figure(figure, mean, "1", "random", mean)


def compare_races(
    experiment: Experiment, report: Report, generations: int = 8, paths: int = 8
) -> None:
    """Race generations of chance candidates, and see whether the winner is the same."""
    genome = experiment.market_genome.genome()
    full = _evaluator(experiment)
    full = replace(full, target=replace(full.target, paths=paths))
    raced = replace(full, rungs=(2, 4))
    same, regrets = 0, []
    for generation in range(generations):
        rng = np.random.default_rng((3, generation))
        genomes = [[genome.to_values(genome.draw_vector(rng)) for _ in range(16)]]
        seed = generation_seed(3, generation)
        scores = [
            np.array([e.score for e in judge.evaluate(generation, genomes, seed, _ignore)[0]])
            for judge in (full, raced)
        ]
        winners = [int(s.argmin()) for s in scores]
        same += winners[0] == winners[1]
        regrets.append(np.log(scores[0][winners[1]] / scores[0][winners[0]]))
    total = generations * 16 * paths
    name = f"racing, {generations} generations of 16 candidates on {paths} paths, rungs 2 and 4"
    for what, count, of in (
        ("markets played", total - raced.saved, total),
        ("same winner", same, generations),
    ):
        report.figure(f"{name}: {what}", count, "1", "no race", count / of)
    lost = float(np.exp(np.mean(regrets)))
    report.figure(f"{name}: J/J95 of the winner over the true winner's", lost, "1", "no race", lost)


def _search_config(overrides: Sequence[str]) -> Any:
    return load_config(QUICKSTART, ["search.population=16", *overrides]).search


def _fresh_log_score(evaluator: MarketEvaluator, values: Values, seed: int) -> float:
    """Score values on eight fresh groups of paths: the mean of the log."""
    found = [
        evaluator.evaluate(0, [[values]], np.random.SeedSequence((99, seed, group)), _ignore)
        for group in range(8)
    ]
    return float(np.mean([np.log(evaluation.score) for [[evaluation]] in found]))


def _ignore(done: int, total: int) -> None:
    """Show no progress."""


def tell_medians(
    name: str,
    problem: Problem,
    ours: Sequence[int],
    peers: tuple[str, Sequence[int]],
    report: Report,
) -> None:
    """Tell the median of our evaluations against the named peer's."""
    peer, theirs = peers
    missed = [sum(n >= problem.most for n in found) for found in (ours, theirs)]
    figure = (
        f"{name}: median evaluations to {problem.target:g}, {len(ours)} seeds"
        f" (not found within {problem.most}: {missed[0]}, peer {missed[1]})"
    )
    median = float(np.median(ours))
    report.figure(figure, median, "1", peer, median / float(np.median(theirs)))
