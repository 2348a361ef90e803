"""Shares told apart where the truth is known: a level that holds, more quarters that tell more."""

import numpy as np
import pytest

from evobourse.fitness.baselines.garch_fit import GarchT
from evobourse.fitness.conditional.power import RIVALS, SAME, told_apart

LAW = GarchT(0.0, (0.10, 0.88), 0.98, 6.0, 1.0)


@pytest.fixture(scope="module")
def told():
    return told_apart(LAW, (10, 40), 60, np.random.default_rng(1))


def test_the_law_itself_is_told_apart_by_chance_alone(told):
    assert list(told) == list(RIVALS)
    assert told[SAME].max() <= 0.12  # of 60 tests at 5 %


def test_a_walk_is_told_apart_and_more_quarters_tell_more(told):
    assert told["a random walk"][1] > 0.6
    for rival in RIVALS[1:]:
        assert told[rival][1] >= told[rival][0]


def test_the_stream_decides_every_share():
    first, second = (told_apart(LAW, (10,), 8, np.random.default_rng(2)) for _ in range(2))
    assert all((first[name] == second[name]).all() for name in RIVALS)
