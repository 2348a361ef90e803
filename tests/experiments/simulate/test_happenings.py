"""What happens in a scenario: events, and dated news on the days of a market."""

import numpy as np
import pytest

from evobourse.agents.errors import AgentError
from evobourse.experiments.config.scenario import Scenario, ScenarioNews, Size, load_scenario
from evobourse.experiments.desk.settings import begin_settings
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.happenings import (
    dated_events,
    read_tones,
    schedule_of,
)
from evobourse.market.errors import MarketError

ROWS = """date,text
2008-09-15,A bank fails.
2008-09-19,A plan.
2008-09-19,A ban.
2008-10-08,A cut.
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "news.csv").write_text(ROWS)
    return tmp_path / "news.csv"


def said(file, days, first_day=None):
    events = dated_events(ScenarioNews(str(file), first_day=first_day), days)
    return [(event.day, event.text) for event in events]


def test_news_is_said_on_the_day_that_has_its_date(file):
    whole = [(0, "A bank fails."), (4, "A plan."), (4, "A ban."), (17, "A cut.")]
    assert said(file, 250) == whole  # weekends are no days of the market
    assert said(file, 17) == whole[:3]
    assert said(file, 18) == whole
    assert said(file, 250, "2008-09-16") == [(3, "A plan."), (3, "A ban."), (16, "A cut.")]
    assert said(file, 6, "2008-09-12") == [(1, "A bank fails."), (5, "A plan."), (5, "A ban.")]


@pytest.mark.parametrize(
    ("first_day", "days", "error", "told"),
    [
        ("2008-09-14", 9, MarketError, "news.first_day 2008-09-14 is no trading day of sp500"),
        ("autumn", 9, ConfigError, "news.first_day is 'autumn', expected a date"),
        ("2008-10-09", 9, ConfigError, "has no news on it or on the 8 trading days after it"),
        ("2008-09-22", 9, ConfigError, "has no news on it"),
    ],
)
def test_a_first_day_without_news_is_refused(file, first_day, days, error, told):
    with pytest.raises(error, match=told):
        said(file, days, first_day)


def test_a_scenario_finds_its_news_beside_it_and_says_it_after_its_events(file, tmp_path):
    (tmp_path / "events.yaml").write_text("events:\n- {kind: news, day: 1, text: Rain.}\n")
    place = tmp_path / "place.yaml"
    place.write_text("events: events.yaml\nnews: {file: news.csv}\ndeliberation: {}\n")
    schedule = schedule_of(load_scenario(place), 5, np.random.default_rng(1), ())
    texts = ["Rain.", "A bank fails.", "A plan.", "A ban."]
    assert [event.text for event in schedule.events] == texts
    assert all(event.tone == 0 for event in schedule.events)
    assert schedule_of(Scenario(), 5, np.random.default_rng(1), ()) is None


def test_news_that_nobody_would_read_is_refused(file):
    with pytest.raises(ConfigError, match=r"nobody reads it.*set news.tone: minds, or deliber"):
        Scenario(news=ScenarioNews(str(file)))


def test_a_tone_takes_investors_and_minds_that_are_here(file, population):
    place = Scenario(news=ScenarioNews(str(file), tone="minds"))
    rng, personas = np.random.default_rng(1), population([[1.0, 0.0, 0.0]]).personas
    with pytest.raises(ConfigError, match="no investor trades"):
        schedule_of(place, 5, rng, ())
    with pytest.raises(AgentError, match=r"news\.tone: minds: the population's minds are None"):
        schedule_of(place, 5, rng, personas)


@pytest.mark.slow
def test_tones_are_the_minds_own_and_no_other_sentence_changes_them(style_engine, population):
    personas = population([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]).personas
    texts = ["Employers cut 600,000 jobs.", "The bank has failed.", "Profits have doubled."]
    tones = read_tones(style_engine, personas, texts)
    assert np.ptp(tones) > 0.1
    for text, tone in zip(texts, tones, strict=True):
        assert read_tones(style_engine, personas, [text]) == pytest.approx([tone], abs=1e-9)


def test_a_desk_takes_the_news_as_events_of_its_own(file, tmp_path):
    place = tmp_path / "place.yaml"
    place.write_text("news: {file: news.csv, first_day: 2008-09-12}\ndeliberation: {}\n")
    begun = begin_settings(tmp_path, Size(10, 6, 1), place)
    assert [(event["kind"], event["day"]) for event in begun["events"]] == [
        ("news", 1),
        ("news", 5),
        ("news", 5),
    ]
    assert "news" not in begun["scenario"]
    place.write_text("news: {file: news.csv, tone: minds}\n")
    with pytest.raises(ConfigError, match=r"news\.tone: is minds, and a desk asks nobody"):
        begin_settings(tmp_path, Size(10, 6, 1), place)
