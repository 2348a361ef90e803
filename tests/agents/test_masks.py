"""Masks: as often as they say, from the right fields, never giving back; draws as one by one."""

import numpy as np
import pytest

from evobourse.agents.masks import Masks, day_masks, draw_fields
from evobourse.agents.observation import FIELD_NAMES
from evobourse.agents.personas.persona import Society

N, F = 20_000, len(FIELD_NAMES)
NOBODY = np.zeros((N, F), bool)
OPEN = dict.fromkeys(FIELD_NAMES, 0.0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def sees_of(sees):
    """Turn rows of fields, int64[n, A], into who sees what: bool[n, F]."""
    return (sees[..., None] == np.arange(F)).any(axis=1)


def test_a_persistent_mask_hides_each_field_as_often_as_it_says(rng):
    rates = np.linspace(0.0, 1.0, F)
    masks = Masks(dict(zip(FIELD_NAMES, rates.tolist(), strict=True)))
    sees = sees_of(draw_fields(masks, F, NOBODY, rng.random((N, F, 2))))
    np.testing.assert_allclose(sees.mean(axis=0), 1 - rates, atol=0.02)
    assert sees[:, 0].all()
    assert not sees[:, -1].any()
    np.testing.assert_allclose(np.corrcoef(sees[:, 1:-1].T), np.eye(F - 2), atol=0.04)


@pytest.mark.parametrize("attention", range(1, F + 1))
def test_attention_chooses_evenly_among_what_is_not_masked(attention, rng):
    masks = Masks(OPEN | {"news": 1.0})
    sees = sees_of(draw_fields(masks, attention, NOBODY, rng.random((N, F, 2))))
    assert (sees.sum(axis=1) == min(attention, F - 1)).all()
    expected = np.where(np.array(FIELD_NAMES) == "news", 0.0, min(1.0, attention / (F - 1)))
    np.testing.assert_allclose(sees.mean(axis=0), expected, atol=0.02)


def test_what_a_persona_never_sees_is_masked_and_moves_nobody_elses(rng):
    masks, never = Masks(dict.fromkeys(FIELD_NAMES, 0.3)), NOBODY.copy()
    never[::2, 2:4] = True
    uniform = np.random.default_rng(5).random((N, F, 2))
    some, none = (draw_fields(masks, 3, who, uniform) for who in (never, NOBODY))
    assert not sees_of(some)[::2, 2:4].any()
    np.testing.assert_array_equal(some[1::2], none[1::2])


def test_fields_are_drawn_as_one_agent_after_the_other(rng):
    """A second implementation: two numbers a field, hidden by the first, ranked by the second."""
    masks = Masks(dict(zip(FIELD_NAMES, (0.1, 0.9, 0.5, 0.3, 0.02, 0.6), strict=True)))
    sees = draw_fields(masks, 3, NOBODY[:500], np.random.default_rng(8).random((500, F, 2)))
    stream = np.random.default_rng(8)
    for row in sees:
        ranked = []
        for field, name in enumerate(FIELD_NAMES):
            hides, priority = stream.random(), stream.random()
            if hides >= masks.mask[name]:
                ranked.append((-priority, field))
        chosen = [field for _, field in sorted(ranked)[:3]]
        assert row.tolist() == chosen + [-1] * (3 - len(chosen))


def test_a_momentary_mask_hides_every_field_as_often_as_it_says():
    masks = Masks(OPEN, momentary_mask=0.3)
    assert masks.rates.tolist() == [0.3]
    assert day_masks(masks.rates, 5, np.uint64(1)).tolist() == [0.3] * F


def test_unmasked_turns_off_every_mask_and_nothing_else(rng):
    society = Society(dict.fromkeys(FIELD_NAMES, 0.4), momentary_mask=0.7, attention=5, vigilance=2)
    seeing = society.unmasked()
    assert seeing == Society(OPEN, momentary_mask=0.0, attention=5, vigilance=2)
    sees = draw_fields(seeing, F, NOBODY, rng.random((N, F, 2)))
    np.testing.assert_array_equal(np.sort(sees[0]), np.arange(F))
    assert not day_masks(seeing.rates, 5, np.uint64(1)).any()
