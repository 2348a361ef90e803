"""A cloud: the same genes for any number of minds, and the same minds at the beginning."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.personas.traits import OrderStyle, Traits
from evobourse.agents.styles import FIRST_STYLES
from evobourse.evolve.errors import EvolveError
from evobourse.evolve.genomes.cloud import Cloud, draw_places, halton
from evobourse.evolve.genomes.gene import Gene
from evobourse.evolve.genomes.market import MarketGenome
from evobourse.evolve.genomes.stack import StackSpace
from evobourse.experiments.studies.scale_effect.measures import mean_tendencies
from evobourse.fitness.behaviour.herding import effective_minds

TRAITS = ("activity", "dispersion", "size", "shared_reading")


def cloud_of(minds, rank=2, blocks=1, styles=FIRST_STYLES, **more):
    return MarketGenome((), styles, blocks, "b", (), 0, 2, cloud=Cloud(minds, rank), **more)


def start_of(market):
    genome = market.genome()
    return genome.to_values(genome.start_vector())


def mixtures_of(population):
    return np.array([persona.mixture for persona in population.personas])


def test_places_are_those_of_the_paper_and_math_library():
    """Base 2 and 3 of Halton (1960): 1/2, 1/4, 3/4, 1/8 and 1/3, 2/3, 1/9, 4/9."""
    assert halton(4, 2).tolist() == [
        [1 / 2, pytest.approx(1 / 3)], [1 / 4, pytest.approx(2 / 3)],
        [3 / 4, pytest.approx(1 / 9)], [1 / 8, pytest.approx(4 / 9)],
    ]  # fmt: skip
    assert draw_places(3, 2).tolist() == [
        [0.0, -0.430727], [-0.67449, 0.430727], [0.67449, -1.22064]
    ]  # fmt: skip


def test_no_place_is_so_near_a_rounding_edge_that_a_last_bit_moves_it():
    places = draw_places(9999, 6)
    exact = ndtri(halton(9999, 6)) * 1e6
    assert (np.abs(exact - np.floor(exact) - 0.5) > 1e-7).all()  # 1e-13 of a standard deviation
    np.testing.assert_array_equal(places, np.rint(exact) / 1e6)
    assert not places.flags.writeable


@pytest.mark.parametrize("rank", [1, 2, 6])
def test_more_minds_begin_with_the_fewer_and_need_no_more_genes(rank):
    few, many = (cloud_of(n, rank, 2, persona_genes=TRAITS) for n in (10, 1000))
    assert few.genome() == many.genome()
    values = few.genome().to_values(np.random.default_rng(0).normal(size=few.genome().size))
    population = many.population(values)
    assert few.population(values).personas == population.personas[:10]
    assert population.personas[-1].name == "mind-1000"
    assert len(set(population.personas)) == 1000


def test_a_mind_is_the_mean_plus_its_place_times_the_spreads():
    market = cloud_of(4, 2, 2, ("value", "herding"), persona_genes=("size",))
    values = start_of(market)
    for n, name in enumerate(values["minds"]):
        values["minds"][name] = 0.01 * n
    values["society"] |= {
        "temperature": 1.2,
        "spread-1_temperature": 0.1, "spread-2_temperature": -0.2,
        "spread-1_size": 0.3, "spread-2_size": 0.0,
    }  # fmt: skip
    genes = np.array(list(values["minds"].values())).reshape(3, 2, 2)  # block by block, then style
    places = draw_places(4, 2)
    population = market.population(values)
    expected = genes[0] + np.einsum("nr,rbk->nbk", places, genes[1:])
    np.testing.assert_allclose(mixtures_of(population), expected, atol=1e-15)
    temperatures = [persona.temperature for persona in population.personas]
    np.testing.assert_allclose(temperatures, 1.2 + places @ [0.1, -0.2])
    traits = [persona.traits for persona in population.personas]
    assert traits == [Traits(orders=OrderStyle(size=1 + 0.3 * place)) for place in places[:, 0]]
    assert {persona.share for persona in population.personas} == {1.0}


def test_before_evolution_the_mean_is_all_styles_alike_and_minds_are_distinct():
    market = cloud_of(64, 2, persona_genes=TRAITS)
    population = market.population(start_of(market))
    first = np.array(population.personas[0].mixture)
    assert first.sum() == pytest.approx(0.9, abs=1e-5)
    assert 0.9 < mixtures_of(population).sum(axis=2).mean() < 1.0  # some are clipped from below
    assert (mixtures_of(population).std(axis=0) > 0.15).all()
    assert {p.traits for p in population.personas} == {Traits()}
    assert [p.temperature for p in population.personas] == pytest.approx([1.0] * 64)
    [choices] = tabulate_choices([population], TeacherMinds(FIRST_STYLES))
    assert effective_minds(mean_tendencies(choices)) > 2.5


def test_spreads_before_evolution_are_orthogonal_and_all_there():
    genes = [Gene(f"g{n}", -1.0, 1.0, 0.0) for n in range(4)]
    spreads = np.array([gene.start for gene in Cloud(8, 4).spreads(genes, 0.5)]).reshape(4, 4)
    product = spreads @ spreads.T
    np.testing.assert_allclose(product, np.diag(np.diag(product)), atol=1e-5)
    assert (np.diag(product) > 0).all()
    assert {gene.start for gene in Cloud(8, 4).spreads(genes)} == {0.0}


@given(st.integers(0, 2**32), st.floats(0.1, 30))
def test_any_genes_are_minds_within_bounds(seed, size):
    market = cloud_of(40, 3, 2, persona_genes=TRAITS)
    genome = market.genome()
    vector = np.random.default_rng(seed).normal(size=genome.size) * size
    population = market.population(genome.to_values(vector))
    mixtures = mixtures_of(population)
    assert mixtures.min() >= -0.3
    assert mixtures.max() <= 1.5
    for persona in population.personas:
        assert 0.3 <= persona.temperature <= 2.5
        factors = (persona.traits.activity, persona.traits.shared_reading)
        orders = (persona.traits.orders.dispersion, persona.traits.orders.size)
        assert all(0.25 <= factor <= 4 for factor in factors + orders)


def test_what_minds_learn_becomes_means_and_spreads():
    market = cloud_of(30, 2, 2)
    values = start_of(market)
    values["minds"] |= {name: 0.05 for name in values["minds"] if name.startswith("spread")}
    before = mixtures_of(market.population(values))
    assert market.with_mixtures(values, before) == values
    rng, places = np.random.default_rng(1), draw_places(30, 2)
    shift, along = rng.normal(size=(2, 2, 7)) * 0.02
    learned = before + shift + places[:, 1, None, None] * along
    after = market.with_mixtures(values, learned)
    np.testing.assert_allclose(mixtures_of(market.population(after)), learned, atol=1e-12)
    assert after["society"] == values["society"]
    noise = rng.normal(size=before.shape) * 0.02  # of which a cloud takes what it can say
    design = np.column_stack([np.ones(30), places])
    fitted = design @ np.linalg.pinv(design) @ noise.reshape(30, -1)
    found = mixtures_of(market.population(market.with_mixtures(values, before + noise)))
    np.testing.assert_allclose(found - before, fitted.reshape(before.shape), atol=1e-12)
    far = market.with_mixtures(values, before + 9.0)
    market.genome().to_vector(far)  # within bounds


def test_one_mind_learns_too():
    market = cloud_of(1, 2)
    values = start_of(market)
    before = mixtures_of(market.population(values))
    after = market.with_mixtures(values, before + 0.1)
    np.testing.assert_allclose(mixtures_of(market.population(after)), before + 0.1)


def test_minds_without_styles_differ_in_temperature():
    market = cloud_of(5, 1, styles=())
    assert [segment.name for segment in market.genome().segments] == ["society"]
    values = start_of(market)
    values["society"]["spread-1_temperature"] = 0.3
    assert len({persona.temperature for persona in market.population(values).personas}) == 5


@pytest.mark.parametrize(("minds", "rank", "message"), [
    (0, 2, "minds is 0, expected 1 to 9,999"), (10000, 2, "minds is 10000"), (8, 7, "rank is 7"),
])  # fmt: skip
def test_strange_sizes_are_refused(minds, rank, message):
    with pytest.raises(EvolveError, match=message):
        Cloud(minds, rank)


def test_conformity_is_divided_among_many_minds():
    found = {}
    for minds in (1, 8, 80):
        market = cloud_of(minds, 2)
        found[minds] = market.population(start_of(market)).society.conformity
    assert found == pytest.approx({1: 0.5, 8: 0.5, 80: 0.05})


def test_the_base_below_may_be_a_stack_of_layers():
    space = StackSpace("b", 4, ("s",), (0, 4), 1, "layers", "none", {}, "base")
    market = cloud_of(5, 2, stack=space)
    values = start_of(market)
    assert market.slow_segments() == ("recipe", "minds")
    assert market.recipe(values) is not None
    assert market.population(values) == cloud_of(5, 2).population(values)
