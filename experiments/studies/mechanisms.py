"""What each mechanism of a society does to its market, switched on and off one at a time.

Minds are the style teachers, so that nothing but the society is searched. No held-out window is
read.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.personas.mechanisms import DETAILS, OFF, Mechanisms
from evobourse.agents.personas.persona import Population
from evobourse.evolve.bases.stand_ins import TeacherBases
from evobourse.evolve.evaluation import MarketEvaluator, path_seeds
from evobourse.evolve.genomes.genome import Genome, Values
from evobourse.evolve.genomes.market import FAST_SEGMENTS, MarketGenome
from evobourse.evolve.loop import generation_seed
from evobourse.evolve.markets import play_market
from evobourse.evolve.searches.cma import CmaSearch
from evobourse.experiments.config.experiment import load_config
from evobourse.experiments.reports.figure_lines import Report
from evobourse.experiments.reports.intervals import show
from evobourse.experiments.simulate.hand_set import BY_HAND, ON, set_by_hand
from evobourse.experiments.studies.run import Page, Study
from evobourse.experiments.sweep.setup import Experiment, build_experiment
from evobourse.fitness.distance import score_paths
from evobourse.fitness.moments import measured, moments
from evobourse.market.series.splits import Split

STUDY = Study(
    question="what does each mechanism of a society do to its market?",
    minutes=10,
    page="docs/studies/mechanisms.md",
)

SPLITS = ("train", "validation")
SHOWN = (
    "volume_volatility",
    "hill",
    "acf_abs_short",
    "acf_abs_medium",
    "ac1",
    "log_volatility",
    "displacement",
    "leverage_abs",
)
HEADINGS = (
    "population",
    "J/J95",
    "volume and abs r",
    "Hill",
    "ACF 1-2",
    "ACF 4-11",
    "AC1",
    "log volatility to real",
    "displacement",
    "leverage",
    "end lower",
)
STEP_DAYS = 21
"""Between the first days of two real windows."""


@dataclass(frozen=True)
class Settings:
    """What is played.

    Attributes
    ----------
    paths
        Of a population and split, each on its own window; a multiple of the market's.
    generations, candidates
        Of each of the two searches of a society; 0 generations for none.
    seed
        Of searches and paths.
    market
        Changes of the quickstart, ``key=value``.
    """

    paths: int = 64
    generations: int = 60
    candidates: int = 16
    seed: int = 1
    market: tuple[str, ...] = ("market.agents=200",)


class SocietyGenome(MarketGenome):
    """A market's genome of which only the society evolves; minds stay at their start."""

    def genome(self) -> Genome:
        """List the society's genes."""
        segments = super().genome().segments
        return Genome(tuple(one for one in segments if one.name in FAST_SEGMENTS))

    def population(self, values: Values) -> Population:
        """Read the population from the society's genes."""
        whole = super().genome()
        return super().population({**whole.to_values(whole.start_vector()), **values})

    def recipe(self, values: Values) -> None:
        """Read no recipe: the teachers have no weights."""


@dataclass(frozen=True, eq=False)
class Row:
    """What a population's market does: float64[paths] each, but a score a group of paths."""

    scores: NDArray[np.float64]
    moments: Mapping[str, NDArray[np.float64]]
    lower: NDArray[np.float64]


def run(settings: Settings, report: Report) -> Page:
    """Play a population set by hand and two evolved ones, with and without each mechanism."""
    config = load_config("quickstart", settings.market)
    experiment = build_experiment(config)
    sections = []
    populations = {"set by hand": vary(set_by_hand(experiment))}
    found = ""
    if settings.generations:
        evolved = {}
        for name, mechanisms in (("with all", ON), ("without any", OFF)):
            genome = with_mechanisms(experiment, mechanisms)
            values = search_society(experiment, genome, settings, report)
            evolved[name] = genome.population(values)
            found = found or write_society(values)
        populations["evolved"] = {
            "evolved without any": evolved["without any"],
            **vary(evolved["with all"], alone=False),
        }
    count = sum(map(len, populations.values())) * len(SPLITS)
    with report.steps("populations", count) as step:
        for split_name in SPLITS:
            split = getattr(experiment.splits, split_name)
            rows = {"real windows": measure_real(experiment, split)}
            for origin, variants in populations.items():
                for name, population in variants.items():
                    row = measure(experiment, split, population, settings)
                    rows[name if origin == "evolved" else f"{origin}, {name}"] = row
                    step()
            for name, row in rows.items():
                figure = f"{name}, {split_name} windows"
                volume = float(np.nanmean(row.moments["volume_volatility"]))
                report.figure(f"rank correlation of abs r with volume, {figure}", volume, "1")
            title = split_name.capitalize()
            sections.append(f"## {title} windows\n\n{table(rows)}\n")
    by_hand = ", ".join(f"`{name}` {value:g}" for name, value in BY_HAND.items())
    page = PAGE.format(
        command=report.command,
        agents=config.market.agents,
        days=config.market.days,
        paths=settings.paths,
        group=config.market.paths,
        candidates=settings.candidates * settings.generations,
        mechanisms=yaml.safe_dump({"mechanisms": asdict(ON)}, sort_keys=False).rstrip(),
        by_hand=textwrap.fill(f"Its society is the un-evolved one but for {by_hand}.", 96),
        found=found or "No search was asked for.",
        sections="\n".join(sections),
    )
    return Page(page)


def with_mechanisms(experiment: Experiment, mechanisms: Mechanisms) -> SocietyGenome:
    """Return the experiment's genome with mechanisms, minds fixed."""
    given = {**vars(experiment.market_genome), "mechanisms": mechanisms}
    return SocietyGenome(**given)


