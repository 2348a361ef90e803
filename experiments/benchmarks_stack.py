"""`make bench-stack`: evolved layer stacks against the best of their single sources, on the market.

Knows the arms, their equal budgets and when the held-out windows are read: once, at the end.
Deliberately fails no build: a benchmark is no test.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evolve.bases import Bases, MergedBases
from evolve.evaluation import MarketEvaluator
from evolve.lineage import Candidate
from evolve.loop import generation_seed
from evolve.optimizer import candidate_id
from experiments.config import ExperimentConfig, load_config
from experiments.optimizers import make_search
from experiments.scoreboard import Finalist, Judge, Returns, rank_finalists
from experiments.workshop import Workshop, build_workshop
from merge.stack import LayerStack
from merge.stack_recipe import AnyRecipe, StackRecipe

STACK = "stack"
# The stack is the mind: no adapters, one mind for all, who differ in temperature and in what they
# see. Each sees one sign at most: 23 questions a stack.
SETTINGS = (
    "personas=[{name: first}, {name: second}, {name: third}, {name: fourth}]",
    "minds.styles=[]",
    "minds.recipe_blocks=0",
    "minds.stack={window: [16, 30], repeats: 2}",
    "minds.attention=1",
    "market.agents=200",
    "search.optimizer=cma",
    "search.step_sizes={recipe: 0.8, society: 0.5}",
    "search.champions=6",
    "search.validation_groups=2",
    "workers=1",
)


@dataclass(frozen=True)
class WholeSource:
    """Bases that serve one source as it is to whoever asks for no recipe."""

    bases: MergedBases
    base: str
    name: str
    depth: int

    @property
    def base_hash(self) -> str:
        """Name the base's weights."""
        return self.bases.base_hash

    def serve(self, recipe: AnyRecipe | None) -> Any:
        """Serve the source."""
        layers = [(self.name, number) for number in range(self.depth)]
        return self.bases.serve(StackRecipe(self.base, LayerStack.along(layers, lambda at: 1.0)))


@dataclass(frozen=True)
class Arm:
    """What evolves, on which models: a workshop whose genome holds the stack or not."""

    name: str
    workshop: Workshop
    bases: Bases


