"""Who stays in an archive of cells, and with whom its members mate."""

import numpy as np
import pytest

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.genomes.gene import Gene
from evobourse.evolve.genomes.genome import Genome, Segment
from evobourse.evolve.searches.niches import Member, NicheSearch, _compete, _portions

GENOME = Genome((Segment("genes", tuple(Gene(f"g{i}", -3.0, 3.0, 0.0) for i in range(6))),))


def make(population=8, size=4, seed=3, **kwargs):
    return NicheSearch(
        GENOME, population, size, {"genes": 0.5}, np.random.SeedSequence(seed), **kwargs
    )


def member(name, inside, plays=1, log_scores=0.0):
    vector = np.full(GENOME.size, float(len(name)))
    return Member(name, vector, 1.0, 0.5, plays, np.array(inside, float), log_scores)


def tell(search, proposal, inside, scores=None):
    scores = np.ones(len(proposal)) if scores is None else np.asarray(scores, float)
    parts = [[{f"inside_{c}": x for c, x in enumerate(row)}] for row in inside]
    return search.tell(proposal, scores[:, None], parts)


def test_a_cell_is_shared_by_all_who_meet_it():
    members = [member("a", [1, 0.5]), member("b", [1, 0]), member("c", [0, 0])]
    np.testing.assert_allclose(_portions(members), [1.5, 0.5, 0.0], atol=1e-7)


def test_whoever_meets_what_others_do_not_stays():
    generalists = [member(str(i), [1, 1, 0]) for i in range(5)]
    specialist = member("alone", [0, 0, 0.5])
    kept = _compete([*generalists, specialist], 3)
    assert [m.candidate for m in kept] == ["0", "1", "alone"]


def test_a_mate_has_what_the_first_parent_lacks():
    search = make()
    one, same, other = member("a", [1, 0]), member("bb", [1, 0]), member("ccc", [0, 1])
    search._members = [one, same, other]
    met = np.stack([m.met for m in search._members])
    drawn = set()
    search._draw = lambda weights, ask=search._draw: drawn.add(tuple(weights)) or ask(weights)
    for _ in range(20):
        search._mate(met)
    lacking = {weights for weights in drawn if weights != tuple(_portions(search._members))}
    assert lacking == {(0.0, 0.0, 1.0), (0.5, 0.5, 0.0)}


def test_children_mix_their_parents_at_the_split_point():
    search = make()
    search._scales = np.zeros(GENOME.size)  # no mutation
    low, high = member("a", [1, 0]), member("bbb", [0, 1])
    search._members = [low, high]
    for _ in range(30):
        child = search._mate(np.stack([low.met, high.met]))
        assert (np.abs(child.vector - 2.0) <= 1.0).all()
        assert len(set(child.vector.tolist())) <= 2
        changes = np.flatnonzero(np.diff(child.vector))
        assert changes.tolist() in ([], [int(np.ceil(child.split * GENOME.size)) - 1])


def test_members_are_played_again_and_their_scores_averaged():
    search = make(population=8, size=4)
    first = search.ask()
    tell(search, first, [[i / 8, 1 - i / 8] for i in range(8)], [2.0] * 8)
    again = search.ask()
    known = [search.genome.to_values(m.vector) for m in search._members]
    assert again[:2] == known[:2]
    tell(search, again, [[1.0, 1.0]] * 2 + [[0.0, 0.5]] * 6, [8.0] * 8)
    replayed = [row for row in search.archive() if row["plays"] == 2]
    assert replayed
    assert {row["score"] for row in replayed} == {4.0}
    assert {row["candidate"][:4] for row in replayed} == {"g000"}


def test_the_best_guess_was_played_twice_if_anybody_was():
    search = make()
    lucky = member("lucky", [1, 0], 1, -5.0)
    proven = member("proven", [0, 1], 2, -1.0)
    search._members = [lucky, proven]
    assert search.best_guess() == search.genome.to_values(proven.vector)
    search._members = [lucky]
    assert search.best_guess() == search.genome.to_values(lucky.vector)


def test_founders_come_first():
    founders = [GENOME.to_values(np.full(GENOME.size, x)) for x in (0.5, -0.5)]
    asked = make(founders=founders).ask()
    for founder, found in zip(founders, asked[:2], strict=True):
        np.testing.assert_allclose(
            GENOME.to_vector(found), GENOME.to_vector(founder), atol=2.0**-24
        )
    assert asked[2] == GENOME.to_values(GENOME.start_vector())


def test_bad_settings_are_refused():
    with pytest.raises(EvolveError, match="an archive of 1 members"):
        make(size=1)
    start = GENOME.to_values(GENOME.start_vector())
    with pytest.raises(EvolveError, match="3 founders do not fit a generation of 2"):
        make(population=2, founders=[start] * 3)
    search = make()
    with pytest.raises(EvolveError, match="say nothing of real bands"):
        search.tell(search.ask(), np.ones((8, 1)), [[{"j": 1.0}]] * 8)
