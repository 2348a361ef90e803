"""`make bench-tracking`: what MLflow and ten thousand candidates cost a sweep's driver.

Knows how to time a driver that has nothing to evaluate, with tracking and without, and what one
candidate of the quickstart takes. Deliberately fails no build: a benchmark is no test.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from agents.order_generator import fit_offsets
from agents.stand_ins import TeacherMinds
from agents.styles import STYLES
from evolve.evaluation import path_seeds
from evolve.genome import Genome, Values
from evolve.loop import Evaluation, evolve, generation_seed
from evolve.market_genome import MarketGenome, PersonaStart
from evolve.search import CrossSearch
from evolve.stage import Stage, World, play
from evolve.tracking import MlflowTracker, View
from experiments.config import ExperimentConfig, load_config
from fitness.moments import MOMENT_NAMES
from market.rules import MarketRules
from market.series import load_series

QUICKSTART = Path(__file__).with_name("quickstart.yaml")
FEW, MANY = 100, 10_000
SLOW, FAST = 4, 5
EVALUATED = 6
ALLOWED_SHARE, ALLOWED_GROWTH, ALLOWED_BYTES = 0.02, 1.3, 1e9


def main() -> None:
    """Run sweeps of 100 and 10,000 candidates, each in a process of its own; print the figures."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else MANY
    runs = {}
    with TemporaryDirectory() as root:
        for count in (FEW, many):
            for tracked in (False, True):
                where = f"{root}/{count}-{tracked}"
                command = [sys.executable, "-m", __spec__.name, where, str(count), str(tracked)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                runs[count, tracked] = json.loads(done.stdout)
                print(f"{count:,} candidates, tracking {tracked}: {done.stdout.strip()}")
    evaluation = evaluation_seconds(load_config(QUICKSTART))
    off, on = runs[many, False], runs[many, True]
    added = on["driver_s"] - off["driver_s"]
    growth = off["driver_s"] / runs[FEW, False]["driver_s"]
    figure("CPU of a quickstart candidate's markets", evaluation, "s", None, None)
    figure("CPU that tracking adds to the driver", added, "s", "that candidate", added / evaluation)
    logger = on["logger_s"]
    figure("CPU of the logging process", logger, "s", "that candidate", logger / evaluation)
    first = f"a sweep of {FEW}"
    figure(f"driver, of {many:,} candidates", off["driver_s"], "s", first, growth)
    figure("driver's peak memory", on["peak_bytes"], "B", "1 GB", on["peak_bytes"] / ALLOWED_BYTES)
    kept = added / evaluation <= ALLOWED_SHARE and growth <= ALLOWED_GROWTH
    kept = kept and on["peak_bytes"] < ALLOWED_BYTES
    print(
        f"per candidate; wanted: tracking adds at most {ALLOWED_SHARE:.0%} of a candidate, "
        f"{many:,} candidates cost at most {ALLOWED_GROWTH} times those of {FEW} each, under 1 GB: "
        f"{'kept' if kept else 'NOT kept'}"
    )


def figure(name: str, value: float, unit: str, peer: str | None, ratio: float | None) -> None:
    """Print one JSON line."""
    line = {"bench": "tracking", "figure": name, "value": value, "unit": unit}
    print(json.dumps({**line, "peer": peer, "ratio": ratio}))


def sweep(folder: Path, count: int, tracked: bool) -> dict[str, float]:
    """Sweep the quickstart's genome with an evaluator that costs nothing; seconds a candidate."""
    genome = market_genome(load_config(QUICKSTART)).genome()
    search = CrossSearch(
        genome, ("recipe", "minds"), ("society",), SLOW, FAST, 0.6, 0.5, np.random.SeedSequence(1)
    )
    search.ask()  # imports
    tracker = MlflowTracker(View.of(folder)) if tracked else None
    folder.mkdir(parents=True, exist_ok=True)
    began = time.process_time()
    evolve(folder, genome, search, _Distance(genome), count // (SLOW * FAST), 1)
    driver_s = time.process_time() - began
    if tracker is not None and (trouble := tracker.close(timeout_s=3600)):
        raise SystemExit(trouble)
    logger = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "driver_s": driver_s / count,
        "logger_s": (logger.ru_utime + logger.ru_stime) / count,
        "peak_bytes": 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def market_genome(config: ExperimentConfig) -> MarketGenome:
    """Set up the config's genome with the shipped styles and two sources."""
    return MarketGenome(
        tuple(PersonaStart(p.name, p.profile, p.style) for p in config.personas),
        STYLES,
        config.minds.blocks,
        config.minds.base,
        ("one", "two"),
        config.minds.recipe_blocks,
        config.minds.attention,
    )


def evaluation_seconds(config: ExperimentConfig) -> float:
    """Measure the CPU seconds of one candidate's markets, its minds' answers being known."""
    series, market = load_series(config.series), config.market
    rules = MarketRules(price_limit=market.price_limit, fee_bps=market.fee_bps)
    offsets = fit_offsets(series.high, series.low, series.close)
    world = World(offsets, rules, market.agents, market.days)
    splits = config.splits.cut(series, market.days)
    stage, genome = Stage(series, world), market_genome(config)
    seeds = path_seeds(generation_seed(1, 0), market.paths)
    start = genome.genome().to_values(genome.genome().start_vector())
    minds = TeacherMinds(STYLES)

    def evaluate() -> float:
        parts = [(genome.population(start), stage.history(splits.train, s), s) for s in seeds]
        began = time.process_time()
        play(world, parts, minds)
        return time.process_time() - began

    evaluate()  # compiles
    return float(np.median([evaluate() for _ in range(EVALUATED)]))


class _Distance:
    """Scores by the distance to a point, and says as much about a candidate as the market does."""

    def __init__(self, genome: Genome) -> None:
        self._genome = genome

    def evaluate(
        self,
        generation: int,
        genomes: list[list[Values]],
        seed: np.random.SeedSequence,
        on_progress: Callable[[int, int], None],
    ) -> list[list[Evaluation]]:
        """Score candidates [S][F]."""
        rng, seeds = np.random.default_rng(seed), path_seeds(seed, 4)
        return [[self._score(values, rng, seeds) for values in row] for row in genomes]

    def _score(
        self, values: Values, rng: np.random.Generator, seeds: tuple[int, ...]
    ) -> Evaluation:
        distance = float(np.sum((self._genome.to_vector(values) - 0.8) ** 2))
        score = distance * math.exp(0.01 * rng.normal())
        parts = dict(zip(("j", *MOMENT_NAMES), rng.normal(size=8).tolist(), strict=True))
        return Evaluation(score, parts, dict(values["recipe"]), seeds, None)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(sweep(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True")))
    else:
        main()
