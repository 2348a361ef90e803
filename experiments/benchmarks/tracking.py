"""What MLflow and ten thousand candidates cost a sweep's driver."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from evobourse.agents.crowds.offsets import fit_offsets
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.styles import FIRST_STYLES
from evobourse.evolve.errors import RunError
from evobourse.evolve.evaluation import path_seeds
from evobourse.evolve.genomes.genome import Genome, Values
from evobourse.evolve.genomes.market import MarketGenome, PersonaStart
from evobourse.evolve.loop import Evaluation, evolve, generation_seed
from evobourse.evolve.markets import MarketWindows, World, play
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.searches.cross import CrossSearch
from evobourse.evolve.tracking.follower import MlflowTracker, View
from evobourse.experiments.benchmarks.own_process import process_command
from evobourse.experiments.benchmarks.run import Benchmark
from evobourse.experiments.config.experiment import ExperimentConfig, load_config
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.sweep.searches import make_search
from evobourse.fitness.moments import MOMENT_NAMES
from evobourse.market.rules import MarketRules
from evobourse.market.series.named import load_series

BENCHMARK = Benchmark(
    measures="what MLflow and ten thousand candidates cost a sweep's driver",
    minutes=15,
)

QUICKSTART = Path(__file__).parents[1] / "quickstart.yaml"
FEW = 100
SLOW, FAST = 4, 5
SHORT_SWEEPS = 5
EVALUATED = 6
ALLOWED_SHARE, ALLOWED_GROWTH, ALLOWED_BYTES = 0.02, 1.3, 1e9


@dataclass(frozen=True)
class Settings:
    """What is run.

    Attributes
    ----------
    candidates
        Of a long sweep; a short one has `FEW`.
    """

    candidates: int = 10_000


def run(settings: Settings, report: Report) -> None:
    """Run sweeps of few candidates and of many, each in a process of its own."""
    many = settings.candidates
    if many <= FEW:
        raise ConfigError(f"benchmark tracking: candidates is {many}, expected over {FEW}")
    runs = {}
    with TemporaryDirectory() as root:
        for count in (FEW, many):
            for tracked in (False, True):
                where = f"{root}/{count}-{tracked}"
                command = process_command(print_sweep, folder=where, count=count, tracked=tracked)
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                runs[count, tracked] = json.loads(done.stdout)
                report.say(f"{count:,} candidates, tracking {tracked}: {done.stdout.strip()}")
    config = load_config(QUICKSTART)
    evaluation, planned = evaluation_seconds(config), planned_candidates(config)
    few, off, on = runs[FEW, False], runs[many, False], runs[many, True]
    added = on["driver_s"] - off["driver_s"]
    short, long = runs[FEW, True]["logger_s"], on["logger_s"]
    marginal = (many * long - FEW * short) / (many - FEW)
    once = FEW * (short - marginal)
    shares = {
        "CPU that tracking adds to the driver": added / evaluation,
        "CPU of the logging process, a further candidate": marginal / evaluation,
        "CPU of the logging process, a quickstart's, start included": (
            (marginal + once / planned) / evaluation
        ),
    }
    growths = {
        f"driver, of {many:,} candidates": off["driver_s"],
        f"driver, of the last tenth of {many:,}": off["last_s"],
        f"driver and cheap market, of {many:,} candidates": off["whole_s"],
    }
    report.figure("CPU of a quickstart candidate's markets", evaluation, "s")
    report.figure("CPU of the logging process before its first candidate", once, "s")
    for name, share in shares.items():
        report.figure(name, share * evaluation, "s", "that candidate", share)
    peers = (few["driver_s"], few["driver_s"], few["whole_s"])
    for (name, seconds), peer in zip(growths.items(), peers, strict=True):
        report.figure(name, seconds, "s", f"sweeps of {FEW}", seconds / peer)
    peak = on["peak_bytes"]
    report.figure("driver's peak memory", peak, "B", "1 GB", peak / ALLOWED_BYTES)
    more = (on["peak_bytes"] - runs[FEW, True]["peak_bytes"]) / (many - FEW)
    report.figure("memory of a further candidate", more, "B")
    grown = max(s / p for s, p in zip(growths.values(), peers, strict=True))
    kept = max(shares.values()) <= ALLOWED_SHARE and grown <= ALLOWED_GROWTH
    kept = kept and peak < ALLOWED_BYTES
    report.say(
        f"per candidate; wanted: tracking adds at most {ALLOWED_SHARE:.0%} of a candidate, "
        f"{many:,} candidates cost at most {ALLOWED_GROWTH} times those of {FEW} each, under 1 GB: "
        f"{'kept' if kept else 'NOT kept'}"
    )


def print_sweep(folder: str, count: int, tracked: bool) -> None:
    """Sweep in this process, and print what it took."""
    print(json.dumps(sweep(Path(folder), count, tracked)))


def sweep(folder: Path, count: int, tracked: bool) -> dict[str, float]:
    """Sweep the quickstart's genome with an evaluator that costs little; seconds a candidate.

    Short sweeps are repeated, since one lasts a twentieth of a second. ``driver_s`` leaves out
    the evaluator, ``last_s`` counts the last tenth alone, ``whole_s`` counts everything.
    """
    genome = market_genome(load_config(QUICKSTART)).genome()
    tracker = MlflowTracker(View.of(RunFolder(folder))) if tracked else None
    found = []
    for i in range(SHORT_SWEEPS if count == FEW and not tracked else 1):
        search = CrossSearch(
            genome,
            ("recipe", "minds"),
            ("society",),
            SLOW,
            FAST,
            0.6,
            0.5,
            np.random.SeedSequence(1),
        )
        search.ask()  # imports
        where, market = RunFolder(folder / str(i) if i else folder), _Distance(genome)
        where.path.mkdir(parents=True, exist_ok=True)
        clock = _Clock(market)
        evolve(where, genome, search, market, count // (SLOW * FAST), 1, (clock,))
        whole_s, market_s = np.diff(clock.readings, axis=0).T
        tenth = max(1, len(whole_s) // 10)
        own = whole_s - market_s
        found.append(
            (own.sum() / count, own[-tenth:].mean() / (SLOW * FAST), whole_s.sum() / count)
        )
    if tracker is not None and (trouble := tracker.close(timeout_s=3600)):
        raise RunError(trouble)
    logger = resource.getrusage(resource.RUSAGE_CHILDREN)
    names = ("driver_s", "last_s", "whole_s")
    return {
        **dict(zip(names, np.median(found, axis=0).tolist(), strict=True)),
        "logger_s": (logger.ru_utime + logger.ru_stime) / count,
        "peak_bytes": 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def planned_candidates(config: ExperimentConfig) -> int:
    """Count the candidates of a config's sweep."""
    genome = market_genome(config)
    search = make_search(
        config.search, genome.genome(), genome.slow_segments(), np.random.SeedSequence(1)
    )
    return sum(search.planned_candidates(g) for g in range(config.search.generations))


