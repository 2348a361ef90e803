import numpy as np
import pytest

from evobourse.agents.errors import AgentError
from evobourse.agents.observation import (
    FIELD_NAMES,
    HISTORY_DAYS,
    LEVELS,
    decode_view,
    price_values,
    to_levels,
)
from evobourse.agents.styles import STYLES, teach
from evobourse.agents.training.examples import labelled_dataset, real_levels, sample_views


@pytest.fixture(scope="module")
def levels(sp500):
    return real_levels(sp500.close[:1000], sp500.volume[:1000])


def test_every_day_after_the_first_year_is_observed(levels):
    assert levels.shape == (1000 - HISTORY_DAYS, len(FIELD_NAMES))
    assert (levels >= 0).all()
    assert (levels < np.array(LEVELS)).all()
    assert all(set(levels[:, f]) == set(range(count)) for f, count in enumerate(LEVELS))


@pytest.mark.parametrize("day", [HISTORY_DAYS, 400, 998])
def test_what_happens_later_changes_no_earlier_view(day, sp500, levels):
    close, volume = sp500.close[:1000].copy(), sp500.volume[:1000].copy()
    close[day + 1 :] *= np.exp(np.random.default_rng(0).normal(0, 0.1, 999 - day))
    volume[day:] *= 5.0
    changed = real_levels(close, volume)
    seen = day + 1 - HISTORY_DAYS
    np.testing.assert_array_equal(changed[:seen], levels[:seen])
    assert day == 998 or (changed[seen:] != levels[seen:]).any()


def test_the_days_own_close_is_known_as_news_alone(sp500, levels):
    day = 600
    close = sp500.close[: day + 1].copy()
    row = day - HISTORY_DAYS
    for move, word in ((0.9, 0), (1.1, 2)):
        close[day] = close[day - 1] * move
        changed = real_levels(close, sp500.volume[: day + 1])[row]
        assert changed[FIELD_NAMES.index("news")] == word
        np.testing.assert_array_equal(changed[:5], levels[row, :5])


def test_price_fields_are_those_that_a_simulated_investor_sees(sp500, levels):
    for day in (300, 700):
        values = np.array([*price_values(np.log(sp500.close[:day])), 0.0, 0.0])
        np.testing.assert_array_equal(levels[day - HISTORY_DAYS, :4], to_levels(values)[:4])


@pytest.mark.parametrize("days", [2, HISTORY_DAYS])
def test_a_short_series_is_refused(days, sp500):
    with pytest.raises(AgentError, match=f"{days} days of prices, 252 needed") as caught:
        real_levels(sp500.close[:days], sp500.volume[:days])
    assert "\n" not in str(caught.value)
    assert len(real_levels(sp500.close[:252], sp500.volume[:252])) == 1


def test_sampled_views_show_days_that_were(levels):
    views = sample_views(levels, 500, 3, np.random.default_rng(0))
    shown = decode_view(views)
    assert shown.shape == (500, len(FIELD_NAMES))
    count = (shown >= 0).sum(axis=1)
    assert set(count) == {1, 2, 3}
    assert np.bincount(count)[1:].argmax() == 2  # full views are the most frequent
    for row in shown[:50]:
        assert ((levels == row) | (row < 0)).all(axis=1).any()


def test_one_seed_draws_one_sample(levels):
    first, again, other = (
        sample_views(levels, 100, 4, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_labels_are_the_teachers(levels):
    views = sample_views(levels, 300, 6, np.random.default_rng(1))
    for style in STYLES:
        dataset = labelled_dataset(views, (style,))
        assert dataset.column_names == ["view", "label"]
        np.testing.assert_array_equal(dataset["view"], views)
        np.testing.assert_array_equal(dataset["label"], teach(style, views))


def test_several_teachers_agree_on_their_mean(levels):
    views = sample_views(levels, 300, 6, np.random.default_rng(1))
    names = ("momentum", "breakout", "herding")
    label = np.array(labelled_dataset(views, names)["label"])
    mean = sum(teach(name, views) for name in names) / 3
    assert (np.abs(label - mean) <= 0.5).all()
    np.testing.assert_array_equal(label, labelled_dataset(views, names[::-1])["label"])
