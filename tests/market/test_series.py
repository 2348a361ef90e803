"""Loading real series: what is read, and that every fault names its place."""

import numpy as np
import pandas as pd
import pytest

from market.errors import MarketError, SeriesError
from market.series import load_series

GOOD = {
    "Date": ["2001-01-02", "2001-01-03", "2001-01-04"],
    "Open": [10.0, 11.0, 12.0],
    "High": [11.0, 12.0, 13.0],
    "Low": [9.0, 10.0, 11.0],
    "Close": [10.5, 11.5, 12.5],
    "Volume": [100, 0, 300],
}


def write_csv(folder, **changes):
    path = folder / "asset.csv"
    pd.DataFrame({**GOOD, **changes}).to_csv(path, index=False)
    return str(path)


def test_sp500_is_the_unadjusted_index():
    series = load_series("sp500")
    assert series.name == "sp500"
    assert (len(series), str(series.dates[0]), str(series.dates[-1])) == (
        *(5031, "1999-01-04", "2018-12-31"),
    )
    assert series.close[-1] == pytest.approx(2506.85, abs=0.01)
    assert series.log_returns.shape == (5030,)
    assert series.log_returns.sum() == pytest.approx(np.log(series.close[-1] / series.close[0]))


def test_csv_and_parquet_say_the_same_in_any_case(tmp_path):
    from_csv = load_series(write_csv(tmp_path))
    frame = pd.DataFrame({name.upper(): GOOD[name] for name in reversed(GOOD)})
    frame["Adj Close"] = 1.0
    frame.to_parquet(tmp_path / "columns.parquet")
    indexed = pd.DataFrame(GOOD).drop(columns="Date")
    indexed.index = pd.DatetimeIndex(GOOD["Date"], tz="Asia/Tokyo")
    indexed.to_parquet(tmp_path / "indexed.parquet")
    for name in ("columns", "indexed"):
        series = load_series(str(tmp_path / f"{name}.parquet"))
        assert series.name == name
        assert series.content_hash == from_csv.content_hash


def test_a_time_of_day_is_cut_off(tmp_path):
    stamped = [f"{day} 00:00:00-05:00" for day in GOOD["Date"]]
    series = load_series(write_csv(tmp_path, Date=stamped))
    assert series.dates.astype(str).tolist() == GOOD["Date"]


def test_the_hash_depends_on_content_alone(tmp_path):
    series = load_series(write_csv(tmp_path))
    assert series.slice(0, 3).content_hash == series.content_hash
    assert series.slice(0, 2).content_hash != series.content_hash
    changed = load_series(write_csv(tmp_path, Close=[10.5, 11.5, 12.51]))
    assert changed.content_hash != series.content_hash


def test_slice_and_immutability(tmp_path):
    series = load_series(write_csv(tmp_path))
    part = series.slice(1, 3)
    assert part.close.tolist() == [11.5, 12.5]
    assert part.name == series.name == "asset"
    with pytest.raises(ValueError, match="read-only"):
        series.close[0] = 1
    with pytest.raises(SeriesError, match="rows 1:4 leave the series of 3"):
        series.slice(1, 4)
    with pytest.raises(SeriesError, match="received 1 rows"):
        series.slice(1, 2)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"Close": [1.0, np.nan, 1.0]}, r"column close, row 2 \(2001-01-03\): nan is no finite"),
        ({"Open": [1.0, 1.0, np.inf]}, r"column open, row 3 \(2001-01-04\): inf is no finite"),
        ({"Low": [0.0, 1.0, 1.0]}, r"column low, row 1 \(2001-01-02\): 0.0 is no finite"),
        ({"High": [20.0, -3.0, 20.0]}, r"column high, row 2 \(2001-01-03\): -3.0 is no finite"),
        ({"High": [20.0, 9.5, 20.0]}, r"column high, row 2 \(2001-01-03\): 9.5 is under the low"),
        ({"Close": ["10", "1,1", "1"]}, r"column close, row 2 \(2001-01-03\): received '1,1'"),
        ({"Volume": [1, -1, 1]}, r"column volume, row 2 \(2001-01-03\): -1.0 is no finite"),
        (
            {"Date": ["2001-01-02", "2001-01-04", "2001-01-03"]},
            r"column dates, row 3 \(2001-01-03\): 2001-01-03 does not come after 2001-01-04",
        ),
        (
            {"Date": ["2001-01-02", "2001-01-02", "2001-01-03"]},
            r"column dates, row 2 \(2001-01-02\): 2001-01-02 does not come after 2001-01-02",
        ),
        ({"Date": ["2001-01-02", "03/01/2001", "2001-01-04"]}, "column date, row 2: .*03/01/2001"),
    ],
)
def test_a_bad_row_is_named(tmp_path, changes, complaint):
    path = write_csv(tmp_path, **changes)
    with pytest.raises(SeriesError, match=f"asset.csv: {complaint}"):
        load_series(path)


def test_missing_columns_are_listed_with_those_found(tmp_path):
    path = tmp_path / "thin.csv"
    path.write_text("When,Open,High,Low,Close\n2001-01-02,1,1,1,1\n")
    with pytest.raises(SeriesError, match="missing column date, volume; found When, Open, High"):
        load_series(str(path))


def test_too_short_a_file(tmp_path):
    path = tmp_path / "short.csv"
    path.write_text("Date,Open,High,Low,Close,Volume\n2001-01-02,1,1,1,1,1\n")
    with pytest.raises(SeriesError, match=r"short.csv: received 1 rows, expected at least 2"):
        load_series(str(path))


def test_a_column_may_not_stand_twice(tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text("Date,Open,High,Low,Close,close,Volume\n2001-01-02,1,1,1,1,1,1\n")
    with pytest.raises(SeriesError, match="column 'close' stands twice"):
        load_series(str(path))


def test_unknown_missing_and_unreadable_sources(tmp_path):
    with pytest.raises(MarketError, match=r"unknown series 'nikkei': give \"sp500\" or the path"):
        load_series("nikkei")
    with pytest.raises(SeriesError, match=r"gone.csv: no such file"):
        load_series(str(tmp_path / "gone.csv"))
    for name in ("empty.csv", "noise.parquet"):
        (tmp_path / name).write_text("" if name == "empty.csv" else "not parquet at all")
        with pytest.raises(SeriesError, match=f"{name}: not readable as {name.split('.')[1]}"):
            load_series(str(tmp_path / name))


def test_closes_alone_are_enough_where_they_are_asked_for(tmp_path):
    file = tmp_path / "closes.csv"
    pd.DataFrame({name: GOOD[name] for name in ("Date", "Close")}).to_csv(file, index=False)
    series = load_series(str(file), close_only=True)
    for column in (series.open, series.high, series.low):
        assert column.tolist() == series.close.tolist() == GOOD["Close"]
    assert series.volume.tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(SeriesError, match="missing column open, high, low, volume"):
        load_series(str(file))
    whole = str(write_csv(tmp_path))
    assert load_series(whole, close_only=True).content_hash == load_series(whole).content_hash
    file.write_text("Date,Close\n2001-01-01,1\n2001-01-02,\n")
    with pytest.raises(SeriesError, match=r"column close, row 2 \(2001-01-02\): nan"):
        load_series(str(file), close_only=True)
