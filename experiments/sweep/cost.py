"""What a sweep will cost, before it starts: counted from its config, priced at measured rates.

What costs neither models nor markets nor fits is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds, minds_of
from evobourse.agents.observation import possible_views
from evobourse.agents.personas.persona import Population
from evobourse.agents.styles import STYLES
from evobourse.agents.training.rewards import RewardRules
from evobourse.evolve.evaluation import path_seeds
from evobourse.evolve.executors.executor import collect
from evobourse.evolve.genomes.market import MarketGenome
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.loop import generation_seed
from evobourse.evolve.markets import play
from evobourse.evolve.memetic.settings import LESSON_CANDIDATES, MemeticConfig
from evobourse.evolve.memetic.teacher import gather
from evobourse.evolve.searches.search import Optimizer
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.planner.rates import Rates, find_rates, recall_rates, remember_rates
from evobourse.experiments.sweep.judging import Judge
from evobourse.experiments.sweep.searches import make_search
from evobourse.experiments.sweep.setup import Experiment, build_experiment

PROBE_CANDIDATES = 3
MLFLOW_FACTOR = 6.0
"""Bytes in MLflow's database for one in the lineage (measured, docs/decisions/044)."""

MEAN_IS_BEST = 3
"""CMA-ES selects half of its proposals: of so many, one, which becomes the mean."""

_BASELINE_CASTS = 3  # unevolved, random tendencies, rule-based
_SHIPPED_BYTES = 2_000_000  # report, pictures, tape and tables of a bundle


@dataclass(frozen=True)
class Work:
    """A part of a sweep.

    Attributes
    ----------
    candidates, markets : int
    casts : int
        Populations whose minds are asked for the first time, each after a merge; at most, since
        answers are remembered.
    probes : int
        Populations asked as well, on the base that is there.
    lesson_markets : int
        Of the markets, those whose decisions are recorded and rewarded.
    baselines : int
        Times that the laws without agents are fitted and played.
    """

    candidates: int = 0
    markets: int = 0
    casts: int = 0
    probes: int = 0
    lesson_markets: int = 0
    baselines: int = 0

    def __add__(self, other: Work) -> Work:
        """Add up."""
        return Work(
            self.candidates + other.candidates,
            self.markets + other.markets,
            self.casts + other.casts,
            self.probes + other.probes,
            self.lesson_markets + other.lesson_markets,
            self.baselines + other.baselines,
        )


@dataclass(frozen=True)
class Pace:
    """What a config's work takes in seconds.

    Attributes
    ----------
    merge_s, ask_s
        Of a recipe carried out, and of all questions of a population.
    market_s, lesson_market_s
        Of a market, and of one whose decisions are rewarded.
    baselines_s
        Of fitting and playing the laws without agents.
    load_s
        Of opening the models.
    """

    merge_s: float
    ask_s: float
    market_s: float
    load_s: float = 0.0
    lesson_market_s: float = 0.0
    baselines_s: float = 0.0

    @classmethod
    def of(cls, rates: Rates, config: ExperimentConfig) -> Pace:
        """Price a config's units of work at a machine's rates."""
        market, merged = config.market, config.minds.recipe_blocks > 0
        return cls(
            rates.merge_s if merged else 0.0,
            rates.answer_s * count_answers(config),
            rates.decision_s * market.agents * market.days,
            rates.load_s,
            rates.lesson_decision_s * market.agents * market.days,
            rates.baseline_day_s * market.paths * market.days,
        )

    def rates(self, config: ExperimentConfig) -> Rates:
        """Undo `of`."""
        decisions = config.market.agents * config.market.days
        return Rates(
            self.ask_s / count_answers(config),
            self.merge_s,
            self.market_s / decisions,
            self.lesson_market_s / decisions,
            self.baselines_s / (config.market.paths * config.market.days),
            self.load_s,
            "",
        )

    def seconds(self, work: Work) -> float:
        """Price a part of a sweep."""
        merged, asked = work.casts * self.merge_s, (work.casts + work.probes) * self.ask_s
        return merged + asked + self.trade_s(work) + work.baselines * self.baselines_s

    def trade_s(self, work: Work) -> float:
        """Price its markets alone."""
        usual = (work.markets - work.lesson_markets) * self.market_s
        return usual + work.lesson_markets * self.lesson_market_s


