"""Scoring a generation: build each slow proposal's minds once, play all its societies, score.

Knows how a candidate becomes a number, and what to do when one fails. Deliberately knows
nothing of how candidates are proposed or remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.errors import AgentError
from agents.persona import Population
from agents.stand_ins import Minds
from evolve.bases import Bases
from evolve.behaviour import Played, measure
from evolve.genome import Values
from evolve.loop import Evaluation
from evolve.market_genome import MarketGenome
from evolve.racing import race
from evolve.stage import Stage, play
from fitness.distance import Score, Target, score_paths
from fitness.moments import MOMENT_NAMES, FloatArray
from market.splits import Split
from merge.errors import MergeError
from merge.stack_recipe import AnyRecipe


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
    measures
        Names of `evolve.behaviour.MEASURES` that evaluations hold beside the score.
    rungs
        After how many paths the worse half of a generation stops, see `evolve.racing.race`.
    decisions
        Agent decisions taken so far, for the progress display.
    saved
        Markets that racing has saved so far.
    """

    stage: Stage
    split: Split
    target: Target
    market_genome: MarketGenome
    bases: Bases
    workers: int = 1
    measures: tuple[str, ...] = ()
    rungs: tuple[int, ...] = ()
    decisions: int = 0
    saved: int = 0

    def evaluate(
        self,
        generation: int,
        genomes: list[list[Values]],
        seed: np.random.SeedSequence,
        on_progress: Callable[[int, int], None],
    ) -> list[list[Evaluation]]:
        """Score candidates [S][F]; all share the generation's path seeds."""
        seeds = path_seeds(seed, self.target.paths)
        if self.rungs:
            return self._evaluate_by_racing(genomes, seeds, on_progress)
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
        cast = self._cast(row)
        if isinstance(cast, _Failure):
            return [cast.evaluation(seeds) for _ in row]
        markets = 0

        def on_market() -> None:
            nonlocal markets
            markets += 1
            if markets % len(seeds) == 0:
                on_progress(before + markets // len(seeds), total)

        returns = self._play(cast.populations, seeds, cast.minds, on_market)
        return [self._evaluation(cast, f, paths, seeds) for f, paths in enumerate(returns)]

    def _evaluate_by_racing(
        self,
        genomes: list[list[Values]],
        seeds: tuple[int, ...],
        on_progress: Callable[[int, int], None],
    ) -> list[list[Evaluation]]:
        """Score a generation, whose worse half stops at every rung."""
        casts = [self._cast(row) for row in genomes]
        places = [(s, f) for s, row in enumerate(genomes) for f in range(len(row))]
        measured: dict[int, Evaluation] = {}

        def evaluate(alive: list[int], fresh: Sequence[int]) -> list[list[FloatArray]]:
            found: dict[int, list[FloatArray]] = {}
            for s, cast in enumerate(casts):
                here = [i for i in alive if places[i][0] == s]
                if isinstance(cast, _Failure):
                    nothing = np.zeros(self.target.window_days)
                    found |= {i: [nothing for _ in fresh] for i in here}
                elif here:
                    players = [cast.populations[places[i][1]] for i in here]
                    minds = self.bases.serve(cast.recipe)
                    returns = self._play(players, fresh, minds, lambda: None)
                    found |= {i: list(paths) for i, paths in zip(here, returns, strict=True)}
                on_progress(len(found), len(places))
            return [found[i] for i in alive]

        run = race(evaluate, self._ratio, len(places), seeds, self.rungs)
        self.saved += run.saved
        for i, (s, f) in enumerate(places):
            cast, paths = casts[s], np.stack(run.results[i])
            used = seeds[: len(paths)]
            if isinstance(cast, _Failure):
                measured[i] = cast.evaluation(used)
            else:
                if self.measures:
                    self.bases.serve(cast.recipe)
                measured[i] = self._evaluation(cast, f, paths, used)
            if not run.finished[i] and np.isfinite(measured[i].score):
                measured[i] = replace(measured[i], score=float(run.scores[i]))
        on_progress(len(places), len(places))
        rest = iter(measured.values())
        return [[next(rest) for _ in row] for row in genomes]

    def _cast(self, row: list[Values]) -> _Cast | _Failure:
        """Read the recipe that a row shares, and its populations."""
        recipe: AnyRecipe | None = None
        try:
            recipe = self.market_genome.recipe(row[0])
            minds = self.bases.serve(recipe)
            populations = [self.market_genome.population(values) for values in row]
        except (MergeError, AgentError) as error:
            return _Failure(recipe.to_dict() if recipe else None, str(error))
        return _Cast(recipe, minds, populations)

    def _play(
        self,
        populations: list[Population],
        seeds: Sequence[int],
        minds: Minds,
        on_market: Callable[[], None],
    ) -> FloatArray:
        """Play populations on seeds; return log returns float64[populations, seeds, days]."""
        world = self.stage.world
        histories = {s: self.stage.history(self.split, s) for s in seeds}

        def count() -> None:
            self.decisions += world.days * world.n_agents
            on_market()

        parts = [(population, histories[s], s) for population in populations for s in seeds]
        tapes = play(world, parts, minds, self.workers, count)
        returns = np.stack([tape.log_returns() for tape in tapes])
        return returns.reshape(len(populations), len(seeds), -1)

    def _evaluation(
        self, cast: _Cast, f: int, paths: FloatArray, seeds: tuple[int, ...]
    ) -> Evaluation:
        score = self._score(paths)
        if not np.isfinite(score.ratio):
            return Evaluation(np.inf, {}, cast.written, seeds, score.verdict)
        parts = dict(zip(MOMENT_NAMES, map(float, score.moments), strict=True))
        parts = {"j": float(score.j), **parts}
        if self.measures:
            real = np.stack([self._real_returns(s) for s in seeds])
            parts |= measure(self.measures, Played(cast.populations[f], cast.minds, paths, real))
        return Evaluation(float(score.ratio), parts, cast.written, seeds, None)

    def _score(self, paths: FloatArray) -> Score:
        """Score the paths so far; comparable among candidates that have as many."""
        return score_paths(paths, replace(self.target, paths=len(paths)))

    def _ratio(self, paths: Sequence[FloatArray]) -> float:
        return float(self._score(np.stack(paths)).ratio)

    def _real_returns(self, seed: int) -> FloatArray:
        first = self.stage.window_start(self.split, seed)
        window = self.stage.series.log_returns[first - 1 : first - 1 + self.target.window_days]
        return np.asarray(window)


@dataclass(frozen=True)
class _Cast:
    """A row's recipe, the minds that answer once it is served, and its populations."""

    recipe: AnyRecipe | None
    minds: Minds
    populations: list[Population]

    @property
    def written(self) -> dict[str, Any] | None:
        return self.recipe.to_dict() if self.recipe else None


@dataclass(frozen=True)
class _Failure:
    """Why a row's recipe or populations cannot be."""

    written: dict[str, Any] | None
    reason: str

    def evaluation(self, seeds: tuple[int, ...]) -> Evaluation:
        return Evaluation(np.inf, {}, self.written, seeds, self.reason)


def path_seeds(seed: np.random.SeedSequence, count: int) -> tuple[int, ...]:
    """Draw path seeds, one a market path, from a seed sequence."""
    return tuple(int(s) for s in seed.generate_state(count, np.uint32))
