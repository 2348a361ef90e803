import numpy as np

from agents.observation import (
    FIELD_NAMES,
    LEVELS,
    decode_view,
    encode_public,
    encode_view,
    possible_views,
)


def test_public_encoding_equals_the_plain_one() -> None:
    rng = np.random.default_rng(0)
    for private in range(len(FIELD_NAMES)):
        levels = np.array([rng.integers(n) for n in LEVELS])
        own = rng.integers(LEVELS[private], size=50)
        visible = rng.random((50, len(FIELD_NAMES))) < 0.5
        each = np.tile(levels, (50, 1))
        each[:, private] = own
        assert np.array_equal(
            encode_public(levels, visible, private, own), encode_view(each, visible)
        )


def test_possible_views_are_all_that_show_few_fields_and_begin_with_the_empty_one() -> None:
    views = possible_views(2)
    assert views[0] == 0
    assert len(views) == 1 + sum(LEVELS) + sum(
        a * b for i, a in enumerate(LEVELS) for b in LEVELS[i + 1 :]
    )
    assert ((decode_view(views) >= 0).sum(axis=1) <= 2).all()
