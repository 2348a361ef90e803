"""A bred population with one thing changed at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from evobourse.agents.minds.stand_ins import Minds, RandomMinds, TeacherMinds
from evobourse.agents.personas.persona import Persona, Population
from evobourse.agents.styles import STYLES
from evobourse.evolve.bases.protocol import Bases
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.errors import RunError
from evobourse.experiments.errors import ConfigError
from evobourse.merge.errors import AdapterError, ModelError, RecipeError
from evobourse.merge.recipes.stack_recipe import AnyRecipe
from evobourse.merge.sources import adapter_folders

ORIGINAL = "evolved"


@dataclass(frozen=True)
class Variant:
    """The population with one thing changed.

    Attributes
    ----------
    name
        Of its scoreboard rows.
    change
        What is changed, in a few words.
    population
        Who trades.
    minds
        Opens what answers for them.
    halved
        Whether half as many agents trade.
    fresh
        Whether it plays on seeds of its own, rather than on the original's.
    """

    name: str
    change: str
    population: Population
    minds: Callable[[], Minds]
    halved: bool = False
    fresh: bool = False


@dataclass(frozen=True)
class OtherBase:
    """Another base model under a bundle's adapters.

    Attributes
    ----------
    bases
        Its models, opened.
    recipe
        The bundle's, or None where its sources do not fit this base.
    change
        What that changes, in a few words.
    """

    bases: Bases
    recipe: AnyRecipe | None
    change: str

    def minds(self) -> Minds:
        """Open what answers for the population on this base."""
        return self.bases.serve(self.recipe)


def list_variants(
    bundle: Bundle,
    bases: Bases,
    others: Bases | None = None,
    elsewhere: OtherBase | None = None,
) -> tuple[Variant, ...]:
    """List the original and its changes.

    Parameters
    ----------
    bundle
        The population.
    bases
        Its models, opened.
    others
        The same base with another set of adapters of the same names, if there is one.
    elsewhere
        Another base with the same adapters, if there is one.
    """
    who = bundle.population
    styles = tuple(folder.name for folder in bundle.adapters)

    def own() -> Minds:
        return bases.serve(bundle.recipe)

    variants = [
        Variant(ORIGINAL, "nothing", who, own),
        Variant("evolved-other_seeds", "all random numbers", who, own, fresh=True),
        Variant("evolved-half_agents", "half the agents", who, own, halved=True),
        Variant("evolved-no_masks", "everyone may see every field", _unmasked(who), own),
    ]
    if styles:
        swapped = "each style's next in line"
        variants += [
            Variant("evolved-swapped_adapters", swapped, _swapped(who), own),
            Variant("evolved-no_adapters", "the merged base alone", _bare(who), own),
        ]
    if bundle.recipe is not None:
        change = "the base unmerged"
        variants.append(Variant("evolved-no_recipe", change, who, lambda: bases.serve(None)))
    if others is not None:
        change, recipe = "adapters trained anew", bundle.recipe
        variants.append(
            Variant("evolved-other_adapters", change, who, lambda: others.serve(recipe))
        )
    if elsewhere is not None:
        variants.append(Variant("evolved-other_base", elsewhere.change, who, elsewhere.minds))
    variants.append(Variant("random_tendencies", "dice for minds", who, RandomMinds))
    if styles and set(styles) <= set(STYLES):
        change = "teachers' rules for minds"
        variants.append(Variant("rule_based", change, who, lambda: TeacherMinds(styles)))
    return tuple(variants)


def open_other_adapters(bundle: Bundle, folder: Path) -> Bases:
    """Open the bundle's base with adapters of the same names from another folder.

    Raises
    ------
    ConfigError
        The folder lacks one of the names.
    RunError
        The base has other weights than at the export.
    """
    found = {path.name: path for path in adapter_folders(folder)}
    names = [path.name for path in bundle.adapters]
    if missing := [name for name in names if name not in found]:
        raise ConfigError(
            f"--adapters {folder}: holds no adapter {missing[0]!r}; the bundle's are "
            f"{', '.join(names)}"
        )
    folders = [found[name] for name in names]
    bases = bundle.open_bases(adapters=folders)
    if bases.base_hash != bundle.base_hash:
        raise RunError(f"base {bundle.base!r} has other weights than at the export")
    return bases


def open_other_base(bundle: Bundle, base: str) -> OtherBase:
    """Open another base with the bundle's adapters, and with its recipe where the sources fit.

    Parameters
    ----------
    bundle
        The population.
    base
        See `merge.sources.resolve_model`.

    Raises
    ------
    ConfigError
        The adapters do not fit the base's shapes, or its weights are those of the bundle's own.
    merge.errors.ModelError
        The base cannot be loaded.
    """
    recipe, change = bundle.recipe, "another base model"
    try:
        try:
            bases = bundle.open_bases(base)
            bases.serve(recipe)
        except (AdapterError, ModelError, RecipeError):
            if recipe is None:
                raise
            recipe, change = None, "another base model, unmerged: the sources do not fit it"
            bases = bundle.open_bases(base, sources=())
    except AdapterError as error:
        raise ConfigError(
            f"--base {base}: {error}; name a base of the shapes of {bundle.base!r}"
        ) from error
    if bases.base_hash == bundle.base_hash:
        raise ConfigError(f"--base {base}: has the weights of the bundle's own base; name another")
    return OtherBase(bases, recipe, change)


def _unmasked(population: Population) -> Population:
    return replace(population, society=population.society.unmasked())


def _swapped(population: Population) -> Population:
    """Hand every adapter's coefficients to the next adapter."""

    def swap(persona: Persona) -> Persona:
        mixture, cores = (
            tuple((row[-1], *row[:-1]) for row in rows) for rows in (persona.mixture, persona.cores)
        )
        return replace(persona, mixture=mixture, cores=cores)

    return replace(population, personas=tuple(map(swap, population.personas)))


def _bare(population: Population) -> Population:
    def strip(persona: Persona) -> Persona:
        return replace(persona, mixture=tuple((0.0,) * len(row) for row in persona.mixture))

    return replace(population, personas=tuple(map(strip, population.personas)))
