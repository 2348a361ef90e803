import numpy as np
import pytest
from scipy.stats import spearmanr

from evobourse.agents.casts.backgrounds import (
    _AGES,
    DIMENSIONS,
    background_at,
    draw_backgrounds,
    measure_diversity,
)
from evobourse.agents.casts.words import OCCUPATIONS
from evobourse.agents.styles import FIRST_STYLES


@pytest.fixture(scope="module")
def people():
    return draw_backgrounds(300, np.random.default_rng(1))


def test_hundreds_all_differ(people):
    assert len({one.sentence for one in people}) == 300
    measured = measure_diversity(people)
    assert measured["sentences"] == 1.0
    assert measured["least"] > 0.02
    assert measured["mean"] > 0.25
    shuffled = measure_diversity([people[0]] * 5 + people[5:])
    assert shuffled["sentences"] < 1
    assert shuffled["least"] == 0


def test_what_goes_together_does(people):
    columns = {
        name: np.array([getattr(one, name) for one in people], float)
        for name in ("age", "experience_years", "wealth", "caution", "temper", "horizon_days")
    }
    assert spearmanr(columns["age"], columns["experience_years"]).statistic > 0.3
    assert spearmanr(columns["age"], columns["caution"]).statistic > 0.4
    assert spearmanr(columns["experience_years"], columns["wealth"]).statistic > 0.1
    for one in people:
        first, last = _AGES[one.occupation]
        assert first <= one.age <= last
        assert 0 <= one.experience_years <= one.age - 18
        assert one.wealth > 0
        assert 0 <= one.receptivity <= 1
        assert sum(one.mixture.values()) == pytest.approx(1)
        assert 0.2 < one.temperature < 2.6
    assert {next(iter(one.mixture)) for one in people} == set(FIRST_STYLES)
    assert {one.occupation for one in people} == set(_AGES) <= set(OCCUPATIONS)


def test_the_sequence_leaves_fewer_gaps_than_chance():
    even, chance = [], []
    for seed in range(8):
        even.append(measure_diversity(draw_backgrounds(128, np.random.default_rng(seed))))
        points = np.random.default_rng(seed).random((128, DIMENSIONS))
        chance.append(measure_diversity([background_at(point) for point in points]))
    mean = lambda rows: np.mean([row["discrepancy"] for row in rows])  # noqa: E731
    assert mean(even) < mean(chance)


def test_seeded(people):
    assert draw_backgrounds(300, np.random.default_rng(1)) == people
    assert draw_backgrounds(300, np.random.default_rng(2)) != people
    assert draw_backgrounds(10, np.random.default_rng(1)) == people[:10]
