"""The scoreboard: the champion beside every baseline, each on fresh seeds of its own.

Nothing here looks at held-out data before the champion is fixed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import Minds, RandomMinds, TeacherMinds
from evobourse.agents.personas.persona import Population
from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.evaluation import path_seeds
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.markets import play_tables
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.watching import Begin, unwatched
from evobourse.experiments.reports.scores import CHAMPION, POOLED, REAL_TRAIN
from evobourse.experiments.sweep.laws import Draw, Laws, name_key
from evobourse.experiments.sweep.pasts import REFERENCE, Pasts, conditional_columns
from evobourse.experiments.sweep.rows import Row, compare_ratios, corrected
from evobourse.experiments.sweep.setup import Experiment
from evobourse.fitness.baselines.calibration import GENERATIONS, POPULATION
from evobourse.fitness.comparisons import geometric_mean, pool_scores
from evobourse.fitness.conditional.energy import QuarterScores
from evobourse.fitness.distance import SplitScore, Target, bootstrap_mean, score_groups
from evobourse.fitness.paths import Paths
from evobourse.fitness.protocol import HeldOutDoor
from evobourse.market.series.splits import Split

Returns = NDArray[np.float64]
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
    target, prices
        What markets with volume are held against, and what those without.
    seeds
        Of the paths.
    laws
        Fitted on training days.
    """

    experiment: Experiment
    split: Split
    groups: int
    purpose: Literal["report", "choose", "robust"] = "report"
    target: Target = field(init=False)
    prices: Target = field(init=False)
    seeds: tuple[int, ...] = field(init=False)
    laws: Laws = field(init=False)
    _reference: dict[bool, SplitScore] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.target = self.experiment.target(self.split)
        self.prices = self.target.without_volume()
        self.laws = Laws(self.experiment)
        self.seeds = path_seeds(self._stream(0), self.groups * self.target.paths)

    def _stream(self, key: int) -> np.random.SeedSequence:
        spawn_key = (_SPLIT_KEYS[self.split.name], _PURPOSE_KEYS[self.purpose], key)
        return np.random.SeedSequence(self.experiment.config.seed, spawn_key=spawn_key)

    def play(self, population: Population, minds: Minds) -> Paths:
        """Simulate all windows: groups * paths of them."""
        [choices] = tabulate_choices([population], minds)
        return self.play_table(population, choices)

    def play_table(self, population: Population, choices: NDArray[np.float64]) -> Paths:
        """Simulate all windows of a population whose minds were asked, see `tabulate_choices`."""
        windows, executor = self.experiment.windows, self.experiment.executor
        parts = [(population, windows.history(self.split, seed), seed) for seed in self.seeds]
        tapes = play_tables(windows.world, parts, [choices] * len(parts), executor)
        return Paths(
            np.stack([tape.log_returns() for tape in tapes]),
            np.stack([tape.volume.astype(np.float64) for tape in tapes]),
        )

    def real(self) -> Returns:
        """Return the real log returns of the same windows, float64[groups * paths, days]."""
        windows = self.experiment.windows
        starts = [windows.window_start(self.split, seed) for seed in self.seeds]
        returns = self.experiment.series.log_returns
        return np.stack([returns[s - 1 : s - 1 + windows.world.days] for s in starts])

    def score(self, paths: Paths) -> SplitScore:
        """Score groups * paths of them, on the moments that they have."""

        def grouped(values: Returns) -> Returns:
            return values.reshape(self.groups, self.target.paths, -1)

        rng = np.random.default_rng(self._stream(1))
        returns = grouped(paths.log_returns)
        if paths.volume is None:
            return score_groups(returns, self.prices, rng)
        return score_groups(returns, self.target, rng, volume=grouped(paths.volume))

    def reference(self, with_volume: bool) -> SplitScore:
        """Score real training days on these windows: what skill is relative to."""
        if with_volume not in self._reference:
            drawn = self.laws.redrawn(
                self.experiment.splits.train,
                len(self.seeds),
                self.experiment.windows.world.days,
                self.target.has_volume,
                self.stream(REAL_TRAIN),
            )
            self._reference[with_volume] = self.score(drawn if with_volume else drawn.prices_alone)
        return self._reference[with_volume]

    def row(self, name: str, paths: Paths, decisions: int, seconds: float, tried: int = 1) -> Row:
        """Make a scoreboard row of the best of so many configurations tried."""
        scored = self.score(paths)
        volume = float("nan")
        if paths.volume is not None and self.target.has_volume:
            volume = float(scored.moments[self.target.names.index("volume_volatility")])
        return {
            "name": name,
            "asset": self.experiment.series.name,
            "split": self.split.name,
            "score": scored.ratio,
            "ci_low": scored.ci_low,
            "ci_high": scored.ci_high,
            "skill": scored.ratio / self.reference(paths.volume is not None).ratio,
            "p_value": scored.p_value,
            "worst": scored.worst,
            "mcr": scored.mcr,
            "ends_lower": paths.ends_lower,
            "volume_volatility": volume,
            "verdict": scored.verdict,
            "tried": tried,
            "seeds": len(self.seeds),
            "windows": len(self.seeds),
            "days": self.experiment.windows.world.days,
            "decisions": decisions,
            "seconds": round(seconds, 3),
        }

    def baselines(self) -> dict[str, Draw]:
        """List the rows without agents, each a function of its own stream."""
        windows = self.experiment.windows
        starts = np.array([windows.window_start(self.split, seed) for seed in self.seeds])
        return self.laws.on(self.split, starts, windows.world.days, self.target.has_volume)

    def pasts(self) -> Pasts:
        """Return the pasts within the split that ensembles follow."""
        return Pasts(self.laws, self.split)

    def stream(self, name: str) -> np.random.Generator:
        """Return a baseline's own random stream."""
        return np.random.default_rng(self._stream(name_key(name)))


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the held-out reading brought.

    Attributes
    ----------
    rows
        Scoreboard rows of each asset, then those of all pooled, if there are several.
    simulated
        Held-out log returns of the first asset by row name.
    real
        Real log returns of the same windows.
    target
        The first asset's held-out target, of prices alone.
    """

    rows: list[Row]
    simulated: dict[str, Returns]
    real: Returns
    target: Target


@dataclass(frozen=True, eq=False)
class _Played:
    """A scoreboard row, the paths that it is of, and their score."""

    row: Row
    paths: Paths
    judge: Judge
    given: QuarterScores | None = None  # the past; on held-out days alone

    @cached_property
    def score(self) -> SplitScore:
        return self.judge.score(self.paths)

    def ratios(self, other: _Played) -> Returns:
        """J/J95 of each group, on the moments that the other has too."""
        if other.paths.volume is None and self.paths.volume is not None:
            return self.judge.score(self.paths.prices_alone).ratios
        return self.score.ratios


def judge_champion(
    experiment: Experiment,
    bases: Bases,
    champion: Candidate,
    run_folder: RunFolder,
    tried: int,
    begin: Begin = unwatched,
) -> Verdict:
    """Read the held-out splits, once, for the champion and everything it is compared with.

    `tried` is the number of candidates that the champion is the best of; it stands beside its
    score. Each row but the champion's has ``log_ratio``: the mean log ratio of the champion's score
    to its own, group by group on the moments that both have, with its 95 % bootstrap interval
    (mean, low, high); below 0 the champion is better. Held-out rows have what
    `pasts.conditional_columns` says.

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
    casts: list[tuple[str, Population, Callable[[], Minds]]] = [
        (CHAMPION, population, lambda: bases.serve(recipe)),
        ("unevolved", genome.population(start), lambda: bases.serve(genome.recipe(start))),
        ("random_tendencies", population, RandomMinds),
    ]
    if genome.styles and set(genome.styles) <= set(_teachable()):
        casts.append(("rule_based", population, lambda: TeacherMinds(genome.styles)))
    played: list[_Played] = []
    heldout = [Judge(asset, asset.splits.heldout, groups) for asset in experiment.assets]
    laws = len(heldout[0].baselines())
    begin("judge", len(heldout) * (4 + len(casts) + laws), lambda: len(played))
    for judge in heldout:
        asset, pasts = judge.experiment, judge.pasts()
        for split in (asset.splits.train, asset.splits.validation):
            other = Judge(asset, split, groups)
            row, paths = play_row(other, CHAMPION, population, bases.serve(recipe), tried)
            played.append(_Played(row, paths, other))
            played.append(_play_law(other, REAL_TRAIN, other.baselines()[REAL_TRAIN]))
        for name, who, serve in casts:
            among = tried if name == CHAMPION else 1
            minds = serve()
            row, paths = play_row(judge, name, who, minds, among)
            played.append(_Played(row, paths, judge, pasts.play(who, minds)))
        for name, sample in judge.baselines().items():
            played.append(replace(_play_law(judge, name, sample), given=pasts.draw(name)))
    rows = _compared(played)
    if len(heldout) > 1:
        rows += _pooled(played)
    first = [p for p in played if p.judge is heldout[0]]
    return Verdict(
        corrected(rows),
        {p.row["name"]: p.paths.log_returns for p in first},
        heldout[0].real(),
        heldout[0].prices,
    )


