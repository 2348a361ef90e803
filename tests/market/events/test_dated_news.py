"""Dated news: what a file may say, and the shipped one."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from evobourse.experiments.config.experiment import find_config, load_config
from evobourse.market.errors import MarketError
from evobourse.market.events.dated_news import DatedNews, load_news
from evobourse.market.series.named import load_series
from evobourse.market.series.prices import PriceSeries

SHIPPED = Path(__file__).parents[3] / "experiments" / "data" / "news_1999_2018.csv"


@pytest.fixture(scope="module")
def week() -> PriceSeries:
    """Monday to Friday, without the Wednesday."""
    dates = np.array(["2001-01-01", "2001-01-02", "2001-01-04", "2001-01-05"], "datetime64[D]")
    ones = np.ones(4)
    return PriceSeries("week", dates, ones, ones, ones, ones, ones)


def write(folder: Path, text: str) -> Path:
    file = folder / "news.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_rows_are_read_in_the_order_of_their_days(tmp_path: Path, week: PriceSeries) -> None:
    file = write(
        tmp_path,
        "Text, date ,who,released\n"
        '"A mine opens, and a port closes.",2001-01-05,us,session\n'
        "Rain.,2001-01-02,,\n"
        "Sun.,2001-01-02,,overnight\n",
    )
    assert load_news(file, week) == (
        DatedNews(1, "Rain."),
        DatedNews(1, "Sun."),
        DatedNews(3, "A mine opens, and a port closes.", overnight=False),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no column 'date' among none"),
        ("day,text\n2001-01-02,Rain.\n", "no column 'date' among day, text"),
        ("date\n2001-01-02\n", "no column 'text'"),
        ("date,text\n", "holds no news"),
        ("date,text\n2001-01-02,Rain.\n2.1.2001,Sun.\n", "line 3: date is '2.1.2001'"),
        ("date,text\n2001-01-02,\n", "line 2: text is empty"),
        ("date,text\n2001-01-02\n", "line 2: text is empty"),
        ("date,text\n2001-01-02,Rain, and wind.\n", "more cells than names"),
        ('date,text\n2001-01-02,"Rain.\nSun."\n', "line break"),
        ("date,text,released\n2001-01-02,Rain.,noon\n", "released is 'noon', expected overnight"),
        ("date,text\n2001-01-03,Rain.\n", "no trading day of week; write the next one, 2001-01-04"),
        ("date,text\n2000-12-29,Rain.\n", "lies outside week, 2001-01-01 to 2001-01-05"),
        ("date,text\n2001-01-06,Rain.\n", "lies outside week"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(
    tmp_path: Path, week: PriceSeries, text: str, told: str
) -> None:
    with pytest.raises(MarketError, match=told) as refused:
        load_news(write(tmp_path, text), week)
    assert "\n" not in str(refused.value)


def test_no_file_is_refused_in_one_line(tmp_path: Path, week: PriceSeries) -> None:
    with pytest.raises(MarketError, match=r"cannot be read .*name a CSV file"):
        load_news(tmp_path / "none.csv", week)


def test_the_shipped_facts_lie_in_the_splits_one_a_day() -> None:
    series = load_series("sp500")
    facts = load_news(SHIPPED, series)
    assert max(Counter(fact.day for fact in facts).values()) == 1
    splits = load_config(find_config("quickstart")).splits.cut(series)
    for split in (splits.train, splits.validation, splits.heldout):
        assert sum(split.start <= fact.day < split.stop for fact in facts) >= 60
    years = Counter(str(series.dates[fact.day])[:4] for fact in facts)
    assert set(years) == set(map(str, range(1999, 2019)))
    assert min(years.values()) >= 6


def test_no_shipped_sentence_tells_a_date_or_what_shares_did() -> None:
    for fact in load_news(SHIPPED, load_series("sp500")):
        words = set(fact.text.lower().replace(",", "").rstrip(".").split())
        assert not words & {"stocks", "index", "dow", "nasdaq", "rally", "plunge", "street"}, fact
        assert not any(str(year) in words for year in range(1990, 2020)), fact
        assert fact.text.endswith(".")
        assert ". " not in fact.text
