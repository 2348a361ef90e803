"""The section ``minds`` of a config: base, adapters, recipe, and where the weights lie.

Knows these settings and their defaults. Deliberately checks nothing across sections.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evobourse.agents.encodings.encoding import EncodingName
from evobourse.agents.minds.completions import EndpointLimits
from evobourse.evolve.bases.limits import BaseLimits
from evobourse.merge.engine.placement import Quantizer, Storage
from evobourse.merge.sources import DEFAULT_BASE


@dataclass(frozen=True)
class StackConfig:
    """Which layer stacks evolution may build, see `evolve.genomes.stack.StackSpace`.

    ``window`` null is the whole base. ``merged`` names a bundle or a run whose champion's merge of
    the same sources is one more source: parameter space first, data-flow space after. ``home`` is
    where the search starts: ``base``, a source's name, or ``merged``; null for the merge if there
    is one, else the base.
    """

    window: tuple[int, int] | None = None
    repeats: int = 2
    order: Literal["layers", "sources"] = "layers"
    scales: Literal["none", "network", "entries"] = "network"
    merged: str | None = None
    home: str | None = None


@dataclass(frozen=True)
class MindConfig:
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
    blocks, recipe_blocks
        Layer blocks with coefficients of their own, in adapters and in the recipe;
        ``recipe_blocks: 0`` leaves the base unmerged.
    stack
        Stacks of layers of the base and the sources in the place of merges; null for none.
    cores
        What evolves between the factors of a persona's own adapter, see
        `evolve.genomes.market.MarketGenome`.
    attention
        Most observation fields that an agent ever sees.
    encoding
        What past prices become for the minds, see `agents.encodings.encoding.Encoding`; the
        adapters must have been trained for it. A sweep takes words alone.
    device, max_memory, quantizer, compiled
        Where the base's weights lie and how they are quantised, see
        `merge.engine.placement.Storage`; nothing to a server.
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
    blocks: int = 1
    recipe_blocks: int = 3
    stack: StackConfig | None = None
    cores: Literal["none", "diagonal", "full"] = "none"
    attention: int = 3
    encoding: EncodingName = "words"
    device: str = "cpu"
    max_memory: dict[str, str] = field(default_factory=dict)
    quantizer: Quantizer = "groups"
    compiled: bool = False
    memo: str | None = None
    adapters_of: dict[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None
    endpoint: EndpointLimits = field(default_factory=EndpointLimits)
    kv_budget_bytes: int | None = None

    def storage(self) -> Storage:
        """Put together where and how the base is kept."""
        return Storage(self.device, self.max_memory, self.quantizer, self.compiled)

    def limits(self) -> BaseLimits:
        """Put together what bases may use; the memo's path is absolute."""
        memo = Path(self.memo).expanduser().absolute() if self.memo else None
        return BaseLimits(
            self.storage(), memo, self.endpoint, self.kv_budget_bytes, self.memory_bytes
        )
