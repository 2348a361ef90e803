"""What a population's market owes to each persona, and to each gene that evolution has set.

Everything is played on the seeds of the whole population. Held-out windows are never read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import RandomMinds
from evobourse.agents.personas.persona import Persona, Population
from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.errors import RunError
from evobourse.evolve.genomes.genome import Values
from evobourse.evolve.rounding import recorded
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.reports.intervals import Interval, t_interval
from evobourse.experiments.sweep.judging import Judge
from evobourse.experiments.sweep.setup import Experiment, build_experiment
from evobourse.fitness.distance import score_candidates
from evobourse.fitness.shapley import MOST_EXACT, MOST_MEMBERS, shapley_values

PAIRS = 16
"""Orders drawn of more personas than all coalitions are played of, each with its reverse."""

NOBODY = 1e-12
"""Share of a persona that is left out: no agent has it, and none who reconsiders takes it."""


@dataclass(frozen=True)
class Worth:
    """What something adds to a market, with 95 % intervals by Student's t.

    Attributes
    ----------
    log_ratio
        What it takes off log J/J95, over groups of paths: above 0 the market is closer to the
        real one with it. NaN where a market without it is degenerate.
    moments
        What it adds to each moment, over paths.
    error
        Standard error of ``log_ratio`` by the orders that were drawn; 0 where all coalitions were
        played.
    """

    log_ratio: Interval
    moments: Mapping[str, Interval]
    error: float = 0.0


@dataclass(frozen=True)
class PersonaWorth:
    """The part in a market of a persona, or of several who are taken together.

    Attributes
    ----------
    name, share
        Of the persona, or of all of them; shares add up to 1.
    mind
        Its Shapley value: what its mind adds, in the place of dice, to the minds before it, on
        average over all orders in which minds may come.
    left_out
        What it adds to the others, to whom its agents go by their shares otherwise; None if there
        are none.
    """

    name: str
    share: float
    mind: Worth
    left_out: Worth | None


@dataclass(frozen=True)
class GeneWorth:
    """A gene that evolution has moved.

    Attributes
    ----------
    name
        Of the gene, or of all that were put back together.
    value, start
        The champion's, and the un-evolved one that it is held against; None for many genes.
    worth
        Of the champion's value.
    """

    name: str
    value: float | None
    start: float | None
    worth: Worth


@dataclass(frozen=True)
class Attribution:
    """Who and what moves a population's market.

    Attributes
    ----------
    of
        Digest of the tape that the bundle was exported with.
    asset, split, groups, paths, agents, days
        What was played: so many groups, of ``paths`` paths together.
    score, dice
        Mean J/J95 of the population, and with dice for all minds; infinite if degenerate.
    markets
        How many were played in all.
    pairs
        Pairs of orders drawn; 0 where all coalitions were played.
    bands
        Width of the middle 95 % of real windows, by moment.
    personas, genes
        In the bundle's order; of the genes those that differ. More than
        `fitness.shapley.MOST_MEMBERS` personas are taken together by the style that leads each.
    minds
        Number of personas.
    """

    of: str
    asset: str
    split: str
    groups: int
    paths: int
    agents: int
    days: int
    score: float
    dice: float
    markets: int
    pairs: int
    bands: Mapping[str, float]
    personas: tuple[PersonaWorth, ...]
    genes: tuple[GeneWorth, ...]
    minds: int

    def as_json(self) -> dict[str, Any]:
        """Return plain values; null stands for what is not finite."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


@dataclass
class _Stage:
    """Plays populations on the same windows, and measures them.

    A measurement is float64[1 + groups + paths * M]: less log J/J95 on average, then of each group,
    then the moments of each path, so that whatever is linear in one is taken of all at once.
    """

    judge: Judge
    on_market: Callable[[], None]
    played: int = 0

    def measure(self, population: Population, table: NDArray[np.float64]) -> NDArray[np.float64]:
        judge, target = self.judge, self.judge.target
        paths = judge.play_table(population, table)
        shape = (judge.groups, target.paths, -1)
        volume = None if paths.volume is None else paths.volume.reshape(shape)
        scores = score_candidates(paths.log_returns.reshape(shape), target, volume)
        self.played += len(judge.seeds)
        self.on_market()
        closeness = -np.log([score.ratio for score in scores])
        by_path = [score.per_path.ravel() for score in scores]
        return np.concatenate([[closeness.mean()], closeness, *by_path])

    def ratio(self, measured: NDArray[np.float64]) -> float:
        """Return the mean J/J95 over groups."""
        return float(np.exp(-measured[1 : 1 + self.judge.groups]).mean())

    def worth(self, added: NDArray[np.float64], error: float = 0.0) -> Worth:
        """Read what was added by group and path."""
        names, groups = self.judge.target.names, self.judge.groups
        by_path = added[1 + groups :].reshape(-1, len(names))
        moments = {name: _interval(by_path[:, m]) for m, name in enumerate(names)}
        return Worth(_interval(added[1 : 1 + groups]), moments, error)


