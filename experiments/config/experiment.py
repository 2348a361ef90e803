"""The experiment's config: one YAML file, every value overridable, every key checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from evobourse.agents.bounds import Bounds
from evobourse.agents.minds.endpoint import is_endpoint, parse_endpoint
from evobourse.agents.personas.mechanisms import Mechanisms, PersonaGene
from evobourse.agents.personas.social import Social
from evobourse.experiments.config.minds import MindConfig
from evobourse.experiments.config.orders import OrderSettings
from evobourse.experiments.config.search import (
    BudgetConfig,
    SearchConfig,
    SelectionConfig,
    unchosen,
)
from evobourse.experiments.config.sections import (
    Section,
    override,
    plain,
    read_section,
    read_yaml,
    write_yaml,
)
from evobourse.experiments.errors import ConfigError
from evobourse.market.series.named import SplitPolicy, SuspensionPolicy
from evobourse.market.series.splits import LEAST_EMBARGO_DAYS, SplitDates

PRESETS = Path(__file__).parents[1]
"""Where the shipped configs lie."""

ASSETS = ("sp500", "nasdaq", "aapl", "ibm", "msft", "goog")


@dataclass(frozen=True)
class SplitConfig(SplitDates, Section):
    """What is learnt from, selected on and judged by; a run's ``splits.yaml`` is such a section.

    Attributes
    ----------
    train
        First and last day (ISO) of the windows that candidates are scored on.
    validation
        First and last day of those that the champion is chosen on.
    heldout
        First and last day of those that are read once.
    embargo_days
        Trading days that lie between two neighbours, at least.
    series_sha256
        Content hash of the only series that may be cut so; null for any.
    """

    train: tuple[str, str] = ("1999-01-04", "2006-12-29")
    validation: tuple[str, str] = ("2007-06-01", "2010-06-30")
    heldout: tuple[str, str] = ("2010-12-01", "2018-12-31")
    embargo_days: Annotated[int, Bounds(LEAST_EMBARGO_DAYS, unit="trading days")] = (
        LEAST_EMBARGO_DAYS
    )
    series_sha256: str | None = None


@dataclass(frozen=True)
class PersonaConfig(Section):
    """A persona.

    Attributes
    ----------
    name
        What it is called.
    profile
        What readers should know of it.
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
class TrainingData(Section):
    """What style adapters are trained on, in the training years.

    Attributes
    ----------
    series
        Names or files; null for the experiment's own and those that are shipped and have days in
        all three splits.
    """

    series: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.series == ():
            raise ConfigError("series is empty; name one, or null for several")


@dataclass(frozen=True)
class MarketConfig(Section):
    """The market that a candidate is scored in.

    Attributes
    ----------
    agents
        Of a market.
    days
        Of a window.
    paths
        Independent paths of a score, each of its own window.
    price_limit
        Largest distance of a limit price from the day's reference, as a fraction of it.
    fee_bps
        Fee on the value traded, paid by each side.
    """

    agents: Annotated[int, Bounds(10, unit="agents")] = 400
    days: Annotated[int, Bounds(60, unit="trading days")] = 250
    paths: Annotated[int, Bounds(2, unit="paths")] = 4
    price_limit: Annotated[float, Bounds(0, 1, above=True)] = 0.2
    fee_bps: Annotated[int, Bounds(0, 10_000, "basis points")] = 0


@dataclass(frozen=True)
class ExecutorConfig(Section):
    """Who does the work of a sweep; how many they are, ``workers`` says. No result depends on it.

    Attributes
    ----------
    kind
        ``local``: models stay in the sweep's own process, worker processes run markets (with
        ``workers: 1`` none does, and all is in process). ``processes``: worker processes answer
        for the models too, each with its own copy of them. ``ray``: the same in Ray actors.
    address
        Of a Ray cluster's head, ``auto`` or ``host:port``; null starts Ray here.
    num_cpus
        What a Ray actor asks of its node.
    num_gpus
        The same; they may be shared, as in ``num_gpus: 0.25``.
    resources
        The same, by any name, as in ``resources: {mig-1g.10gb: 1}``.
    """

    kind: Literal["local", "processes", "ray"] = "local"
    address: str | None = None
    num_cpus: Annotated[float, Bounds(0, unit="cores")] = 1.0
    num_gpus: Annotated[float, Bounds(0, unit="GPUs")] = 0.0
    resources: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.address is not None and self.kind != "ray":
            raise ConfigError(
                f"address is {self.address!r}, and executor.kind {self.kind!r} has none; set "
                "executor.kind: ray or leave the address out"
            )


