"""What happens in a scenario: events, dated news, and what loud news did to the price."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.agents.observation import RECENT_DAYS
from evobourse.agents.personas.persona import Persona
from evobourse.experiments.config.scenario import Scenario, ScenarioNews
from evobourse.experiments.errors import ConfigError
from evobourse.market.events.dated_news import load_news, trading_day
from evobourse.market.events.kinds import Event, News
from evobourse.market.events.schedule import EventSchedule, load_schedule
from evobourse.market.series.named import load_series

if TYPE_CHECKING:
    from evobourse.agents.minds.engine import MindEngine

FACTS = Path(__file__).parents[1] / "data" / "news_1999_2018.csv"
ORDINARY = ("sp500", "1999-01-04", "2006-12-29")
"""Series and days of the shipped facts that are a tone's unit."""

LOUD = 2.0
"""Size of tones from which on a summary says what they moved."""

MOVED = ("moved", "moved_by_next")


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


def loud(tones: Iterable[tuple[int, float]]) -> dict[int, float]:
    """Return the tone of each day with loud news, from days and tones of single news."""
    total: dict[int, float] = {}
    for day, tone in tones:
        total[day] = total.get(day, 0.0) + tone
    return {day: tone for day, tone in total.items() if abs(tone) >= LOUD}


def without_loud_news(events: Sequence[Event]) -> list[Event]:
    """Return events without the news of days on which it is loud."""
    news = [event for event in events if isinstance(event, News)]
    days = loud((event.day, event.tone) for event in news)
    return [one for one in events if not (isinstance(one, News) and one.day in days)]


def reactions(
    events: pd.DataFrame,
    history_ticks: NDArray[np.int64],
    close_ticks: NDArray[np.int64],
    quiet_ticks: NDArray[np.int64] | None = None,
) -> list[dict[str, float]]:
    """Return what the price did after loud news.

    A tone is in standard deviations of an ordinary day's news, and the news of a real day is its
    own standardised return (`agents.training.examples.real_levels`): a real market moves by the
    tone, on the day.

    Parameters
    ----------
    events
        The tape's.
    history_ticks, close_ticks
        int64[H] and [T], closes before the first day, more than `RECENT_DAYS`, and of the days.
    quiet_ticks
        int64[T], closes of the same market without the loud news; None where nobody played it.

    Returns
    -------
    list of dict
        ``day``; ``tone``, all that was said to everybody on the day, of `LOUD` or more; ``moved``
        and ``moved_by_next``, log returns of the day, and of it and the next (the last day has
        none), less those without the news, in standard deviations of the `RECENT_DAYS` before.
    """

    def log_returns(closes: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.diff(np.log(np.concatenate([history_ticks, closes])))

    news = events[events["kind"] == "news"]
    told = [json.loads(detail)["tone"] for detail in news["detail"]]
    returns, first = log_returns(close_ticks), len(history_ticks) - 1  # the return of day 0
    more = returns if quiet_ticks is None else returns - log_returns(quiet_ticks)
    found = []
    for day, tone in loud(zip(news["day"].tolist(), told, strict=True)).items():
        before = returns[first + day - RECENT_DAYS : first + day]
        spread = max(float(np.sqrt(np.mean(before * before))), 1e-8)
        after = (float(more[first + day : first + day + days].sum()) / spread for days in (1, 2))
        found.append({"day": day, "tone": tone, **dict(zip(MOVED, after, strict=True))})
    return found
