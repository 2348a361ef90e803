"""Splits of the S&P 500: disjoint, embargoed, and windows that stay inside."""

import numpy as np
import pytest

from market.errors import SeriesError
from market.series import load_series
from market.splits import Split, make_splits, slice_between, window_starts

GOOD = {
    "train": ("1999-01-04", "2008-12-31"),
    "validation": ("2009-07-01", "2012-12-31"),
    "heldout": ("2013-07-01", "2018-12-31"),
}


@pytest.fixture(scope="module")
def sp500():
    return load_series("sp500")


def test_dates_are_inclusive(sp500):
    splits = make_splits(sp500, **GOOD)
    for name, (first, last) in GOOD.items():
        split = getattr(splits, name)
        assert split.name == name
        assert str(sp500.dates[split.start]) == first
        assert str(sp500.dates[split.stop - 1]) == last
    assert splits.validation.start - splits.train.stop >= 100
    assert splits.heldout.start - splits.validation.stop >= 100


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"validation": ("2008-07-01", "2012-12-31")}, "before train ends on 2008-12-31"),
        ({"train": GOOD["heldout"], "heldout": GOOD["train"]}, "heldout come last"),
        ({"validation": ("2009-02-02", "2012-12-31")}, "20 trading days lie between train and"),
        ({"validation": ("2009-07-01", "2009-12-31")}, "validation holds 128 trading days"),
        ({"validation": ("2012-12-31", "2009-07-01")}, "validation starts on 2012-12-31, after"),
        ({"train": ("1998-12-31", "2008-12-31")}, "train names 1998-12-31, outside the series"),
        ({"heldout": ("2013-07-01", "2019-01-01")}, "heldout names 2019-01-01, outside"),
        ({"heldout": ("2013-07-01", "yesterday")}, "heldout received 'yesterday', expected"),
        ({"embargo_days": 99}, "embargo_days=99, expected at least 100"),
    ],
)
def test_bad_splits_are_refused(sp500, changes, complaint):
    with pytest.raises(SeriesError, match=f"sp500: .*{complaint}"):
        make_splits(sp500, **{**GOOD, **changes})


def test_validation_may_come_before_train(sp500):
    swapped = {**GOOD, "train": GOOD["validation"], "validation": GOOD["train"]}
    splits, usual = make_splits(sp500, **swapped), make_splits(sp500, **GOOD)
    assert (splits.train.start, splits.train.stop) == (
        usual.validation.start,
        usual.validation.stop,
    )
    assert splits.heldout == usual.heldout


def test_window_starts_cover_exactly_the_allowed_rows():
    rng = np.random.default_rng(0)
    starts = window_starts(Split("train", 10, 40), 20, 2000, rng, min_history_days=15)
    assert starts.dtype == np.int64
    assert set(starts) == set(range(15, 21))
    assert set(window_starts(Split("train", 0, 20), 20, 5, rng)) == {0}


def test_window_starts_are_the_seeds():
    draws = [window_starts(Split("train", 0, 900), 20, 9, np.random.default_rng(s)) for s in (1, 1)]
    assert (draws[0] == draws[1]).all()


def test_no_room_for_a_window():
    with pytest.raises(SeriesError, match=r"train \(rows 10:40\) has no room for a window of 20"):
        window_starts(Split("train", 10, 40), 20, 1, np.random.default_rng(0), 21)


def test_a_stretch_between_two_dates_holds_both(sp500):
    part = slice_between(sp500, "1999-01-04", "1999-01-06")
    assert part.dates.astype(str).tolist() == ["1999-01-04", "1999-01-05", "1999-01-06"]
    with pytest.raises(SeriesError, match="split names 1980-01-01, outside the series"):
        slice_between(sp500, "1980-01-01", "1999-01-06")
    with pytest.raises(SeriesError, match="after its end"):
        slice_between(sp500, "1999-01-06", "1999-01-04")
