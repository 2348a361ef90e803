import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evobourse.evolve.errors import GenomeError
from evobourse.evolve.genomes.gene import ChoiceGene, Gene, IntegerGene
from evobourse.evolve.genomes.genome import Genome, Segment

NAMES = ("small", "yes", "null", "1e3", "a: b", "été")
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def genes(draw, name):
    scale = draw(st.sampled_from(["linear", "log"]))
    low = draw(st.floats(1e-6, 1e3) if scale == "log" else NUMBERS)
    width = draw(st.floats(1e-3, 1e6))
    start = min(low + width * draw(st.floats(0, 1)), low + width)
    return Gene(name, low, low + width, start, scale)


@st.composite
def genomes(draw):
    return Genome(
        tuple(
            Segment(f"s{i}", tuple(draw(genes(f"g{j}.x")) for j in range(draw(st.integers(1, 4)))))
            for i in range(draw(st.integers(1, 3)))
        )
    )


@st.composite
def mixed_genes(draw, name):
    kind = draw(st.sampled_from(["real", "whole", "choice"]))
    if kind == "real":
        return draw(genes(name))
    if kind == "choice":
        options = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
        return ChoiceGene(name, tuple(options), draw(st.sampled_from(options)))
    scale = draw(st.sampled_from(["linear", "log"]))
    low = draw(st.integers(1 if scale == "log" else -1000, 1000))
    high = low + draw(st.integers(0, 2000))
    return IntegerGene(name, low, high, draw(st.integers(low, high)), scale)


@st.composite
def mixed_genomes(draw):
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    return Genome(
        tuple(
            Segment(f"s{i}", tuple(draw(mixed_genes(f"g{j}")) for j in range(size)))
            for i, size in enumerate(sizes)
        )
    )


@given(mixed_genomes(), st.integers(0, 2**32))
def test_mixed_values_to_vector_yaml_and_back(genome, seed):
    assert len(genome.names()) == genome.size == len(genome.start_vector())
    for vector in (genome.start_vector(), genome.draw_vector(np.random.default_rng(seed))):
        values = genome.to_values(vector)
        back = genome.to_values(genome.to_vector(values))
        assert genome.from_yaml(genome.to_yaml(values)) == values
        for segment in genome.segments:
            for gene in segment.genes:
                value, again = values[segment.name][gene.name], back[segment.name][gene.name]
                if isinstance(gene, Gene):
                    tolerance = 1e-10 * (gene.high - gene.low) + 1e-12
                    assert again == pytest.approx(value, rel=1e-9, abs=tolerance)
                else:
                    assert again == value
                    assert type(again) is (int if isinstance(gene, IntegerGene) else str)


@given(st.integers(-5, 5), st.floats(-30, 30), st.floats(-30, 30))
def test_whole_numbers_are_monotone(low, a, b):
    gene = IntegerGene("n", low, low + 6, low)
    genome = Genome((Segment("s", (gene,)),))
    small, large = (genome.to_values(np.array([x]))["s"]["n"] for x in sorted((a, b)))
    assert low <= small <= large <= low + 6


def test_the_outermost_whole_numbers_have_as_much_room_as_the_others():
    low = -2
    genome = Genome((Segment("s", (IntegerGene("n", low, low + 6, low),)),))
    draws = [genome.draw_vector(np.random.default_rng(i)) for i in range(700)]
    counts = np.bincount([genome.to_values(x)["s"]["n"] - low for x in draws], minlength=7)
    assert counts.min() > 70


def test_a_choice_is_the_largest_of_its_coordinates():
    genome = Genome((Segment("s", (ChoiceGene("c", ("x", "y", "z"), "y"), Gene("g", 0, 1, 0.5))),))
    assert genome.names() == ("s.c=x", "s.c=y", "s.c=z", "s.g")
    assert genome.is_mixed
    assert genome.slice_of("s") == slice(0, 4)
    assert genome.to_values(genome.start_vector())["s"]["c"] == "y"
    assert genome.to_values(np.array([0.1, -3.0, 0.2, 0.0]))["s"] == {"c": "z", "g": 0.5}


@given(genomes(), st.data())
def test_vector_to_values_and_back(genome, data):
    vector = np.array(
        data.draw(st.lists(st.floats(-6, 6), min_size=genome.size, max_size=genome.size))
    )
    values = genome.to_values(vector)
    # A range that is narrow beside its bounds leaves floats too few digits for the way back.
    for segment in genome.segments:
        for gene in segment.genes:
            assume((gene.high - gene.low) > 1e-6 * max(abs(gene.low), abs(gene.high)))
    np.testing.assert_allclose(genome.to_vector(values), vector, atol=1e-5)


@given(genomes(), st.data())
def test_values_to_vector_and_back_within_bounds(genome, data):
    values = {
        s.name: {g.name: data.draw(st.floats(g.low, g.high)) for g in s.genes}
        for s in genome.segments
    }
    back = genome.to_values(genome.to_vector(values))
    for segment in genome.segments:
        for gene in segment.genes:
            got, expected = back[segment.name][gene.name], values[segment.name][gene.name]
            assert gene.low <= got <= gene.high
            assert got == pytest.approx(
                expected, rel=1e-9, abs=1e-10 * (gene.high - gene.low) + 1e-12
            )


