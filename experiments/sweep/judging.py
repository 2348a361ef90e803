"""The scoreboard: the champion beside every baseline, each on fresh seeds of its own.

Nothing here looks at held-out data before the champion is fixed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.stand_ins import Minds, RandomMinds, TeacherMinds
from evobourse.agents.personas.persona import Population
from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.evaluation import path_seeds
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.markets import play
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.watching import Begin, unwatched
from evobourse.experiments.sweep.setup import Experiment
from evobourse.fitness.baselines.calibration import (
    GENERATIONS,
    POPULATION,
    calibrate_franke_westerhoff,
)
from evobourse.fitness.baselines.franke_westerhoff import FrankeWesterhoff
from evobourse.fitness.baselines.laws import reference_laws
from evobourse.fitness.baselines.without_agents import garch_t_history, gbm_history
from evobourse.fitness.comparisons import holm
from evobourse.fitness.distance import SplitScore, Target, score_groups
from evobourse.fitness.protocol import HeldOutDoor
from evobourse.market.series.splits import Split

Returns = NDArray[np.float64]
Row = dict[str, Any]
_SPLIT_KEYS = {"train": 21, "validation": 22, "heldout": 23}
_PURPOSE_KEYS = {"report": 31, "choose": 32, "robust": 33}


@dataclass
class Judge:
    """Scores populations and baselines on one split with its own fresh seeds.

    Attributes
    ----------
    experiment
        Data and settings.
    split
        Where windows come from.
    groups
        Groups of ``market.paths`` paths; each group gives one J/J95.
    purpose
        Judges of different purposes share no seed.
    """

    experiment: Experiment
    split: Split
    groups: int
    purpose: Literal["report", "choose", "robust"] = "report"
    target: Target = field(init=False)
    seeds: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.target = self.experiment.target(self.split)
        self.seeds = path_seeds(self._stream(0), self.groups * self.target.paths)

    def _stream(self, key: int) -> np.random.SeedSequence:
        spawn_key = (_SPLIT_KEYS[self.split.name], _PURPOSE_KEYS[self.purpose], key)
        return np.random.SeedSequence(self.experiment.config.seed, spawn_key=spawn_key)

    def play(self, population: Population, minds: Minds) -> Returns:
        """Simulate all windows: log returns float64[groups * paths, days]."""
        windows, executor = self.experiment.windows, self.experiment.executor
        parts = [(population, windows.history(self.split, seed), seed) for seed in self.seeds]
        tapes = play(windows.world, parts, minds, executor)
        return np.stack([tape.log_returns() for tape in tapes])

    def real(self) -> Returns:
        """Return the real log returns of the same windows, float64[groups * paths, days]."""
        windows = self.experiment.windows
        starts = [windows.window_start(self.split, seed) for seed in self.seeds]
        returns = self.experiment.series.log_returns
        return np.stack([returns[s - 1 : s - 1 + windows.world.days] for s in starts])

    def score(self, returns: Returns) -> SplitScore:
        """Score log returns float64[groups * paths, days]."""
        grouped = returns.reshape(self.groups, self.target.paths, -1)
        return score_groups(grouped, self.target, np.random.default_rng(self._stream(1)))

    def row(
        self, name: str, returns: Returns, decisions: int, seconds: float, tried: int = 1
    ) -> Row:
        """Make a scoreboard row of the best of so many configurations tried."""
        scored = self.score(returns)
        return {
            "name": name,
            "asset": self.experiment.series.name,
            "split": self.split.name,
            "score": scored.ratio,
            "ci_low": scored.ci_low,
            "ci_high": scored.ci_high,
            "p_value": scored.p_value,
            "mcr": scored.mcr,
            "verdict": scored.verdict,
            "tried": tried,
            "seeds": len(self.seeds),
            "windows": len(self.seeds),
            "days": self.experiment.windows.world.days,
            "decisions": decisions,
            "seconds": round(seconds, 3),
        }

    def baselines(self) -> Iterable[tuple[str, Callable[[np.random.Generator], Returns]]]:
        """List the rows without agents, each a function of its own stream."""
        experiment, days, count = (
            self.experiment,
            self.experiment.windows.world.days,
            len(self.seeds),
        )
        train = experiment.split_returns(experiment.splits.train)
        own = experiment.split_returns(self.split)
        starts = [experiment.windows.window_start(self.split, seed) for seed in self.seeds]
        before = [experiment.series.log_returns[: start - 1] for start in starts]
        for name, law in reference_laws(train, own, self._fitted).items():
            yield name, partial(law, count, days)
        yield "gbm-history", lambda rng: gbm_history(before, days, rng)
        yield "garch_t-history", lambda rng: garch_t_history(train, before, days, rng)

    def _fitted(self, student: bool) -> FrankeWesterhoff:
        target = self.experiment.target(self.experiment.splits.train)
        seed = self.experiment.calibration_seed()
        return calibrate_franke_westerhoff(target, seed, student=student)

    def stream(self, name: str) -> np.random.Generator:
        """Return a baseline's own random stream."""
        digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        return np.random.default_rng(self._stream(digest))


