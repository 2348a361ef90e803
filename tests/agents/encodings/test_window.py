import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evobourse.agents.encodings.window import (
    IS_PRICE,
    PERIODS,
    WINDOW,
    other_words,
    real_windows,
    scaled_returns,
    shows_window,
    widen,
)
from evobourse.agents.observation import (
    FIELD_NAMES,
    FIELDS,
    HISTORY_DAYS,
    VIEWS,
    decode_view,
    price_values,
)
from evobourse.agents.training.examples import real_levels

views = st.integers(0, VIEWS - 1)


def test_the_periods_are_the_year_that_the_price_signs_read():
    assert sum(PERIODS) == HISTORY_DAYS - 1
    assert list(PERIODS) == sorted(PERIODS, reverse=True)


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3), st.floats(0.1, 10.0))
def test_neither_price_level_nor_volatility_is_left_in_a_window(seed, level, times):
    path = np.cumsum(np.random.default_rng(seed).normal(0, 0.01, HISTORY_DAYS + 7))
    window = scaled_returns(path)
    np.testing.assert_allclose(scaled_returns(path + np.log(level)), window, atol=1e-4)
    np.testing.assert_allclose(scaled_returns(times * path), window, atol=1e-4)
    np.testing.assert_array_equal(scaled_returns(path[7:]), window)


def test_a_window_sums_to_what_the_price_signs_measure(sp500):
    path = np.log(sp500.close[500:1000])
    window, roots = scaled_returns(path).astype(float), np.sqrt(PERIODS)
    trend, *_ = price_values(path)
    np.testing.assert_allclose(window[-10:].sum() / 10**0.5, trend, atol=1e-5)
    sigma = np.sqrt(np.mean(np.diff(path[-HISTORY_DAYS:]) ** 2))
    whole = (path[-1] - path[-HISTORY_DAYS]) / sigma
    np.testing.assert_allclose((window * roots).sum(), whole, rtol=1e-4)


def test_a_days_window_ends_the_day_before_as_its_levels_do(sp500):
    part = sp500.slice(0, 400)
    windows = real_windows(part.close)
    assert windows.shape == (len(real_levels(part.close, part.volume)), WINDOW)
    changed = part.close.copy()
    changed[-1] *= 2.0  # the last day itself is in no window
    np.testing.assert_array_equal(real_windows(changed), windows)
    changed[-2] *= 2.0
    assert (real_windows(changed)[-1] != windows[-1]).any()
    np.testing.assert_array_equal(real_windows(changed)[:-1], windows[:-1])


@given(views, views)
def test_the_window_is_one_field(view, day):
    levels = np.maximum(decode_view(np.int64(day)), 0)
    [wide] = widen(np.array([view]), levels)
    before, after = decode_view(np.int64(view)), decode_view(wide)
    if shows_window(np.int64(view)):
        np.testing.assert_array_equal(after[IS_PRICE], levels[IS_PRICE])
    else:
        assert (after[IS_PRICE] < 0).all()
    np.testing.assert_array_equal(after[~IS_PRICE] >= 0, before[~IS_PRICE] >= 0)
    assert shows_window(wide) == shows_window(np.int64(view))


@given(views)
def test_words_beside_a_window_tell_no_price_sign_and_nothing_masked(view):
    words = other_words(view).split()
    levels = decode_view(np.int64(view))
    shown = [FIELD_NAMES.index(name) for name in ("crowd", "news")]
    assert words == [FIELDS[f].words[levels[f]] for f in shown if levels[f] >= 0]