def market_genome(config: ExperimentConfig) -> MarketGenome:
    """Set up the config's genome with the shipped styles and two sources."""
    return MarketGenome(
        tuple(PersonaStart(p.name, p.profile, p.style) for p in config.personas),
        FIRST_STYLES,
        config.minds.blocks,
        config.minds.base,
        ("one", "two"),
        config.minds.recipe_blocks,
        config.minds.attention,
    )


def evaluation_seconds(config: ExperimentConfig) -> float:
    """Measure the CPU seconds of one candidate's markets, its minds' answers being known."""
    series, market = load_series(config.series[0]), config.market
    rules = MarketRules(price_limit=market.price_limit, fee_bps=market.fee_bps)
    offsets = fit_offsets(series.high, series.low, series.close)
    world = World(offsets, rules, market.agents, market.days)
    splits = config.splits.cut(series, market.days)
    windows, genome = MarketWindows(series, world), market_genome(config)
    seeds = path_seeds(generation_seed(1, 0), market.paths)
    start = genome.genome().to_values(genome.genome().start_vector())
    minds = TeacherMinds(FIRST_STYLES)

    def evaluate() -> float:
        parts = [(genome.population(start), windows.history(splits.train, s), s) for s in seeds]
        began = time.process_time()
        play(world, parts, minds)
        return time.process_time() - began

    evaluate()  # compiles
    return float(np.median([evaluate() for _ in range(EVALUATED)]))


class _Clock:
    """Reads this process's CPU seconds, and its evaluator's, at first and after each generation."""

    def __init__(self, market: _Distance) -> None:
        self._market = market
        self.readings = [(time.process_time(), market.used_s)]

    def on_progress(self, generation: int, done: int, total: int, best: float | None) -> None:
        """Hear nothing of it."""

    def on_generation(self, generation: int, candidates: object, search: object) -> None:
        """Take a reading."""
        self.readings.append((time.process_time(), self._market.used_s))


class _Distance:
    """Scores by the distance to a point, and says as much about a candidate as the market does."""

    def __init__(self, genome: Genome) -> None:
        self._genome = genome
        self.used_s = 0.0

    def evaluate(
        self,
        generation: int,
        genomes: list[list[Values]],
        seed: np.random.SeedSequence,
        on_progress: Callable[[int, int], None],
    ) -> list[list[Evaluation]]:
        """Score candidates [S][F]."""
        began = time.process_time()
        rng, seeds = np.random.default_rng(seed), path_seeds(seed, 4)
        scored = [[self._score(values, rng, seeds) for values in row] for row in genomes]
        self.used_s += time.process_time() - began
        return scored

    def _score(
        self, values: Values, rng: np.random.Generator, seeds: tuple[int, ...]
    ) -> Evaluation:
        distance = float(np.sum((self._genome.to_vector(values) - 0.8) ** 2))
        score = distance * math.exp(0.01 * rng.normal())
        named = ("j", *MOMENT_NAMES)
        parts = dict(zip(named, rng.normal(size=len(named)).tolist(), strict=True))
        return Evaluation(score, parts, dict(values["recipe"]), seeds, None)