@dataclass(frozen=True)
class Finalist:
    """A candidate played again: mean J/J95 on validation and on training windows."""

    candidate: Candidate
    validation: float
    train: float

    @property
    def score(self) -> float:
        """The geometric mean of both."""
        return float(np.sqrt(self.validation * self.train))


def rank_finalists(
    experiment: Experiment,
    bases: Bases,
    candidates: Sequence[Candidate],
    on_done: Callable[[Finalist], None],
    begin: Begin = unwatched,
) -> list[Finalist]:
    """Play candidates on validation and training windows with fresh seeds, and rank them.

    The score that bred a candidate plays no part: the winner of many noisy trials looks better
    than it is. Training windows count as much as validation windows, since a validation split
    of a few years is a single regime (docs/decisions/006).

    Returns
    -------
    list of Finalist
        Best first.
    """
    splits, groups = experiment.splits, experiment.config.selection.validation_groups
    judges = [Judge(experiment, s, groups, "choose") for s in (splits.validation, splits.train)]
    finalists: list[Finalist] = []
    begin("choose", len(candidates), lambda: len(finalists))
    genome = experiment.market_genome
    in_turn = sorted(candidates, key=lambda c: json.dumps(c.recipe))
    casts = [(genome.recipe(c.genome), [genome.population(c.genome)]) for c in in_turn]
    bases.expect(casts)
    for candidate, (recipe, [population]) in zip(in_turn, casts, strict=True):
        minds = bases.serve(recipe)
        scores = [judge.score(judge.play(population, minds)).ratio for judge in judges]
        finalists.append(Finalist(candidate, *scores))
        on_done(finalists[-1])
    return sorted(finalists, key=lambda f: (f.score, f.candidate.id))


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the held-out reading brought.

    Attributes
    ----------
    rows
        Scoreboard rows, held-out and the champion's on train and validation windows.
    simulated
        Held-out log returns by row name.
    real
        Real log returns of the same windows.
    target
        The held-out target.
    better
        Row name to the mean log ratio of the champion's score to the row's, group by group,
        with its 95 % bootstrap interval: (mean, low, high); below 0 the champion is better.
    """

    rows: list[Row]
    simulated: dict[str, Returns]
    real: Returns
    target: Target
    better: dict[str, tuple[float, float, float]]


def judge_champion(
    experiment: Experiment,
    bases: Bases,
    champion: Candidate,
    run_folder: RunFolder,
    tried: int,
    begin: Begin = unwatched,
) -> Verdict:
    """Read the held-out split, once, for the champion and everything it is compared with.

    `tried` is the number of candidates that the champion is the best of; it stands beside its
    score.

    Raises
    ------
    FitnessError
        The run has read its held-out split for another champion before.
    """
    groups = experiment.config.selection.heldout_groups
    genome = experiment.market_genome
    start = genome.genome().to_values(genome.genome().start_vector())
    population = genome.population(champion.genome)
    recipe = genome.recipe(champion.genome)
    judged = json.dumps([champion.genome, start], sort_keys=True)  # a resumed lineage is sorted
    digest = hashlib.sha256(judged.encode()).hexdigest()
    HeldOutDoor(run_folder.path).read("heldout", f"scoreboard of {champion.id}", digest)
    simulated: dict[str, Returns] = {}
    casts: list[tuple[str, Population, Callable[[], Minds]]] = [
        ("evolved", population, lambda: bases.serve(recipe)),
        ("unevolved", genome.population(start), lambda: bases.serve(genome.recipe(start))),
        ("random_tendencies", population, RandomMinds),
    ]
    if genome.styles and set(genome.styles) <= set(_teachable()):
        casts.append(("rule_based", population, lambda: TeacherMinds(genome.styles)))
    rows: list[Row] = []
    judge = Judge(experiment, experiment.splits.heldout, groups)
    laws = list(judge.baselines())
    begin("judge", 2 + len(casts) + len(laws), lambda: len(rows))
    for split in (experiment.splits.train, experiment.splits.validation):
        other = Judge(experiment, split, groups)
        rows.append(play_row(other, "evolved", population, bases.serve(recipe), tried)[0])
    for name, who, serve in casts:
        among = tried if name == "evolved" else 1
        row, simulated[name] = play_row(judge, name, who, serve(), among)
        rows.append(row)
    for name, sample in laws:
        began = time.perf_counter()
        simulated[name] = sample(judge.stream(name))
        among = GENERATIONS * POPULATION if name in ("fw", "fw_t") else 1
        rows.append(judge.row(name, simulated[name], 0, time.perf_counter() - began, among))
    better = {
        name: _compare(judge, simulated["evolved"], other) for name, other in simulated.items()
    }
    better.pop("evolved")
    return Verdict(corrected(rows), simulated, judge.real(), judge.target, better)


def corrected(rows: Sequence[Row]) -> list[Row]:
    """Add each row's p-value after Holm's correction for the rows on the same asset and split."""
    tables: dict[tuple[str, str], list[int]] = {}
    for i, row in enumerate(rows):
        tables.setdefault((row["asset"], row["split"]), []).append(i)
    adjusted = np.empty(len(rows))
    for members in tables.values():
        adjusted[members] = holm([rows[i]["p_value"] for i in members])
    return [{**row, "p_holm": float(p)} for row, p in zip(rows, adjusted, strict=True)]


def play_row(
    judge: Judge, name: str, population: Population, minds: Minds, tried: int = 1
) -> tuple[Row, Returns]:
    """Play a population on a judge's windows: its scoreboard row and its log returns."""
    began = time.perf_counter()
    returns = judge.play(population, minds)
    decisions = returns.size * judge.experiment.windows.world.n_agents
    seconds = time.perf_counter() - began
    return judge.row(name, returns, decisions, seconds, tried), returns


