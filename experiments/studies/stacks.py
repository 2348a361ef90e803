"""Evolved layer stacks against the best of their single sources, on the market.

All arms have equal budgets, and the held-out windows are read once, at the end.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from evobourse.agents.personas.persona import Population
from evobourse.evolve.bases.merged import MergedBases
from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.evaluation import MarketEvaluator
from evobourse.evolve.genomes.gene import Gene
from evobourse.evolve.genomes.genome import Genome
from evobourse.evolve.genomes.stack import BASE
from evobourse.evolve.lineage import Candidate
from evobourse.evolve.loop import generation_seed
from evobourse.experiments.config.experiment import ExperimentConfig, load_config
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.studies.run import Page, Study
from evobourse.experiments.sweep.finalists import Finalist, rank_finalists
from evobourse.experiments.sweep.judging import Judge, Returns
from evobourse.experiments.sweep.searches import make_search
from evobourse.experiments.sweep.setup import Experiment, build_experiment
from evobourse.merge.recipes.layer_stack import LayerStack
from evobourse.merge.recipes.stack_recipe import AnyRecipe, StackRecipe

STUDY = Study(
    question="is an evolved layer stack better than the best of its sources, on the market?",
    minutes=180,
    page="runs/studies/stacks.md",
)

QUICKSTART = Path(__file__).parents[1] / "quickstart.yaml"
STACK = "stack"
_STAGE_KEY = 51
# The stack is the mind: no adapters, one mind for all, who differ in temperature and in what they
# see. Each sees one sign at most: 23 questions a stack.
CONFIG = (
    "personas=[{name: first}, {name: second}, {name: third}, {name: fourth}]",
    "minds.styles=[]",
    "minds.recipe_blocks=0",
    "minds.stack={window: [16, 30], repeats: 2}",
    "minds.attention=1",
    "market.agents=200",
    "search.cross.slow_count=4",
    "search.cross.fast_count=4",
    "search.cross.slow_every=1",
    "search.cross.sigma_slow=0.5",
    "search.cross.sigma_fast=0.5",
    "selection.champions=6",
    "selection.validation_groups=2",
    "workers=1",
)


@dataclass(frozen=True)
class Settings:
    """What is compared.

    Attributes
    ----------
    seeds, first_seed
        Sweeps of each arm, and the seed of the first.
    generations
        Of each stage.
    as_they_are
        One society for all: layers alone evolve.
    changes
        Of the config: any key with a dot, such as market.agents.
    """

    seeds: int = 3
    first_seed: int = 1
    generations: int = 10
    as_they_are: bool = False
    changes: tuple[str, ...] = ()


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

    @property
    def nbytes(self) -> int:
        """Count the bytes of all weights."""
        return self.bases.nbytes

    def hash_of(self, base: str) -> str:
        """Name the base's weights."""
        return self.base_hash

    def expect(self, casts: Sequence[tuple[AnyRecipe | None, Sequence[Population]]]) -> None:
        """Wait to be asked."""

    def serve(self, recipe: AnyRecipe | None) -> Any:
        """Serve the source."""
        layers = [(self.name, number) for number in range(self.depth)]
        return self.bases.serve(StackRecipe(self.base, LayerStack.along(layers, lambda at: 1.0)))


@dataclass(frozen=True)
class Arm:
    """What evolves, on which models: a experiment whose genome holds the stack or not."""

    name: str
    experiment: Experiment
    bases: Bases


@dataclass(eq=False)
class Notes:
    """Tells figures and keeps them as rows of the page's table."""

    report: Report
    rows: list[str] = field(default_factory=list)

    def figure(self, figure: str, value: float, peer: str, against: float) -> None:
        """Tell and keep a figure."""
        self.report.figure(figure, value, "1", peer, value / against)
        self.rows.append(f"| {figure} | {value:.2f} | {peer} | {value / against:.2f} |")

    def gap(self, what: str, gaps: Returns, config: ExperimentConfig) -> None:
        """Tell and keep the gap between the stack and the best source, [sweeps, groups]."""
        low, high = interval(gaps)
        search = config.search
        figure = (
            f"{what}: held-out J/J95 of the evolved stack over that of the best single source, "
            f"{search.generations} generations of {_candidates(config)} each time, 95 % interval "
            f"{low:.2f} to {high:.2f}"
        )
        self.figure(figure, float(np.exp(gaps.mean())), "the best single source", 1.0)