def count_answers(config: ExperimentConfig) -> int:
    """Count the questions of one population's minds."""
    return len(possible_views(config.minds.attention)) * len(config.personas)


def plan_search(config: ExperimentConfig, search: Optimizer) -> list[Work]:
    """Count each generation's work, that of what the search ends at last.

    In the cross, a slow turn asks the minds of each slow proposal; then the mean has moved, and
    is asked anew in the next generation that keeps it, unless it is the best proposal itself. In
    the other searches every candidate has minds of its own. Races may stop some of them early.
    """
    paths, settings = config.candidate_markets, config.search.cross
    cross = config.search.optimizer == "cross"
    plan, mean_is_known = [], False
    for generation in range(config.search.generations + 1):
        if generation == config.search.generations:
            rows, candidates, slow = 1, 1, False
        else:
            candidates = search.planned_candidates(generation)
            slow = settings.slow_count > 1 and (generation + 1) % settings.slow_every == 0
            rows = settings.slow_count if slow else 1
        casts = candidates if not cross else rows if slow or not mean_is_known else 0
        plan.append(Work(candidates, candidates * paths, casts))
        mean_is_known = not slow or settings.slow_count <= MEAN_IS_BEST
    return plan


def plan_lessons(config: ExperimentConfig, coefficients: int) -> list[Work]:
    """Count the work of each generation's lesson, whose minds have so many coefficients.

    A step asks each persona's mind and those with one coefficient moved; what the last step leads
    to is asked as a candidate. The pupil is known. Wherever somebody may have a score by then a
    lesson is counted.
    """
    lessons, work = config.search.memetic, Work()
    plan = [work] * (config.search.generations + 1)
    if lessons is None:
        return plan
    markets = lessons.paths + LESSON_CANDIDATES * config.candidate_markets
    probes = max(lessons.steps * (1 + coefficients) - 2, 0)
    work = Work(LESSON_CANDIDATES, markets, 2, probes, lessons.paths)
    for generation in range(lessons.every, config.search.generations, lessons.every):
        plan[generation] = work
    return plan


def plan_judging(config: ExperimentConfig) -> tuple[Work, Work]:
    """Count the work of choosing the champion and of the scoreboard with its bundle."""
    selection, paths = config.selection, config.candidate_markets
    finalists = selection.champions
    choosing = Work(0, finalists * 2 * selection.validation_groups * paths, finalists)
    rows = 3 + _BASELINE_CASTS  # the champion on three splits
    return choosing, Work(
        0, rows * selection.heldout_groups * paths + 1, 2, baselines=len(config.series)
    )


