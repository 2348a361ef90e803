"""What happens in a scenario: events, and news with dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evobourse.agents.personas.persona import Persona
from evobourse.experiments.config.scenario import Scenario, ScenarioNews
from evobourse.experiments.errors import ConfigError
from evobourse.market.events.dated_news import load_news, trading_day
from evobourse.market.events.kinds import News
from evobourse.market.events.schedule import EventSchedule, load_schedule
from evobourse.market.series.named import load_series

if TYPE_CHECKING:
    from evobourse.agents.minds.engine import MindEngine

FACTS = Path(__file__).parents[1] / "data" / "news_1999_2018.csv"
ORDINARY = ("sp500", "1999-01-04", "2006-12-29")
"""Series and days of the shipped facts that are a tone's unit."""


def schedule_of(
    scenario: Scenario,
    days: int,
    rng: np.random.Generator,
    personas: Sequence[Persona],
    minds: object = None,
) -> EventSchedule | None:
    """Return what happens in a scenario, None for nothing.

    Parameters
    ----------
    scenario
        Its ``events`` come first, then its ``news``, day by day.
    days
        That will be played; no later news is read.
    rng
        Draws the agents of events that concern a share of them.
    personas
        Who trades, and whose minds give news its tone where ``news.tone`` says so.
    minds
        What answers for them.

    Raises
    ------
    MarketError
        A file cannot be read.
    ConfigError
        No news is on a day played, or it has a tone by minds and nobody has one.
    AgentError
        The minds are to give news its tone, and are not on one base whose weights are here.
    """
    schedule = load_schedule(Path(scenario.events), rng) if scenario.events else None
    if scenario.news is None:
        return schedule
    news = dated_events(scenario.news, days)
    if scenario.news.tone == "minds":
        from evobourse.agents.minds.engine import engine_of  # models

        if not personas:
            raise ConfigError("news.tone: is minds, and no investor trades; set it to none")
        texts = [event.text for event in news]
        tones = read_tones(engine_of(minds, "news.tone: minds"), personas, texts)
        news = [replace(event, tone=tone) for event, tone in zip(news, tones, strict=True)]
    schedule = schedule or EventSchedule((), rng, scenario.news.file)
    for event in news:
        schedule.add(event)
    return schedule


def dated_events(settings: ScenarioNews, days: int) -> list[News]:
    """Return the news of a file, each on the day of a market that has its date.

    Day 0 is the first trading day of the series that is asked for, or that has news.

    Raises
    ------
    MarketError
        The file cannot be read, or the first day is no trading day of the series.
    ConfigError
        No news is on one of the days.
    """
    series = load_series(settings.series, close_only=True)
    facts = load_news(Path(settings.file), series)
    first = facts[0].day
    if settings.first_day is not None:
        try:
            asked = date.fromisoformat(settings.first_day)
        except ValueError as error:
            raise ConfigError(
                f"news.first_day is {settings.first_day!r}, expected a date as 2001-01-31"
            ) from error
        first = trading_day(asked, series, "news.first_day")
    said = [fact for fact in facts if first <= fact.day < first + days]
    if not said:
        raise ConfigError(
            f"news.first_day is {settings.first_day}, and {settings.file} has no news on it or on "
            f"the {days - 1} trading days after it; begin on another day, or play longer"
        )
    return [
        News(day=fact.day - first, text=fact.text, source=str(series.dates[fact.day]))
        for fact in said
    ]


def read_tones(
    engine: MindEngine, personas: Sequence[Persona], texts: Sequence[str]
) -> list[float]:
    """Let minds say how good sentences are.

    What personas choose after a sentence and no sign at all, at their temperatures and by their
    shares, less its mean over the shipped facts of 1999 to 2006, in standard deviations of it over
    those facts. How a mind leans over them is taken from its answers first.

    Parameters
    ----------
    engine
        The base of the personas' minds.
    personas
        Who is asked.
    texts
        N sentences.

    Returns
    -------
    list of float
        N tones, as `market.events.kinds.News` takes them.
    """
    from evobourse.agents.minds.choices import lean  # models
    from evobourse.agents.minds.news_reading import expected_tendency, read_news

    name, start, stop = ORDINARY
    series = load_series(name)
    ordinary = [
        fact.text
        for fact in load_news(FACTS, series)
        if np.datetime64(start) <= series.dates[fact.day] <= np.datetime64(stop)
    ]
    asked = [*ordinary, *texts]
    minds = [persona.mind for persona in personas]
    logits = read_news(engine, minds, asked, [0] * len(asked))
    logits -= lean(logits[:, : len(ordinary)])
    temperature = np.array([[persona.temperature] for persona in personas])
    shares = np.array([persona.share for persona in personas])
    good = shares / shares.sum() @ expected_tendency(logits, temperature)
    known = good[: len(ordinary)]
    return [float(tone) for tone in (good[len(ordinary) :] - known.mean()) / known.std()]
