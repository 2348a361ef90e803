"""What happens in a scenario: events, and dated news on the days of a market."""

import json

import numpy as np
import pandas as pd
import pytest

from evobourse.agents.errors import AgentError
from evobourse.experiments.config.scenario import Scenario, ScenarioNews, Size, load_scenario
from evobourse.experiments.desk.settings import begin_settings
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.happenings import (
    dated_events,
    reactions,
    read_tones,
    schedule_of,
    without_loud_news,
)
from evobourse.market.errors import MarketError
from evobourse.market.events.kinds import Halt, News

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


def test_a_day_with_loud_news_is_told_with_what_the_price_did():
    history = np.rint(10_000 * np.exp(np.cumsum([0.01, -0.01] * 20))).astype(np.int64)
    closes, quiet = (
        np.rint(history[-1] * np.exp(np.cumsum(returns))).astype(np.int64)
        for returns in ([0.01, -0.03, -0.02], [0.01, 0.01, 0.0])
    )
    tone = [("news", 1, -3.0), ("news", 1, 0.5), ("news", 0, 1.9), ("rumour", 2, -9.0)]
    rows = [(kind, day, json.dumps({"tone": one})) for kind, day, one in tone]
    events = pd.DataFrame(rows, columns=["kind", "day", "detail"])
    [told] = reactions(events, history, closes)
    assert (told["day"], told["tone"]) == (1, -2.5)
    assert (told["moved"], told["moved_by_next"]) == pytest.approx((-3.0, -5.0), abs=0.03)
    [told] = reactions(events, history, closes, quiet)
    assert (told["moved"], told["moved_by_next"]) == pytest.approx((-4.0, -6.0), abs=0.04)


def test_only_loud_news_is_left_out():
    loud = [News(day=1, text="A.", tone=-1.5), News(day=1, text="B.", tone=-1.5)]
    rest = [News(day=2, text="C.", tone=1.9), Halt(day=1, asset="stock")]
    assert without_loud_news([*loud, *rest]) == rest
    assert without_loud_news([]) == []


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
