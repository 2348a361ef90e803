"""What loud news did to a scenario's price, against the same market without it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.agents.minds.stand_ins import Minds
from evobourse.agents.observation import RECENT_DAYS
from evobourse.evolve.bundle import Bundle
from evobourse.experiments.config.scenario import Scenario, Size
from evobourse.experiments.simulate.exchange import build_scenario, pay_contests
from evobourse.market.events.kinds import Event, News
from evobourse.market.events.schedule import EventSchedule
from evobourse.market.exchange import Exchange

LOUD = 2.0
"""Size of tones from which on a summary says what they moved."""

MOVED = ("moved", "moved_by_next")


def play_without_news(
    scenario: Scenario,
    bundle: Bundle,
    choices: NDArray[np.float64],
    size: Size,
    played: Exchange,
    minds: Minds | None = None,
) -> NDArray[np.int64] | None:
    """Play a scenario again, with the same random numbers, without its loud news.

    Parameters
    ----------
    scenario, bundle, choices, size, minds
        See `experiments.simulate.exchange.build_scenario`.
    played
        The market as it was played: its events have the tones that minds gave them.

    Returns
    -------
    NDArray or None
        Closes of the asset, int64[T]; None where no news is loud.
    """
    schedule = played.schedule
    events = schedule.events if isinstance(schedule, EventSchedule) else ()
    quiet = without_loud_news(events)
    if len(quiet) == len(events):
        return None
    exchange = build_scenario(scenario, bundle, choices, size, (), minds, quiet)
    closes = np.zeros(size.days, np.int64)

    def keep(day: int) -> None:
        closes[day] = exchange.listings[0].view(None, 0, 0).close_ticks[-1]

    exchange.run(size.days, lambda day: pay_contests(exchange, day, keep))
    return closes


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
