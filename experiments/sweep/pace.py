"""What a unit of a sweep's work takes on this machine, measured once and remembered."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds, minds_of
from evobourse.agents.observation import possible_views
from evobourse.agents.personas.persona import Population
from evobourse.agents.training.rewards import RewardRules
from evobourse.evolve.evaluation import path_seeds
from evobourse.evolve.executors.executor import collect
from evobourse.evolve.loop import generation_seed
from evobourse.evolve.markets import play
from evobourse.evolve.memetic.settings import MemeticConfig
from evobourse.evolve.memetic.teacher import gather
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.planner.rates import Rates, remember_rates
from evobourse.experiments.sweep.judging import Judge
from evobourse.experiments.sweep.setup import Experiment

PROBE_CANDIDATES = 3


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
    for name, sample in judge.baselines().items():
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
