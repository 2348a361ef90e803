"""The sections ``search``, ``selection`` and ``budget``: how to search, choose, and how long."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

from evobourse.agents.bounds import Bounds
from evobourse.evolve.memetic.settings import MemeticConfig
from evobourse.evolve.searches.optuna import SCORE, Sampler
from evobourse.evolve.searches.quality_diversity import Measure
from evobourse.experiments.config.sections import Section
from evobourse.experiments.errors import ConfigError

SLOW_STEP, FAST_STEP = 0.6, 0.8
"""First step sizes where none is given: of what changes minds, and of the society."""

StepSize = Annotated[float, Bounds(0, unit="quarters of a gene's range", above=True)]
StepSizes = dict[str, StepSize]


@dataclass(frozen=True)
class CrossConfig(Section):
    """The search ``cross``: merges and minds crossed with societies.

    Minds are slow to ask and societies fast to play, so that each of a few minds is tried with all
    of many societies, see `evolve.searches.cross.CrossSearch`.

    Attributes
    ----------
    slow_count
        Merges and minds tried in a generation that tries any.
    slow_every
        In every so many-th generation; the others keep the best guess.
    fast_count
        Societies tried in every generation, with each of the minds.
    sigma_slow
        First step size of merges and minds.
    sigma_fast
        First step size of the society.
    """

    slow_count: Annotated[int, Bounds(1, unit="candidates")] = 3
    slow_every: Annotated[int, Bounds(1, unit="generations")] = 3
    fast_count: Annotated[int, Bounds(1, unit="candidates")] = 14
    sigma_slow: StepSize = SLOW_STEP
    sigma_fast: StepSize = FAST_STEP


@dataclass(frozen=True)
class CmaConfig(Section):
    """The search ``cma``: one CMA-ES over all genes, see `evolve.searches.cma.CmaSearch`.

    Attributes
    ----------
    step_sizes
        First step size by segment (``recipe`` or ``stack``, ``minds``, ``society``); those left
        out have 0.6, the society 0.8.
    restarts
        Most times that it starts anew with twice the population when it has converged.
    max_evaluations
        Most evaluations of a candidate against noise; each repetition is a candidate of its own
        in the lineage. 1 for none.
    """

    step_sizes: StepSizes = field(default_factory=dict)
    restarts: Annotated[int, Bounds(0)] = 9
    max_evaluations: Annotated[int, Bounds(1)] = 1


@dataclass(frozen=True)
class OptunaConfig(Section):
    """The searches ``optuna`` and ``random``, which takes nothing here but ``storage``.

    See `evolve.searches.optuna.OptunaSearch`.

    Attributes
    ----------
    sampler
        Tree-structured Parzen estimator, uniform, CMA-ES, a scrambled Sobol sequence, or NSGA-II,
        the one for several objectives.
    objectives
        What is made small: ``score``, parts of an evaluation (the moments by name), or names of
        `evolve.measures.MEASURES`; two or more with ``sampler: nsga2``, else one.
    storage
        Address of a database that shows the trials, as in ``sqlite:///trials.db``; it is written
        and never read. Null for none.
    """

    sampler: Sampler = "tpe"
    objectives: tuple[str, ...] = (SCORE,)
    storage: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.sampler == "nsga2") != (len(self.objectives) > 1) or not self.objectives:
            raise ConfigError(
                f"sampler is {self.sampler!r} with objectives {list(self.objectives)}, expected "
                "two or more with nsga2, one with every other sampler"
            )


@dataclass(frozen=True)
class ArchiveConfig(Section):
    """The searches ``map_elites`` and ``cma_mae``: the best candidate of every kind.

    See `evolve.searches.quality_diversity.QualityDiversitySearch`.

    Attributes
    ----------
    measures
        The two axes of the archive, named as objectives are.
    step_sizes
        As in ``search.cma``.
    """

    measures: tuple[Measure, ...] = (
        Measure("volatility", 0.05, 0.65, 10),
        Measure("diversity", 1.0, 5.0, 10),
    )
    step_sizes: StepSizes = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.measures) != 2:
            raise ConfigError(f"measures has {len(self.measures)} entries, expected 2")
        for i, measure in enumerate(self.measures):
            if not measure.low < measure.high or measure.cells < 1:
                raise ConfigError(
                    f"measures[{i}] is {measure.low:g} to {measure.high:g} in {measure.cells} "
                    "cells, expected low below high and cells of at least 1"
                )


@dataclass(frozen=True)
class NichesConfig(Section):
    """The search ``niches``: members of an archive compete for cells, and mate for what they lack.

    A cell is a moment of an asset, see `evolve.searches.niches.NicheSearch`.

    Attributes
    ----------
    size
        Members of the archive.
    founders
        Folders of runs, whose champions the first generation begins with.
    step_sizes
        As in ``search.cma``.
    """

    size: Annotated[int, Bounds(2, unit="members")] = 32
    founders: tuple[str, ...] = ()
    step_sizes: StepSizes = field(default_factory=dict)


SECTIONS: dict[str, str] = {
    "cross": "cross",
    "cma": "cma",
    "optuna": "optuna",
    "random": "optuna",
    "map_elites": "archive",
    "cma_mae": "archive",
    "niches": "niches",
}
"""The section of each search."""


@dataclass(frozen=True)
class SearchConfig(Section):
    """How the genome is searched.

    The section of a search that is not chosen may not be set.

    Attributes
    ----------
    optimizer
        The search, which has a section of its own below: ``map_elites`` and ``cma_mae`` share
        ``archive``; ``random`` is Optuna's uniform sampler.
    generations
        Of candidates, in all; an evaluation repeated against noise is one of its own.
    population
        Candidates of a generation; ``cross`` has counts of its own.
    rungs
        Numbers of paths, ascending, after which the worse half of a generation stops (successive
        halving); empty for no race.
    memetic
        Training of the best candidate so far between generations, see `evolve.memetic.teacher`;
        null for never.
    cross
        Of ``optimizer: cross``.
    cma
        Of ``optimizer: cma``.
    optuna
        Of ``optimizer: optuna`` and ``random``.
    archive
        Of ``optimizer: map_elites`` and ``cma_mae``.
    niches
        Of ``optimizer: niches``.
    """

    MOVED: ClassVar[dict[str, str]] = {
        **{
            key: f"'search.cross.{key}'"
            for key in ("slow_count", "slow_every", "fast_count", "sigma_slow", "sigma_fast")
        },
        "step_sizes": "'step_sizes' of 'search.cma', 'search.archive' or 'search.niches'",
        "restarts": "'search.cma.restarts'",
        "max_evaluations": "'search.cma.max_evaluations'",
        **{key: f"'search.optuna.{key}'" for key in ("sampler", "objectives", "storage")},
        "measures": "'search.archive.measures'",
        **{
            key: f"'selection.{key}'"
            for key in ("champions", "validation_groups", "heldout_groups")
        },
        "max_minutes": "'budget.max_minutes'",
        "max_decisions": "'budget.max_decisions'",
    }

    optimizer: Literal["cross", "cma", "optuna", "map_elites", "cma_mae", "niches", "random"] = (
        "cross"
    )
    generations: Annotated[int, Bounds(1)] = 24
    population: Annotated[int, Bounds(2, unit="candidates")] = 16
    rungs: tuple[Annotated[int, Bounds(1, unit="paths")], ...] = ()
    memetic: MemeticConfig | None = None
    cross: CrossConfig = field(default_factory=CrossConfig)
    cma: CmaConfig = field(default_factory=CmaConfig)
    optuna: OptunaConfig = field(default_factory=OptunaConfig)
    archive: ArchiveConfig = field(default_factory=ArchiveConfig)
    niches: NichesConfig = field(default_factory=NichesConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in unchosen(self.optimizer):
            section = getattr(self, name)
            if section != type(section)():
                wanted = " or ".join(kind for kind, of in SECTIONS.items() if of == name)
                raise ConfigError(
                    f"{name} is set, and the optimizer is {self.optimizer}; leave it out, or set "
                    f"search.optimizer: {wanted}"
                )
        if self.optimizer == "random" and replace(self.optuna, storage=None) != OptunaConfig():
            raise ConfigError(
                "optuna has a sampler or objectives, and the optimizer is random; leave them out, "
                "or set search.optimizer: optuna"
            )


def unchosen(optimizer: Any) -> list[str]:
    """Name the sections of ``search`` that belong to other searches."""
    return [
        name for name in dict.fromkeys(SECTIONS.values()) if name != SECTIONS.get(str(optimizer))
    ]


@dataclass(frozen=True)
class SelectionConfig(Section):
    """How the champion is chosen and judged.

    Attributes
    ----------
    champions
        Finalists: so many candidates are played again on validation and training windows with
        fresh seeds. Half are the best of the latest generations, the others those with the best
        training scores, and the one at which the search ended.
    validation_groups
        Groups of ``market.paths`` paths that each finalist plays on either.
    heldout_groups
        Groups of ``market.paths`` held-out paths that the best finalist plays, once.
    """

    champions: Annotated[int, Bounds(1, unit="candidates")] = 12
    validation_groups: Annotated[int, Bounds(2)] = 8
    heldout_groups: Annotated[int, Bounds(2)] = 8


@dataclass(frozen=True)
class BudgetConfig(Section):
    """When the search ends at the latest: before the generation that would go beyond a limit.

    Sessions before a resume and memetic steps count; judging comes on top.

    Attributes
    ----------
    max_minutes
        By this machine's clock, on which the end then depends; null for no limit.
    max_decisions
        Of agents, which are agents x days x paths: the same seed gives the same bytes; null for no
        limit.
    """

    max_minutes: Annotated[float, Bounds(0, unit="minutes")] | None = None
    max_decisions: Annotated[int, Bounds(1, unit="decisions")] | None = None
