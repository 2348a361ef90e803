"""Who leans which way on the days of dated news: minds that read the sentence, and others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.choices import lean
from evobourse.agents.minds.engine import MindEngine
from evobourse.agents.minds.news_reading import TOGETHER, expected_tendency, read_news
from evobourse.agents.minds.stand_ins import TeacherMinds
from evobourse.agents.observation import (
    FIELD_NAMES,
    HISTORY_DAYS,
    RECENT_DAYS,
    encode_view,
)
from evobourse.agents.personas.persona import Population
from evobourse.agents.training.examples import real_levels
from evobourse.market.events.dated_news import DatedNews
from evobourse.market.series.prices import PriceSeries
from evobourse.merge.peft.mind_vector import Mixture

ARMS = ("both", "words", "text")
"""Sentence and words of the day; the words alone; the sentence alone."""

OTHERS = 3
"""How many other days' sentences each day is read with, for comparison."""


@dataclass(frozen=True, eq=False)
class NewsDays:
    """Days with news.

    Attributes
    ----------
    day
        Rows of the series, int64[N], ascending, one of each.
    texts
        What was known before the open; several facts of a day in one line.
    overnight
        bool[N], whether all of it came out after the close before.
    views
        int64[N], what prices and volume up to the close before show: all fields but the news.
    move, before
        float64[N], log return of the day, and of the one before, in standard deviations of the
        `RECENT_DAYS` before.
    """

    day: NDArray[np.int64]
    texts: tuple[str, ...]
    overnight: NDArray[np.bool_]
    views: NDArray[np.int64]
    move: NDArray[np.float64]
    before: NDArray[np.float64]


def see_days(facts: Sequence[DatedNews], series: PriceSeries) -> NewsDays:
    """Return the days of facts that have `HISTORY_DAYS` closes before them."""
    seen = [fact for fact in facts if fact.day >= HISTORY_DAYS]
    days = sorted({fact.day for fact in seen})
    at = np.array(days, np.int64)
    if not days:
        return NewsDays(at, (), np.zeros(0, bool), at, np.zeros(0), np.zeros(0))
    levels = real_levels(series.close, series.volume)[at - HISTORY_DAYS]
    shown = np.array([name != "news" for name in FIELD_NAMES])
    returns = series.log_returns  # entry t leads to row t + 1
    spread = np.array(
        [np.sqrt(np.mean(returns[day - 1 - RECENT_DAYS : day - 1] ** 2)) for day in days]
    )
    return NewsDays(
        at,
        tuple(" ".join(fact.text for fact in seen if fact.day == day) for day in days),
        np.array([all(fact.overnight for fact in seen if fact.day == day) for day in days]),
        encode_view(levels, np.broadcast_to(shown, levels.shape)),
        returns[at - 1] / spread,
        returns[at - 2] / spread,
    )


def exchange(groups: Sequence[NDArray[np.int64]], rng: np.random.Generator) -> NDArray[np.int64]:
    """Give each of N days another's sentence, of the same group: int64[N], none its own.

    Groups are rows; a cycle of a random order moves everybody.
    """
    other = np.zeros(sum(map(len, groups)), np.int64)
    for rows in groups:
        order = rng.permutation(rows)
        other[order] = np.roll(order, 1)
    return other


def ask_minds(
    engine: MindEngine,
    minds: Sequence[Mixture],
    days: NewsDays,
    others: Sequence[NDArray[np.int64]],
    on_page: Callable[[], None],
) -> NDArray[np.float64]:
    """Ask every mind for its option logits in every arm.

    Parameters
    ----------
    minds
        M of them, see `agents.personas.persona.Persona.mind`.
    others
        int64[N] each, whose sentence a day is read with instead of its own.
    on_page
        Called after each `TOGETHER` days.

    Returns
    -------
    NDArray
        float64[arms, M, N, 5]: `ARMS`, then one for each of ``others``.
    """
    n, blank = len(days.texts), np.zeros_like(days.views)
    arms = [(days.texts, days.views), ((("",) * n), days.views), (days.texts, blank)]
    logits = np.zeros((len(arms) + len(others), len(minds), n, 5))
    for at in range(0, n, TOGETHER):
        rows = range(at, min(at + TOGETHER, n))
        for arm, (texts, views) in enumerate(arms):
            part = [texts[row] for row in rows], [int(views[row]) for row in rows]
            logits[arm][:, rows] = read_news(engine, minds, *part)
        for arm, other in enumerate(others, len(arms)):
            # a page is read once while it is known: the days to which these sentences went
            went = np.argsort(other)[rows]
            part = [days.texts[row] for row in rows], [int(days.views[day]) for day in went]
            logits[arm][:, went] = read_news(engine, minds, *part)
        on_page()
    return logits


def unbiased(logits: NDArray[np.float64], by: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Take from logits float64[arms, M, N, 5] how each mind leans in each arm over days ``by``."""
    return logits - lean(logits[:, :, by])


def population_mean(population: Population, tendencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weigh the tendencies of personas, float64[..., P, N], by their shares."""
    shares = np.array([persona.share for persona in population.personas])
    return np.asarray(np.tensordot(shares / shares.sum(), tendencies, (0, -2)))


def teachers_mean(
    population: Population, styles: tuple[str, ...], days: NewsDays, by: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return what the rules of the styles would choose in the minds' place: float64[N]."""
    rules = TeacherMinds(styles)
    answers = np.array([rules.answer(p.mind, days.views) for p in population.personas], np.float64)
    temperature = np.array([[persona.temperature] for persona in population.personas])
    return population_mean(
        population, expected_tendency(unbiased(answers[None], by)[0], temperature)
    )