@np.errstate(invalid="ignore")  # a degenerate market is infinitely far off: what it adds is NaN
def attribute(
    config: ExperimentConfig,
    bundle: Bundle,
    bases: Bases,
    genome: Values | None,
    groups: int,
    ask_models: bool = False,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Attribution:
    """Measure what a population's market owes to whom and what, on validation windows.

    Parameters
    ----------
    config
        Series, splits and sizes.
    bundle
        The population; its rules and spread of limit prices make the market.
    bases
        Its models, or its answers, which are all that is asked unless ``ask_models`` is set.
    genome
        The champion's gene values, see `read_champion`; None to leave genes out.
    groups
        Of ``market.paths`` paths each, 2 or more.
    ask_models
        Whether mixtures of adapters and the recipe are put back as well, which asks new questions.
    on_step
        Called with the populations played so far and in all, after each.

    Raises
    ------
    RunError
        The genome is not the bundle's population.
    """
    experiment = build_experiment(config).in_market_of(bundle)
    people = bundle.population
    named = list_members(people, [folder.name for folder in bundle.adapters])
    variants = [] if genome is None else _list_genes(experiment, bundle, genome, ask_models)
    count, exact = len(named), len(named) <= MOST_EXACT
    # a pair of orders shares nobody and everybody, and at most those
    coalitions = 2**count if exact else 2 + 2 * PAIRS * (count - 1)
    total = coalitions + (count if count > 1 else 0) + len(variants)
    steps = iter(range(1, total + 1))
    judge = Judge(experiment, experiment.splits.validation, groups)
    stage = _Stage(judge, lambda: on_step(next(steps, total), total))

    minds = bases.serve(bundle.recipe)
    [table] = tabulate_choices([people], minds)
    [dice] = tabulate_choices([people], RandomMinds())
    member_of = np.empty(len(people.personas), np.int64)
    for member, rows in enumerate(named.values()):
        member_of[rows] = member
    known: dict[int, NDArray[np.float64]] = {}

    def measure_coalition(coalition: int) -> NDArray[np.float64]:
        there = (coalition >> member_of & 1).astype(bool)
        known[coalition] = stage.measure(people, np.where(there[:, None, None], table, dice))
        return known[coalition]

    values, errors = shapley_values(count, measure_coalition, judge.stream("shapley"), PAIRS)
    whole, nobody = known[2**count - 1], known[0]
    shares = np.array([persona.share for persona in people.personas])
    worths = []
    for member, (name, rows) in enumerate(named.items()):
        left_out = None
        if count > 1:
            without = stage.measure(_without(people, rows), table)
            left_out = stage.worth(whole - without)
        mind = stage.worth(values[member], float(errors[member, 0]))
        share = float(shares[rows].sum() / shares.sum())
        worths.append(PersonaWorth(name, share, mind, left_out))
    genes = []
    for name, value, start, population, recipe in variants:
        answers = minds if recipe is bundle.recipe else bases.serve(recipe)
        [choices] = tabulate_choices([population], answers)
        worth = stage.worth(whole - stage.measure(population, choices))
        genes.append(GeneWorth(name, value, start, worth))
    widths = judge.target.moment_high - judge.target.moment_low
    return Attribution(
        bundle.reference.digest,
        experiment.series.name,
        judge.split.name,
        groups,
        len(judge.seeds),
        experiment.windows.world.n_agents,
        experiment.windows.world.days,
        stage.ratio(whole),
        stage.ratio(nobody),
        stage.played,
        0 if exact else PAIRS,
        dict(zip(judge.target.names, widths.tolist(), strict=True)),
        tuple(worths),
        tuple(genes),
        len(people.personas),
    )


def _list_genes(
    experiment: Experiment, bundle: Bundle, values: Values, ask_models: bool
) -> list[tuple[str, float | None, float | None, Population, Any]]:
    """List what is put back: name, value, start, and the population and recipe with it so."""
    market, people, recipe = experiment.market_genome, bundle.population, bundle.recipe
    if market.population(values) != people:
        raise RunError(
            f"bundle {bundle.name}: its population is not that of the lineage's champion; name the "
            "run that it was exported from, or leave --config out"
        )
    whole = market.genome()
    start = whole.to_values(whole.start_vector())
    found: list[tuple[str, float | None, float | None, Population, Any]] = []
    for name, before in start["society"].items():  # a lineage's own order is the alphabet's
        value = values["society"][name]
        if value != before:
            one = {**values, "society": {**values["society"], name: before}}
            found.append((name, float(value), float(before), market.population(one), recipe))
    if not ask_models:
        return found
    if market.cloud:
        back = market.population({**values, "minds": start["minds"]})
        if back != people:
            found.append(("mixtures of all minds", None, None, back, recipe))
    else:
        unmoved = market.population(start).personas
        for place, (ours, theirs) in enumerate(zip(people.personas, unmoved, strict=True)):
            unmixed = replace(ours, mixture=theirs.mixture, cores=theirs.cores)
            if unmixed != ours:
                back = _with_persona(people, place, unmixed)
                found.append((f"mixture of {ours.name}", None, None, back, recipe))
    if recipe is not None and (before := market.recipe(start)) != recipe:
        found.append(("recipe of the base", None, None, people, before))
    return found


def list_members(population: Population, styles: Sequence[str]) -> dict[str, list[int]]:
    """Name whose part is measured, each with its personas' rows: a persona, or a style's minds."""
    personas = population.personas
    if len(personas) <= MOST_MEMBERS:
        return {persona.name: [row] for row, persona in enumerate(personas)}
    led: dict[str, list[int]] = {}
    for row, persona in enumerate(personas):
        strength = np.mean(persona.mixture, axis=0)
        lead = styles[int(strength.argmax())] if len(styles) else "the base"
        led.setdefault(lead, []).append(row)
    return {f"{style}, {len(rows)} minds": rows for style, rows in sorted(led.items())}


def _without(population: Population, rows: Sequence[int]) -> Population:
    """Leave personas' agents to the others; their rows stay, so that no other's number changes."""
    for row in rows:
        population = _with_persona(population, row, replace(population.personas[row], share=NOBODY))
    return population


def _with_persona(population: Population, place: int, persona: Persona) -> Population:
    people = population.personas
    return replace(population, personas=(*people[:place], persona, *people[place + 1 :]))


def _interval(values: NDArray[np.float64]) -> Interval:
    return t_interval(values) if np.isfinite(values).all() else (np.nan, np.nan, np.nan)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return recorded(value) if np.isfinite(value) else None
    return value