def run(settings: Settings, report: Report) -> Page:
    """Run the arms with every seed."""
    changes = [*CONFIG, f"search.generations={settings.generations}", *settings.changes]
    config = load_config(QUICKSTART, changes)
    bases = build_experiment(config).open_bases()
    seeds = range(settings.first_seed, settings.first_seed + settings.seeds)
    compare = compare_as_they_are if settings.as_they_are else compare_arms
    notes = Notes(report)
    gaps = np.stack([compare(replace(config, seed=seed), bases, notes) for seed in seeds])
    notes.gap(f"{settings.seeds} sweeps", gaps, config)
    return Page(PAGE.format(command=report.command, rows="\n".join(notes.rows)))


def compare_arms(config: ExperimentConfig, bases: Any, notes: Notes) -> Returns:
    """Run all arms with a seed; log J/J95 of the stack less the best source's, by held-out group.

    First each source's society evolves. Then, from the best one's champion and with the same
    budget, its society goes on in one arm, stack and society in the other. Champions, and which
    source is the best, are chosen by training and validation windows; a group of held-out paths
    has the same seeds and windows in every arm.
    """
    arms = list_arms(config, bases)
    champions = {arm.name: evolve_arm(arm, notes.report) for arm in arms}
    best = min(arms, key=lambda arm: champions[arm.name].score)
    stack = stack_arm(config, bases, best.name)
    society = champions[best.name].candidate.genome["society"]
    for arm in (best, stack):
        champions[arm.name] = evolve_arm(arm, notes.report, society)
    return read_heldout(config, [*arms, stack], champions, best, notes)


def compare_as_they_are(config: ExperimentConfig, bases: Any, notes: Notes) -> Returns:
    """Compare as `compare_arms` does, with the society's start for all: nothing but layers evolve.

    So the field compares: sources as they were found, in the very surroundings of what is evolved
    from them. The stack starts at the best source.
    """
    cross = replace(config.search.cross, slow_count=_candidates(config), fast_count=1)
    only_slow = replace(config.search, cross=cross)
    arms = list_arms(config, bases)
    champions = {arm.name: evolve_arm(arm, notes.report, generations=0) for arm in arms}
    best = min(arms, key=lambda arm: champions[arm.name].score)
    stack = stack_arm(replace(config, search=only_slow), bases, best.name)
    champions[STACK] = evolve_arm(stack, notes.report)
    return read_heldout(config, [*arms, stack], champions, best, notes)


def read_heldout(
    config: ExperimentConfig,
    arms: Sequence[Arm],
    champions: Mapping[str, Finalist],
    best: Arm,
    notes: Notes,
) -> Returns:
    """Read the held-out windows of all champions, tell them, and return the stack's gap."""
    logs = {arm.name: np.log(judge(arm, champions[arm.name])) for arm in arms}
    for name, champion in champions.items():
        written = champion.candidate.recipe
        depth = f", {len(StackRecipe.from_dict(written).stack.layers)} layers" if written else ""
        marked = ", the best single source" if name == best.name else ""
        figure = (
            f"seed {config.seed}, {name}{marked}{depth}: held-out J/J95 (validation "
            f"{champion.validation:.2f}, training {champion.train:.2f}, both on fresh paths)"
        )
        own, peer = (float(np.exp(logs[n].mean())) for n in (name, best.name))
        notes.figure(figure, own, best.name, peer)
    gap: Returns = logs[STACK] - logs[best.name]
    notes.gap(f"seed {config.seed}", gap[None], config)
    return gap


def list_arms(config: ExperimentConfig, bases: MergedBases) -> list[Arm]:
    """List each source by itself, the base among them."""
    experiment = build_experiment(config)
    genome = experiment.market_genome
    alone = replace(experiment, market_genome=replace(genome, stack=None, sources=()))
    names = (genome.base, *genome.sources)
    return [Arm(n, alone, WholeSource(bases, genome.base, n, bases.depth)) for n in names]


