"""Splits of the S&P 500: disjoint, embargoed, and windows that stay inside."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evobourse.market.errors import SeriesError
from evobourse.market.series.named import load_series
from evobourse.market.series.splits import (
    Split,
    SplitDates,
    make_splits,
    quarter_starts,
    quarters_of,
    read_split_dates,
    slice_between,
    window_starts,
)

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


def test_frozen_splits_come_back_from_yaml_and_cut_their_own_series_alone(sp500, tmp_path):
    dates = SplitDates(**GOOD, embargo_days=60)
    assert dates.cut(sp500) == make_splits(sp500, **GOOD)
    frozen = dates.freeze(sp500)
    assert frozen.series_sha256 == sp500.content_hash
    file = tmp_path / "splits.yaml"
    file.write_text(frozen.to_yaml())
    again = read_split_dates(file)
    assert again == frozen
    assert again.cut(replace(sp500, name="another name")) == dates.cut(sp500)
    nasdaq = load_series("nasdaq")
    assert dates.cut(nasdaq) == dates.cut(sp500)
    with pytest.raises(SeriesError, match=f"^nasdaq: the splits are frozen .*{sp500.content_hash}"):
        again.cut(nasdaq)
    mended = replace(sp500, close=np.where(sp500.dates == sp500.dates[9], sp500.low, sp500.close))
    with pytest.raises(SeriesError, match=f"received one with {mended.content_hash}; load"):
        again.cut(mended)


def test_only_splits_that_fit_are_frozen_and_the_embargo_is_kept(sp500):
    with pytest.raises(SeriesError, match="outside the series"):
        SplitDates(**{**GOOD, "train": ("1950-01-03", "2008-12-31")}).freeze(sp500)
    gap_days = make_splits(sp500, **GOOD).validation.start - make_splits(sp500, **GOOD).train.stop
    frozen = SplitDates(**GOOD, embargo_days=gap_days).freeze(sp500)
    cut = frozen.cut(sp500)
    assert cut.validation.start - cut.train.stop == gap_days
    with pytest.raises(SeriesError, match=f"expected at least {gap_days + 1} .embargo_days"):
        replace(frozen, embargo_days=gap_days + 1).cut(sp500)


@given(st.integers(0, 400), st.tuples(*[st.integers(0, 5030)] * 6))
def test_any_frozen_cut_is_disjoint_embargoed_and_the_same_from_yaml(sp500, embargo, rows):
    days = sp500.dates[sorted(rows)].astype(str).tolist()
    dates = SplitDates(*zip(days[::2], days[1::2], strict=True), embargo_days=embargo)
    try:
        frozen = dates.freeze(sp500)
    except SeriesError:
        ordered = sorted(rows)
        assert any(
            (later - earlier - 1 < embargo) for earlier, later in (ordered[1:3], ordered[3:5])
        ) or any(last == first for first, last in zip(ordered[::2], ordered[1::2], strict=True))
        return
    cut = frozen.cut(sp500, window_days=1)
    assert cut.validation.start - cut.train.stop >= embargo
    assert cut.heldout.start - cut.validation.stop >= embargo


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "no readable YAML .*No such file"),
        ("train: [", "no readable YAML"),
        ("- 1", r"received \[1\]; expected the keys train, validation, heldout"),
        ("train: [a, b]", "received train; expected the keys"),
        (("['1999-01-04', '2008-12-31']", "1999"), "train is 1999, expected its first and last"),
        (("embargo_days: 100", "embargo_days: -1"), "embargo_days is -1, expected 0 or more"),
        (("embargo_days: 100", "embargo_days: ten"), "embargo_days is 'ten', expected"),
        (("series_sha256: null", "series_sha256: 12"), "series_sha256 is 12, expected a hash"),
    ],
)
def test_a_bad_file_of_splits_is_refused(tmp_path, text, complaint):
    file = tmp_path / "splits.yaml"
    if isinstance(text, tuple):
        text = SplitDates(**GOOD).to_yaml().replace(*text)
    if text is not None:
        file.write_text(text)
    with pytest.raises(SeriesError, match=f"splits.yaml: {complaint}"):
        read_split_dates(file)


def test_days_without_quotes_are_read_too(tmp_path):
    file = tmp_path / "splits.yaml"
    file.write_text(SplitDates(**GOOD).to_yaml().replace("'", ""))
    assert read_split_dates(file) == SplitDates(**GOOD)


def test_a_quarter_has_one_window_at_most_and_series_of_one_calendar_the_same_days(sp500):
    heldout = make_splits(sp500, **GOOD).heldout
    starts = quarter_starts(sp500, heldout, 60)
    assert len(starts) == 22  # July 2013 to December 2018
    assert str(sp500.dates[starts[0]]) == "2013-07-01"
    assert str(sp500.dates[starts[-1]]) == "2018-10-01"
    later = slice_between(sp500, "2010-01-04", "2018-12-31")
    again = quarter_starts(later, make_splits(later, **LATER).heldout, 60)
    assert np.isin(later.dates[again], sp500.dates[starts]).all()


LATER = {
    "train": ("2010-01-04", "2012-12-31"),
    "validation": ("2013-07-01", "2014-12-31"),
    "heldout": ("2015-06-01", "2018-12-31"),
}


@given(st.integers(0, 900), st.integers(100, 1000), st.integers(1, 130), st.integers(0, 300))
def test_windows_of_quarters_are_disjoint_within_the_split_and_after_their_history(
    sp500, start, length, days, history
):
    split = Split("heldout", start, start + length)
    starts = quarter_starts(sp500, split, days, history)
    assert starts.dtype == np.int64
    quarters = quarters_of(sp500.dates[starts])
    assert len(np.unique(quarters)) == len(quarters)
    assert (np.diff(starts) >= days).all()
    if len(starts):
        assert max(start, history) <= starts[0]
        assert starts[-1] + days <= split.stop
        assert quarters_of(sp500.dates[starts[0] - 1]) < quarters[0]


def test_a_stretch_without_a_whole_quarter_has_no_window(sp500):
    assert len(quarter_starts(sp500, Split("heldout", 10, 100), 60)) == 0
