"""A morning: what is told is heard once, the crowd field shows moods, nothing masked is there."""

import numpy as np
import pytest

from evobourse.agents.crowds.observing import Observer
from evobourse.agents.observation import FIELD_NAMES, HISTORY_DAYS, decode_view
from evobourse.agents.personas.traits import Traits, TraitTable
from evobourse.market.crowd import AssetView, Message

N = 200
NEWS, CROWD = FIELD_NAMES.index("news"), FIELD_NAMES.index("crowd")
PERSONA = np.arange(N) % 2
DEAF = Traits(receptivity=0.0)


@pytest.fixture
def observe(population):
    """Show mornings to agents of two personas, one of which hears nothing that is told."""

    def open_eyes(traits=(None, DEAF), **society):
        society = population([[1.0], [1.0]], dict.fromkeys(FIELD_NAMES, 0.0), **society).society
        observer = Observer(society, TraitTable.of(traits), PERSONA, np.uint64(1))

        def morning(moods=None, bought=0, sold=0):
            closes = np.rint(10_000 + 50 * np.sin(np.arange(400))).astype(np.int64)
            asset = AssetView(closes, closes * 0, bought, sold, 10_000, 1, 20_000, 10_000)
            seen = observer.observe(asset, 3, 7, PERSONA, moods)
            assert (seen.reference_ticks, seen.day, seen.time) == (closes[-1], 3, 7)
            assert len(seen.log_path) == HISTORY_DAYS
            return decode_view(seen.views)

        return observer, morning

    return open_eyes


def test_what_is_told_is_heard_in_one_morning_by_whom_it_reaches(observe):
    observer, morning = observe(attention=6, momentary_mask=0.0, news_noise=0.0, news_threshold=5.0)
    assert (morning()[:, NEWS] == 1).all()
    half = np.arange(N // 2)
    for _ in range(2):
        observer.tell(Message("news", "so good", half, tone=20.0))
    observer.tell(Message("notice", "nothing said"))
    levels = morning()[:, NEWS]
    reached = (PERSONA == 0) & (np.arange(N) < N // 2)
    np.testing.assert_array_equal(levels, np.where(reached, 2, 1))
    assert (morning()[:, NEWS] == 1).all()


def test_the_crowd_field_shows_orders_or_the_moods_of_those_read(observe):
    _, morning = observe(attention=6, momentary_mask=0.0)
    assert (morning(bought=10, sold=90)[:, CROWD] == 0).all()
    assert (morning(bought=90, sold=10)[:, CROWD] == 2).all()
    moods = np.tile([-1.0, 0.0, 1.0, np.nan], N // 4)
    shown = morning(moods, bought=90, sold=10)[:, CROWD]
    np.testing.assert_array_equal(shown, np.tile([0, 1, 2, -1], N // 4))


def test_what_a_persona_never_sees_is_not_in_its_views(observe):
    never = Traits(never_sees=("news", "trend"))
    _, morning = observe((None, never), attention=6, momentary_mask=0.0)
    hidden = np.isin(FIELD_NAMES, never.never_sees)
    levels = morning()
    assert (levels[PERSONA == 0] >= 0).all()
    np.testing.assert_array_equal(levels[PERSONA == 1] >= 0, np.tile(~hidden, (N // 2, 1)))
