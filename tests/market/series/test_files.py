"""Files of prices: what is read, in whose spelling, and that every fault names its place."""

import datetime
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from evobourse.market.errors import SeriesError
from evobourse.market.series.named import load_series
from evobourse.market.series.prices import PriceSeries

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
        ({"Open": [10.0, 9.9, 12.0]}, r"column open, row 2 \(2001-01-03\): 9.9 lies outside"),
        ({"Close": [10.5, 12.01, 12.5]}, r"column close, row 2 .*outside .*, \[10.0, 12.0\]; mend"),
        ({"settle": [1, -2, 3]}, r"column settle, row 2 \(2001-01-03\): -2.0 is no finite price"),
        ({"Volume": [1, -1, 1]}, r"column volume, row 2 \(2001-01-03\): -1.0 is no finite"),
        (
            {"Date": ["2001-01-02", "2001-01-04", "2001-01-03"]},
            r"column dates, row 3 \(2001-01-03\): 2001-01-03 does not come after 2001-01-04",
        ),
        (
            {"Date": ["2001-01-02", "2001-01-02", "2001-01-03"]},
            r"column dates, row 2 \(2001-01-02\): 2001-01-02 does not come after 2001-01-02",
        ),
        ({"Date": ["2001-01-02", "03/01/2001", "2001-01-04"]}, "column Date, row 2: .*03/01/2001"),
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
    with pytest.raises(SeriesError, match="'Close' and 'close' all hold the close"):
        load_series(str(path))


def test_missing_and_unreadable_files(tmp_path):
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


def write(folder, text, name="asset.csv", encoding="utf-8"):
    path = folder / name
    path.write_text(text, encoding=encoding)
    return str(path)


SPELLED = {
    "yfinance": """Date,Open,High,Low,Close,Adj Close,Volume
2023-02-17,255.84,256.53,252.49,254.52,250.1,30000100
2023-02-21,254.48,255.49,251.59,252.67,248.3,28397400
""",
    "yfinance of two levels": """Price,Close,High,Low,Open,Volume
Ticker,MSFT,MSFT,MSFT,MSFT,MSFT
Date,,,,,
2023-02-17,254.52,256.53,252.49,255.84,30000100
2023-02-21,252.67,255.49,251.59,254.48,28397400
""",
    "yfinance by ticker": """Ticker,MSFT,MSFT,MSFT,MSFT,MSFT,MSFT
Price,Open,High,Low,Close,Adj Close,Volume
Date,,,,,,
2023-02-17,255.84,256.53,252.49,254.52,250.1,30000100
2023-02-21,254.48,255.49,251.59,252.67,248.3,28397400
""",
    "yfinance history": """Date,Open,High,Low,Close,Volume,Dividends,Stock Splits
2023-02-17 00:00:00-05:00,255.84,256.53,252.49,254.52,30000100,0.0,0.0
2023-02-21 00:00:00-05:00,254.48,255.49,251.59,252.67,28397400,0.0,0.0
""",
    "AkShare shares": """日期,股票代码,开盘,收盘,最高,最低,成交量,成交额,振幅,涨跌幅,涨跌额,换手率
2023-02-17,000001,255.84,254.52,256.53,252.49,30000100,1.0,1.6,0.1,0.1,0.3
2023-02-21,000001,254.48,252.67,255.49,251.59,28397400,1.0,1.5,-0.7,-1.9,0.3
""",
    "AkShare with its row numbers": """,date,open,high,low,close,volume,outstanding_share,turnover
0,2023-02-17,255.84,256.53,252.49,254.52,30000100,1e10,0.003
1,2023-02-21,254.48,255.49,251.59,252.67,28397400,1e10,0.003
""",
    "an index without a name": """,Open,High,Low,Close,Volume
2023-02-17,255.84,256.53,252.49,254.52,30000100
2023-02-21,254.48,255.49,251.59,252.67,28397400
""",
    "Tushare": """ts_code,trade_date,open,high,low,close,pre_close,vol
000001.SZ,20230217,255.84,256.53,252.49,254.52,255.0,30000100
000001.SZ,20230221,254.48,255.49,251.59,252.67,254.52,28397400
""",
    "days with slashes, time apart": """Date,Time,Open,High,Low,Close,Volume
2023/2/17,15:00,255.84,256.53,252.49,254.52,30000100
2023/2/21,15:00,254.48,255.49,251.59,252.67,28397400
""",
}


