import numpy as np
import pytest
from scipy.stats import spearmanr

from evobourse.agents.minds import stand_ins
from evobourse.agents.minds.stand_ins import RandomMinds, TeacherMinds
from evobourse.agents.observation import (
    FIELD_NAMES,
    FIELDS,
    LEVELS,
    VIEWS,
    decode_view,
    encode_view,
    possible_views,
)
from evobourse.agents.styles import (
    FIRST_STYLES,
    STYLES,
    SUPERSTITIONS,
    TEACHERS,
    linear,
    signs_of,
    teach,
)

ALL = np.arange(VIEWS)


def view(**words):
    """Encode what is seen, such as trend="rising"; all else is masked."""
    levels = [f.words.index(words[f.name]) if f.name in words else 0 for f in FIELDS]
    return encode_view(np.array([levels]), np.array([name in words for name in FIELD_NAMES]))


def mirrored(views):
    """Turn every visible sign into its opposite."""
    levels = decode_view(views)
    return encode_view(np.array(LEVELS) - 1 - levels, levels >= 0)


def test_signs_are_centred_and_zero_where_masked():
    signs = signs_of(view(trend="soaring", range="bottom"))
    assert signs["trend"] == 2
    assert signs["range"] == -1
    assert [signs[name].item() for name in ("value", "volatility", "crowd", "news")] == [0] * 4


@pytest.mark.parametrize("style", STYLES)
def test_every_view_has_a_label_and_every_label_occurs(style):
    labels = teach(style, ALL)
    assert labels.dtype == np.int64
    strongest = 3 if style == "risk-averse" else 4  # who fears never buys strongly
    assert sorted(set(labels.tolist())) == list(range(strongest + 1))


@pytest.mark.parametrize("style", [s for s in STYLES if s not in ("risk-averse", "noise")])
def test_opposite_signs_get_opposite_labels(style):
    np.testing.assert_array_equal(teach(style, mirrored(ALL)), 4 - teach(style, ALL))


def test_fear_weighs_more_than_greed():
    labels, opposite = teach("risk-averse", ALL), teach("risk-averse", mirrored(ALL))
    assert (labels + opposite <= 4).all()
    assert (labels + opposite < 4).any()


@pytest.mark.parametrize("style", STYLES)
def test_who_sees_nothing_holds(style):
    assert teach(style, np.array([0])).tolist() == [2]


@pytest.mark.parametrize(
    ("style", "words", "label"),
    [
        ("momentum", {"trend": "soaring"}, 4),
        ("momentum", {"trend": "falling"}, 1),
        ("momentum", {"volatility": "nervous", "crowd": "selling"}, 2),
        ("value", {"value": "bubble"}, 0),
        ("value", {"value": "cheap", "range": "bottom"}, 4),
        ("contrarian", {"crowd": "buying"}, 1),
        ("contrarian", {"crowd": "selling", "trend": "falling"}, 4),
        ("breakout", {"range": "top"}, 4),
        ("breakout", {"range": "middle"}, 2),
        ("risk-averse", {"volatility": "nervous"}, 1),
        ("risk-averse", {"volatility": "nervous", "news": "bad"}, 0),
        ("risk-averse", {"volatility": "calm"}, 3),
        ("risk-averse", {"trend": "soaring", "news": "good"}, 2),
        ("herding", {"crowd": "buying"}, 4),
        ("news-driven", {"news": "bad"}, 0),
        ("news-driven", {"trend": "rising"}, 3),  # a half rounds away from hold
        ("news-driven", {"trend": "falling"}, 1),
    ],
)
def test_known_examples(style, words, label):
    assert teach(style, view(**words)).tolist() == [label]


def test_a_teacher_ignores_what_its_style_does_not_read():
    rng = np.random.default_rng(0)
    levels = rng.integers(LEVELS, size=(200, len(FIELDS)))
    seen = np.array([name != "value" for name in FIELD_NAMES])
    np.testing.assert_array_equal(
        teach("momentum", encode_view(levels, seen)),
        teach("momentum", encode_view(levels, np.ones(len(FIELDS), bool))),
    )


def test_styles_differ():
    labels = np.stack([teach(style, ALL) for style in STYLES])
    assert len(np.unique(labels, axis=0)) == len(TEACHERS)


def draw_superstitions(seed):
    rng = np.random.default_rng(seed)
    meanings = {}
    for field in FIELDS:
        few = len(field.words) == 3
        outer = rng.choice([-1.5, 1.5], 2) if few else rng.permutation([-2.0, -1.0, 1.0, 2.0])
        meanings[field.name] = tuple(np.insert(outer, len(outer) // 2, 0.0).tolist())
    return meanings


def choices_by_hand(meanings):
    """Add up the words' meanings view by view, with no help from the module."""
    table = []
    for row in decode_view(possible_views(3)):
        said = [meanings[f.name][level] for f, level in zip(FIELDS, row, strict=True) if level >= 0]
        score = sum(said)
        table.append(2 + min(2, int(abs(score) + 0.5)) * (1 if score > 0 else -1))
    return np.array(table)


def test_superstitions_are_the_first_lot_that_is_like_nobody():
    sensible = [teach(style, possible_views(3)) for style in FIRST_STYLES]

    def likeness(meanings):
        return max(abs(spearmanr(choices_by_hand(meanings), s).statistic) for s in sensible)

    assert draw_superstitions(4) == SUPERSTITIONS
    assert likeness(SUPERSTITIONS) < 0.25
    assert all(likeness(draw_superstitions(seed)) >= 0.25 for seed in range(4))
    np.testing.assert_array_equal(choices_by_hand(SUPERSTITIONS), teach("noise", possible_views(3)))


def test_a_fitted_teacher_takes_the_place_of_the_shipped_one():
    found = teach("expert", ALL, {"expert": linear({"trend": 1.0})})
    np.testing.assert_array_equal(found, 2 + signs_of(ALL)["trend"])


# The stand-ins made of them


def test_teacher_minds_choose_as_their_teachers():
    minds = TeacherMinds(STYLES)
    for k, style in enumerate(STYLES):
        answers = minds.answer(np.eye(len(STYLES), dtype=np.float32)[k : k + 1], ALL)
        assert answers.dtype == np.float32
        np.testing.assert_array_equal(answers.argmax(axis=1), teach(style, ALL))


def test_teacher_minds_mix_votes_by_coefficient():
    minds = TeacherMinds(("momentum", "value"))
    mixed = minds.answer(np.array([[0.25, 0.5], [0.75, -0.5]], np.float32), ALL)
    alone = minds.answer(np.array([[0.5, 0.0]], np.float32), ALL)
    np.testing.assert_allclose(mixed, alone, atol=1e-6)


def test_random_minds_see_nothing():
    assert (RandomMinds().answer(np.ones((1, 3), np.float32), ALL[:7]) == np.zeros((7, 5))).all()


def test_teachers_of_many_mixtures_keep_few_tables_and_answer_alike(monkeypatch):
    monkeypatch.setattr(stand_ins, "KEPT", 3)
    minds, views = TeacherMinds(STYLES), np.arange(50)
    rng = np.random.default_rng(0)
    mixtures = rng.normal(size=(9, 1, len(STYLES))).astype(np.float32)
    first = [minds.answer(mixture, views) for mixture in mixtures]
    assert len(minds._mixed) == 3
    for mixture, answers in zip(mixtures, first, strict=True):
        np.testing.assert_array_equal(minds.answer(mixture, views), answers)
