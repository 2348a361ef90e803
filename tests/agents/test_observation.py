import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.agents.observation import (
    CUE,
    FIELD_NAMES,
    FIELDS,
    HISTORY_DAYS,
    INVOCATION,
    LEVELS,
    OPTIONS,
    TENDENCIES,
    VIEWS,
    decode_view,
    encode_view,
    possible_views,
    price_values,
    render_rules,
    render_view,
    to_levels,
)

levels = st.tuples(*(st.integers(0, count - 1) for count in LEVELS))
visible = st.tuples(*(st.booleans() for _ in FIELDS))


def random_walk(seed=0, days=HISTORY_DAYS):
    return np.cumsum(np.random.default_rng(seed).normal(0, 0.01, days))


# Views as numbers


@given(levels, visible)
def test_a_view_is_decoded_as_it_was_encoded(levels, visible):
    view = encode_view(np.array(levels), np.array(visible))
    assert 0 <= view < VIEWS
    expected = [level if shown else -1 for level, shown in zip(levels, visible, strict=True)]
    assert decode_view(view).tolist() == expected


def test_every_number_is_one_view():
    decoded = decode_view(np.arange(VIEWS))
    assert len(np.unique(decoded, axis=0)) == VIEWS
    np.testing.assert_array_equal(encode_view(np.maximum(decoded, 0), decoded >= 0), range(VIEWS))
    assert render_view(0) == INVOCATION + CUE


def test_possible_views_are_all_that_show_few_fields_and_begin_with_the_empty_one():
    views = possible_views(2)
    pairs = sum(a * b for i, a in enumerate(LEVELS) for b in LEVELS[i + 1 :])
    assert views[0] == 0
    assert len(views) == 1 + sum(LEVELS) + pairs
    assert ((decode_view(views) >= 0).sum(axis=1) <= 2).all()


@settings(max_examples=30)
@given(hnp.arrays(np.int64, (4, 5, len(FIELDS)), elements=st.integers(0, 2)))
def test_arrays_of_any_shape_are_encoded(levels):
    views = encode_view(levels, np.ones(levels.shape, bool))
    assert views.shape == (4, 5)
    np.testing.assert_array_equal(decode_view(views), levels)


# The firewall: what is masked never reaches the model


@pytest.mark.parametrize("masked", range(len(FIELDS)), ids=FIELD_NAMES)
def test_no_trace_of_a_masked_field_reaches_the_model(masked, style_engine, tokenizer):
    def words_of(field):
        return {tokenizer(" " + w, add_special_tokens=False).input_ids[0] for w in field.words}

    rules = len(tokenizer(render_rules(), add_special_tokens=False).input_ids)
    hidden_words, rng = words_of(FIELDS[masked]), np.random.default_rng(masked)
    for _ in range(25):
        levels, visible = rng.integers(LEVELS), rng.random(len(FIELDS)) < 0.7
        visible[masked] = True
        shown = render_view(int(encode_view(levels, visible)))
        assert f" {FIELDS[masked].words[levels[masked]]}" in shown
        visible[masked] = False
        prompts = set()
        for planted, word in enumerate(FIELDS[masked].words):
            levels[masked] = planted
            view = int(encode_view(levels, visible))
            prompts.add(tuple(style_engine.prompt_tokens(view)))
            text = render_view(view)
            assert word not in text
            assert FIELDS[masked].name not in text
            assert FIELDS[masked].title not in text
        (prompt,) = prompts  # identical whatever the masked level
        assert not hidden_words & set(prompt[rules:])


def test_no_two_fields_share_a_word():
    words = [word for field in FIELDS for word in field.words]
    assert len(set(words)) == len(words)


@given(levels, visible)
def test_a_view_shows_its_visible_words_in_field_order_and_no_more(levels, visible):
    text = render_view(int(encode_view(np.array(levels), np.array(visible))))
    assert text.startswith(INVOCATION)
    assert text.endswith(CUE)
    shown = [f.words[n] for f, n, seen in zip(FIELDS, levels, visible, strict=True) if seen]
    assert text.removeprefix(INVOCATION).removesuffix(CUE).split() == shown


def test_nothing_in_a_prompt_is_a_number_date_or_price():
    texts = [render_rules(), *(render_view(view) for view in range(VIEWS))]
    assert not any(letter.isdigit() for text in texts for letter in text)


# The vocabulary


def test_every_word_and_option_is_one_token(tokenizer):
    words = [" " + word for field in FIELDS for word in field.words] + list(OPTIONS)
    ids = [tokenizer(word, add_special_tokens=False).input_ids for word in words]
    assert [word for word, tokens in zip(words, ids, strict=True) if len(tokens) != 1] == []
    assert len({tokens[0] for tokens in ids}) == len(words)


def test_rules_name_every_word_field_and_choice():
    rules = render_rules()
    assert all(field.title in rules for field in FIELDS)
    assert all(word in rules for field in FIELDS for word in field.words)
    assert all(
        f"{option.strip()} {choice}" in rules
        for option, choice in zip(OPTIONS, TENDENCIES, strict=True)
    )


# Prices as values and levels


def test_price_values_are_what_they_say():
    path = random_walk()
    sigma = np.sqrt(np.mean(np.diff(path) ** 2))
    quarter = path[-55:]
    expected = [
        (path[-1] - path[-11]) / (sigma * np.sqrt(10)),
        (path[-1] - path.mean()) / (sigma * np.sqrt(60)),
        (path[-1] - quarter.min()) / np.ptp(quarter),
        np.sqrt(np.mean(np.diff(path)[-20:] ** 2)) / sigma,
    ]
    np.testing.assert_allclose(price_values(path), expected)


@given(st.integers(0, 50), st.floats(-5, 5), st.floats(0.1, 4))
def test_price_values_know_neither_scale_nor_currency(seed, shift, stretch):
    path = random_walk(seed)
    expected = price_values(path)
    np.testing.assert_allclose(price_values(path + shift), expected, atol=1e-6)
    np.testing.assert_allclose(price_values(stretch * path), expected, atol=1e-6)


def test_price_values_read_the_last_year_alone():
    path = random_walk(days=800)
    np.testing.assert_array_equal(price_values(path), price_values(path[-HISTORY_DAYS:]))


def test_a_price_that_never_moved_is_flat_and_finite():
    values = price_values(np.full(HISTORY_DAYS, 3.0))
    assert np.isfinite(values).all()
    assert values[:2].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("field", range(len(FIELDS)), ids=FIELD_NAMES)
def test_levels_rise_at_their_edges(field):
    edges = np.array(FIELDS[field].edges)
    assert len(edges) == LEVELS[field] - 1
    values = np.zeros((2 * len(edges), len(FIELDS)))
    values[:, field] = np.stack([np.nextafter(edges, -9), edges], axis=1).ravel()
    expected = [level for n in range(len(edges)) for level in (n, n + 1)]
    assert to_levels(values)[:, field].tolist() == expected
