"""Scoring a generation: ask each slow proposal's minds once, play all its societies, score.

On several assets a candidate plays each one's windows, and scores the geometric mean.
A candidate that fails scores infinity and keeps its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.errors import AgentError
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.observation import possible_views
from evobourse.agents.personas.persona import Population
from evobourse.evolve.executors.executor import Calls, Executor, InProcess
from evobourse.evolve.genomes.genome import Values
from evobourse.evolve.genomes.market import MarketGenome
from evobourse.evolve.loop import Evaluation
from evobourse.evolve.markets import MarketWindows, World, play_market
from evobourse.evolve.measures import Played, measure
from evobourse.evolve.rounding import recorded
from evobourse.evolve.searches.niches import INSIDE
from evobourse.evolve.searches.racing import race
from evobourse.evolve.watching import Begin, unwatched
from evobourse.fitness.comparisons import geometric_mean
from evobourse.fitness.distance import Score, Target, covered, score_candidates
from evobourse.fitness.moments import FloatArray
from evobourse.market.series.splits import Split
from evobourse.market.tape.daily_tape import Tape
from evobourse.merge.errors import MergeError

if TYPE_CHECKING:
    from evobourse.evolve.bases.protocol import Bases
    from evobourse.merge.recipes.stack_recipe import AnyRecipe


@dataclass(frozen=True, eq=False)
class Asset:
    """A split of a real series that candidates are scored on.

    Attributes
    ----------
    windows, split, target
        As in `MarketEvaluator`.
    """

    windows: MarketWindows
    split: Split
    target: Target

    @property
    def name(self) -> str:
        """Return the series' name."""
        return self.windows.series.name

    def parts(self, seeds: Sequence[int]) -> list[tuple[NDArray[np.int64], int]]:
        """Return the price history before each seed's window, and the seed."""
        return [(self.windows.history(self.split, seed), seed) for seed in seeds]

    def real_returns(self, seed: int) -> FloatArray:
        """Return the real log returns of a seed's window."""
        first = self.windows.window_start(self.split, seed)
        return np.asarray(
            self.windows.series.log_returns[first - 1 : first - 1 + self.target.window_days]
        )


