"""From a config to everything that a sweep or a simulation needs, built once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from numpy.typing import NDArray

from evobourse import agents
from evobourse.agents.crowds.offsets import fit_offsets
from evobourse.agents.minds.endpoint import is_endpoint
from evobourse.agents.styles import FIRST_STYLES
from evobourse.evolve.bases.protocol import PersonaBase
from evobourse.evolve.bases.workers import WorkerBases
from evobourse.evolve.bundle import Bundle, load_bundle
from evobourse.evolve.executors.executor import Executor, InProcess
from evobourse.evolve.executors.processes import local_processes
from evobourse.evolve.executors.ray_actors import ray_actors
from evobourse.evolve.genomes.market import MarketGenome, PersonaStart
from evobourse.evolve.genomes.stack import BASE, StackSpace
from evobourse.evolve.markets import MarketWindows, World
from evobourse.evolve.run_folder import RunFolder
from evobourse.experiments.config.experiment import ExperimentConfig
from evobourse.experiments.config.minds import MindConfig, StackConfig
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.sweep.orders import fit_orders
from evobourse.fitness.distance import Target, make_target
from evobourse.market.rules import MarketRules
from evobourse.market.series.named import PriceSeries, load_series
from evobourse.market.series.splits import Split, Splits
from evobourse.merge.peft.folder import read_rank
from evobourse.merge.recipes.recipe import Recipe
from evobourse.merge.sources import (
    adapter_folders,
    hash_folder,
    read_depth,
    resolve_model,
    source_folders,
)

if TYPE_CHECKING:
    from evobourse.evolve.bases.protocol import Bases

_TARGETS_KEY, _SEARCH_KEY, _CALIBRATION_KEY = 11, 12, 13
SHIPPED = Path(agents.__file__).parent
MERGED = "merged"
"""What a stack calls the merge that an earlier sweep found."""


@dataclass(frozen=True)
class SeriesParts:
    """What depends on the series: its days, their splits, and markets in its own units.

    Attributes
    ----------
    series, splits, windows
        As in `Experiment`.
    """

    series: PriceSeries
    splits: Splits
    windows: MarketWindows


@dataclass(frozen=True)
class Experiment:
    """Parts of an experiment.

    Attributes
    ----------
    config
        What they were built from.
    series, splits
        Real prices and their train, validation and held-out rows.
    windows
        Where populations play.
    market_genome
        What evolution may change.
    adapters, sources
        Folders of style adapters and of recipe sources.
    persona_bases
        Bases that personas name beside the main one.
    executor
        Where markets are run, and minds asked unless `ExecutorConfig.kind` is local.
    others
        Further series that candidates are scored on.
    """

    config: ExperimentConfig
    series: PriceSeries
    splits: Splits
    windows: MarketWindows
    market_genome: MarketGenome
    adapters: tuple[Path, ...]
    sources: tuple[Path, ...]
    persona_bases: Mapping[str, PersonaBase] = field(default_factory=dict)
    executor: Executor = field(default_factory=InProcess)
    others: tuple[SeriesParts, ...] = ()

    @property
    def asks_workers(self) -> bool:
        """Whether models are open in the workers; a server's limits are kept here."""
        return self.config.executor.kind != "local" and not is_endpoint(self.config.minds.base)

    def open_bases(self) -> Bases:
        """Load the models, here or in the workers; takes seconds, or the time of a download."""
        minds = self.config.minds
        local = Path(minds.base).expanduser()
        opener = partial(  # paths are absolute, since a Ray actor has another working folder
            _open_bases,
            str(local.absolute()) if local.is_dir() else minds.base,
            tuple(folder.absolute() for folder in self.adapters),
            tuple(folder.absolute() for folder in self.sources),
            minds.blocks,
            self.persona_bases,
            minds.limits(),
        )
        return WorkerBases(opener, self.executor) if self.asks_workers else opener()

    @property
    def assets(self) -> tuple[Experiment, ...]:
        """Return the same experiment on each series, this one first."""
        return (self, *(replace(self, **vars(other), others=()) for other in self.others))

    def split_returns(self, split: Split) -> NDArray[np.float64]:
        """Return the real daily log returns of a split's rows."""
        return self.series.log_returns[max(split.start - 1, 0) : split.stop - 1]

    def split_volume(self, split: Split) -> NDArray[np.float64]:
        """Return the units traded on the days that those returns end on."""
        return self.series.volume[1:][max(split.start - 1, 0) : split.stop - 1]

    def target(self, split: Split) -> Target:
        """Measure what the real market does in a split, and how far years up to its end differ."""
        market = self.config.market
        key = (_TARGETS_KEY, ("train", "validation", "heldout").index(split.name))
        rng = np.random.default_rng(np.random.SeedSequence(self.config.seed, spawn_key=key))
        return make_target(
            self.series.log_returns[: split.stop - 1],
            market.days,
            market.paths,
            rng,
            split=split.name,
            volume=self.series.volume[1 : split.stop],
            earlier_days=max(split.start - 1, 0),
        )

    def in_market_of(self, bundle: Bundle) -> Experiment:
        """Return the same experiment with a bundle's rules and spread of limit prices."""
        world = replace(self.windows.world, offsets=bundle.offsets, rules=bundle.rules)
        return replace(self, windows=replace(self.windows, world=world))

    def search_seed(self) -> np.random.SeedSequence:
        """Return the seed of the proposals' streams."""
        return np.random.SeedSequence(self.config.seed, spawn_key=(_SEARCH_KEY,))

    def calibration_seed(self) -> np.random.SeedSequence:
        """Return the seed of the search that fits the Franke-Westerhoff market."""
        return np.random.SeedSequence(self.config.seed, spawn_key=(_CALIBRATION_KEY,))


