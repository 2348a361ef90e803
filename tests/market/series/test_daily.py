"""Frequencies as pandas names them, and days made of minutes as pandas' resample makes them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evobourse.market.errors import SeriesError
from evobourse.market.series.daily import make_daily, write_prices
from evobourse.market.series.frequency import measure_frequency
from evobourse.market.series.named import load_series
from evobourse.market.series.report import describe_prices

HOW = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
FEW = settings(max_examples=30)


def bars(index, seed=0):
    """Random bars, one a moment; a few moments of bars within the day are without a trade."""
    draw = np.random.default_rng(seed)
    middle = 100 * np.exp(np.cumsum(draw.normal(0, 0.01, len(index))))
    sides = middle * np.exp(draw.normal(0, 0.01, (2, len(index))))
    return pd.DataFrame(
        {
            "open": sides[0],
            "high": np.maximum(*sides) * 1.001,
            "low": np.minimum(*sides) * 0.999,
            "close": sides[1],
            "volume": draw.integers(1, 1000, len(index)),
        },
        index=pd.Index(index, name="time"),
    )


@FEW
@given(
    st.sampled_from(["B", "D", "W-FRI", "W-MON", "ME", "MS", "QE", "YE", "3D"]),
    st.integers(12, 200),
    st.integers(1980, 2015),
)
def test_frequencies_are_those_of_pandas_ranges(alias, count, year):
    days = pd.date_range(f"{year}-01-01", periods=count, freq=alias).to_numpy().astype("M8[D]")
    names = {"W": "weekly", "M": "monthly", "Q": "quarterly", "Y": "yearly", "3": "irregular"}
    assert measure_frequency(days).name == names.get(alias[0], "daily")


@FEW
@example("4h", "Australia/Sydney", "2021-07-01", 0)
@given(
    st.sampled_from(["1min", "5min", "30min", "1h", "4h"]),
    st.sampled_from(["America/New_York", "Asia/Tokyo", "Australia/Sydney", "Europe/Berlin"]),
    st.sampled_from(["2021-03-08", "2021-10-25", "2021-07-01"]),
    st.integers(0, 99),
)
def test_days_of_minutes_are_those_of_pandas_in_the_exchanges_zone(
    tmp_path_factory, step, zone, first, seed
):
    """In UTC, in UTC without saying so, and in the exchange's own time; over changes of clocks."""
    folder = tmp_path_factory.mktemp("minutes")
    every = pd.date_range(first, periods=12 * 1440, freq="1min", tz=zone)
    session = every[(every.hour >= 9) & (every.hour < 17) & (every.day_of_week < 5)]
    frame = bars(session[:: pd.Timedelta(step) // pd.Timedelta("1min")], seed)
    expected = frame.tz_localize(None).resample("1D").agg(HOW).dropna()
    in_utc = frame.tz_convert("UTC")
    in_utc.to_csv(folder / "utc.csv")
    in_utc.tz_localize(None).to_csv(folder / "naive.csv")
    in_utc.to_parquet(folder / "utc.parquet")
    frame.to_csv(folder / "local.csv")
    epochs = in_utc.set_axis(pd.Index(in_utc.index.as_unit("ms").asi8, name="time"))
    epochs.to_csv(folder / "epochs.csv")
    for name in ("utc.csv", "naive.csv", "utc.parquet", "epochs.csv", "local.csv"):
        own = None if name == "local.csv" else zone
        series = make_daily(folder / name, own, "accept")
        np.testing.assert_array_equal(series.dates, expected.index.to_numpy().astype("M8[D]"))
        for column in HOW:
            np.testing.assert_allclose(getattr(series, column), expected[column], rtol=1e-12)
        write_prices(series, folder / "daily.csv")
        again = load_series(str(folder / "daily.csv"), stock_splits="accept")
        assert again.content_hash == series.content_hash


@pytest.mark.parametrize(
    ("alias", "said"),
    [
        ("W-FRI", "weekly, a bar every 7 days, expected one a trading day; days cannot be made"),
        ("ME", "monthly, a bar every 31 days"),
        ("10min", "intraday, a bar every 10 minutes, .*: evobourse to-daily .*bars.csv daily.csv$"),
        ("3D", "irregular, a bar every 3 days"),
    ],
)
def test_other_frequencies_are_refused_with_what_to_do(tmp_path, alias, said):
    file = tmp_path / "bars.csv"
    bars(pd.date_range("2020-01-01", periods=300, freq=alias)).to_csv(file)
    with pytest.raises(SeriesError, match=rf"bars.csv: {said}"):
        load_series(str(file))
    report = describe_prices(file)
    assert report.trouble.startswith(f"{file}: {report.frequency}")


def test_old_months_before_new_days_are_refused(tmp_path):
    months = pd.date_range("1970-01-01", "1979-12-31", freq="ME")
    days = pd.date_range("1980-01-01", "1999-12-31", freq="B")
    bars(months.append(days)).to_csv(tmp_path / "long.csv")
    with pytest.raises(SeriesError, match="daily, but from 1970-01-31 on 21 bars come every 31"):
        load_series(str(tmp_path / "long.csv"))


def test_minutes_in_utc_that_run_through_midnight_ask_for_a_zone(tmp_path):
    file = tmp_path / "coin.csv"
    bars(pd.date_range("2024-01-01", periods=5000, freq="1min", tz="UTC")).to_csv(file)
    with pytest.raises(SeriesError, match=r"coin.csv: stamps in UTC run on through midnight; say"):
        make_daily(file)
    assert str(make_daily(file, "UTC").dates[-1]) == "2024-01-04"
    assert str(make_daily(file, "Asia/Tokyo").dates[-1]) == "2024-01-04"
    with pytest.raises(SeriesError, match="unknown zone 'Mars'; expected one such as Europe/Berl"):
        make_daily(file, "Mars")


def test_minutes_out_of_order_are_named(tmp_path):
    frame = bars(pd.date_range("2024-01-01 09:00", periods=300, freq="1min"))
    frame.iloc[[*range(50), 70, *range(50, 300)]].to_csv(tmp_path / "mixed.csv")
    with pytest.raises(SeriesError, match="row 52: 2024-01-01 09:50:00 does not come after"):
        make_daily(tmp_path / "mixed.csv")


def test_a_report_says_what_was_understood(tmp_path):
    file = tmp_path / "berlin.csv"
    midnights = pd.bdate_range("2020-01-01", periods=300, tz="Europe/Berlin").tz_convert("UTC")
    frame = bars(midnights).rename(columns={"volume": "成交量"})
    frame["adjusted"] = 1.0
    frame.iloc[100:110] = np.nan
    frame.to_csv(file)
    report = describe_prices(file)
    assert (report.rows, report.first_day, report.last_day) == (300, "2020-01-01", "2021-02-23")
    assert (str(report.frequency), report.zone, report.shifted) == ("daily", "UTC", True)
    assert report.weekdays == ("Mon", "Tue", "Wed", "Thu", "Fri")
    assert report.columns["date"] == "time"
    assert report.columns["volume"] == "成交量"
    assert report.ignored == ("adjusted",)
    assert report.missing == ()
    assert (report.empty_days, report.idle_days) == (10, 0)
    assert "row 101 (2020-05-20)" in report.trouble
    assert "--suspended-days drop" in report.trouble
