"""A prompt's pieces add up to the tokenizer's own ids of the whole text, in any vocabulary."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evobourse.agents.observation import CUE, INVOCATION, OPTIONS, VIEWS, render_rules, render_view
from evobourse.merge.engine.prompt_tokens import PromptTokens
from tests.random_models import make_tokenizer

STYLES = ("byte-level", "stops", "pieces")
TEXTS = st.text("aT .,\n:->0é", max_size=12)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("ends", ["", "b", "be"])
def test_pieces_are_the_whole(style, ends):
    tokenizer = make_tokenizer(style, ends)
    tokens = PromptTokens(tokenizer)

    @given(st.lists(TEXTS, min_size=1, max_size=4))
    def check(pieces):
        own = tokenizer("".join(pieces)).input_ids
        whole = tuple(own[:-1]) if "e" in ends and own[-1] == 2 and len(own) > 1 else tuple(own)
        cut = tokens.cut(*pieces)
        assert len(cut) == len(pieces)
        assert sum(cut, ()) == whole == tokens.whole("".join(pieces))

    check()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("ends", ["", "b"])
def test_a_views_words_stand_behind_the_invocation_as_in_the_whole(style, ends):
    tokenizer = make_tokenizer(style, ends)
    tokens = PromptTokens(tokenizer)
    rules, opening, _ = tokens.cut(render_rules(), INVOCATION, CUE)
    assert rules[: len(tokens.start)] == tokens.start == ((1,) if ends else ())
    for view in range(0, VIEWS, 37):
        words = tokens.after(INVOCATION, render_view(view).removeprefix(INVOCATION))
        text = render_rules() + render_view(view)
        assert rules + opening + words == tuple(tokenizer(text).input_ids)
        for option in OPTIONS:
            [token] = tokens.after(INVOCATION + CUE, option)
            assert (*rules, *opening, *words, token) == tuple(tokenizer(text + option).input_ids)


def test_a_token_that_takes_a_line_end_along_belongs_to_the_later_piece():
    tokenizer = make_tokenizer("stops")
    tokens = PromptTokens(tokenizer)
    rules, opening = tokens.cut(render_rules(), INVOCATION)
    assert tokenizer.decode(opening) == f".{INVOCATION}"
    assert tokenizer.decode(rules) + "." == render_rules()