def _open_bases(*arguments: Any) -> Bases:
    from evobourse.evolve.bases.opening import (
        open_bases,  # seconds of imports, where the models are alone
    )

    return open_bases(*arguments)


def build_experiment(config: ExperimentConfig) -> Experiment:
    """Load data and list models; light enough to refuse bad input before any model loads.

    Raises
    ------
    SeriesError, ConfigError
        Bad data, or a persona whose style no adapter has, or whose base lacks one, or an encoding
        whose minds no table can hold.
    merge.errors.ModelError
        A persona's base is neither a folder with a model nor a hub id.
    """
    if config.minds.encoding != "words":
        raise ConfigError(
            f"minds.encoding is {config.minds.encoding!r}: a sweep asks its minds for tables of "
            "views, which numbers have none of; set minds.encoding: words, or run one market with "
            "evobourse simulate CONFIG"
        )
    first, *others = (_series_parts(config, name) for name in config.series)
    minds = config.minds
    adapters = _chosen(config, _folders("adapters", minds.adapters, adapter_folders))
    merged = minds.recipe_blocks > 0 or minds.stack is not None
    sources = _folders("sources", minds.sources, source_folders) if merged else []
    styles = tuple(folder.name for folder in adapters)
    for persona in config.personas:
        if persona.style is not None and persona.style not in styles:
            raise ConfigError(
                f"personas: {persona.name!r} has style {persona.style!r}, "
                f"adapters are {', '.join(styles)}"
            )
    market_genome = MarketGenome(
        tuple(
            PersonaStart(
                p.name, p.profile, p.style, p.base if p.base in config.other_bases else None
            )
            for p in config.personas
        ),
        styles,
        minds.blocks,
        minds.base,
        tuple(folder.name for folder in sources),
        minds.recipe_blocks,
        minds.attention,
        config.society,
        _stack_space(minds, sources) if minds.stack else None,
        minds.cores,
        max(map(read_rank, adapters), default=0) if minds.cores != "none" else 0,
        config.mechanisms,
        config.persona_genes,
        config.masks,
    )
    return Experiment(
        config,
        first.series,
        first.splits,
        first.windows,
        market_genome,
        tuple(adapters),
        tuple(sources),
        {base: _persona_base(config, base, adapters) for base in config.other_bases},
        open_executor(config),
        tuple(others),
    )


def _series_parts(config: ExperimentConfig, name: str) -> SeriesParts:
    """Load a series, cut it, and set up markets with the spread of its own training prices."""
    series = load_series(
        name, stock_splits=config.stock_splits, suspended_days=config.suspended_days
    )
    market = config.market
    dates = config.splits
    if name != config.series[0]:
        dates = replace(dates, series_sha256=None)  # the hash is of the first
    splits = dates.cut(series, market.days)
    train = slice(splits.train.start, splits.train.stop)
    world = World(
        fit_offsets(series.high[train], series.low[train], series.close[train])
        if config.orders is None
        else fit_orders(series.slice(train.start, train.stop), config.orders),
        MarketRules(price_limit=market.price_limit, fee_bps=market.fee_bps),
        market.agents,
        market.days,
    )
    return SeriesParts(series, splits, MarketWindows(series, world))