@pytest.mark.parametrize("spelling", SPELLED)
def test_every_spelling_is_the_same_series(tmp_path, spelling):
    plain = load_series(write(tmp_path, SPELLED["yfinance"]))
    assert plain.dates.astype(str).tolist() == ["2023-02-17", "2023-02-21"]
    assert [getattr(plain, column)[1] for column in plain.columns] == [
        *(254.48, 255.49, 251.59, 252.67, 28397400),
    ]
    series = load_series(write(tmp_path, SPELLED[spelling]))
    assert series.content_hash == plain.content_hash
    with_mark = load_series(write(tmp_path, SPELLED[spelling], encoding="utf-8-sig"))
    assert with_mark.content_hash == plain.content_hash


def test_a_frame_of_two_levels_reads_from_parquet(tmp_path):
    plain = load_series(write(tmp_path, SPELLED["yfinance"]))
    frame = plain.frame.set_index("date").rename(columns=str.title)
    frame.columns = pd.MultiIndex.from_product([frame.columns, ["MSFT"]], names=["Price", "Ticker"])
    frame.to_parquet(tmp_path / "two.parquet")
    assert load_series(str(tmp_path / "two.parquet")).content_hash == plain.content_hash


FUTURES = {
    "Sina": """date,open,high,low,close,volume,hold,settle
2026-08-20,150000,153000,149000,152000,200000,350000,0
2026-08-21,152400,159380,151180,158680,225444,353437,156360
""",
    "AkShare in Chinese": """日期,开盘价,最高价,最低价,收盘价,成交量,持仓量,动态结算价
2026-08-20,150000,153000,149000,152000,200000,350000,
2026-08-21,152400,159380,151180,158680,225444,353437,156360
""",
    "AkShare, exchange": """symbol,date,open,high,low,close,volume,open_interest,settle,pre_settle
PS0,20260820,150000,153000,149000,152000,200000,350000,,149000
PS0,20260821,152400,159380,151180,158680,225444,353437,156360,151000
""",
    "foreign": """date,open,high,low,close,volume,position,settlement
2026-08-20,150000,153000,149000,152000,200000,350000,0.000
2026-08-21,152400,159380,151180,158680,225444,353437,156360.000
""",
}


