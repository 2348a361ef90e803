"""Dates of price files against pandas' own reading: epochs, zones, midnights of other places."""

import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.market.errors import SeriesError
from evobourse.market.series.named import load_series
from evobourse.market.series.stamps import read_stamps, trading_days

EAST = ("Europe/Berlin", "Europe/London", "Asia/Tokyo", "Asia/Kolkata", "Australia/Sydney")
WEST = ("America/New_York", "America/Sao_Paulo")
FEW = settings(max_examples=30)
ZONES = st.sampled_from((*EAST, *WEST, "UTC", "Asia/Kathmandu", "Australia/Adelaide"))


@st.composite
def trading_dates(draw, least=15):
    """Business days of some weeks, a few of them holidays."""
    first = draw(st.dates(datetime.date(1980, 1, 1), datetime.date(2037, 1, 1)))
    count = draw(st.integers(least, 300))
    days = np.busday_offset(np.datetime64(first), np.arange(count), roll="forward")
    holidays = draw(st.sets(st.integers(1, count - 2), max_size=count // 10))
    return np.delete(days, sorted(holidays))


def days_of(values):
    return trading_days("file", read_stamps("file", "date", pd.Series(values), None))[0]


def utc_midnights(days, zone):
    """Each day's first moment: clocks may go on at midnight, as in Brazil until 2018."""
    first = pd.DatetimeIndex(days).tz_localize(
        zone, ambiguous=np.full(len(days), True), nonexistent="shift_forward"
    )
    return first.tz_convert("UTC")


def read_or_refused(values, days, why):
    """The right days, or a line that says why they cannot be told; never others."""
    try:
        found = days_of(values)
    except SeriesError as error:
        refused = str(error)
        assert why in refused
        assert "evobourse to-daily file daily.csv --zone" in refused
        return False
    np.testing.assert_array_equal(found, days)
    return True


@FEW
@given(trading_dates(), ZONES)
def test_midnights_of_any_zone_are_the_days_that_pandas_finds_there(days, zone):
    """As zoned times, as text, and as epochs of every unit: the day is the exchange's own."""
    midnights = utc_midnights(days, zone)
    assert (midnights.tz_convert(zone).tz_localize(None) == pd.DatetimeIndex(days)).all()
    seconds = midnights.as_unit("s").asi8
    for written in (midnights, midnights.astype(str), *(seconds * 1000**n for n in range(3))):
        read = read_or_refused(written, days, "are too few to tell")
        assert read or zone == "Europe/London"  # of whose summer only a week may be there
    local = midnights.tz_convert(zone)
    for written in (local, local.astype(str)):
        np.testing.assert_array_equal(days_of(written), days)


@FEW
@given(trading_dates(), st.sampled_from([(14, 30), (21, 0), (16, 30), (7, 0), (1, 30)]))
def test_opens_and_closes_of_sessions_stay_on_their_day(days, clock):
    hours, minutes = clock
    stamps = pd.DatetimeIndex(days).tz_localize("UTC") + pd.Timedelta(hours=hours, minutes=minutes)
    np.testing.assert_array_equal(days_of(stamps.astype(str)), days)
    np.testing.assert_array_equal(days_of(stamps.tz_localize(None).astype(str)), days)


@FEW
@given(trading_dates(), st.sampled_from(["Europe/Berlin", "Asia/Tokyo", "Australia/Sydney"]))
def test_midnights_of_another_zone_without_a_zone_are_refused_with_the_way_out(days, zone):
    naive = utc_midnights(days, zone).tz_localize(None).astype(str)
    assert not read_or_refused(naive, days, "fall on Sundays and never on Fridays")


@FEW
@given(trading_dates(), ZONES)
def test_a_named_zone_gives_pandas_days(days, zone):
    midnights = utc_midnights(days, zone)
    for written in (midnights.astype(str), midnights.tz_localize(None).astype(str)):
        stamps = read_stamps("file", "date", pd.Series(written), None)
        np.testing.assert_array_equal(stamps.days_in(ZoneInfo(zone)), days)


@FEW
@given(
    trading_dates(), st.sampled_from(["%Y.%m.%d", "%Y/%m/%d", "%Y%m%d", "%b %d, %Y", "%d-%b-%Y"])
)
def test_plain_days_in_every_spelling(days, form):
    np.testing.assert_array_equal(days_of(pd.DatetimeIndex(days).strftime(form)), days)


@FEW
@given(trading_dates(least=30))
def test_binance_changed_from_milli_to_microseconds(days):
    seconds = pd.DatetimeIndex(days).as_unit("s").asi8
    half = len(days) // 2
    mixed = np.where(np.arange(len(days)) < half, seconds * 1000, seconds * 1_000_000)
    np.testing.assert_array_equal(days_of(mixed), days)


def test_epochs_before_1970():
    days = np.arange("1962-01-01", "1990-01-01", dtype="datetime64[D]")
    seconds = pd.DatetimeIndex(days).as_unit("s").asi8
    np.testing.assert_array_equal(days_of(seconds), days)
    np.testing.assert_array_equal(days_of(seconds * 1000), days)


@pytest.mark.parametrize("numbers", [range(900), range(43_000, 43_900)])
def test_row_numbers_and_spreadsheet_days_are_no_epochs(numbers):
    with pytest.raises(SeriesError, match=r"row 1: received '\d+', expected a date"):
        days_of(list(numbers))


def test_saturdays_without_mondays_are_a_day_late():
    days = np.busday_offset("2020-01-06", np.arange(60)) + np.timedelta64(1, "D")
    with pytest.raises(SeriesError, match=r"row 5 \(2020-01-11\) is a Saturday, and no row a Mond"):
        days_of(days)


def test_a_market_from_sunday_to_thursday_is_one():
    days = np.busday_offset("2020-01-05", np.arange(60), weekmask="1111001")
    np.testing.assert_array_equal(days_of(days), days)
    riyadh = utc_midnights(days, "Asia/Riyadh")
    np.testing.assert_array_equal(days_of(riyadh), days)


def test_a_currency_that_trades_every_day_stays_on_its_day():
    days = np.arange("2020-01-01", "2020-06-01", dtype="datetime64[D]")
    np.testing.assert_array_equal(days_of(pd.DatetimeIndex(days).tz_localize("UTC")), days)


PRICES = "99.5,100.1,99.2,99.4,260952"
EXPORTS = {
    "AlphaVantage": ("timestamp,open,high,low,close,volume", "{day:%Y-%m-%d},{prices}"),
    "alpha_vantage": (
        *("date,1. open,2. high,3. low,4. close,5. volume", "{day:%Y-%m-%d},{prices}"),
    ),
    "TradingView": ("time,open,high,low,close,Volume,Volume MA", "{seconds},{prices},NaN"),
    "Binance": ("", "{seconds}000,{prices},{seconds}999,1.5,3,1,1,0"),
    "Binance futures": (
        "open_time,open,high,low,close,volume,close_time,quote_volume",
        "{seconds}000,{prices},{seconds}999,1.5",
    ),
    "MetaTrader 4": ("", "{day:%Y.%m.%d},00:00,{prices}"),
    "MetaTrader 5": (
        "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
        "{day:%Y.%m.%d}\t{tabs}\t0\t1",
    ),
    "Stooq": ("Date,Open,High,Low,Close,Volume", "{day:%Y-%m-%d},{prices}"),
    "Stooq in bulk": (
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
        "AAPL.US,D,{day:%Y%m%d},000000,{prices},0",
    ),
    "Stooq in Polish": (
        "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen",
        "{day:%Y-%m-%d},{prices}",
    ),
    "Yahoo's page": ("Date,Open,High,Low,Close,Volume", '"{day:%b %d, %Y}",{prices}'),
    "Sina": ("day,open,high,low,close,volume", "{day:%Y-%m-%d},{prices}"),
    "AkShare with units": (
        "日期,开盘价(元),最高价(元),最低价(元),收盘价(元),成交量(手)",
        "{day:%Y年%m月%d日},{prices}",
    ),
    "Tushare": (
        "ts_code,trade_date,open,high,low,close,vol",
        "000001.SZ,{day:%Y%m%d},{prices}",
    ),
}


@pytest.mark.parametrize("last_first", [False, True])
@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_is_the_same_series(tmp_path, name, last_first):
    header, form = EXPORTS[name]
    days = np.busday_offset("2020-01-02", np.arange(40))
    lines = [
        form.format(
            day=day, seconds=int(day.timestamp()), prices=PRICES, tabs=PRICES.replace(",", "\t")
        )
        for day in pd.DatetimeIndex(days, tz="UTC")
    ]
    file = tmp_path / "export.csv"
    rows = lines[::-1] if last_first else lines
    file.write_text("\n".join([header, *rows] if header else rows) + "\n")
    series = load_series(str(file))
    np.testing.assert_array_equal(series.dates, days)
    assert [getattr(series, column)[7] for column in series.columns] == [
        *(99.5, 100.1, 99.2, 99.4, 260952),
    ]


@given(st.text(max_size=200))
def test_any_file_is_read_or_refused_in_one_line(text):
    said = ""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "any.csv"
        file.write_text("date,open,high,low,close,volume\n" + text, encoding="utf-8", newline="")
        try:
            load_series(str(file))
        except SeriesError as error:
            said = str(error)
    assert "\n" not in said
