"""The genes of a stack: where they start, what they stand for, and back from YAML."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evobourse.evolve.errors import GenomeError
from evobourse.evolve.genomes.genome import Genome, Segment
from evobourse.evolve.genomes.market import MarketGenome, PersonaStart
from evobourse.evolve.genomes.stack import MOST_SCALE, StackSpace
from evobourse.merge.errors import RecipeError
from evobourse.merge.recipes.layer_stack import LayerStack
from evobourse.merge.recipes.recipe import Recipe
from evobourse.merge.recipes.stack_recipe import StackRecipe, recipe_from_dict

MERGE = Recipe("task_arithmetic", "model", ("one", "two"), ((0.3, 0.4),))


@st.composite
def spaces(draw):
    depth = draw(st.integers(1, 6))
    first = draw(st.integers(0, depth - 1))
    sources = tuple(draw(st.lists(st.sampled_from(["one", "two"]), unique=True)))
    merges = draw(st.sampled_from([{}, {"merged": MERGE}]))
    return StackSpace(
        "model",
        depth,
        sources,
        (first, draw(st.integers(first + 1, depth))),
        draw(st.integers(1, 3)),
        draw(st.sampled_from(["layers", "sources"])),
        draw(st.sampled_from(["none", "network", "entries"])),
        merges,
        draw(st.sampled_from(["base", *sources, *merges])),
    )


def genome_of(space):
    return Genome((Segment("recipe", space.genes()),))


@given(spaces())
def test_a_stack_starts_at_the_base_or_a_source_itself(space):
    home = "model" if space.home == "base" else space.home
    genome = genome_of(space)
    stack = space.recipe(genome.to_values(genome.start_vector())["recipe"]).stack
    assert stack.layers == tuple((home, number) for number in range(space.depth))
    assert stack.scales == (1.0,) * space.depth


@given(spaces(), st.integers(0, 2**32))
def test_any_values_are_a_stack_and_come_back_from_yaml(space, seed):
    genome = genome_of(space)
    values = genome.to_values(genome.draw_vector(np.random.default_rng(seed)))
    again = genome.from_yaml(genome.to_yaml(values))
    assert again == values
    back = genome.to_values(genome.to_vector(values))["recipe"]
    assert list(back.values()) == pytest.approx(list(values["recipe"].values()), abs=1e-9)
    try:
        recipe = space.recipe(again["recipe"])
    except RecipeError as error:  # nothing is in, and nothing stands around the window
        assert space.window == (0, space.depth)
        assert "at least one layer" in str(error)  # noqa: PT017
        return
    assert recipe_from_dict(recipe.to_dict()) == recipe
    first, last = space.window
    numbers = [number for _, number in recipe.stack.layers]
    assert numbers[:first] == list(range(first))
    assert numbers[len(numbers) - space.depth + last :] == list(range(last, space.depth))
    steps = zip(recipe.stack.layers, recipe.stack.layers[1:], recipe.stack.scales[1:], strict=False)
    for before, (name, number), scale in steps:
        assert 1 / MOST_SCALE <= scale <= MOST_SCALE
        assert before != (name, number - 1) or scale == 1
    assert set(recipe.merges) == {name for name, _ in recipe.stack.layers} & {"merged"}


@given(st.integers(0, 2**32))
def test_the_papers_order_and_entries_are_the_papers_genome(seed):
    space = StackSpace("model", 3, ("one",), (0, 3), 2, "sources", "entries")
    genome = genome_of(space)
    genes = genome.to_values(genome.draw_vector(np.random.default_rng(seed)))["recipe"]
    indicator = np.array([value for name, value in genes.items() if name.startswith("r")])
    scaling = np.array([value for name, value in genes.items() if name.startswith("w")])
    if (indicator > 0).any():
        expected = LayerStack.from_indicator(
            {"model": 3, "one": 3}, indicator, scaling.reshape(6, 6)
        )
        assert space.recipe(genes).stack == expected


def test_genes_have_names_that_a_person_can_read():
    space = StackSpace("owner/a-7b", 8, ("trend",), (4, 5), 1, "layers", "entries")
    names = [gene.name for gene in space.genes()]
    assert names[:3] == ["r0_base_l4", "r0_trend_l4", "w_base_l3_to_base_l4"]
    assert "w_trend_l4_to_base_l5" in names
    assert len(names) == 2 + 3 * 3


def test_two_genes_exchange_a_layer_where_sources_stand_beside_each_other():
    space = StackSpace("model", 4, ("one",), (0, 4), 1)
    genes = {gene.name: gene.start for gene in space.genes()}
    swapped = space.recipe(genes | {"r0_base_l2": -0.1, "r0_one_l2": 0.1}).stack.layers
    assert swapped == (("model", 0), ("model", 1), ("one", 2), ("model", 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": (3, 3)}, r"stack\.window: is \[3, 3\], .* from 0 to 4"),
        ({"window": (0, 5)}, r"stack\.window: is \[0, 5\]"),
        ({"repeats": 0}, r"stack\.repeats: is 0, expected at least 1"),
        ({"home": "two"}, r"stack\.home: is 'two', expected one of base, one"),
        ({"sources": ("base",)}, r"sources are called \['base', 'base'\]; rename one"),
    ],
)
def test_a_space_that_cannot_be_is_refused(change, message):
    given = {"base": "model", "depth": 4, "sources": ("one",), "window": (0, 4)}
    with pytest.raises(GenomeError, match=message):
        StackSpace(**given | change)


def test_a_merge_in_a_stack_has_the_stacks_base_and_a_name_of_its_own():
    stack = LayerStack((("merged", 0),), (1.0,))
    with pytest.raises(RecipeError, match="is a merge over 'model', the stack's base is 'other'"):
        StackRecipe("other", stack, {"merged": MERGE})
    with pytest.raises(RecipeError, match="'one' is a source's name"):
        StackRecipe("model", stack, {"one": MERGE})
    assert StackRecipe("model", stack, {"merged": MERGE}).sources == ("one", "two")


def test_a_stack_is_written_as_runs_that_a_person_can_read():
    layers = (("a-7b", 0), ("a-7b", 1), ("a-7b", 1), ("my own", 2), ("my own", 3), ("my own", 5))
    recipe = StackRecipe("a-7b", LayerStack(layers, (1.0, 1.0, 0.8, 1.0, 1.0, 1.25)))
    written = {
        "base": "a-7b",
        "layers": ["a-7b 0-1", "a-7b 1-1", "my own 2-3", "my own 5-5"],
        "scales": {"2": 0.8, "5": 1.25},
    }
    assert recipe.to_dict() == written
    assert recipe_from_dict(written) == recipe
    with pytest.raises(RecipeError, match=r"stack\.layers\[1\]: is 'one', expected 'NAME FIRST-"):
        recipe_from_dict(written | {"layers": ["a-7b 0-1", "one"]})


# The whole genome


def market_genome(**change):
    cast = (PersonaStart("a", "", "value"), PersonaStart("b", "", None))
    return MarketGenome(cast, ("momentum", "value"), 2, "model", (), 0, 2, **change)


def start_of(market):
    genome = market.genome()
    return genome.to_values(genome.start_vector())


def test_without_styles_or_sources_only_the_society_evolves():
    cast = (PersonaStart("a", "", None), PersonaStart("b", "", None))
    bare = MarketGenome(cast, (), 1, "model", (), 0, 2)
    assert [segment.name for segment in bare.genome().segments] == ["society"]
    assert bare.slow_segments() == ()
    population = bare.population(start_of(bare))
    assert {persona.mind.shape for persona in population.personas} == {(1, 0)}
    stacked = MarketGenome(
        cast, (), 1, "model", (), 0, 2, None, StackSpace("model", 3, ("one",), (1, 2))
    )
    assert stacked.slow_segments() == ("recipe",)
    assert isinstance(stacked.recipe(start_of(stacked)), StackRecipe)


@pytest.mark.parametrize(("cores", "entries"), [("none", 0), ("diagonal", 3), ("full", 9)])
def test_cores_are_genes_of_the_personas_own_adapter_and_start_at_the_identity(cores, entries):
    plain, market = market_genome(), market_genome(cores=cores, rank=3)
    extra = market.genome().size - plain.genome().size
    assert extra == 2 * entries  # two blocks; the second persona has no adapter of its own
    values = start_of(market)
    before, after = (m.population(start_of(m)) for m in (plain, market))
    for old, new in zip(before.personas, after.personas, strict=True):
        assert new.mixture == old.mixture
        if new.cores:
            assert new.name == "a"
            assert new.mind.shape == (2, 2, 1 + 9)
            np.testing.assert_array_equal(new.mind[:, :, 0], old.mind)
            np.testing.assert_array_equal(new.mind[:, :, 1:].reshape(4, 3, 3), [np.eye(3)] * 4)
    if entries:
        values["minds"]["a_core_b1_2_2"] = 0.25
        [[_, first], [_, second]] = market.population(values).personas[0].cores
        assert (first[2][2], second[2][2]) == (1.0, 0.25)


def test_without_cores_and_stacks_the_genome_is_what_it_was():
    plain = market_genome()
    minds, society = plain.genome().segments
    assert (minds.name, len(minds.genes), society.name) == ("minds", 8, "society")
    cored = market_genome(cores="full", rank=3).genome().segments
    assert (cored[0].genes[:8], cored[1]) == (minds.genes, society)
    assert plain.slow_segments() == ("minds",)
    assert all(persona.cores == () for persona in plain.population(start_of(plain)).personas)
