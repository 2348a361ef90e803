"""The genome of a market of minds: recipe, minds and society, and what its values stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.masks import Masks
from evobourse.agents.observation import FIELD_NAMES
from evobourse.agents.personas import mechanisms
from evobourse.agents.personas.mechanisms import OFF, Mechanisms, PersonaGene
from evobourse.agents.personas.persona import Core, Persona, Population, Society
from evobourse.agents.personas.social import Social
from evobourse.agents.personas.traits import OrderStyle, Traits
from evobourse.evolve.genomes.gene import Gene
from evobourse.evolve.genomes.genome import Genome, Segment, Values
from evobourse.evolve.genomes.stack import StackSpace
from evobourse.merge.recipes.recipe import Recipe
from evobourse.merge.recipes.stack_recipe import AnyRecipe

Cores = Literal["none", "diagonal", "full"]
SLOW_SEGMENTS = ("recipe", "minds")
FAST_SEGMENTS = ("society",)
_COEFFICIENT = (-0.3, 1.5)
_FACTOR = (0.25, 4.0)

# Bounds keep chance from doing the market's work: with several hundred agents, uniformly random
# tendencies within these bounds make far too calm a market (docs/decisions/004).
_SOCIETY = (
    Gene("momentary_mask", 0.0, 0.6, 0.1),
    Gene("news_noise", 0.1, 3.0, 0.5, "log"),
    Gene("news_threshold", 0.2, 2.5, 0.5, "log"),
    Gene("vigilance", 0.0, 2.0, 0.5),
    Gene("activity", 0.6, 1.0, 0.8),
    Gene("aggressiveness", 0.1, 2.5, 0.6, "log"),
    Gene("dispersion", 0.1, 1.0, 0.5, "log"),
    Gene("volatility_memory_days", 2.0, 60.0, 10.0, "log"),
    Gene("volatility_weight", 0.0, 1.2, 0.5),
    Gene("wealth_tail", 2.5, 6.0, 3.5),
    Gene("switching", 0.001, 0.3, 0.01, "log"),
    Gene("conformity", 0.0, 4.0, 0.5),
    Gene("performance", -2.0, 4.0, 0.0),
)


@dataclass(frozen=True)
class PersonaStart:
    """A persona before evolution.

    Attributes
    ----------
    name, profile
        As in `agents.personas.persona.Persona`.
    style
        Adapter that it starts from, or None for the bare base.
    base
        As in `agents.personas.persona.Persona`.
    """

    name: str
    profile: str
    style: str | None
    base: str | None = None


@dataclass(frozen=True)
class MarketGenome:
    """How gene values become a recipe and a population, and back to a start.

    Attributes
    ----------
    personas
        The cast.
    styles
        Adapter names, in the order of the bank.
    blocks
        Coefficients per adapter, one for each block of adapted layers.
    base, sources
        Names of the models of the recipe; no sources, no recipe segment.
    recipe_blocks
        Blocks of layers with a weight of their own per source.
    attention
        Most fields that an agent can see.
    social
        Links, posts, rumours and moods among the agents, whose threshold and decay evolution
        then sets as well; None for strangers.
    stack
        Layer stacks in the place of merges of the sources; None for merges.
    cores
        What stands between the factors of the adapter that a persona starts from: nothing, one
        gene for each of its ranks, or one for each pair of ranks (docs/decisions/049).
    rank
        The adapters' highest rank; for cores.
    mechanisms
        What agents do beside deciding; evolution sets what is on, beginning with these.
    persona_genes
        Traits that each persona has of its own, as factors of the society's, see
        `agents.personas.traits.Traits`; none by default.
    masks
        Whether there are input masks; without them no agent has blind spots but its attention.
    """

    personas: tuple[PersonaStart, ...]
    styles: tuple[str, ...]
    blocks: int
    base: str
    sources: tuple[str, ...]
    recipe_blocks: int
    attention: int
    social: Social | None = None
    stack: StackSpace | None = None
    cores: Cores = "none"
    rank: int = 0
    mechanisms: Mechanisms = OFF
    persona_genes: tuple[PersonaGene, ...] = ()
    masks: bool = True

    def genome(self) -> Genome:
        """List all genes with bounds and starts."""
        minds = [
            Gene(
                _mind(persona.name, style, block),
                *_COEFFICIENT,
                0.9 if style == persona.style else 0,
            )
            for persona in self.personas
            for block in range(self.blocks)
            for style in self.styles
        ]
        minds += [
            Gene(_core(persona.name, block, *place), low, high, start)
            for persona in self.personas
            for block in range(self.blocks)
            for place, (low, high, start) in self._core_genes(persona).items()
        ]
        society = [
            *(Gene(f"share_{p.name}", 0.05, 5.0, 1.0, "log") for p in self.personas),
            *(Gene(f"temperature_{p.name}", 0.3, 2.5, 1.0, "log") for p in self.personas),
            *(Gene(f"mask_{field}", 0.02, 0.9, 0.3) for field in FIELD_NAMES if self.masks),
            *self._society_genes(),
            *self._link_genes(),
            *self._mechanism_genes(),
            *(
                Gene(f"{trait}_{p.name}", *_FACTOR, 1.0, "log")
                for p in self.personas
                for trait in self.persona_genes
            ),
        ]
        recipe = [
            Gene(_source(block, source), 0.0, 0.6, 0.05)
            for block in range(self.recipe_blocks)
            for source in self.sources
        ]
        slow = {"recipe": self.stack.genes() if self.stack else recipe, "minds": minds}
        segments = [Segment(name, tuple(genes)) for name, genes in slow.items() if genes]
        return Genome((*segments, Segment("society", tuple(society))))

    def slow_segments(self) -> tuple[str, ...]:
        """Name the segments whose change needs new forward passes."""
        present = [segment.name for segment in self.genome().segments]
        return tuple(name for name in SLOW_SEGMENTS if name in present)

    def recipe(self, values: Values) -> AnyRecipe | None:
        """Read the recipe of the base from gene values; None where there are no sources."""
        if self.stack is not None:
            return self.stack.recipe(values["recipe"])
        if not self.sources:
            return None
        genes = values["recipe"]
        weights = tuple(
            tuple(genes[_source(block, source)] for source in self.sources)
            for block in range(self.recipe_blocks)
        )
        return Recipe("task_arithmetic", self.base, self.sources, weights)

    def population(self, values: Values) -> Population:
        """Read the population from gene values."""
        minds, society = values.get("minds", {}), values["society"]
        personas = tuple(
            Persona(
                p.name,
                p.profile,
                tuple(
                    tuple(minds[_mind(p.name, style, block)] for style in self.styles)
                    for block in range(self.blocks)
                ),
                society[f"temperature_{p.name}"],
                society[f"share_{p.name}"],
                p.base,
                self._cores(p, minds),
                self._traits(p, society),
            )
            for p in self.personas
        )
        common: Mapping[str, float] = {g.name: society[g.name] for g in self._society_genes()}
        mask = {field: society.get(f"mask_{field}", 0.0) for field in FIELD_NAMES}
        links = {gene.name: society[gene.name] for gene in self._link_genes()}
        social = self.social and replace(self.social, **links)
        mechanisms = Mechanisms(
            **{gene.name: society[gene.name] for gene in self._mechanism_genes()}
        )
        found = Society(
            mask, attention=self.attention, social=social, mechanisms=mechanisms, **common
        )
        return Population(personas, found if self.masks else found.unmasked())

    def with_mixtures(self, values: Values, mixtures: Sequence[NDArray[np.float64]]) -> Values:
        """Return gene values with other mixtures, moved into bounds.

        Parameters
        ----------
        values
            As a candidate has them.
        mixtures
            float64[blocks, K] for each persona.
        """
        names = [
            _mind(p.name, style, b)
            for p in self.personas
            for b in range(self.blocks)
            for style in self.styles
        ]
        flat = np.concatenate([np.ravel(mixture) for mixture in mixtures])
        moved = {
            name: float(np.clip(x, *_COEFFICIENT)) for name, x in zip(names, flat, strict=True)
        }
        return {**values, "minds": {**values.get("minds", {}), **moved}}

    def _society_genes(self) -> tuple[Gene, ...]:
        kinds = {one.name for one in fields(Masks)}
        return tuple(gene for gene in _SOCIETY if self.masks or gene.name not in kinds)

    def _link_genes(self) -> tuple[Gene, ...]:
        if self.social is None:
            return ()
        return (
            Gene("link_threshold", 0.05, 0.6, self.social.link_threshold),
            Gene("decay", 0.1, 2.0, self.social.decay, "log"),
        )

    def _mechanism_genes(self) -> tuple[Gene, ...]:
        bounds = mechanisms.bounds()
        return tuple(
            Gene(name, one.least, one.most, start, "log" if one.least > 0 else "linear")
            for name, start in self.mechanisms.on.items()
            for one in [bounds[name]]
        )

    def _traits(self, persona: PersonaStart, society: Mapping[str, float]) -> Traits | None:
        if not self.persona_genes:
            return None
        own = {trait: society[f"{trait}_{persona.name}"] for trait in self.persona_genes}
        orders = OrderStyle(dispersion=own.get("dispersion", 1.0), size=own.get("size", 1.0))
        return Traits(
            activity=own.get("activity", 1.0),
            orders=orders,
            shared_reading=own.get("shared_reading", 1.0),
        )

    def _core_genes(
        self, persona: PersonaStart
    ) -> dict[tuple[int, int], tuple[float, float, float]]:
        """List the entries of a persona's core that are genes: their bounds and start."""
        if self.cores == "none" or persona.style is None:
            return {}
        ranks = range(self.rank)
        places = product(ranks, ranks) if self.cores == "full" else zip(ranks, ranks, strict=True)
        return {(r, c): (0.0, 2.0, 1.0) if r == c else (-1.0, 1.0, 0.0) for r, c in places}

    def _cores(
        self, persona: PersonaStart, minds: Mapping[str, float]
    ) -> tuple[tuple[Core, ...], ...]:
        entries = self._core_genes(persona)
        if not entries:
            return ()
        ranks = range(self.rank)

        def core(block: int) -> Core:
            return tuple(
                tuple(
                    minds[_core(persona.name, block, r, c)] if (r, c) in entries else 0.0
                    for c in ranks
                )
                for r in ranks
            )

        return tuple(
            tuple(core(block) if style == persona.style else () for style in self.styles)
            for block in range(self.blocks)
        )


def _mind(persona: str, style: str, block: int) -> str:
    return f"{persona}_{style}_b{block}"


def _source(block: int, source: str) -> str:
    return f"b{block}_{source}"


def _core(persona: str, block: int, row: int, column: int) -> str:
    return f"{persona}_core_b{block}_{row}_{column}"