@given(genomes(), st.data())
def test_yaml_round_trip_is_exact(genome, data):
    vector = np.array(
        data.draw(st.lists(st.floats(-50, 50), min_size=genome.size, max_size=genome.size))
    )
    values = genome.to_values(vector)
    assert genome.from_yaml(genome.to_yaml(values)) == values


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
def test_transform_is_monotone_and_never_folds(a, b):
    genome = Genome((Segment("s", (Gene("g", 0.1, 10.0, 1.0, "log"),)),))
    low, high = (genome.to_values(np.array([x]))["s"]["g"] for x in sorted((a, b)))
    assert 0.1 <= low <= high <= 10.0


def test_one_unit_is_a_quarter_of_the_range_in_the_middle():
    genome = Genome((Segment("s", (Gene("g", 0.0, 8.0, 4.0), Gene("l", 1e-2, 1e2, 1.0, "log"))),))
    np.testing.assert_allclose(genome.start_vector(), 0.0, atol=1e-12)
    step = genome.to_values(np.full(2, 0.01))["s"]
    assert step["g"] == pytest.approx(4.0 + 8.0 * 0.01 / 4, rel=1e-4)
    assert np.log10(step["l"]) == pytest.approx(4 * 0.01 / 4, rel=1e-4)


def test_a_start_on_a_bound_begins_just_inside_and_a_pinned_gene_stays():
    genome = Genome((Segment("s", (Gene("edge", 0.0, 1.0, 1.0), Gene("pin", 3.0, 3.0, 3.0))),))
    start = genome.start_vector()
    assert np.all(np.abs(start) < 7)
    assert genome.to_values(start)["s"] == {"edge": pytest.approx(0.999, abs=1e-5), "pin": 3.0}
    assert genome.to_vector({"s": {"edge": 1.0, "pin": 3.0}})[1] == 0.0


def test_names_and_slices(sphere):
    genome = sphere.make_genome()
    assert genome.size == len(genome.names()) == 9
    assert genome.names()[genome.slice_of("minds")] == ("minds.spread", "minds.mean")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"s": {"alpha": 0.5, "beta": 0.5, "bta": 1}}, "unknown gene 'bta'; did you mean 'beta'"),
        ({"s": {"alpha": 0.5, "bta": 0.5}}, "unknown gene 'bta'; did you mean 'beta'"),
        ({"s": {"alpha": 0.5}}, "gene 'beta' is missing"),
        ({"z": {}}, "unknown segment 'z'; did you mean 's'"),
        ({"s": {"alpha": 2.0, "beta": 0.5}}, r"'s.alpha' is 2.0; it must lie in \[0.0, 1.0\]"),
        ({"s": {"alpha": "1e-3", "beta": 0.5}}, "write a number such as"),
        ({"s": {"alpha": True, "beta": 0.5}}, "write a number such as"),
        ({"s": {"alpha": 0.5, "beta": 0.5, "n": 2.0, "c": "x"}}, "'s.n' is 2.0; write a whole"),
        ({"s": {"alpha": 0.5, "beta": 0.5, "n": 9, "c": "x"}}, r"must lie in \[1, 8\]"),
        ({"s": {"alpha": 0.5, "beta": 0.5, "n": 2, "c": "w"}}, "'w'; use one of x, y"),
        ({"s": [1, 2]}, "expected genes by name, got list"),
        (None, "expected segments by name, got NoneType"),
    ],
)
def test_bad_values_are_refused_with_a_hint(values, message):
    genes = [Gene("alpha", 0.0, 1.0, 0.5), Gene("beta", 0.0, 1.0, 0.5)]
    if values and "n" in values.get("s", ()):
        genes += [IntegerGene("n", 1, 8, 2), ChoiceGene("c", ("x", "y"), "x")]
    genome = Genome((Segment("s", tuple(genes)),))
    with pytest.raises(GenomeError, match=message):
        genome.to_vector(values)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Gene("g", 0.0, 1.0, 2.0),
        lambda: Gene("g", 1.0, 0.0, 0.5),
        lambda: Gene("g", 0.0, 1.0, 0.5, "log"),
        lambda: Gene("g", 0.0, 1.0, 0.5, "cubic"),
        lambda: Gene("g", 0.0, np.inf, 0.5),
        lambda: Gene("", 0.0, 1.0, 0.5),
        lambda: IntegerGene("g", 0, 4, 5),
        lambda: IntegerGene("g", 0, 4, 1.0),
        lambda: IntegerGene("g", 0, 4, 1, "log"),
        lambda: ChoiceGene("g", (), "x"),
        lambda: ChoiceGene("g", ("x", "x"), "x"),
        lambda: ChoiceGene("g", ("x", "y"), "z"),
        lambda: ChoiceGene("", ("x", "y"), "x"),
        lambda: Segment("a.b", (Gene("g", 0.0, 1.0, 0.5),)),
        lambda: Segment("a", ()),
        lambda: Segment("a", (Gene("g", 0.0, 1.0, 0.5),) * 2),
        lambda: Genome(()),
        lambda: Genome((Segment("a", (Gene("g", 0.0, 1.0, 0.5),)),) * 2),
        lambda: Genome((Segment("a", (Gene("g", 0, 1, 0.5),)),)).to_values(np.zeros(2)),
        lambda: Genome((Segment("a", (Gene("g", 0, 1, 0.5),)),)).to_values(np.array([np.nan])),
        lambda: Genome((Segment("a", (Gene("g", 0, 1, 0.5),)),)).slice_of("b"),
        lambda: Genome((Segment("a", (Gene("g", 0, 1, 0.5),)),)).from_yaml("a: {g: ["),
    ],
)
def test_bad_genomes_are_refused(bad):
    with pytest.raises(GenomeError):
        bad()
