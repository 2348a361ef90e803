import sys

import numpy as np
import pytest

from evobourse.evolve.errors import EvolveError
from evobourse.evolve.lineage import Lineage
from evobourse.evolve.loop import evolve
from evobourse.evolve.run_folder import RunFolder
from evobourse.evolve.searches.quality_diversity import Measure, QualityDiversitySearch

AXES = (Measure("first", -3.0, 3.0, 5), Measure("second", -2.0, 2.0, 4))


def make(genome, kind="map_elites", population=12, measures=AXES):
    steps = {segment.name: 0.5 for segment in genome.segments}
    return QualityDiversitySearch(
        genome, kind, population, measures, steps, np.random.SeedSequence(8)
    )


def cell(measure, value):
    width = (measure.high - measure.low) / measure.cells
    return int(np.clip((value - measure.low) // width, 0, measure.cells - 1))


@pytest.mark.parametrize("kind", ["map_elites", "cma_mae"])
def test_the_archive_holds_the_best_of_every_cell(sphere, tmp_path, kind):
    """Against the lineage, sorted into cells by hand."""
    genome = sphere.make_genome()
    search = make(genome, kind)
    evolve(RunFolder(tmp_path), genome, search, sphere.SphereEvaluator(genome, fail_every=7), 15, 0)
    best = {}
    for c in Lineage(RunFolder(tmp_path).lineage).read():
        if c.score is not None:
            where = tuple(cell(m, c.parts[m.name]) for m in AXES)
            best[where] = min(best.get(where, (np.inf, "")), (c.score, c.id))
    rows = search.archive()
    found = {
        (r["first_cell"], r["second_cell"]): (pytest.approx(r["score"]), r["candidate"])
        for r in rows
    }
    assert found == best
    assert [r["score"] for r in rows] == sorted(r["score"] for r in rows)
    assert search.readings["elites"] == len(rows)
    assert search.readings["coverage"] == len(rows) / 20
    assert genome.to_vector(search.best_guess())[0] == pytest.approx(rows[0]["first"])


def test_it_covers_more_than_chance(sphere):
    """The same number of draws around the start, sorted into the same cells."""
    genome = sphere.make_genome()
    search = make(genome)
    for _ in range(40):
        proposal = search.ask()
        vectors = [genome.to_vector(values) for values in proposal]
        scores = np.array([[np.sum((v - 0.8) ** 2)] for v in vectors])
        search.tell(proposal, scores, [[{"first": v[0], "second": v[1]}] for v in vectors])
    rng = np.random.default_rng(0)
    drawn = genome.start_vector() + 0.5 * rng.normal(size=(480, genome.size))
    by_chance = {tuple(cell(m, v) for m, v in zip(AXES, row, strict=False)) for row in drawn}
    assert len(search.archive()) > len(by_chance) + 3


def test_parents_are_those_that_entered(sphere):
    search = make(sphere.make_genome())
    proposal = search.ask()
    parts = [[{"first": float(i % 2), "second": 0.0}] for i in range(12)]
    weights = search.tell(proposal, np.arange(1.0, 13.0)[:, None], parts)
    assert np.flatnonzero(weights).tolist() == np.flatnonzero(weights == weights.max()).tolist()
    assert weights.sum() == pytest.approx(1.0)


def test_bad_settings_are_refused(sphere, monkeypatch):
    genome = sphere.make_genome()
    for axes in (AXES[:1], (AXES[0], Measure("x", 1.0, 1.0)), (AXES[0], Measure("x", 0.0, 1.0, 0))):
        with pytest.raises(EvolveError, match="needs two, with low below high"):
            make(genome, measures=axes)
    with pytest.raises(EvolveError, match="cma_mae needs a multiple of 2"):
        make(genome, "cma_mae", 7)
    search = make(genome)
    proposal = search.ask()
    with pytest.raises(EvolveError, match="no evaluation has a part 'second'; use two of first"):
        search.tell(proposal, np.ones((12, 1)), [[{"first": 1.0}] for _ in proposal])
    monkeypatch.setitem(sys.modules, "ribs.archives", None)
    with pytest.raises(EvolveError, match="needs pyribs; install it with"):
        make(genome)