@pytest.mark.parametrize("spelling", FUTURES)
def test_futures_keep_their_settlement_price(tmp_path, spelling):
    series = load_series(write(tmp_path, FUTURES[spelling]))
    assert np.isnan(series.settle[0])
    assert series.settle[1] == 156360
    assert series.content_hash == load_series(write(tmp_path, FUTURES["Sina"])).content_hash
    without = load_series(write(tmp_path, FUTURES["Sina"].replace("settle", "other")))
    assert without.settle is None
    assert without.content_hash != series.content_hash
    assert load_series(write(tmp_path, FUTURES["Sina"].replace("156360", "0"))).settle is None
    longer = PriceSeries(**{**vars(series), "settle": np.array([np.nan, 156360.0])})
    assert longer.content_hash == series.content_hash


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Date;Open;Close\n2001-01-02;1,5;1,6\n", "separated by semicolons; save it with commas"),
        ("2001-01-02,1,1,1,1,1\n2001-01-03,1,1,1,1,1\n", "begins with data, .*write a first line"),
        (
            SPELLED["yfinance"].replace("30000100", '"30,000,100"'),
            r"column volume, row 1 \(2023-02-17\): received '30,000,100', expected a plain number",
        ),
        (
            SPELLED["yfinance"].replace("30000100", "30,000,100").replace("28397400", "28,397,400"),
            "9 fields in a row under 7 columns; write numbers without thousands separators",
        ),
        (
            SPELLED["yfinance"].replace("28397400", "28,397,400"),
            "not readable as csv: .*7 fields in line 3, saw 9",
        ),
        (
            SPELLED["yfinance"].replace("254.52", "$254.52"),
            r"column close, row 1 .*'\$254.52', expected",
        ),
        (SPELLED["yfinance"].replace("254.52", "-"), r"column close, row 1 .*received '-'"),
        (SPELLED["yfinance of two levels"].replace("MSFT\n", "IBM\n"), "holds IBM, MSFT; save one"),
        ("", "not readable as csv: the file is empty"),
        ("\n", "not readable as csv: No columns"),
        ("\0\0\0", "missing column date, open"),
    ],
)
def test_what_spreadsheets_do_is_said_in_one_line(tmp_path, text, complaint):
    with pytest.raises(SeriesError, match=f"asset.csv: {complaint}") as caught:
        load_series(write(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["gbk", "utf-16"])
def test_another_encoding_is_said_in_one_line(tmp_path, encoding):
    with pytest.raises(SeriesError, match=r"asset.csv: no UTF-8 text; save it as CSV in UTF-8$"):
        load_series(write(tmp_path, SPELLED["AkShare shares"], encoding=encoding))


def test_a_workbook_under_another_name_is_said_in_one_line(tmp_path):
    (tmp_path / "book.csv").write_bytes(b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00\x00!\x00\xd8\xff")
    with pytest.raises(SeriesError, match=r"book.csv: no UTF-8 text"):
        load_series(str(tmp_path / "book.csv"))


def test_half_a_bar_is_none(tmp_path):
    file = write(tmp_path, "date,open,close,volume\n2001-01-02,9,1,5\n2001-01-03,9,2,6\n")
    series = load_series(file, close_only=True, stock_splits="accept")
    assert series.absent == ("open", "high", "low")
    assert series.open.tolist() == series.low.tolist() == [1.0, 2.0]
    assert series.volume.tolist() == [5.0, 6.0]


def test_rounding_of_adjusted_prices_is_no_fault(tmp_path):
    path = write_csv(tmp_path, Open=[10.0, 10.0 - 1e-7, 12.0], Close=[10.5, 11.5, 13.0 + 1e-7])
    assert len(load_series(path)) == 3


@st.composite
def price_series(draw):
    """Any sound series, with or without bars, volume and settlement prices."""
    days = draw(st.integers(2, 12))
    first = draw(st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)))
    dates = np.busday_offset(np.datetime64(first), np.arange(days), roll="forward")
    positive = st.floats(1e-9, 1e12, allow_subnormal=False)
    column = arrays.arrays(np.float64, days, elements=positive)
    bars = np.sort(np.stack([draw(column) for _ in range(4)]), axis=0)
    low, close, other, high = bars
    absent = draw(
        st.sampled_from(
            [(), ("volume",), ("open", "high", "low"), ("open", "high", "low", "volume")]
        )
    )
    if "open" in absent:
        low = other = high = close
    volume = draw(arrays.arrays(np.float64, days, elements=st.floats(0, 1e15)))
    return PriceSeries(
        "asset",
        dates,
        *(other, high, low, close),
        volume=0 * volume if "volume" in absent else volume,
        settle=draw(
            st.none() | arrays.arrays(np.float64, days, elements=positive | st.just(np.nan))
        ),
        absent=absent,
    )


@given(price_series())
@settings(deadline=None, max_examples=60)
def test_what_is_written_loads_to_the_same_hash(series):
    with tempfile.TemporaryDirectory() as folder:
        csv, parquet = (str(Path(folder) / f"asset.{ending}") for ending in ("csv", "parquet"))
        series.frame.to_csv(csv, index=False)
        series.frame.to_parquet(parquet)
        for file in (csv, parquet):
            again = load_series(
                file, close_only=bool(series.absent), stock_splits="accept", suspended_days="keep"
            )
            assert again.content_hash == series.content_hash
            assert again.absent == series.absent


@given(
    st.sampled_from(sorted(SPELLED)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=4)), max_size=4),
)
@settings(deadline=None, max_examples=150)
def test_a_damaged_file_is_read_or_refused_in_one_line(spelling, damages):
    """Bytes replaced, inserted and cut out anywhere, header and quotes included."""
    raw = SPELLED[spelling].encode()
    for place, width, inserted in damages:
        start = int(place * len(raw))
        raw = raw[:start] + inserted + raw[start + width :]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "asset.csv"
        file.write_bytes(raw)
        said = str(file)
        try:
            load_series(str(file))
        except SeriesError as error:
            said = str(error)
    assert said.startswith(str(file))
    assert "\n" not in said