def vary(population: Population, alone: bool = True) -> dict[str, Population]:
    """List a population with all its mechanisms, with none, each alone, and all but each."""
    whole = population.society.mechanisms
    names = [name for name in whole.on if name not in DETAILS]

    def given(**change: float) -> Population:
        mechanisms = replace(whole, **change)
        return replace(population, society=replace(population.society, mechanisms=mechanisms))

    off = dict.fromkeys(names, 0.0)
    only = {f"{name} alone": given(**{k: 0.0 for k in names if k != name}) for name in names}
    found = (
        {"with none": given(**off), **only} if alone else {"evolved with all, none": given(**off)}
    )
    label = "with all" if alone else "evolved with all"
    found[label] = population
    return found | {f"{label} but {name}": given(**{name: 0.0}) for name in names}


def search_society(
    experiment: Experiment, genome: SocietyGenome, settings: Settings, report: Report
) -> Values:
    """Evolve a society on training windows; return the mean of the last generation's proposals."""
    train = experiment.splits.train
    evaluator = MarketEvaluator(
        experiment.windows,
        train,
        experiment.target(train),
        genome,
        TeacherBases(genome.styles),
        experiment.executor,
    )
    seed = np.random.SeedSequence(settings.seed)
    search = CmaSearch(genome.genome(), settings.candidates, {"society": 0.8}, seed)
    scores = np.zeros(0)
    with report.steps("generations", settings.generations) as step:
        for generation in range(settings.generations):
            proposal = search.ask()
            paths = generation_seed(settings.seed, generation)
            found = evaluator.evaluate(generation, search.genomes(proposal), paths, _ignore)
            every = np.array([[one.score for one in row] for row in found])
            search.tell(proposal, every, [[one.parts for one in row] for row in found])
            scores = every.ravel()
            step()
    report.say(f"{len(genome.genome().names())} genes, last median J/J95 {np.median(scores):.2f}")
    return search.best_guess()


def _ignore(done: int, total: int) -> None:
    """Hear of progress in silence."""


def measure(
    experiment: Experiment, split: Split, population: Population, settings: Settings
) -> Row:
    """Play a population on windows of a split that no search has seen the seeds of."""
    windows = experiment.windows
    [choices] = tabulate_choices([population], TeacherMinds(experiment.market_genome.styles))
    seeds = path_seeds(np.random.SeedSequence(settings.seed, spawn_key=(7,)), settings.paths)
    tapes = [
        play_market(windows.world, (population, windows.history(split, seed), seed), choices)
        for seed in seeds
    ]
    returns = np.array([tape.log_returns() for tape in tapes])
    volume = np.array([tape.volume for tape in tapes])
    return _row(experiment, split, returns, volume)


def measure_real(experiment: Experiment, split: Split) -> Row:
    """Measure the real windows of a split, overlapping ones; without a score."""
    days, series = experiment.config.market.days, experiment.series
    firsts = np.arange(split.start + 1, split.stop - days + 1, STEP_DAYS)
    rows = firsts[:, None] + np.arange(days)
    found = _row(experiment, split, series.log_returns[rows - 1], np.asarray(series.volume)[rows])
    return replace(found, scores=np.full(1, np.nan))


def _row(experiment: Experiment, split: Split, returns: NDArray[Any], volume: NDArray[Any]) -> Row:
    target, real = experiment.target(split), experiment.split_returns(split)
    pairs, days = np.stack([returns, volume.astype(np.float64)], axis=1), returns.shape[1]
    groups = pairs[: len(pairs) // target.paths * target.paths].reshape(-1, target.paths, 2, days)
    names = measured(days, with_volume=True)
    found = moments(returns, float(real.std()), volume)
    return Row(
        np.array([score_paths(one[:, 0], target, one[:, 1]).ratio for one in groups], np.float64),
        {name: found[:, names.index(name)] for name in SHOWN},
        (returns.sum(axis=1) < 0).astype(np.float64),
    )


def table(rows: Mapping[str, Row]) -> str:
    """Return a row a population: the score with its interval, means of everything else."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    for name, row in rows.items():
        cells = [name, show(row.scores)]
        cells += [f"{np.nanmean(row.moments[moment]):.2f}" for moment in SHOWN]
        lines.append(f"| {' | '.join([*cells, f'{row.lower.mean():.0%}'])} |")
    return "\n".join(lines)


def write_society(values: Values) -> str:
    """Write the society that a search found as YAML."""
    rounded = {name: float(f"{value:.3g}") for name, value in values["society"].items()}
    return f"```yaml\n{yaml.safe_dump(rounded, sort_keys=False)}```"


PAGE = """# Mechanisms: what each does to a market

Written by `{command}`; do not edit.

Minds are the style teachers, personas and rules the quickstart's, with {agents} agents and {days}
days. A row is {paths} paths on windows of S&P 500; all rows have the same windows and the same
draws. J/J95 is the mean over groups of {group} paths with a 95 % interval: 0 is as close to the
real market as that is to itself, 1 is its 95 % bound. Volume and abs r is the rank
correlation of the size of a day's return with its volume, leverage the correlation of returns with
absolute ones of later days. The other columns are means over paths; the last is
the part of the paths that end below their start. Real windows overlap.

*Set by hand* is a society that was set with all mechanisms on, by looking at training windows; then
they are switched, and no other setting follows.

```yaml
{mechanisms}
```

{by_hand}

*Evolved without any* and *evolved with all* are societies that CMA-ES found on training windows
with the same budget, {candidates} candidates each, beginning with the un-evolved society and these
mechanisms; each is the mean of the last generation. In *all but* one a mechanism of the evolved
society is switched off and nothing is evolved anew: what leaned on it is out of place.

{sections}
## The society that was found with all

{found}
"""
