"""The series that ship with packages, held against published figures, and refused splits."""

import sys

import numpy as np
import pandas as pd
import pytest

from evobourse.market.errors import MarketError, SeriesError
from evobourse.market.series.named import SERIES_NAMES, load_series

STOCKS = ("aapl", "fb", "goog", "ibm", "msft")
HASHES = {
    "sp500": "2532484cbc9ad02a5d970dad4bcd9c386698cfd4c6224a22bb1576b6c5b5c32c",
    "nasdaq": "36440eb98aec",
    "wti": "22360786deb7",
    "vix": "c920ae3a8495",
    "aapl": "b09f75b28dfd",
    "fb": "8572133b9151",
    "goog": "da7f1b5edf5a",
    "ibm": "0f9b34e45370",
    "msft": "9a151e22bd03",
}


@pytest.mark.parametrize(
    ("name", "days", "first", "last", "day", "close"),
    [
        # The rally of 11.6 %, the end of the dot-com boom, the dearest oil, the day the volatility
        # funds failed, the first day after a split, the first days of trading.
        ("sp500", 5031, "1999-01-04", "2018-12-31", "2008-10-13", 1003.35),
        ("nasdaq", 5031, "1999-01-04", "2018-12-31", "2000-03-10", 5048.62),
        ("wti", 8321, "1986-01-02", "2019-01-03", "2008-07-03", 145.31),
        ("vix", 1259, "2014-01-03", "2019-01-03", "2018-02-05", 37.32),
        ("aapl", 3270, "2000-03-01", "2013-03-01", "2005-02-28", 44.86),
        ("fb", 196, "2012-05-18", "2013-03-01", "2012-05-18", 38.23),
        ("goog", 2148, "2004-08-19", "2013-03-01", "2004-08-19", 100.335),
        ("ibm", 3270, "2000-03-01", "2013-03-01", "2013-03-01", 202.91),
        ("msft", 3270, "2000-03-01", "2013-03-01", "2003-02-18", 24.96),
    ],
)
def test_shipped_series_hold_the_published_closes(name, days, first, last, day, close):
    series = load_series(name, close_only=True)
    assert series.name == name
    assert (len(series), str(series.dates[0]), str(series.dates[-1])) == (days, first, last)
    assert series.close[series.dates == np.datetime64(day)] == pytest.approx(close, abs=0.005)
    assert series.log_returns.shape == (days - 1,)
    assert series.content_hash.startswith(HASHES[name])


def test_every_name_is_tested():
    assert set(HASHES) == set(SERIES_NAMES)


def test_facebooks_first_day_is_whole():
    series = load_series("fb")
    bar = [getattr(series, column)[0] for column in series.columns]
    assert bar == [42.05, 45.0, 38.0, 38.2318, 573_576_400]


@pytest.mark.parametrize("name", STOCKS)
def test_shipped_stocks_return_what_the_sources_own_adjusted_close_does(name):
    """Split adjustment against an oracle: Quandl's adjusted close, which pays out dividends too."""
    series = load_series(name)
    source = getattr(__import__("bokeh_sampledata.stocks").stocks, name.upper())
    paid = np.diff(np.log(source["adj_close"])) - series.log_returns
    if name == "msft":  # three dollars a share, the largest dividend ever paid until then
        special = series.dates[1:] == np.datetime64("2004-11-15")
        assert paid[special] == pytest.approx(np.log(1 + 3.08 / (29.97 - 3.08)), abs=0.01)
        paid = paid[~special]
    assert paid.min() > -1e-9
    assert paid.max() < 0.01
    traded = np.array(source["volume"]) * np.array(source["close"])
    np.testing.assert_allclose(series.volume * series.close, traded, rtol=1e-12)


@pytest.mark.parametrize("name", ["wti", "vix"])
def test_closes_alone_are_never_taken_for_bars(name):
    series = load_series(name, close_only=True)
    assert series.absent == ("open", "high", "low", "volume")
    assert list(series.frame) == ["date", "close"]
    assert not series.volume.any()
    with pytest.raises(SeriesError, match=f"{name}: closes alone.* take sp500, nasdaq, aapl"):
        load_series(name)


def test_unknown_names_are_answered_with_the_known_ones(tmp_path):
    with pytest.raises(MarketError, match=r"unknown series 'nikkei': give sp500, .*, msft or the"):
        load_series("nikkei")
    with pytest.raises(SeriesError, match=r"unknown series 'book.xlsx'.*\.txt or \.parquet file"):
        load_series("book.xlsx")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bokeh_sampledata.stocks", None)
    with pytest.raises(SeriesError, match=r"'ibm' is in bokeh_sampledata.*pip install -e '.\[data"):
        load_series("ibm")


@pytest.fixture
def raw_apple(tmp_path):
    """Apple as it was traded, in a file with the columns of yfinance."""
    from bokeh_sampledata import stocks

    file = tmp_path / "aapl.csv"
    pd.DataFrame(stocks.AAPL).rename(columns=str.title).to_csv(file, index=False)
    return str(file)


def test_an_unadjusted_file_is_refused_with_its_row_and_the_ways_out(raw_apple):
    expected = (
        r"aapl.csv: row 79 \(2000-06-21\): close 101.25 -> 55.63, at the usual turnover, looks "
        r"like a 2:1 stock split that earlier rows are not adjusted for \(1 more\); set "
        r"stock_splits to adjust to divide the earlier prices, or to accept if the price really "
        r"moved"
    )
    with pytest.raises(SeriesError, match=expected):
        load_series(raw_apple)


def test_an_unadjusted_file_can_be_adjusted_or_accepted(raw_apple):
    adjusted = load_series(raw_apple, stock_splits="adjust")
    assert adjusted.content_hash == load_series("aapl").content_hash
    accepted = load_series(raw_apple, stock_splits="accept")
    assert accepted.close[78] / accepted.close[77] == pytest.approx(55.63 / 101.25)
    np.testing.assert_array_equal(accepted.close[-2000:], adjusted.close[-2000:])


def test_the_oil_price_of_the_gulf_war_must_be_accepted_where_nothing_tells_it_from_a_split(
    tmp_path,
):
    """The ratio was 3:2 to three digits, and a file of closes has no volume that would object."""
    wti = load_series("wti", close_only=True)
    wti.frame.to_csv(tmp_path / "oil.csv", index=False)
    file = str(tmp_path / "oil.csv")
    with pytest.raises(SeriesError, match=r"\(1991-01-17\): close 32.25 -> 21.48, volume unknown"):
        load_series(file, close_only=True)
    again = load_series(file, close_only=True, stock_splits="accept")
    assert again.content_hash == wti.content_hash
