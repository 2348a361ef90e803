"""Unadjusted stock splits: found where they were, not where a price collapsed, and undone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.market.errors import SeriesError
from evobourse.market.series.named import load_series
from evobourse.market.series.stock_splits import StockSplit, adjust_splits, suspect_splits

WHOLE = ("sp500", "nasdaq", "aapl", "fb", "goog", "ibm", "msft")


def unadjusted(series, split):
    """Undo an adjustment: the prices that a file has which does not know of the split."""
    return adjust_splits(series, [replace(split, new=split.old, old=split.new)])


def closes_alone(series):
    close = series.close
    absent = ("open", "high", "low", "volume")
    return replace(series, open=close, high=close, low=close, volume=0 * close, absent=absent)


@pytest.mark.parametrize("name", WHOLE)
def test_no_day_of_an_adjusted_series_is_suspected(name):
    """22,000 real days, among them Apple's 2000-09-29: down to 48 % at ten times the turnover."""
    assert suspect_splits(load_series(name)) == ()


def test_real_splits_are_the_ones_found():
    apple = (StockSplit("2000-06-21", 2), StockSplit("2005-02-28", 2))
    raw = unadjusted(unadjusted(load_series("aapl"), apple[0]), apple[1])
    assert raw.close[0] == pytest.approx(130.31)
    assert suspect_splits(raw) == apple
    assert [str(split) for split in apple] == ["2:1 on 2000-06-21", "2:1 on 2005-02-28"]


@pytest.mark.parametrize("ratio", [(3, 2), (2, 1), (10, 1), (1, 10)])
@pytest.mark.parametrize(("name", "least"), [("sp500", 0.99), ("ibm", 0.97), ("aapl", 0.95)])
def test_a_split_put_into_real_prices_is_found_but_on_days_of_news(name, least, ratio):
    series = load_series(name)
    found = []
    for row in range(30, len(series), 17):
        part = series.slice(row - 30, row + 2)
        split = StockSplit(str(series.dates[row]), *ratio)
        found.append(suspect_splits(unadjusted(part, split)) == (split,))
    assert np.mean(found) >= least


def test_without_volume_a_collapse_cannot_be_told_from_a_split():
    found = suspect_splits(closes_alone(load_series("aapl")))
    assert found == (StockSplit("2000-09-29", 2),)


def test_a_bad_open_is_no_split():
    sp500 = load_series("sp500").slice(0, 100)
    halved = sp500.open.copy()
    halved[50] = sp500.close[49] / 2
    low = np.minimum(sp500.low, halved)
    assert suspect_splits(replace(sp500, open=halved, low=low)) == ()


def test_a_future_settles_on_the_same_footing():
    sp500 = load_series("sp500").slice(0, 10)
    future = replace(sp500, settle=sp500.close.copy())
    adjusted = adjust_splits(future, [StockSplit(str(sp500.dates[4]), 5)])
    np.testing.assert_array_equal(adjusted.settle, adjusted.close)
    np.testing.assert_array_equal(adjusted.close[:4] * 5, sp500.close[:4])
    np.testing.assert_array_equal(adjusted.close[4:], sp500.close[4:])


@given(
    st.sets(st.integers(1, 199), max_size=4),
    st.lists(st.sampled_from([(2, 1), (4, 1), (1, 8)]), min_size=4, max_size=4),
)
@settings(deadline=None, max_examples=30)
def test_adjusting_leaves_every_other_return_and_all_turnover_as_they_were(rows, ratios):
    series = load_series("ibm").slice(0, 200)
    splits = [
        StockSplit(str(series.dates[row]), *ratio)
        for row, ratio in zip(sorted(rows), ratios, strict=False)
    ]
    raw = series
    for split in splits:
        raw = unadjusted(raw, split)
    np.testing.assert_array_equal(adjust_splits(raw, splits).close, series.close)
    others = ~np.isin(np.arange(1, 200), sorted(rows))
    np.testing.assert_allclose(raw.log_returns[others], series.log_returns[others], atol=1e-12)
    np.testing.assert_array_equal(raw.close * raw.volume, series.close * series.volume)


@pytest.mark.parametrize("day", ["1999-01-04", "1999-01-09", "2018-12-31"])
def test_a_split_must_be_on_a_trading_day_after_the_first(day):
    sp500 = load_series("sp500").slice(0, 10)
    with pytest.raises(SeriesError, match=f"split 2:1 on {day} is on no trading day after"):
        adjust_splits(sp500, [StockSplit(day, 2)])