def open_executor(config: ExperimentConfig) -> Executor:
    """Make the configured executor; processes and actors begin with their first call.

    Raises
    ------
    EvolveError
        Ray is not there, or nobody answers at its address.
    """
    asked = config.executor
    if asked.kind == "ray":
        return ray_actors(
            config.workers, asked.address, asked.num_cpus, asked.num_gpus, asked.resources
        )
    workers = config.workers or joblib.cpu_count()
    return InProcess() if asked.kind == "local" and workers == 1 else local_processes(workers)


def _persona_base(config: ExperimentConfig, base: str, adapters: Sequence[Path]) -> PersonaBase:
    """Find a persona's base and an adapter of its own for every style."""
    if not is_endpoint(base):
        resolve_model(base)
    own = config.minds.adapters_of.get(base)
    if own is None:
        return PersonaBase(tuple(adapters))
    found = {path.name: path for path in _folders("adapters_of", own, adapter_folders)}
    if missing := [path.name for path in adapters if path.name not in found]:
        raise ConfigError(
            f"minds.adapters_of: {own}, of base {base!r}, holds no adapter {missing[0]!r}; every "
            f"base needs the styles of minds.adapters: {', '.join(path.name for path in adapters)}"
        )
    return PersonaBase(tuple(found[path.name] for path in adapters))


def _chosen(config: ExperimentConfig, folders: Sequence[Path]) -> Sequence[Path]:
    """Keep the adapters that a config names, in its order.

    A bank of shipped ones must not grow when more are shipped: every mind has a gene for each.
    """
    minds = config.minds
    if minds.styles is None:
        named = {*FIRST_STYLES, *(persona.style for persona in config.personas)}
        return [path for path in folders if minds.adapters is not None or path.name in named]
    known = {folder.name: folder for folder in folders}
    for style in minds.styles:
        if style not in known:
            raise ConfigError(
                f"minds.styles: {style!r} is no adapter; there are {', '.join(known)}"
            )
    return [known[style] for style in minds.styles]


def _stack_space(minds: MindConfig, sources: Sequence[Path]) -> StackSpace:
    stack = minds.stack or StackConfig()
    depth = read_depth(minds.base)
    return StackSpace(
        minds.base,
        depth,
        tuple(folder.name for folder in sources),
        stack.window or (0, depth),
        stack.repeats,
        stack.order,
        stack.scales,
        {MERGED: _found_merge(stack.merged, minds.base, sources)} if stack.merged else {},
        stack.home or (MERGED if stack.merged else BASE),
    )


def _found_merge(place: str, base: str, sources: Sequence[Path]) -> Recipe:
    """Read the merge that an earlier sweep found; its models must be those of this one."""
    folder = Path(place).expanduser()
    inside = RunFolder(folder).bundle
    bundle = load_bundle(inside if inside.is_dir() else folder)
    where = f"minds.stack.merged: {folder}"
    if not isinstance(bundle.recipe, Recipe):
        raise ConfigError(f"{where} holds no merge; name a run that evolved one, or leave it out")
    if bundle.base != base:
        raise ConfigError(f"{where} is over {bundle.base!r}, minds.base is {base!r}; use the same")
    here = {source.name: source for source in sources}
    for source in bundle.sources:
        if source.name in bundle.recipe.sources and (
            source.name not in here or hash_folder(here[source.name]) != hash_folder(source)
        ):
            raise ConfigError(
                f"{where} merges {source.name!r}, which is not among minds.sources or differs there"
            )
    return bundle.recipe


def _folders(
    kind: str, given: str | None, listed: Callable[[Path], Sequence[Path]]
) -> Sequence[Path]:
    folder = Path(given).expanduser() if given else SHIPPED / kind
    found = listed(folder)
    if not found:
        files = "adapter_config.json" + (" or config.json" if kind == "sources" else "")
        raise ConfigError(
            f"minds.{kind}: {folder} holds no folder with an {files}; "
            f"name a folder of {'PEFT adapters' if kind == 'adapters' else kind} or leave it out"
        )
    return found