@dataclass
class MarketEvaluator:
    """Scores candidates against a split of real series; an `evolve.loop.Evaluator`.

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
    begin
        Hears what is being done.
    others
        Further assets, with windows of as many days; each is played from the same seeds.
    cells
        Whether evaluations hold, of each asset and moment, the share of paths in the real 95 %
        band, see `evolve.searches.niches`.
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
    begin: Begin = unwatched
    others: tuple[Asset, ...] = ()
    cells: bool = False

    @property
    def assets(self) -> tuple[Asset, ...]:
        """All that a candidate is scored on."""
        return (Asset(self.windows, self.split, self.target), *self.others)

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
        players = self._players(genomes)
        found = iter(how(players, total, seeds, lambda done: on_progress(done, total)))
        return [[next(found) for _ in row] for row in genomes]

    def _evaluate_all(
        self,
        players: Iterable[_Player],
        total: int,
        seeds: tuple[int, ...],
        on_done: Callable[[int], None],
    ) -> list[Evaluation]:
        """Score candidates on all seeds."""
        played = self._play(players, total, seeds, on_done)
        on_done(len(played))
        scores = self._score([paths for _, paths in played])
        return [
            self._evaluation(player, paths, seeds, score)
            for (player, paths), score in zip(played, scores, strict=True)
        ]

    def _evaluate_by_racing(
        self,
        players: Iterable[_Player],
        total: int,
        seeds: tuple[int, ...],
        on_done: Callable[[int], None],
    ) -> list[Evaluation]:
        """Score so many candidates, whose worse half stops at every rung."""
        racers = list(players)

        def evaluate(alive: list[int], fresh: Sequence[int]) -> list[list[FloatArray]]:
            going = [racers[i] for i in alive]
            return [
                list(np.moveaxis(paths, 2, 0))
                for _, paths in self._play(going, len(going), fresh, on_done)
            ]

        def score(paths: Sequence[FloatArray]) -> float:
            return _ratio(self._score([np.stack(paths, axis=2)])[0])

        run = race(evaluate, score, total, seeds, self.rungs)
        self.saved += run.saved
        measured = []
        for i, player in enumerate(racers):
            paths = np.stack(run.results[i], axis=2)
            met = seeds[: paths.shape[2]]
            found = self._evaluation(player, paths, met, self._score([paths])[0])
            if not run.finished[i] and np.isfinite(found.score):
                found = replace(found, score=recorded(run.scores[i]))
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
                choices = self._tabulate(cast)
            except MergeError as error:
                failure = str(error)
            else:
                players = zip(cast.populations, choices, strict=True)
                return [_Player(written, who, chosen) for who, chosen in players]
        return [_Player(written, failure=failure)] * count

    def _tabulate(self, cast: _Cast) -> list[FloatArray]:
        """Carry out a cast's recipe, and ask its minds."""
        if cast.recipe is not None:
            self.begin("merge", 1, lambda: 0)
        minds = self.bases.serve(cast.recipe)
        people = [
            (who, population) for population in cast.populations for who in population.personas
        ]
        asked = {
            (who.base, who.mind.tobytes()): len(possible_views(population.society.attention))
            for who, population in people
        }
        counters = getattr(minds, "counters", None)  # stand-ins count nothing
        # an engine counts within its batches too
        count = "states" if hasattr(counters, "states") else "computed"
        before = getattr(counters, count, 0)
        self.begin("ask", sum(asked.values()), lambda: getattr(counters, count, 0) - before)
        return tabulate_choices(cast.populations, minds)

    def _play(
        self,
        players: Iterable[_Player],
        total: int,
        seeds: Sequence[int],
        on_done: Callable[[int], None],
    ) -> list[tuple[_Player, FloatArray]]:
        """Play each of so many on all seeds; return it with its paths, see `play_candidates`.

        Workers are handed some candidates at a time, about four times each.
        """
        workers, assets = self.executor.workers, self.assets
        places = [(asset.windows.world, asset.parts(seeds)) for asset in assets]
        markets = len(seeds) * len(assets)
        most, done = max(1, -(-total // (4 * workers))), 0

        def tell(finished: int) -> None:
            nonlocal done
            done += finished
            world = self.windows.world
            self.decisions += finished * markets * world.days * world.n_agents
            on_done(done)

        calls, handed_out, played = Calls(), [], []
        together: list[_Player] = []

        def hand_out() -> None:
            """Let a worker play what has come together."""
            asked = [(player.population, player.choices) for player in together]
            future = self.executor.submit(play_candidates, places, asked)
            handed_out.append(calls.add(future, partial(tell, len(together))))
            together.clear()

        for player in players:  # the next ones' minds are asked while these markets run
            self.begin("trade", total * markets, lambda: done * markets)
            played.append(player)
            if player.population is not None:
                together.append(player)
                if len(together) == most:
                    hand_out()
        if together:
            hand_out()
        calls.wait()
        paths = (path for future in handed_out for path in future.result())
        nothing = np.zeros((2, len(assets), len(seeds), self.target.window_days))
        return [(p, nothing if p.population is None else next(paths)) for p in played]

    def _evaluation(
        self,
        player: _Player,
        paths: FloatArray,
        seeds: tuple[int, ...],
        scores: Sequence[Score],
    ) -> Evaluation:
        if player.population is None or player.choices is None:
            return Evaluation(np.inf, {}, player.recipe, seeds, player.failure)
        assets = self.assets
        ratio = _ratio(scores)
        if not np.isfinite(ratio):
            faults = [
                s.verdict if len(assets) == 1 else f"{a.name}: {s.verdict}"
                for a, s in zip(assets, scores, strict=True)
                if s.verdict != "ok"
            ]
            return Evaluation(np.inf, {}, player.recipe, seeds, "; ".join(faults))
        parts = _parts(assets, scores)
        if self.cells:
            parts |= _cells(assets, scores)
        if self.measures:
            real = np.concatenate([[a.real_returns(s) for s in seeds] for a in assets])
            simulated = np.concatenate(paths[0])
            played = Played(player.population, player.choices, simulated, real)
            parts |= measure(self.measures, played)
        parts = {name: recorded(value) for name, value in parts.items()}
        return Evaluation(recorded(ratio), parts, player.recipe, seeds, None)

    def _score(self, played: Sequence[FloatArray]) -> list[list[Score]]:
        """Score candidates' paths so far on each asset; comparable among those of as many seeds."""
        together = np.stack(played)
        by_asset = []
        for i, asset in enumerate(self.assets):
            returns, volume = together[:, 0, i], together[:, 1, i]
            target = replace(asset.target, paths=returns.shape[1])
            by_asset.append(score_candidates(returns, target, volume))
        return [list(scores) for scores in zip(*by_asset, strict=True)]


def _ratio(scores: Sequence[Score]) -> float:
    """Pool a candidate's scores; that of one asset is kept to the bit."""
    if len(scores) == 1:
        return float(scores[0].ratio)
    return float(geometric_mean([score.ratio for score in scores]))


def _parts(assets: Sequence[Asset], scores: Sequence[Score]) -> dict[str, float]:
    """Say what a score is made of: means over the assets, and of several each one's own score."""
    values: dict[str, list[float]] = {"j": [float(score.j) for score in scores]}
    for asset, score in zip(assets, scores, strict=True):
        for name, value in zip(asset.target.names, score.moments, strict=True):
            values.setdefault(name, []).append(float(value))
    parts = {name: float(np.mean(found)) for name, found in values.items()}
    if len(assets) > 1:
        parts |= {f"score_{a.name}": float(s.ratio) for a, s in zip(assets, scores, strict=True)}
    return parts


def _cells(assets: Sequence[Asset], scores: Sequence[Score]) -> dict[str, float]:
    """Return the share of paths in the real band, by asset and moment."""
    return {
        f"{INSIDE}{asset.name}_{name}": float(share)
        for asset, score in zip(assets, scores, strict=True)
        for name, share in zip(
            asset.target.names, covered(score.per_path, asset.target).mean(axis=0), strict=True
        )
    }


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


def play_candidates(
    places: Sequence[tuple[World, Sequence[tuple[NDArray[np.int64], int]]]],
    candidates: Sequence[tuple[Population, FloatArray]],
) -> list[FloatArray]:
    """Play candidates, what a worker is handed at once.

    Parameters
    ----------
    places
        Of each asset its rules, agents and days, and a price history and a seed for each path.
    candidates
        Populations and what their minds choose, see `agents.minds.choices.tabulate_choices`.

    Returns
    -------
    list of NDArray
        Of each candidate the log returns and the volume of its paths,
        float64[2, assets, paths, days].
    """
    return [
        np.moveaxis(
            np.array(
                [
                    [_path(play_market(world, (who, *part), choices)) for part in parts]
                    for world, parts in places
                ]
            ),
            2,
            0,
        )
        for who, choices in candidates
    ]


def _path(tape: Tape) -> tuple[FloatArray, FloatArray]:
    return tape.log_returns(), tape.volume.astype(np.float64)


def path_seeds(seed: np.random.SeedSequence, count: int) -> tuple[int, ...]:
    """Draw path seeds, one a market path, from a seed sequence."""
    return tuple(int(s) for s in seed.generate_state(count, np.uint32))
