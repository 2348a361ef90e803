"""Scoring a generation: ask each slow proposal's minds once, play all its societies, score.

A candidate that fails scores infinity and keeps its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evobourse.agents.errors import AgentError
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.personas.persona import Population
from evobourse.evolve.executors.executor import Calls, Executor, InProcess
from evobourse.evolve.genomes.genome import Values
from evobourse.evolve.genomes.market import MarketGenome
from evobourse.evolve.loop import Evaluation
from evobourse.evolve.markets import MarketWindows, play_market
from evobourse.evolve.measures import Played, measure
from evobourse.evolve.searches.racing import race
from evobourse.fitness.distance import Score, Target, score_paths
from evobourse.fitness.moments import MOMENT_NAMES, FloatArray
from evobourse.market.series.splits import Split
from evobourse.market.tape.daily_tape import Tape
from evobourse.merge.errors import MergeError

if TYPE_CHECKING:
    from evobourse.evolve.bases.protocol import Bases
    from evobourse.merge.recipes.stack_recipe import AnyRecipe


@dataclass
class MarketEvaluator:
    """Scores candidates against a split of a real series; an `evolve.loop.Evaluator`.

    Attributes
    ----------
    windows, split, target
        Where they play, from which windows, and what the real market does there.
    market_genome
        What gene values stand for.
    bases
        Where recipes become minds.
    executor
        Runs markets; no score depends on which it is.
    measures
        Names of `evolve.measures.MEASURES` that evaluations hold beside the score.
    rungs
        After how many paths the worse half of a generation stops, see
        `evolve.searches.racing.race`.
    decisions
        Agent decisions taken so far, for the progress display.
    saved
        Markets that racing has saved so far.
    """

    windows: MarketWindows
    split: Split
    target: Target
    market_genome: MarketGenome
    bases: Bases
    executor: Executor = field(default_factory=InProcess)
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
        seeds, total = path_seeds(seed, self.target.paths), sum(map(len, genomes))
        how = self._evaluate_by_racing if self.rungs else self._evaluate_all
        found = iter(how(self._players(genomes), seeds, lambda done: on_progress(done, total)))
        return [[next(found) for _ in row] for row in genomes]

    def _evaluate_all(
        self, players: Iterable[_Player], seeds: tuple[int, ...], on_done: Callable[[int], None]
    ) -> list[Evaluation]:
        """Score candidates on all seeds."""
        played = self._play(players, seeds, on_done)
        on_done(len(played))
        return [self._evaluation(player, paths, seeds) for player, paths in played]

    def _evaluate_by_racing(
        self, players: Iterable[_Player], seeds: tuple[int, ...], on_done: Callable[[int], None]
    ) -> list[Evaluation]:
        """Score candidates, whose worse half stops at every rung."""
        racers = list(players)

        def evaluate(alive: list[int], fresh: Sequence[int]) -> list[list[FloatArray]]:
            going = [racers[i] for i in alive]
            return [list(paths) for _, paths in self._play(going, fresh, on_done)]

        run = race(evaluate, self._ratio, len(racers), seeds, self.rungs)
        self.saved += run.saved
        measured = []
        for i, player in enumerate(racers):
            paths = np.stack(run.results[i])
            found = self._evaluation(player, paths, seeds[: len(paths)])
            if not run.finished[i] and np.isfinite(found.score):
                found = replace(found, score=float(run.scores[i]))
            measured.append(found)
        on_done(len(racers))
        return measured

    def _players(self, genomes: list[list[Values]]) -> Iterator[_Player]:
        """Read candidates, and ask the minds of each row of them for all that it can meet.

        Candidates of a row share their slow genes, hence all answers of their minds. Where minds
        answer elsewhere, all rows are asked before the first answer is waited for.
        """
        casts = [self._cast(row) for row in genomes]
        self.bases.expect([(c.recipe, c.populations) for c in casts if c.failure is None])
        for row, cast in zip(genomes, casts, strict=True):
            yield from self._ask(cast, len(row))

    def _cast(self, row: list[Values]) -> _Cast:
        """Read the recipe that a row shares, and its populations."""
        recipe: AnyRecipe | None = None
        try:
            recipe = self.market_genome.recipe(row[0])
            populations = [self.market_genome.population(values) for values in row]
        except (MergeError, AgentError) as error:
            return _Cast(recipe, [], str(error))
        return _Cast(recipe, populations)

    def _ask(self, cast: _Cast, count: int) -> list[_Player]:
        """Tabulate what a row's populations choose; a recipe that cannot be fails them all."""
        written, failure = cast.recipe.to_dict() if cast.recipe else None, cast.failure
        if failure is None:
            try:
                choices = tabulate_choices(cast.populations, self.bases.serve(cast.recipe))
            except MergeError as error:
                failure = str(error)
            else:
                players = zip(cast.populations, choices, strict=True)
                return [_Player(written, who, chosen) for who, chosen in players]
        return [_Player(written, failure=failure)] * count

    def _play(
        self, players: Iterable[_Player], seeds: Sequence[int], on_done: Callable[[int], None]
    ) -> list[tuple[_Player, FloatArray]]:
        """Play each on all seeds; return it with its log returns float64[seeds, days]."""
        world = self.windows.world
        histories = {s: self.windows.history(self.split, s) for s in seeds}
        markets = 0

        def count() -> None:
            nonlocal markets
            markets += 1
            self.decisions += world.days * world.n_agents
            if markets % len(seeds) == 0:
                on_done(markets // len(seeds))

        calls = Calls(count)
        handed_out: list[tuple[_Player, list[Future[Tape]]]] = []
        for player in players:  # the next ones' minds are asked while these markets run
            tapes = []
            if player.population is not None:
                for s in seeds:
                    part = (player.population, histories[s], s)
                    call = self.executor.submit(play_market, world, part, player.choices)
                    tapes.append(calls.add(call))
            handed_out.append((player, tapes))
        calls.wait()

        nothing = np.zeros((len(seeds), self.target.window_days))
        return [
            (
                player,
                np.stack([tape.result().log_returns() for tape in tapes]) if tapes else nothing,
            )
            for player, tapes in handed_out
        ]

    def _evaluation(self, player: _Player, paths: FloatArray, seeds: tuple[int, ...]) -> Evaluation:
        if player.population is None or player.choices is None:
            return Evaluation(np.inf, {}, player.recipe, seeds, player.failure)
        score = self._score(paths)
        if not np.isfinite(score.ratio):
            return Evaluation(np.inf, {}, player.recipe, seeds, score.verdict)
        parts = dict(zip(MOMENT_NAMES, map(float, score.moments), strict=True))
        parts = {"j": float(score.j), **parts}
        if self.measures:
            real = np.stack([self._real_returns(s) for s in seeds])
            played = Played(player.population, player.choices, paths, real)
            parts |= measure(self.measures, played)
        return Evaluation(float(score.ratio), parts, player.recipe, seeds, None)

    def _score(self, paths: FloatArray) -> Score:
        """Score the paths so far; comparable among candidates that have as many."""
        return score_paths(paths, replace(self.target, paths=len(paths)))

    def _ratio(self, paths: Sequence[FloatArray]) -> float:
        return float(self._score(np.stack(paths)).ratio)

    def _real_returns(self, seed: int) -> FloatArray:
        first = self.windows.window_start(self.split, seed)
        window = self.windows.series.log_returns[first - 1 : first - 1 + self.target.window_days]
        return np.asarray(window)


@dataclass(frozen=True)
class _Cast:
    """A row's recipe and populations, or why it has none."""

    recipe: AnyRecipe | None
    populations: list[Population]
    failure: str | None = None


@dataclass(frozen=True, eq=False)
class _Player:
    """A candidate that can be played: its recipe as JSON, and its population's choices; or why not.

    A failure has neither population nor choices.
    """

    recipe: dict[str, Any] | None
    population: Population | None = None
    choices: FloatArray | None = None
    failure: str | None = None


def path_seeds(seed: np.random.SeedSequence, count: int) -> tuple[int, ...]:
    """Draw path seeds, one a market path, from a seed sequence."""
    return tuple(int(s) for s in seed.generate_state(count, np.uint32))
