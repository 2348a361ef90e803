"""Mechanisms as genes: those that are on, within the bounds of their settings."""

import numpy as np
import pytest

from evobourse.agents.observation import FIELD_NAMES
from evobourse.agents.personas.mechanisms import DETAILS, OFF, Mechanisms, bounds
from evobourse.agents.personas.traits import OrderStyle, Traits
from evobourse.evolve.genomes.market import MarketGenome, PersonaStart

PEOPLE = tuple(PersonaStart(name, "", None) for name in "ab")


def genome_of(mechanisms=OFF, **more):
    styles = ("momentum",)
    return MarketGenome(PEOPLE, styles, 1, "base", (), 0, 2, mechanisms=mechanisms, **more)


def names_of(market_genome):
    return market_genome.genome().names()


@pytest.mark.parametrize("name", [name for name in bounds() if name not in DETAILS])
def test_a_mechanism_that_is_on_is_a_gene_that_begins_as_set(name):
    most = bounds()[name].most
    on = genome_of(Mechanisms(**{name: most / 2}))
    plain, more = names_of(genome_of()), names_of(on)
    details = [detail for detail, of in DETAILS.items() if of == name]
    assert more[: len(plain)] == plain  # and all others stand where they stood
    assert set(more[len(plain) :]) == {f"society.{gene}" for gene in [name, *details]}
    genome = on.genome()
    start = on.population(genome.to_values(genome.start_vector())).society.mechanisms
    assert start.on == pytest.approx(Mechanisms(**{name: most / 2}).on)


def test_any_gene_values_are_mechanisms_within_bounds():
    on = genome_of(Mechanisms(**{n: b.most for n, b in bounds().items() if n not in DETAILS}))
    genome, rng = on.genome(), np.random.default_rng(0)
    for vector in [np.full(genome.size, -99.0), np.full(genome.size, 99.0), rng.normal(size=9)]:
        found = on.population(genome.to_values(np.resize(vector, genome.size))).society.mechanisms
        assert all(one.allow(getattr(found, name)) for name, one in bounds().items())


def test_without_mechanisms_the_population_is_what_it_was():
    plain = genome_of()
    genome = plain.genome()
    assert plain.population(genome.to_values(genome.start_vector())).society.mechanisms == OFF
    assert all(p.traits is None for p in plain.population(start_of(genome)).personas)


def start_of(genome):
    return genome.to_values(genome.start_vector())


def test_traits_of_a_persona_are_factors_that_begin_at_one():
    names = ("activity", "dispersion", "size", "shared_reading")
    market = genome_of(persona_genes=names)
    values = start_of(market.genome())
    [traits] = {persona.traits for persona in market.population(values).personas}
    assert traits == Traits()
    society = {f"{name}_b": 2.0 + k for k, name in enumerate(names)}
    values["society"].update(society)
    first, second = (persona.traits for persona in market.population(values).personas)
    assert first == Traits()
    orders = OrderStyle(dispersion=3.0, size=4.0)
    assert second == Traits(activity=2.0, orders=orders, shared_reading=5.0)
    assert len(market.genome().names()) == len(names_of(genome_of())) + 2 * len(names)


def test_without_masks_their_genes_are_gone_and_everyone_may_see_everything():
    with_masks, without = genome_of(), genome_of(masks=False)
    gone = set(names_of(with_masks)) - set(names_of(without))
    assert gone == {f"society.mask_{name}" for name in FIELD_NAMES} | {"society.momentary_mask"}
    society = without.population(start_of(without.genome())).society
    assert society == society.unmasked()
    assert with_masks.population(start_of(with_masks.genome())).society.unmasked() == society