def compare_ratios(
    ours: Returns, theirs: Returns, rng: np.random.Generator, paired: bool = True
) -> tuple[float, float, float]:
    """Compare J/J95 of groups of paths.

    Parameters
    ----------
    ours, theirs
        J/J95 of each group, float64[groups].
    rng
        Of the bootstrap over groups.
    paired
        Whether group by group both had the same seeds.

    Returns
    -------
    tuple of float
        Mean log ratio of ours to theirs with its 95 % percentile bootstrap interval: below 0 ours
        are better. An infinite interval where a group is degenerate.
    """
    from scipy.stats import bootstrap

    first, second = np.log(ours), np.log(theirs)
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return (float(first.mean()) - float(second.mean()), -np.inf, np.inf)
    gap = first - second
    if paired:
        found = bootstrap((gap,), np.mean, method="percentile", rng=rng)
    else:
        found = bootstrap(
            (first, second),
            lambda x, y, axis=-1: np.mean(x, axis=axis) - np.mean(y, axis=axis),
            method="percentile",
            rng=rng,
        )
    interval = found.confidence_interval
    return float(gap.mean()), float(interval.low), float(interval.high)


def _compare(judge: Judge, ours: Returns, theirs: Returns) -> tuple[float, float, float]:
    return compare_ratios(
        judge.score(ours).ratios, judge.score(theirs).ratios, judge.stream("compare")
    )


def _teachable() -> tuple[str, ...]:
    from evobourse.agents.styles import STYLES

    return STYLES


def finite_row(row: Row) -> Row:
    """JSON has no infinity: null stands for the score of what failed."""
    bad = {k: None for k, v in row.items() if isinstance(v, float) and not np.isfinite(v)}
    return {**row, **bad}