def _play_law(judge: Judge, name: str, sample: Draw) -> _Played:
    began = time.perf_counter()
    paths = sample(judge.stream(name))
    among = GENERATIONS * POPULATION if name in ("fw", "fw_t") else 1
    return _Played(judge.row(name, paths, 0, time.perf_counter() - began, among), paths, judge)


def _compared(played: Sequence[_Played]) -> list[Row]:
    """Set each row beside the champion's on the same windows, and the law told the past."""
    known = {(id(p.judge), p.row["name"]): p for p in played}
    rows = []
    for p in played:
        ours = known[id(p.judge), CHAMPION]
        row = {**p.row, **_given_pasts([p], [known.get((id(p.judge), REFERENCE))])}
        if p is not ours:
            gap = compare_ratios(ours.ratios(p), p.score.ratios, p.judge.stream("compare"))
            row["log_ratio"] = list(gap)
        rows.append(row)
    return rows


def _given_pasts(members: Sequence[_Played], reference: Sequence[_Played | None]) -> Row:
    """Return the columns of what follows given pasts, if it was played."""
    ours = [p.given for p in members if p.given is not None]
    theirs = [p.given for p in reference if p is not None and p.given is not None]
    return conditional_columns(ours, theirs) if ours and theirs else {}


def _pooled(played: Sequence[_Played]) -> list[Row]:
    """Pool rows of one name and split over the assets: geometric means, group by group."""
    same: dict[tuple[str, str], list[_Played]] = {}
    for p in played:
        same.setdefault((p.row["split"], p.row["name"]), []).append(p)
    rows = []
    for (split, name), members in same.items():
        pooled = pool_scores(
            {p.row["asset"]: (p.score, _held_against(p.judge, p.paths)) for p in members}
        )
        rng = members[0].judge.stream("pool")
        score, low, high = bootstrap_mean(pooled.ratios, rng)
        row: Row = {
            **members[0].row,
            "asset": POOLED,
            "score": score,
            "ci_low": low,
            "ci_high": high,
            "skill": float(geometric_mean([p.row["skill"] for p in members])),
            "p_value": pooled.p_value,
            "worst": "",
            "mcr": pooled.mcr,
            "verdict": pooled.verdict,
            **{
                key: float(np.mean([p.row[key] for p in members]))
                for key in ("ends_lower", "volume_volatility")
            },
            **{
                key: sum(p.row[key] for p in members)
                for key in ("seeds", "windows", "decisions", "seconds")
            },
        }
        row |= _given_pasts(members, same.get((split, REFERENCE), []))
        if name != CHAMPION:
            ours = same[split, CHAMPION]
            gap = compare_ratios(
                geometric_mean([o.ratios(p) for o, p in zip(ours, members, strict=True)]),
                pooled.ratios,
                rng,
            )
            row["log_ratio"] = list(gap)
        rows.append(row)
    return rows


def _held_against(judge: Judge, paths: Paths) -> Target:
    return judge.prices if paths.volume is None else judge.target


def play_row(
    judge: Judge, name: str, population: Population, minds: Minds, tried: int = 1
) -> tuple[Row, Paths]:
    """Play a population on a judge's windows: its scoreboard row and its paths."""
    began = time.perf_counter()
    paths = judge.play(population, minds)
    decisions = paths.log_returns.size * judge.experiment.windows.world.n_agents
    seconds = time.perf_counter() - began
    return judge.row(name, paths, decisions, seconds, tried), paths


def _teachable() -> tuple[str, ...]:
    from evobourse.agents.styles import STYLES

    return STYLES
