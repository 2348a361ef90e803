"""Personas are dealt out by share and drawn to what paid; decisions stay as they were."""

import numpy as np
import pytest

from evobourse.agents.crowds.deciding import Decider, Decision
from evobourse.agents.observation import possible_views
from evobourse.market.philox import Purpose, draw_words

N = 600


@pytest.fixture
def decider(population):
    """Three personas of shares 1, 2, 3: the first always sells, the others always buy."""

    def build(**society):
        sells, buys = np.eye(5).cumsum(axis=1)[[0, 4]]
        people = population([[1.0]] * 3, attention=1, **society)
        views = len(possible_views(1))
        choices = np.stack([np.tile(row, (views, 1)) for row in (sells, buys, buys)])
        return Decider(people, choices, N, np.uint64(0))

    return build


def test_agents_are_dealt_out_by_share_and_choose_as_their_persona(decider):
    decider = decider()
    np.testing.assert_array_equal(np.bincount(decider.persona), [100, 200, 300])
    tendency = decider.choose(np.zeros(N, np.int64), draw_words(N, 0, 0, Purpose.DAY, np.uint64(1)))
    np.testing.assert_array_equal(tendency, np.where(decider.persona == 0, -2, 2))


def test_agents_go_where_it_paid_and_the_replaced_have_no_past(decider):
    decider = decider(switching=1.0, conformity=0.0, performance=8.0)
    views = np.zeros(N, np.int64)
    for day in range(200):
        words = draw_words(N, day, 0, Purpose.DAY, np.uint64(1))
        decider.learn(decider.choose(views, words), -1.0)
    decider.reconsider(200, 0.0)
    assert (decider.persona == 0).all()
    decider.replace([0, 1, 2], np.ones((3, len(possible_views(1)), 5)))
    decider.reconsider(201, 0.0)
    assert np.bincount(decider.persona) == pytest.approx([100, 200, 300], abs=40)


def test_a_decision_does_not_change_when_agents_reconsider(decider):
    decider = decider(switching=1.0)
    views = np.zeros(N, np.int64)
    words = draw_words(N, 0, 0, Purpose.DAY, np.uint64(1))
    decision = Decision(decider.persona, views, decider.choose(views, words))
    before = decision.persona.copy()
    decider.reconsider(0, 0.0)
    np.testing.assert_array_equal(decision.persona, before)
    assert (decider.persona != before).any()