def measure_rates(
    experiment: Experiment,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Measure what this machine does, and remember it for all who predict.

    Loads the models, merges once, asks two minds everything, plays a few candidates' markets, and
    fits the laws without agents.
    """
    config, genome = experiment.config, experiment.market_genome
    began = clock()
    say(f"loading {config.minds.base} to time it")
    bases = experiment.open_bases()
    load_s = clock() - began

    values = genome.genome().to_values(genome.genome().start_vector())
    population, recipe = genome.population(values), genome.recipe(values)
    say(f"timing one merge, two minds' questions and {PROBE_CANDIDATES} candidates' markets")
    began = clock()
    minds = bases.serve(recipe)
    merged_s = clock() - began
    views = possible_views(population.society.attention)
    asked_s = []
    for persona in (population.personas * 2)[:2]:
        began = clock()
        minds_of(minds, persona).answer(persona.mind, views)
        asked_s.append(clock() - began)
    # The layers below the adapters run once for all minds of a base, within the first one's time.
    ask_s = asked_s[0] + (len(population.personas) - 1) * asked_s[-1]
    if experiment.asks_workers:
        merged_s, ask_s = (s / experiment.executor.workers for s in (merged_s, ask_s))

    seeds = path_seeds(generation_seed(config.seed, 0), config.market.paths)
    histories = {seed: experiment.windows.history(experiment.splits.train, seed) for seed in seeds}

    def play_some(populations: list[Population]) -> float:
        began = clock()
        parts = [(p, histories[s], s) for p in populations for s in seeds]
        play(experiment.windows.world, parts, minds, experiment.executor)
        return (clock() - began) / len(parts)

    play_some([population])  # compiles, starts the workers, and asks the other minds
    market_s = play_some([genome.population(values) for _ in range(PROBE_CANDIDATES)])
    lesson_market_s = _time_lesson(experiment, population, minds)
    began = clock()
    say("timing the laws without agents")
    judge = Judge(experiment, experiment.splits.train, config.selection.heldout_groups)
    for name, sample in judge.baselines():
        judge.score(sample(judge.stream(name)))
    baselines_s = clock() - began
    measured = Pace(merged_s, ask_s, market_s, load_s, lesson_market_s, baselines_s)
    remember_rates(config, measured.rates(config))


def _time_lesson(experiment: Experiment, population: Population, minds: Minds) -> float:
    """Play a step's markets of a lesson; return the seconds of one."""
    config, windows = experiment.config, experiment.windows
    lessons = config.search.memetic or MemeticConfig()
    [choices] = tabulate_choices([population], minds)
    rules = RewardRules(lessons.discount, lessons.risk_aversion)
    parts = [
        (population, windows.history(experiment.splits.train, seed), seed)
        for seed in path_seeds(generation_seed(config.seed, 0), lessons.markets)
    ]
    began = time.perf_counter()
    submit = experiment.executor.submit
    collect(submit(gather, windows.world, part, choices, rules) for part in parts)
    return (time.perf_counter() - began) / len(parts)


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep will do, and how long each unit of it takes.

    Attributes
    ----------
    searching, teaching
        Work of each generation that will run, without and with its lesson's; of the first, what
        the search ends at comes last.
    choosing, judging
        Of choosing the champion, and of the scoreboard with its bundle.
    pace
        Seconds of each unit.
    ends
        Why the search will end, in words.
    """

    searching: tuple[Work, ...]
    teaching: tuple[Work, ...]
    choosing: Work
    judging: Work
    pace: Pace
    ends: str

    @property
    def parts(self) -> dict[str, Work]:
        """Name the parts of the sweep."""
        search, lessons = (sum(some, Work()) for some in (self.searching, self.teaching))
        taught = {"lessons": lessons} if lessons.markets else {}
        return {"search": search, **taught, "choosing": self.choosing, "judging": self.judging}

    @property
    def total(self) -> Work:
        """All of the work."""
        return sum(self.parts.values(), Work())

    @property
    def seconds(self) -> float:
        """Price all of it, loading included."""
        return self.pace.seconds(self.total) + self.pace.load_s


def plan_sweep(experiment: Experiment, search: Optimizer, rates: Rates) -> SweepPlan:
    """Count what a sweep will do, within its budget at a machine's rates."""
    config, genome = experiment.config, experiment.market_genome
    searching = plan_search(config, search)
    teaching = plan_lessons(config, genome.blocks * len(genome.styles))
    pace = Pace.of(rates, config)
    kept, ends = _within_budget(config, searching, teaching, pace)
    choosing, judging = plan_judging(config)
    if set(genome.styles) - set(STYLES):  # no rule-based row, see the scoreboard
        judging += Work(0, -config.selection.heldout_groups * config.candidate_markets, 0)
    searched = (*searching[:kept], searching[-1])
    return SweepPlan(searched, tuple(teaching[:kept]), choosing, judging, pace, ends)


def plan_config(config: ExperimentConfig, rates: Rates) -> SweepPlan:
    """Count what a config's sweep will do, see `plan_sweep`."""
    return _plan(build_experiment(config), rates)


def _plan(experiment: Experiment, rates: Rates) -> SweepPlan:
    genome, seed = experiment.market_genome, experiment.search_seed()
    how, slow = experiment.config.search, genome.slow_segments()
    return plan_sweep(experiment, make_search(how, genome.genome(), slow, seed), rates)


def estimate(config: ExperimentConfig, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Count and time a sweep.

    Parameters
    ----------
    config
        Of the sweep.
    say
        Prints a line; where given, what nobody has measured on this machine is measured first.

    Returns
    -------
    dict
        Plain JSON: ``parts`` by name and ``total``, each with candidates, markets,
        simulated_days, decisions, forward_passes (at most) and seconds; ``disk_bytes``;
        ``generations`` that will run and ``ends``, the reason in words; ``rates`` of the machine
        and their source; with memetic steps ``lessons``: how many (``count``), ``steps`` and
        ``markets`` in all of them.
    """
    experiment = build_experiment(config)
    if say is not None and recall_rates(config) is None:
        measure_rates(experiment, say)
    rates = find_rates(config)
    plan = _plan(experiment, rates)
    pace, parts, memetic = plan.pace, plan.parts, config.search.memetic
    views = count_answers(config)
    market = config.market

    def tell(work: Work) -> dict[str, float]:
        days = work.markets * market.days
        return {
            "candidates": work.candidates,
            "markets": work.markets,
            "simulated_days": days,
            "decisions": days * market.agents,
            "forward_passes": (work.casts + work.probes) * views,
            "seconds": round(pace.seconds(work), 1),
        }

    total = plan.total
    told = {name: tell(work) for name, work in parts.items()}
    copied = sum(_bytes(folder) for folder in (*experiment.adapters, *experiment.sources))
    disk = total.candidates * _line_bytes(experiment.market_genome) * (1 + MLFLOW_FACTOR)
    whole = tell(total) | {"seconds": round(plan.seconds, 1)}
    cost = {
        "parts": told,
        "total": whole,
        "disk_bytes": round(disk + copied + _SHIPPED_BYTES),
        "generations": len(plan.searching) - 1,
        "ends": plan.ends,
        "workers": experiment.executor.workers,
        "rates": asdict(rates),
    }
    if memetic is not None and "lessons" in parts:
        count = sum(work.lesson_markets > 0 for work in plan.teaching)
        steps, markets = count * memetic.steps, parts["lessons"].lesson_markets
        cost["lessons"] = {"count": count, "steps": steps, "markets": markets}
    return cost


def _line_bytes(genome: MarketGenome) -> int:
    """Count the bytes of a candidate's line in the lineage."""
    values = genome.genome().to_values(genome.genome().start_vector())
    recipe = genome.recipe(values)
    written = recipe.to_dict() if recipe else None
    return len(Candidate("g000-s00-f00", 0, (), values, written, (0,), 1.0, {}, None).to_json())


def _within_budget(
    config: ExperimentConfig, searching: list[Work], teaching: list[Work], pace: Pace
) -> tuple[int, str]:
    """Count the generations before a budget ends a plan, and say why it ends there."""
    budget, market, generations = config.budget, config.market, config.search.generations
    decisions, seconds = 0, 0.0
    for generation in range(generations):
        work = searching[generation] + teaching[generation]
        decisions += work.markets * market.days * market.agents
        seconds += pace.seconds(work)
        by = None
        if budget.max_decisions is not None and decisions > budget.max_decisions:
            by = "by the decision budget"
        elif budget.max_minutes is not None and seconds > 60 * budget.max_minutes:
            by = "by the time budget, about"
        if by is not None:
            return generation, f"{by} after {generation} of {generations}"
    words = f"after all {generations}, or before when nothing more can be learned"
    return generations, words


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
