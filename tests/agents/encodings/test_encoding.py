import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evobourse.agents.encodings.encoding import BIN, ENCODINGS, SOFT, Encoding, from_bins, to_bins
from evobourse.agents.encodings.window import WINDOW, shows_window
from evobourse.agents.observation import (
    CUE,
    INVOCATION,
    VIEWS,
    decode_view,
    render_rules,
    render_view,
)

DIGITS, PATCHES, WORDS = Encoding("digits"), Encoding("patches"), Encoding()


@pytest.fixture(scope="module")
def tokenize(tokenizer):
    return lambda text: tokenizer(text, add_special_tokens=False).input_ids


@given(st.lists(st.floats(-4.9, 4.9), min_size=1, max_size=WINDOW))
def test_digits_come_back_to_within_half_a_bin(values):
    back = from_bins(to_bins(values))
    assert np.abs(back - values).max() <= BIN / 2 + 1e-9


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_digits_keep_sign_and_order_and_never_leave_two_places(values):
    bins = to_bins(np.sort(values))
    assert (np.diff(bins) >= 0).all()
    assert ((bins >= 1) & (bins <= 99)).all()
    np.testing.assert_array_equal(to_bins(-np.sort(values)), 100 - bins)


def test_every_digit_is_a_token_of_its_own(tokenize, tokenizer, seen):
    for view, window in zip(seen.views.tolist(), seen.windows, strict=True):
        tokens = DIGITS.window_part(tokenize, view, window)
        if shows_window(np.int64(view)):
            pairs = [tokenizer.decode(tokens[at : at + 2]) for at in range(0, len(tokens), 2)]
            assert len(tokens) == 2 * WINDOW
            assert list(map(int, pairs)) == to_bins(window).tolist()
        whole = INVOCATION + tokenizer.decode(tokens + DIGITS.words_part(tokenize, view))
        pieces = [tokens, DIGITS.words_part(tokenize, view)]
        assert tokenize(whole) == [*tokenize(INVOCATION), *pieces[0], *pieces[1]]


@pytest.mark.parametrize("encoding", [DIGITS, PATCHES], ids=lambda e: e.name)
def test_a_masked_window_leaves_no_token(encoding, tokenize, seen):
    masked = [v for v in range(VIEWS) if (decode_view(np.int64(v))[:4] < 0).all()]
    assert len(masked) == 16
    for view in masked:
        assert encoding.window_part(tokenize, view, seen.windows[0]) == []
        # Whatever the window: the words are the view's own.
        assert encoding.words_part(tokenize, view) == tokenize(
            render_view(view).removeprefix(INVOCATION)
        )
    assert encoding.words_part(tokenize, 0) == tokenize(CUE)


def test_patches_are_soft_tokens(tokenize, seen):
    shown = int(seen.views[shows_window(seen.views)][0])
    assert PATCHES.window_part(tokenize, shown, seen.windows[0]) == [SOFT] * 5


def test_words_are_as_they_were(tokenize, seen):
    assert WORDS.rules == render_rules()
    for view in seen.views.tolist():
        assert WORDS.window_part(tokenize, view, seen.windows[0]) == []
        whole = tokenize(INVOCATION) + WORDS.words_part(tokenize, view)
        assert whole == tokenize(render_view(view))


def test_rules_name_what_is_shown_and_the_five_choices():
    for name in ENCODINGS:
        rules = Encoding(name).rules
        assert rules.endswith("C hold, D buy, E strong buy.")
        assert "what the others did (selling, split, buying)" in rules
    assert "crashing" not in DIGITS.rules + PATCHES.rules
    assert "10 of 1 days, two digits a move, 50 for none" in DIGITS.rules