def stack_arm(config: ExperimentConfig, bases: MergedBases, home: str) -> Arm:
    """Set up the stack of all sources, which starts at one of them."""
    experiment = build_experiment(config)
    genome = experiment.market_genome
    if genome.stack is None:
        raise ConfigError("study stacks: minds.stack is null; name a window of layers")
    space = replace(genome.stack, home=BASE if home == genome.base else home)
    return Arm(STACK, replace(experiment, market_genome=replace(genome, stack=space)), bases)


def evolve_arm(
    arm: Arm,
    report: Report,
    society: Mapping[str, float] | None = None,
    generations: int | None = None,
) -> Finalist:
    """Search an arm's genome on training windows and choose its champion, validation included.

    With a society the search starts there, and the start is among the finalists. Generations are
    the config's if left out.
    """
    experiment, began = arm.experiment, time.perf_counter()
    config, train = experiment.config, experiment.splits.train
    market_genome = experiment.market_genome
    genome = started_at(market_genome.genome(), society or {})
    slow, settings = market_genome.slow_segments(), config.search
    if not slow:
        cross = replace(settings.cross, slow_count=1, fast_count=_candidates(config))
        settings = replace(settings, cross=cross)
    stage = _STAGE_KEY + (society is not None)
    seed = np.random.SeedSequence(config.seed, spawn_key=(stage,))
    search = make_search(settings, genome, slow, seed)
    target = experiment.target(train)
    evaluator = MarketEvaluator(experiment.windows, train, target, market_genome, arm.bases)
    candidates: list[Candidate] = []

    def evaluate(genomes: list[list[Any]]) -> list[list[Any]]:
        generation = len(candidates)
        paths = generation_seed(config.seed, 1000 * stage + generation)
        found = evaluator.evaluate(generation, genomes, paths, _ignore)
        pairs = zip(chain(*found), chain(*genomes), strict=True)
        for n, (e, values) in enumerate(pairs, generation):
            score = e.score if np.isfinite(e.score) else None
            name = f"{arm.name} {n:04d}"
            candidates.append(
                Candidate(name, 0, (), values, e.recipe, e.seeds, score, e.parts, e.failure)
            )
        return found

    for _ in range(config.search.generations if generations is None else generations):
        proposal = search.ask()
        found = evaluate(search.genomes(proposal))
        scores = np.array([[e.score for e in row] for row in found])
        search.tell(proposal, scores, [[e.parts for e in row] for row in found])
    bred = sorted((c for c in candidates if c.score is not None), key=lambda c: c.score or 0.0)
    evaluate([[search.best_guess(), genome.to_values(genome.start_vector())]])
    chosen = [*bred[: config.selection.champions - 2], *(c for c in candidates[-2:] if c.score)]
    champion = rank_finalists(experiment, arm.bases, chosen, _ignore)[0]
    report.say(f"seed {config.seed}, {arm.name}: {time.perf_counter() - began:.0f} s")
    return champion


def started_at(genome: Genome, society: Mapping[str, float]) -> Genome:
    """Let the genes of the society start at other values."""
    segments = [
        replace(
            s,
            genes=tuple(
                replace(g, start=society.get(g.name, g.start)) if isinstance(g, Gene) else g
                for g in s.genes
            ),
        )
        if s.name == "society"
        else s
        for s in genome.segments
    ]
    return Genome(tuple(segments))


def judge(arm: Arm, champion: Finalist) -> Returns:
    """Read the held-out windows: J/J95 of each group of paths."""
    experiment = arm.experiment
    genome, values = experiment.market_genome, champion.candidate.genome
    reader = Judge(
        experiment, experiment.splits.heldout, experiment.config.selection.heldout_groups
    )
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


def _candidates(config: ExperimentConfig) -> int:
    return config.search.cross.slow_count * config.search.cross.fast_count


PAGE = """# Evolved layer stacks against their single sources

Written by `{command}`; do not edit.

All arms have equal budgets; champions, and which source is the best, are chosen by training and
validation windows; held-out windows are read once, a group of paths with the same seeds in every
arm. Intervals resample sweeps, then groups.

| figure | value | against | ratio |
|---|---|---|---|
{rows}
"""
