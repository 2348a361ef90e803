"""From a config to everything that a sweep or a simulation needs, built once.

Knows the wiring of the packages. Deliberately holds no loop and prints nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray

import agents
from agents.order_generator import fit_offsets
from evolve.bases import Bases, adapter_folders, open_bases
from evolve.market_genome import MarketGenome, PersonaStart
from evolve.stage import Stage, World
from experiments.config import ExperimentConfig
from experiments.errors import ConfigError
from fitness.distance import Target, make_target
from market.rules import MarketRules
from market.series import PriceSeries, load_series
from market.splits import Split, Splits

_TARGETS_KEY, _SEARCH_KEY, _CALIBRATION_KEY = 11, 12, 13
SHIPPED = Path(agents.__file__).parent


@dataclass(frozen=True)
class Workshop:
    """Parts of an experiment.

    Attributes
    ----------
    config
        What they were built from.
    series, splits
        Real prices and their train, validation and held-out rows.
    stage
        Where populations play.
    market_genome
        What evolution may change.
    adapters, sources
        Folders of style adapters and of recipe sources.
    """

    config: ExperimentConfig
    series: PriceSeries
    splits: Splits
    stage: Stage
    market_genome: MarketGenome
    adapters: tuple[Path, ...]
    sources: tuple[Path, ...]

    @property
    def workers(self) -> int:
        """Processes that run markets: as configured, or one for each core that we may use."""
        return self.config.workers or joblib.cpu_count()

    def open_bases(self) -> Bases:
        """Load the models; takes seconds, or the time of a download."""
        minds = self.config.minds
        memo = Path(minds.memo).expanduser() if minds.memo else None
        return open_bases(
            minds.base,
            self.adapters,
            self.sources,
            minds.blocks,
            minds.device,
            memo,
            minds.endpoint,
            minds.kv_budget_bytes,
        )

    def split_returns(self, split: Split) -> NDArray[np.float64]:
        """Return the real daily log returns of a split's rows."""
        return self.series.log_returns[max(split.start - 1, 0) : split.stop - 1]

    def target(self, split: Split) -> Target:
        """Measure what the real market does in a split."""
        market = self.config.market
        key = (_TARGETS_KEY, ("train", "validation", "heldout").index(split.name))
        rng = np.random.default_rng(np.random.SeedSequence(self.config.seed, spawn_key=key))
        return make_target(
            self.split_returns(split), market.days, market.paths, rng, split=split.name
        )

    def search_seed(self) -> np.random.SeedSequence:
        """Return the seed of the proposals' streams."""
        return np.random.SeedSequence(self.config.seed, spawn_key=(_SEARCH_KEY,))

    def calibration_seed(self) -> np.random.SeedSequence:
        """Return the seed of the search that fits the Franke-Westerhoff market."""
        return np.random.SeedSequence(self.config.seed, spawn_key=(_CALIBRATION_KEY,))


def build_workshop(config: ExperimentConfig) -> Workshop:
    """Load data and list models; light enough to refuse bad input before any model loads.

    Raises
    ------
    SeriesError, ConfigError
        Bad data, or a persona whose style no adapter has.
    """
    series = load_series(config.series, stock_splits=config.stock_splits)
    market = config.market
    splits = config.splits.cut(series, market.days)
    train = slice(splits.train.start, splits.train.stop)
    world = World(
        fit_offsets(series.high[train], series.low[train], series.close[train]),
        MarketRules(price_limit=market.price_limit, fee_bps=market.fee_bps),
        market.agents,
        market.days,
    )
    stage = Stage(series, world)
    minds = config.minds
    adapters = _folders("minds.adapters", minds.adapters, SHIPPED / "adapters")
    merged = minds.recipe_blocks > 0
    sources = _folders("minds.sources", minds.sources, SHIPPED / "sources") if merged else []
    styles = tuple(folder.name for folder in adapters)
    for persona in config.personas:
        if persona.style is not None and persona.style not in styles:
            raise ConfigError(
                f"personas: {persona.name!r} has style {persona.style!r}, "
                f"adapters are {', '.join(styles)}"
            )
    market_genome = MarketGenome(
        tuple(PersonaStart(p.name, p.profile, p.style) for p in config.personas),
        styles,
        minds.blocks,
        minds.base,
        tuple(folder.name for folder in sources),
        minds.recipe_blocks,
        minds.attention,
    )
    return Workshop(config, series, splits, stage, market_genome, tuple(adapters), tuple(sources))


def _folders(key: str, given: str | None, shipped: Path) -> Sequence[Path]:
    folder = Path(given).expanduser() if given else shipped
    found = adapter_folders(folder)
    if not found:
        raise ConfigError(
            f"{key}: {folder} holds no folder with an adapter_config.json; "
            "name a folder of PEFT adapters or leave it out"
        )
    return found
