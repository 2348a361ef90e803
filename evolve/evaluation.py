"""Scoring a generation: build each slow proposal's minds once, play all its societies, score.

Knows how a candidate becomes a number, and what to do when one fails. Deliberately knows
nothing of how candidates are proposed or remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.errors import AgentError
from evolve.bases import Bases
from evolve.genome import Values
from evolve.loop import Evaluation
from evolve.market_genome import MarketGenome
from evolve.stage import Stage, play
from fitness.distance import Target, score_paths
from fitness.moments import MOMENT_NAMES
from market.splits import Split
from merge.errors import MergeError
from merge.recipe import Recipe


@dataclass
class MarketEvaluator:
    """Scores candidates against a split of a real series; an `evolve.loop.Evaluator`.

    Attributes
    ----------
    stage, split, target
        Where they play, from which windows, and what the real market does there.
    market_genome
        What gene values stand for.
    bases
        Where recipes become minds.
    workers
        Processes that run markets.
    decisions
        Agent decisions taken so far, for the progress display.
    """

    stage: Stage
    split: Split
    target: Target
    market_genome: MarketGenome
    bases: Bases
    workers: int = 1
    decisions: int = 0

    def evaluate(
        self,
        generation: int,
        genomes: list[list[Values]],
        seed: np.random.SeedSequence,
        on_progress: Callable[[int, int], None],
    ) -> list[list[Evaluation]]:
        """Score candidates [S][F]; all share the generation's path seeds."""
        seeds = path_seeds(seed, self.target.paths)
        total = sum(map(len, genomes))
        rows: list[list[Evaluation]] = []
        for row in genomes:
            before = sum(map(len, rows))
            rows.append(self._evaluate_row(row, seeds, before, total, on_progress))
            on_progress(before + len(row), total)
        return rows

    def _evaluate_row(
        self,
        row: list[Values],
        seeds: tuple[int, ...],
        before: int,
        total: int,
        on_progress: Callable[[int, int], None],
    ) -> list[Evaluation]:
        """Score candidates that share their slow genes, hence all answers of their minds."""
        recipe: Recipe | None = None
        try:
            recipe = self.market_genome.recipe(row[0])
            minds = self.bases.serve(recipe)
            populations = [self.market_genome.population(values) for values in row]
        except (MergeError, AgentError) as error:
            written = recipe.to_dict() if recipe else None
            return [Evaluation(np.inf, {}, written, seeds, str(error)) for _ in row]
        histories = {s: self.stage.history(self.split, s) for s in seeds}

        world, markets = self.stage.world, 0

        def on_market() -> None:
            nonlocal markets
            markets += 1
            self.decisions += world.days * world.n_agents
            if markets % len(seeds) == 0:
                on_progress(before + markets // len(seeds), total)

        parts = [(population, histories[s], s) for population in populations for s in seeds]
        tapes = play(world, parts, minds, self.workers, on_market)
        returns = np.stack([tape.log_returns() for tape in tapes])
        written = recipe.to_dict() if recipe else None
        return [
            self._evaluation(paths, written, seeds)
            for paths in returns.reshape(len(row), len(seeds), -1)
        ]

    def _evaluation(
        self, paths: Any, recipe: dict[str, Any] | None, seeds: tuple[int, ...]
    ) -> Evaluation:
        score = score_paths(paths, self.target)
        if not np.isfinite(score.ratio):
            return Evaluation(np.inf, {}, recipe, seeds, score.verdict)
        parts = dict(zip(MOMENT_NAMES, map(float, score.moments), strict=True))
        return Evaluation(float(score.ratio), {"j": float(score.j), **parts}, recipe, seeds, None)


def path_seeds(seed: np.random.SeedSequence, count: int) -> tuple[int, ...]:
    """Draw path seeds, one a market path, from a seed sequence."""
    return tuple(int(s) for s in seed.generate_state(count, np.uint32))
