import pickle

import numpy as np
import pytest

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.genomes.genome import Gene, Genome, Segment
from evobourse.evolve.searches.cross import CrossSearch


def score(proposal, target=0.8):
    """A cross problem: each half has its own distance, and they multiply."""
    slow = 1e-3 + np.sum((proposal.slow - target) ** 2, axis=1)
    fast = 1e-3 + np.sum((proposal.fast - target) ** 2, axis=1)
    return slow[:, None] * fast[None, :]


def run(search, generations):
    proposals = []
    for _ in range(generations):
        proposals.append(search.ask())
        search.tell(proposals[-1], score(proposals[-1]))
    return proposals


@pytest.mark.parametrize("diagonal_above", [0, 40])
@pytest.mark.parametrize("counts", [(6, 8), (2, 3)])
def test_a_cross_problem_improves(sphere, counts, diagonal_above):
    search = sphere.make_search(sphere.make_genome(), *counts, diagonal_above=diagonal_above)
    first = np.sum((search.mean_vector() - 0.8) ** 2)
    run(search, 120)
    assert np.sum((search.mean_vector() - 0.8) ** 2) < 0.02 * first


@pytest.mark.parametrize("counts", [(1, 6), (6, 1), (1, 1)])
def test_a_count_of_one_keeps_that_half_at_its_mean(sphere, counts):
    genome = sphere.make_genome()
    search = sphere.make_search(genome, *counts)
    before = search.mean_vector()
    np.testing.assert_array_equal(before, genome.start_vector())
    run(search, 60)
    moved = search.mean_vector() != before
    halves = {"slow": slice(0, 5), "fast": slice(5, 9)}
    for half, count in zip(halves.values(), counts, strict=True):
        assert moved[half].all() if count > 1 else not moved[half].any()


def test_vector_joins_the_segments_where_the_genome_has_them(sphere):
    from evobourse.evolve.searches.cross import CrossSearch

    genome = sphere.make_genome()
    seed = np.random.SeedSequence(0)
    search = CrossSearch(genome, ("society",), ("minds", "recipe"), 3, 4, 0.5, 0.5, seed)
    proposal = search.ask()
    vector = search.vector(proposal, 2, 3)
    np.testing.assert_array_equal(vector[genome.slice_of("society")], proposal.slow[2])
    np.testing.assert_array_equal(vector[genome.slice_of("minds")], proposal.fast[3, :2])
    np.testing.assert_array_equal(vector[genome.slice_of("recipe")], proposal.fast[3, 2:])


@pytest.mark.parametrize("diagonal_above", [0, 40])
def test_numpys_global_stream_is_neither_touched_nor_used(sphere, diagonal_above):
    def fresh():
        return sphere.make_search(sphere.make_genome(), diagonal_above=diagonal_above)

    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()  # noqa: NPY002
    first = run(fresh(), 12)
    after = np.random.get_state()  # noqa: NPY002
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]
    np.random.seed(2)  # noqa: NPY002
    for a, b in zip(first, run(fresh(), 12), strict=True):
        np.testing.assert_array_equal(a.slow, b.slow)
        np.testing.assert_array_equal(a.fast, b.fast)


def test_halves_and_seeds_have_their_own_streams(sphere):
    genome = sphere.make_genome()
    proposal, other = (sphere.make_search(genome, 4, 4, seed=seed).ask() for seed in (1, 2))
    assert not np.any(np.isin(proposal.slow, other.slow))
    shape = (4, 4)
    normal = (proposal.slow - genome.start_vector()[:5]).ravel()[: np.prod(shape)]
    assert not np.allclose(normal, proposal.fast.ravel())


def test_the_seed_is_read_and_not_spawned_from(sphere):
    from evobourse.evolve.searches.cross import CrossSearch

    genome, seed = sphere.make_genome(), np.random.SeedSequence(3, spawn_key=(5,))
    pair = [
        CrossSearch(genome, ("recipe", "minds"), ("society",), 3, 3, 0.5, 0.5, seed).ask()
        for _ in range(2)
    ]
    np.testing.assert_array_equal(pair[0].slow, pair[1].slow)
    assert seed.n_children_spawned == 0


