"""The section ``minds`` of a config: base, adapters, recipe, and where the weights lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from evobourse.agents.bounds import Bounds
from evobourse.agents.encodings.encoding import EncodingName
from evobourse.agents.minds.completions import EndpointLimits
from evobourse.agents.minds.endpoint import is_endpoint, parse_endpoint
from evobourse.evolve.bases.limits import BaseLimits
from evobourse.experiments.config.sections import Section
from evobourse.experiments.errors import ConfigError
from evobourse.merge.engine.placement import Quantizer, Storage
from evobourse.merge.sources import DEFAULT_BASE


@dataclass(frozen=True)
class StackConfig(Section):
    """Which layer stacks evolution may build, see `evolve.genomes.stack.StackSpace`.

    Attributes
    ----------
    window
        First layer of the row of candidates, and the first one above it; null for the whole base.
    repeats
        How often the row stands there.
    order
        ``sources``: all layers of a source, then the next source's; ``layers``: layer by layer, all
        sources beside each other.
    scales
        What scales inputs between layers: one gene for every pair (``entries``), a small network
        (``network``), or nothing (``none``).
    merged
        A bundle or a run whose champion's merge of the same sources is one more source: parameter
        space first, data-flow space after.
    home
        Where the search starts: ``base``, a source's name, or ``merged``; null for the merge if
        there is one, else the base.
    """

    window: tuple[int, int] | None = None
    repeats: Annotated[int, Bounds(1)] = 2
    order: Literal["layers", "sources"] = "layers"
    scales: Literal["none", "network", "entries"] = "network"
    merged: str | None = None
    home: str | None = None


@dataclass(frozen=True)
class MindConfig(Section):
    """Base model, adapters and recipe.

    Attributes
    ----------
    base
        The shipped 135M (fetched once), a hub id, a local folder, or the URL of an
        OpenAI-compatible server with the model's name, ``http://127.0.0.1:8000/v1#NAME``.
    adapters
        Folder of PEFT LoRA folders; null for the shipped styles.
    styles
        Names of those to use; null for all in a folder of your own, and of the shipped ones for
        `agents.styles.FIRST_STYLES` and those that personas name. Without any (``[]``) all minds
        are the base, and personas differ in temperature and share alone.
    sources
        Folder of source models for the recipe (full models, or LoRA folders folded into the
        base); null for the shipped ones.
    blocks
        Layer blocks with coefficients of their own in adapters.
    recipe_blocks
        The same in the recipe; 0 leaves the base unmerged.
    stack
        Stacks of layers of the base and the sources in the place of merges; null for none.
    cores
        What evolves between the factors of a persona's own adapter: nothing, a diagonal, or a full
        matrix, see `evolve.genomes.market.MarketGenome`.
    attention
        Most signs (observation fields) that an agent ever sees.
    encoding
        What past prices become for the minds, see `agents.encodings.encoding.Encoding`; the
        adapters must have been trained for it. A sweep takes words alone.
    device
        Where the base's weights lie: ``cpu``, ``cuda``, ``cuda:1``; ``auto`` fills one GPU after
        the other, then the processor's memory, then the disk; ``balanced`` spreads the layers
        evenly over the GPUs. Nothing to a server.
    max_memory
        Of ``auto`` and ``balanced``: device (``cuda:0``, ``cpu``) to the most it may hold, as in
        ``20GiB``; those not named: nothing. Empty: what is free.
    quantizer
        What makes INT8 of the weights: ``groups`` is ours, see `merge.engine.int8`; the others are
        those of `merge.engine.quantizers`.
    compiled
        Of ``groups``: whether one compiled kernel de-quantises.
    memo
        SQLite file of answers, kept between runs and shared by processes; null keeps a model's
        answers in memory, and a server's in the cache folder.
    adapters_of
        Folder of PEFT LoRA folders for a base that personas name, with every style of `adapters`;
        for those not listed, `adapters` itself.
    memory_bytes
        Most bytes that loaded bases take together, see `evolve.bases.base_pool.BasePool`; null for
        no limit.
    endpoint
        How hard a server may be driven, see `agents.minds.completions.EndpointLimits`.
    kv_budget_bytes
        Most bytes that a model's engine keeps of what it computed; null for a quarter of the
        memory that is free. Answers do not depend on it.
    """

    base: str = DEFAULT_BASE
    adapters: str | None = None
    styles: tuple[str, ...] | None = None
    sources: str | None = None
    blocks: Annotated[int, Bounds(1)] = 1
    recipe_blocks: Annotated[int, Bounds(0)] = 3
    stack: StackConfig | None = None
    cores: Literal["none", "diagonal", "full"] = "none"
    attention: Annotated[int, Bounds(1, unit="signs")] = 3
    encoding: EncodingName = "words"
    device: str = "cpu"
    max_memory: dict[str, str] = field(default_factory=dict)
    quantizer: Quantizer = "groups"
    compiled: bool = False
    memo: str | None = None
    adapters_of: dict[str, str] = field(default_factory=dict)
    memory_bytes: Annotated[int, Bounds(1, unit="bytes")] | None = None
    endpoint: EndpointLimits = field(default_factory=EndpointLimits)
    kv_budget_bytes: Annotated[int, Bounds(0, unit="bytes")] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.storage()
        if is_endpoint(self.base):
            parse_endpoint(self.base)
            if self.recipe_blocks:
                raise ConfigError(
                    f"recipe_blocks is {self.recipe_blocks}, and a server's weights cannot be "
                    "merged; set minds.recipe_blocks: 0"
                )
            if self.stack or self.cores != "none":
                key = "stack" if self.stack else "cores"
                raise ConfigError(f"{key} needs a model here, and the base is a server's")
        if self.stack and self.quantizer != "groups":
            raise ConfigError(
                f"quantizer is {self.quantizer!r} beside minds.stack, whose layers are shared in "
                "our own INT8 alone; set minds.quantizer: groups"
            )
        if self.stack and self.recipe_blocks:
            raise ConfigError(
                f"recipe_blocks is {self.recipe_blocks} beside minds.stack; the recipe is a merge "
                "or a stack: set minds.recipe_blocks: 0"
            )

    def storage(self) -> Storage:
        """Put together where and how the base is kept."""
        return Storage(self.device, self.max_memory, self.quantizer, self.compiled)

    def limits(self) -> BaseLimits:
        """Put together what bases may use; the memo's path is absolute."""
        memo = Path(self.memo).expanduser().absolute() if self.memo else None
        return BaseLimits(
            self.storage(), memo, self.endpoint, self.kv_budget_bytes, self.memory_bytes
        )
