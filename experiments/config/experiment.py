"""The experiment's config: one YAML file, every value overridable, every key checked.

Knows all settings and their defaults. Deliberately builds nothing from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import yaml

from evobourse.agents.minds.endpoint import is_endpoint, parse_endpoint
from evobourse.agents.personas.social import Social
from evobourse.evolve.memetic.settings import MemeticConfig
from evobourse.evolve.searches.optuna import Sampler
from evobourse.evolve.searches.quality_diversity import Measure
from evobourse.experiments.config.minds import MindConfig
from evobourse.experiments.config.orders import OrderSettings
from evobourse.experiments.config.sections import override, read_section, read_yaml
from evobourse.experiments.errors import ConfigError
from evobourse.market.series.named import SplitPolicy
from evobourse.market.series.splits import LEAST_EMBARGO_DAYS, SplitDates
from evobourse.merge.errors import ModelError

PRESETS = Path(__file__).parents[1]
"""Where the shipped configs lie."""

ASSETS = ("sp500", "nasdaq", "aapl", "ibm", "msft", "goog")


@dataclass(frozen=True)
class SplitConfig(SplitDates):
    """First and last day (ISO) of each split, and the trading days kept free between them.

    ``series_sha256`` refuses any series but one; a run's ``splits.yaml`` is such a section.
    """

    train: tuple[str, str] = ("1999-01-04", "2006-12-29")
    validation: tuple[str, str] = ("2007-06-01", "2010-06-30")
    heldout: tuple[str, str] = ("2010-12-01", "2018-12-31")
    embargo_days: int = LEAST_EMBARGO_DAYS
    series_sha256: str | None = None


@dataclass(frozen=True)
class PersonaConfig:
    """A persona.

    Attributes
    ----------
    name, profile
        What it is called, and what readers should know of it.
    style
        The adapter that it starts from; null for none.
    base
        A base of its own, in the form of ``minds.base``, which is never merged; null for that one.
    """

    name: str
    profile: str = ""
    style: str | None = None
    base: str | None = None


@dataclass(frozen=True)
class TrainingData:
    """What style adapters are trained on: `series`' days in the training years.

    ``series`` null is the experiment's own with those of `ASSETS` that have days in all three
    splits.
    """

    series: tuple[str, ...] | None = None


@dataclass(frozen=True)
class MarketConfig:
    """Agents per market, days per window, independent paths per score, and the rules."""

    agents: int = 400
    days: int = 250
    paths: int = 4
    price_limit: float = 0.2
    fee_bps: int = 0


@dataclass(frozen=True)
class SearchConfig:
    """How the genome is searched, and how the champion is chosen.

    Attributes
    ----------
    optimizer
        ``cross``: `evolve.searches.cross.CrossSearch`, ``cma``: `evolve.searches.cma.CmaSearch`,
        ``optuna``: `evolve.searches.optuna.OptunaSearch`, ``map_elites`` and ``cma_mae``:
        `evolve.searches.quality_diversity.QualityDiversitySearch`, ``random``: Optuna's random
        sampler.
    generations
        Of candidates, in all; an evaluation repeated against noise is one of its own.
    slow_count, fast_count, slow_every
        Of ``cross``.
    sigma_slow, sigma_fast
        First step sizes of the segments recipe and minds, and of society.
    population
        Candidates of a generation of all but ``cross``.
    step_sizes
        First step size by segment, of ``cma``, ``map_elites`` and ``cma_mae``; those not named
        have `sigma_slow` or `sigma_fast`.
    restarts, max_evaluations
        Of ``cma``.
    sampler, objectives, storage
        Of ``optuna``; objectives other than "score" are parts of an evaluation (the moments by
        name) or names of `evolve.measures.MEASURES`, and need ``sampler: nsga2``.
    measures
        Two axes of the archive of ``map_elites`` and ``cma_mae``, named as the objectives are.
    rungs
        Of any: after how many paths the worse half of a generation stops; none, no race.
    champions, validation_groups, heldout_groups
        ``champions`` candidates with the best training scores are played again on validation and
        training windows with fresh seeds, ``validation_groups`` times ``market.paths`` paths
        each; the best of them is scored once on ``heldout_groups`` groups of held-out paths.
    max_minutes, max_decisions
        End the search before the generation that would go beyond them, sessions before a resume
        and memetic steps included; judging comes on top. The same seed gives the same bytes under
        a decision budget; where a time budget ends depends on the machine.
    memetic
        Trains the best candidate so far between generations, see `evolve.memetic.teacher`; null for
        never.
    """

    optimizer: Literal["cross", "cma", "optuna", "map_elites", "cma_mae", "random"] = "cross"
    generations: int = 24
    slow_count: int = 3
    fast_count: int = 14
    slow_every: int = 3
    sigma_slow: float = 0.6
    sigma_fast: float = 0.8
    population: int = 16
    step_sizes: dict[str, float] = field(default_factory=dict)
    restarts: int = 9
    max_evaluations: int = 1
    sampler: Sampler = "tpe"
    objectives: tuple[str, ...] = ("score",)
    storage: str | None = None
    measures: tuple[Measure, ...] = (
        Measure("volatility", 0.05, 0.65, 10),
        Measure("diversity", 1.0, 5.0, 10),
    )
    rungs: tuple[int, ...] = ()
    champions: int = 12
    validation_groups: int = 4
    heldout_groups: int = 8
    max_minutes: float | None = None
    max_decisions: int | None = None
    memetic: MemeticConfig | None = None


@dataclass(frozen=True)
class ExecutorConfig:
    """Who does the work of a sweep; how many they are, ``workers`` says. No result depends on it.

    Attributes
    ----------
    kind
        ``local``: models stay in the sweep's own process, worker processes run markets (with
        ``workers: 1`` none does, and all is in process). ``processes``: worker processes answer
        for the models too, each with its own copy of them. ``ray``: the same in Ray actors.
    address
        Of a Ray cluster's head, ``auto`` or ``host:port``; null starts Ray here.
    num_cpus, num_gpus, resources
        What a Ray actor asks of its node: GPUs may be shared, as in ``num_gpus: 0.25``, and
        resources have any name, as in ``resources: {mig-1g.10gb: 1}``.
    """

    kind: Literal["local", "processes", "ray"] = "local"
    address: str | None = None
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    resources: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ExperimentConfig:
    """A whole experiment. `load_config` reads it; `config.yaml` in a run folder holds it.

    ``series`` is a name or a file and ``stock_splits`` what is done about unadjusted splits in it,
    see `market.series.named.load_series`. ``workers`` is how many do the work of the ``executor``,
    0 for one a core, or as many as a Ray cluster has room for; no result depends on it. With a
    ``society`` agents read each other's posts, and evolution sets its link threshold and decay,
    beginning at those given. With ``orders`` they are drawn by regime, see
    `agents.crowds.order_regimes`.
    """

    name: str = "experiment"
    seed: int = 1
    series: str = "sp500"
    stock_splits: SplitPolicy = "refuse"
    splits: SplitConfig = field(default_factory=SplitConfig)
    minds: MindConfig = field(default_factory=MindConfig)
    training: TrainingData = field(default_factory=TrainingData)
    personas: tuple[PersonaConfig, ...] = ()
    society: Social | None = None
    orders: OrderSettings | None = None
    market: MarketConfig = field(default_factory=MarketConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    workers: int = 0
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    mlflow_uri: str | None = None

    @property
    def other_bases(self) -> tuple[str, ...]:
        """Name the bases that personas name beside the main one, once each."""
        named = dict.fromkeys(p.base for p in self.personas if p.base)
        return tuple(base for base in named if base != self.minds.base)

    def to_yaml(self) -> str:
        """Write every value, defaults included."""
        return yaml.safe_dump(_plain(asdict(self)), sort_keys=False, allow_unicode=True)


def find_config(place: str | Path) -> Path:
    """Return a config's file: the one of that name, or else a shipped one, as ``quickstart`` is."""
    file, shipped = Path(place), PRESETS / f"{place}.yaml"
    if file.is_file() or not shipped.is_file():
        return file
    return shipped


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read a config and apply ``key=value`` overrides (dots descend, values are YAML).

    Parameters
    ----------
    path
        Its file, or the name of a shipped one, see `find_config`.
    overrides
        Such as ``search.generations=5``.

    Raises
    ------
    ConfigError
        The file is missing or no YAML mapping, a key is unknown (the nearest valid one is
        named), a value has the wrong type or is out of range.
    """
    path = find_config(path)
    raw = read_yaml(path, "a config")
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: holds {type(raw).__name__}, expected a mapping of settings")
    for change in overrides:
        override(raw, change)
    config = read_section(ExperimentConfig, raw, str(path))
    _check(config, str(path))
    return config


_AT_LEAST = {
    "splits.embargo_days": LEAST_EMBARGO_DAYS,
    "market.agents": 10,
    "market.days": 60,
    "market.paths": 2,
    "search.generations": 1,
    "search.slow_count": 1,
    "search.fast_count": 1,
    "search.slow_every": 1,
    "search.population": 2,
    "search.restarts": 0,
    "search.max_evaluations": 1,
    "search.champions": 1,
    "search.validation_groups": 2,
    "search.heldout_groups": 2,
    "search.max_minutes": 0,
    "search.max_decisions": 1,
    "minds.blocks": 1,
    "minds.recipe_blocks": 0,
    "minds.attention": 1,
    "minds.kv_budget_bytes": 0,
    "minds.memory_bytes": 1,
    "minds.endpoint.concurrency": 1,
    "minds.endpoint.attempts": 1,
    "seed": 0,
    "workers": 0,
    "executor.num_cpus": 0,
    "executor.num_gpus": 0,
}


def _check(config: ExperimentConfig, where: str) -> None:
    for key, least in _AT_LEAST.items():
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        if value is not None and value < least:
            raise ConfigError(f"{where}: {key} is {value}, expected at least {least}")
    if is_endpoint(config.minds.base):
        parse_endpoint(config.minds.base)
        if config.minds.recipe_blocks:
            raise ConfigError(
                f"{where}: minds.recipe_blocks is {config.minds.recipe_blocks}, and a server's "
                "weights cannot be merged; set minds.recipe_blocks: 0"
            )
        if config.minds.stack or config.minds.cores != "none":
            key = "stack" if config.minds.stack else "cores"
            raise ConfigError(
                f"{where}: minds.{key} needs a model here, and the base is a server's"
            )
    if config.minds.stack and config.minds.quantizer != "groups":
        raise ConfigError(
            f"{where}: minds.quantizer is {config.minds.quantizer!r} beside minds.stack, whose "
            "layers are shared in our own INT8 alone; set minds.quantizer: groups"
        )
    if config.minds.stack and config.minds.recipe_blocks:
        raise ConfigError(
            f"{where}: minds.recipe_blocks is {config.minds.recipe_blocks} beside minds.stack; the "
            "recipe is a merge or a stack: set minds.recipe_blocks: 0"
        )
    for base in filter(is_endpoint, config.other_bases):
        parse_endpoint(base)
    if strange := config.minds.adapters_of.keys() - set(config.other_bases):
        named = ", ".join(map(repr, config.other_bases)) or "none"
        raise ConfigError(
            f"{where}: minds.adapters_of has {min(strange)!r}, and no persona names that base "
            f"beside minds.base; personas name {named}"
        )
    try:
        config.minds.storage()
    except ModelError as error:
        raise ConfigError(f"{where}: {error}") from error
    if config.executor.address is not None and config.executor.kind != "ray":
        raise ConfigError(
            f"{where}: executor.address is {config.executor.address!r}, and executor.kind "
            f"{config.executor.kind!r} has none; set executor.kind: ray or leave the address out"
        )
    stages = [0, *config.search.rungs, config.market.paths]
    if any(a >= b for a, b in pairwise(stages)):
        raise ConfigError(
            f"{where}: search.rungs is {list(config.search.rungs)}, expected ascending numbers of "
            f"paths from 1 to {config.market.paths - 1}"
        )
    if config.training.series == ():
        raise ConfigError(f"{where}: training.series is empty; name one, or null for several")
    contest = config.society and config.society.contest
    if contest and (contest.replaced or contest.by == "fidelity"):
        key = "replaced" if contest.replaced else "by"
        raise ConfigError(
            f"{where}: society.contest.{key} is {getattr(contest, key)!r}, which needs minds while "
            "markets run; in a sweep set replaced: 0 and by: profit, or use a scenario"
        )
    if not config.personas:
        raise ConfigError(f"{where}: personas is empty; list at least one, with a name and a style")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