def main() -> None:
    """Print one JSON line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="sweeps of each arm")
    parser.add_argument("--generations", type=int, default=10, help="of each sweep")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    options = parser.parse_args()
    config = load_config(
        Path(__file__).with_name("quickstart.yaml"),
        [*SETTINGS, f"search.generations={options.generations}", *options.overrides],
    )
    bases = build_workshop(config).open_bases()
    gaps: dict[str, list[Returns]] = {}
    for seed in range(1, options.seeds + 1):
        for name, gap in compare_arms(replace(config, seed=seed), bases).items():
            gaps.setdefault(name, []).append(gap)
    budget = f"{options.generations} generations of {config.search.population}"
    for name, found in gaps.items():
        low, high = interval(np.stack(found))
        figure = (
            f"held-out J/J95 of the evolved stack over that of {name}, {budget} each, "
            f"{options.seeds} sweeps, 95 % interval {low:.2f} to {high:.2f}"
        )
        _print(figure, float(np.exp(np.mean(found))), name, 1.0)


def compare_arms(config: ExperimentConfig, bases: Any) -> dict[str, Returns]:
    """Run all arms with a seed; log J/J95 of the stack less each source's, by held-out group.

    A group of paths has the same seeds and windows in every arm. What is called the best single
    source was chosen by training and validation windows, as every champion was.
    """
    arms = list_arms(config, bases)
    champions = {arm.name: evolve_arm(arm) for arm in arms}
    singles = [arm.name for arm in arms if arm.name != STACK]
    best = min(singles, key=lambda name: champions[name].score)
    logs = {arm.name: np.log(judge(arm, champions[arm.name])) for arm in arms}
    for name, champion in champions.items():
        recipe = champion.candidate.recipe
        depth = f", {len(recipe['layers'])} layers" if recipe else ""
        marked = ", the best single source" if name == best else ""
        figure = (
            f"seed {config.seed}, {name}{marked}{depth}: held-out J/J95 (validation "
            f"{champion.validation:.2f}, training {champion.train:.2f}, both on fresh paths)"
        )
        _print(figure, float(np.exp(logs[name].mean())), best, float(np.exp(logs[best].mean())))
    named = {"the best single source": best} | {name: name for name in singles}
    return {shown: logs[STACK] - logs[name] for shown, name in named.items()}


def list_arms(config: ExperimentConfig, bases: MergedBases) -> list[Arm]:
    """List each source by itself, the base among them, and the stack of all."""
    workshop = build_workshop(config)
    genome = workshop.market_genome
    alone = replace(workshop, market_genome=replace(genome, stack=None, sources=()))
    names = (genome.base, *genome.sources)
    arms = [Arm(n, alone, WholeSource(bases, genome.base, n, bases.depth)) for n in names]
    return [*arms, Arm(STACK, workshop, bases)]


def evolve_arm(arm: Arm) -> Finalist:
    """Search an arm's genome on training windows and choose its champion, validation included."""
    workshop, began = arm.workshop, time.perf_counter()
    config, train = workshop.config, workshop.splits.train
    genome = workshop.market_genome.genome()
    steps = {s.name: config.search.step_sizes[s.name] for s in genome.segments}
    search_config = replace(config.search, step_sizes=steps)
    slow = workshop.market_genome.slow_segments()
    search = make_search(search_config, genome, slow, workshop.search_seed())
    evaluator = MarketEvaluator(
        workshop.stage, train, workshop.target(train), workshop.market_genome, arm.bases
    )
    candidates: list[Candidate] = []

    def evaluate(generation: int, genomes: list[list[Any]]) -> list[list[Any]]:
        seed = generation_seed(config.seed, generation)
        found = evaluator.evaluate(generation, genomes, seed, _ignore)
        for s, row in enumerate(found):
            for f, e in enumerate(row):
                score = e.score if np.isfinite(e.score) else None
                values, name = genomes[s][f], candidate_id(generation, s * len(row) + f)
                candidates.append(
                    Candidate(
                        name, generation, (), values, e.recipe, e.seeds, score, e.parts, e.failure
                    )
                )
        return found

    for generation in range(config.search.generations):
        proposal = search.ask()
        found = evaluate(generation, search.genomes(proposal))
        scores = np.array([[e.score for e in row] for row in found])
        search.tell(proposal, scores, [[e.parts for e in row] for row in found])
    evaluate(config.search.generations, [[search.best_guess()]])
    alive = [c for c in candidates if c.score is not None]
    finalists = sorted(alive[:-1], key=lambda c: c.score)[: config.search.champions - 1]
    champion = rank_finalists(workshop, arm.bases, [*finalists, alive[-1]], _ignore)[0]
    print(f"# seed {config.seed}, {arm.name}: {time.perf_counter() - began:.0f} s", flush=True)
    return champion


def judge(arm: Arm, champion: Finalist) -> Returns:
    """Read the held-out windows: J/J95 of each group of paths."""
    workshop = arm.workshop
    genome, values = workshop.market_genome, champion.candidate.genome
    reader = Judge(workshop, workshop.splits.heldout, workshop.config.search.heldout_groups)
    minds = arm.bases.serve(genome.recipe(values))
    return reader.score(reader.play(genome.population(values), minds)).ratios


def interval(gaps: Returns, resamples: int = 10_000) -> tuple[float, float]:
    """Bound the mean of log ratios [sweeps, groups], as ratios: sweeps, then groups resampled."""
    rng = np.random.default_rng(0)
    sweeps, groups = gaps.shape
    chosen = rng.integers(sweeps, size=(resamples, sweeps, 1))
    means = gaps[chosen, rng.integers(groups, size=(resamples, sweeps, groups))].mean(axis=(1, 2))
    low, high = np.exp(np.quantile(means, [0.025, 0.975]))
    return float(low), float(high)


def _ignore(*_: object) -> None:
    """Show no progress."""


def _print(figure: str, value: float, peer: str, against: float) -> None:
    line = {"bench": "stack", "figure": figure, "value": value, "unit": "1"}
    print(json.dumps({**line, "peer": peer, "ratio": value / against}), flush=True)


if __name__ == "__main__":
    main()