@dataclass(frozen=True)
class ExperimentConfig(Section):
    """A whole experiment. `load_config` reads it; ``config.yaml`` in a run's folder holds it.

    Attributes
    ----------
    name
        Of the experiment, and of its run's folder.
    seed
        Of all draws: the same seed and config give the same bytes.
    series
        Real daily prices: a name, or a CSV or Parquet file, see `market.series.named.load_series`;
        or a list of them. On several a candidate is scored on each one's windows in its own units,
        and its score is the geometric mean; the bundle's market is the first one's.
    stock_splits
        What is done about days that look like unadjusted stock splits.
    suspended_days
        What is done about days in a file on which nothing was traded: no price at all, or the last
        close without volume. To keep is at the last close; the days are trading days.
    personas
        Who lives in the population; at least one.
    society
        Lets agents read each other's posts; evolution sets its link threshold and decay, beginning
        at those given. Null for none.
    mechanisms
        What agents do beside deciding; evolution sets what is on, beginning at the values given.
    persona_genes
        Traits that evolution sets for each persona, 0.25 to 4 times the society's: ``activity``,
        ``dispersion`` and ``size`` of orders, ``shared_reading``.
    masks
        Whether evolution sets input masks; if not, every agent may see every field, still at most
        ``minds.attention`` of them.
    orders
        Lets orders be drawn by regime, see `agents.crowds.order_regimes`; null for one law.
    workers
        How many do the work of the ``executor``; 0 for one a core, or as many as a Ray cluster has
        room for. No result depends on it.
    mlflow_uri
        Where the lineage can be looked at, a database or a server; null for a file in the run's
        folder.
    """

    name: str = "experiment"
    seed: Annotated[int, Bounds(0)] = 1
    series: tuple[str, ...] = ("sp500",)
    stock_splits: SplitPolicy = "refuse"
    suspended_days: SuspensionPolicy = "refuse"
    splits: SplitConfig = field(default_factory=SplitConfig)
    minds: MindConfig = field(default_factory=MindConfig)
    training: TrainingData = field(default_factory=TrainingData)
    personas: tuple[PersonaConfig, ...] = field(kw_only=True)
    society: Social | None = None
    mechanisms: Mechanisms = field(default_factory=Mechanisms)
    persona_genes: tuple[PersonaGene, ...] = ()
    masks: bool = True
    orders: OrderSettings | None = None
    market: MarketConfig = field(default_factory=MarketConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    workers: Annotated[int, Bounds(0)] = 0
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    mlflow_uri: str | None = None

    def __post_init__(self) -> None:
        """Check what spans sections."""
        super().__post_init__()
        if not self.series or len(set(self.series)) < len(self.series):
            raise ConfigError(
                f"series is {list(self.series)}, expected one name or file, or several once each"
            )
        if not self.personas:
            raise ConfigError("personas is empty; list at least one, with a name and a style")
        if len(set(self.persona_genes)) < len(self.persona_genes):
            raise ConfigError(f"persona_genes has one twice: {', '.join(self.persona_genes)}")
        if "shared_reading" in self.persona_genes and not self.mechanisms.shared_reading:
            raise ConfigError(
                "persona_genes has shared_reading, which is a factor of mechanisms.shared_reading, "
                "and that is 0; set it above 0, or leave the gene out"
            )
        for base in filter(is_endpoint, self.other_bases):
            parse_endpoint(base)
        if strange := self.minds.adapters_of.keys() - set(self.other_bases):
            named = ", ".join(map(repr, self.other_bases)) or "none"
            raise ConfigError(
                f"minds.adapters_of has {min(strange)!r}, and no persona names that base beside "
                f"minds.base; personas name {named}"
            )
        stages = [0, *self.search.rungs, self.market.paths]
        if any(a >= b for a, b in pairwise(stages)):
            raise ConfigError(
                f"search.rungs is {list(self.search.rungs)}, expected ascending numbers of paths "
                f"from 1 to {self.market.paths - 1}"
            )
        contest = self.society and self.society.contest
        if contest and (contest.replaced or contest.by == "fidelity"):
            key = "replaced" if contest.replaced else "by"
            raise ConfigError(
                f"society.contest.{key} is {getattr(contest, key)!r}, which needs minds while "
                "markets run; in a sweep set replaced: 0 and by: profit, or use a scenario"
            )

    @property
    def candidate_markets(self) -> int:
        """Markets that a candidate's score takes: its paths on each series."""
        return self.market.paths * len(self.series)

    @property
    def other_bases(self) -> tuple[str, ...]:
        """Name the bases that personas name beside the main one, once each."""
        named = dict.fromkeys(p.base for p in self.personas if p.base)
        return tuple(base for base in named if base != self.minds.base)

    def settings(self) -> dict[str, Any]:
        """Return every value, defaults included, as JSON; of the searches the chosen one's."""
        settings: dict[str, Any] = plain(asdict(self))
        for name in unchosen(self.search.optimizer):
            del settings["search"][name]
        return settings

    def to_yaml(self) -> str:
        """Write the settings; `load_config` reads the same config from them."""
        return write_yaml(self.settings())


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

    An override of ``search.optimizer`` also takes away what the file sets for other searches.

    Raises
    ------
    ConfigError
        The file is missing or no YAML mapping, a key is unknown (the nearest valid one is
        named), a value has the wrong type or is out of range, or values do not go together.
    """
    path = find_config(path)
    raw = read_yaml(path, "a config")
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: holds {type(raw).__name__}, expected a mapping of settings")
    chosen = [change for change in overrides if change.startswith("search.optimizer=")]
    for change in chosen:
        override(raw, change)
        for name in unchosen(raw["search"]["optimizer"]):
            raw["search"].pop(name, None)
    for change in overrides:
        override(raw, change)
    return read_section(ExperimentConfig, raw, str(path))