@pytest.mark.parametrize("diagonal_above", [0, 40])
def test_a_pickled_search_goes_on_identically(sphere, diagonal_above):
    search = sphere.make_search(sphere.make_genome(), diagonal_above=diagonal_above)
    run(search, 7)
    twin = pickle.loads(pickle.dumps(search))
    for a, b in zip(run(search, 30), run(twin, 30), strict=True):
        np.testing.assert_array_equal(a.slow, b.slow)
        np.testing.assert_array_equal(a.fast, b.fast)
    assert search.stop() == twin.stop()
    np.testing.assert_array_equal(search.mean_vector(), twin.mean_vector())


def test_parent_weights_are_the_shares_in_the_new_means(sphere):
    search = sphere.make_search(sphere.make_genome(), 6, 8)
    proposal = search.ask()
    weights = search.tell(proposal, score(proposal))
    assert weights.shape == (6, 8)
    assert weights.sum() == pytest.approx(1.0)
    assert np.count_nonzero(weights) == 3 * 4  # half of each side
    joined = np.concatenate(
        [weights.sum(axis=1) @ proposal.slow, weights.sum(axis=0) @ proposal.fast]
    )
    np.testing.assert_allclose(search.mean_vector(), joined, atol=1e-12)
    assert weights[np.unravel_index(np.argmin(score(proposal)), (6, 8))] == weights.max()


def test_failed_candidates_rank_last(sphere):
    search = sphere.make_search(sphere.make_genome(), 4, 4)
    proposal = search.ask()
    scores = np.full((4, 4), 2.0) + np.arange(4)[:, None] * 1e-3
    scores[0] = np.inf  # would be the best row
    weights = search.tell(proposal, scores)
    assert weights[0].sum() == 0
    assert weights[1].sum() == weights.sum(axis=1).max()


def test_a_generation_of_failures_teaches_nothing(sphere):
    search = sphere.make_search(sphere.make_genome(), 3, 3)
    before = search.mean_vector(), search.sigmas
    weights = search.tell(search.ask(), np.full((3, 3), np.inf))
    assert not weights.any()
    np.testing.assert_array_equal(search.mean_vector(), before[0])
    assert search.sigmas == before[1]


def test_stop_says_why_once_both_halves_have_converged(sphere):
    search = sphere.make_search(sphere.make_genome(), 6, 6)
    assert search.stop() == []
    run(search, 600)
    reasons = search.stop()
    assert any(reason.startswith("recipe+minds: ") for reason in reasons)
    assert any(reason.startswith("society: ") for reason in reasons)


def test_bad_input_is_refused(sphere):
    genome = sphere.make_genome()
    search = sphere.make_search(genome, 2, 3)
    proposal = search.ask()
    with pytest.raises(EvolveError, match="shape"):
        search.tell(proposal, np.ones((3, 2)))
    for bad in (-1.0, np.nan, -np.inf):
        scores = np.ones((2, 3))
        scores[1, 2] = bad
        with pytest.raises(EvolveError, match=r"candidate \(1, 2\) scored"):
            search.tell(proposal, scores)
    with pytest.raises(EvolveError, match="at least 1"):
        sphere.make_search(genome, 0, 3)
    from evobourse.evolve.searches.cross import CrossSearch

    with pytest.raises(EvolveError, match="each once"):
        CrossSearch(genome, ("recipe",), ("society",), 2, 2, 0.5, 0.5, np.random.SeedSequence(0))


def test_the_slow_half_rests_between_its_turns() -> None:
    genome = Genome(
        (
            Segment("slow", (Gene("a", 0.0, 1.0, 0.5), Gene("b", 0.0, 1.0, 0.5))),
            Segment("fast", (Gene("c", 0.0, 1.0, 0.5), Gene("d", 0.0, 1.0, 0.5))),
        )
    )
    seed = np.random.SeedSequence(1)
    search = CrossSearch(genome, ("slow",), ("fast",), 3, 5, 0.5, 0.5, seed, slow_every=2)
    shapes = []
    for generation in range(4):
        proposal = search.ask()
        rows = len(proposal.slow)
        assert search.planned_candidates(generation) == rows * 5
        if rows == 1:
            assert np.array_equal(proposal.slow[0], search.mean_vector()[genome.slice_of("slow")])
        weights = search.tell(proposal, np.arange(1.0, rows * 5 + 1).reshape(rows, 5))
        assert np.isclose(weights.sum(), 1.0)
        shapes.append(rows)
    assert shapes == [1, 3, 1, 3]
