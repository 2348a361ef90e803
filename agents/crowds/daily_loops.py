"""The compiled inner loops of a crowd's day: see, reconsider, decide, learn.

The one that prices is `agents.crowds.order_law.price_orders`.

`agents.crowds.persona_crowd` calls them one by one, `agents.crowds.whole_days` from one compiled
loop over days. Every agent draws the words of its day by counter, see `market.philox`:

=========  ==========================  =============================
row        low half                    high half
=========  ==========================  =============================
0          whether it reconsiders      how it misreads news
1          tendency                    whether it orders
2          component of the spread     first normal of the spread
3          masks of the first and of the second field that it sees
more, 0-1  masks of its other fields
more, 2    second normal               days that an order lives
=========  ==========================  =============================
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to these, delete __pycache__.
from evobourse.agents.crowds.elementary import exponential, logarithm
from evobourse.agents.observation import FIELD_NAMES, FIELDS
from evobourse.market.philox import Purpose, philox

PARTS = 65_536
"""A probability is a number of these parts: 16 bits decide."""

_NEWS, _CROWD = FIELD_NAMES.index("news"), FIELD_NAMES.index("crowd")
_SELLING, _BUYING = FIELDS[_CROWD].edges
_LOW, _HALF = np.uint32(0xFFFF), np.uint32(16)
_MOVE, _ZERO = np.uint64(Purpose.MOVE), np.uint64(0)


class Earshot(NamedTuple):
    """What news there is, and who hears what of it.

    Attributes
    ----------
    tone
        float64[P], the day's news as a persona's agents read it together.
    noise, threshold
        The spread of their own misreadings, and what either way counts as bad or good.
    told
        float64[n], tones of messages on top.
    receptivity
        float64[P], the part of those that a persona's agents hear.
    """

    tone: NDArray[np.float64]
    noise: float
    threshold: float
    told: NDArray[np.float64]
    receptivity: NDArray[np.float64]


@njit(cache=True)
def low(word: np.uint32) -> int:
    """Return the low half of a word."""
    return int(word & _LOW)


@njit(cache=True)
def high(word: np.uint32) -> int:
    """Return the high half of a word."""
    return int(word >> _HALF)


@njit(cache=True)
def in_parts(chance: float) -> int:
    """Return a probability as a number of `PARTS`."""
    return int(np.rint(PARTS * min(max(chance, 0.0), 1.0)))


@njit(cache=True)
def mood_codes(moods: NDArray[np.float64], stride: int) -> NDArray[np.int64]:
    """Return what moods, float64[n], add to the views that show them; nothing for NaN."""
    codes = np.empty(moods.size, np.int64)
    for i in range(moods.size):
        mood = moods[i]
        level = -1 if np.isnan(mood) else (mood >= _SELLING) + (mood >= _BUYING)
        codes[i] = (level + 1) * stride
    return codes


@njit(cache=True)
def see(
    sees: NDArray[np.int8],
    persona: NDArray[np.int64],
    never: NDArray[np.bool_],
    hidden: NDArray[np.float64],
    codes: NDArray[np.int64],
    moods: NDArray[np.int64],
    news: Earshot,
    news_stride: int,
    normals: NDArray[np.float32],
    words: NDArray[np.uint32],
    more: NDArray[np.uint32],
) -> NDArray[np.int64]:
    """Encode what each agent sees of one morning, see `agents.observation.encode_view`.

    Parameters
    ----------
    sees
        int8[n, A], the fields that an agent sees where nothing hides them, F for none.
    persona, never
        int64[n] and bool[P, F]: who an agent is, and what such agents are never shown.
    hidden
        float64[F], the chance that each field is masked for an agent today.
    codes
        int64[F], see `agents.observation.public_codes`.
    moods
        int64[n], what the crowd field adds for each agent, see `mood_codes`; none where all see
        the same.
    news, news_stride
        News counts as bad (level 0) or good (2) where what an agent hears is at least the
        threshold away from nothing; else it is quiet (1). What a level more adds to a view.
    normals
        See `agents.crowds.elementary.normal_table`.
    words, more
        Of the day; the second where agents see more than two fields.

    Returns
    -------
    NDArray
        int64[n].
    """
    n, attention = sees.shape
    personas, fields = never.shape
    # Loops without branches: what chance decides, a processor cannot foresee. A field more stands
    # for none.
    masked = np.zeros((personas, fields + 1), np.int64)
    for who in range(personas):
        for field in range(fields):
            masked[who, field] = PARTS if never[who, field] else in_parts(hidden[field])
    shown = np.zeros(fields + 1, np.int64)
    shown[:fields] = codes
    own_moods = moods.size > 0
    views = np.empty(n, np.int64)
    for i in range(n):
        who, view = persona[i], 0
        own = news.noise * float(normals[high(words[0, i])])
        heard = news.tone[who] + (own + news.told[i] * news.receptivity[who])
        level = 1 + (heard >= news.threshold) - (heard <= -news.threshold)
        own_news = (level + 1) * news_stride
        for a in range(attention):
            field = sees[i, a]
            word = words[3, i] if a < 2 else more[(a - 2) // 2, i]
            part = high(word) if a % 2 else low(word)
            code = own_news if field == _NEWS else shown[field]
            if own_moods and field == _CROWD:
                code = moods[i]
            view += code if part >= masked[who, field] else 0
        views[i] = view
    return views


@njit(cache=True)
def reconsider(
    persona: NDArray[np.int64],
    share: NDArray[np.float64],
    success: NDArray[np.float64],
    pull: NDArray[np.float64],
    habits: tuple[float, float, float],
    words: NDArray[np.uint32],
    day: int,
    key: np.uint64,
) -> None:
    """Let some agents choose their persona anew, in place; see `crowds.persona_crowd.PersonaCrowd`.

    Parameters
    ----------
    persona
        int64[n], changed.
    share, success, pull
        float64[P]; the last is added to what else draws to a persona.
    habits
        Switching, conformity and performance of the society.
    words, day, key
        Of the day; where to is drawn by who moves alone.
    """
    switching, conformity, performance = habits
    present = np.zeros(share.size, np.int64)
    for p in persona:
        present[p] += 1
    edges, total = np.empty(share.size), 0.0
    for p in range(share.size):
        away = present[p] / persona.size - share[p]
        all_pull = conformity * share.size * away + performance * success[p] + pull[p]
        total += share[p] * exponential(min(max(all_pull, -20.0), 20.0))
        edges[p] = total
    moves = in_parts(switching)
    for i in range(persona.size):
        if low(words[0, i]) < moves:
            word, _, _, _ = philox(np.uint64(i), np.uint64(day), _ZERO, _MOVE, key)
            place, to = total * ((float(word) + 0.5) * 2.0**-32), 0
            while to < share.size - 1 and place >= edges[to]:
                to += 1
            persona[i] = to


@njit(cache=True)
def choice_steps(cumulative: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return cumulated choices, float64[P, V, 5], in `PARTS`: int32[P, V, 4]."""
    personas, views, _ = cumulative.shape
    steps = np.empty((personas, views, 4), np.int32)
    for p in range(personas):
        for view in range(views):
            for k in range(4):
                steps[p, view, k] = in_parts(cumulative[p, view, k])
    return steps


@njit(cache=True)
def decide(
    steps: NDArray[np.int32],
    persona: NDArray[np.int64],
    row_of: NDArray[np.int16],
    views: NDArray[np.int64],
    words: NDArray[np.uint32],
) -> NDArray[np.int64]:
    """Draw tendencies by inversion.

    Parameters
    ----------
    steps
        See `choice_steps`.
    persona, views
        int64[n]: who decides, in view of what.
    row_of
        int16[V], the row of each view in the steps.
    words
        Of the day.

    Returns
    -------
    NDArray
        int64[n] in -2..2.
    """
    tendency = np.empty(persona.size, np.int64)
    for i in range(persona.size):
        own, part = steps[persona[i], row_of[views[i]]], low(words[1, i])
        tendency[i] = (part >= own[0]) + (part >= own[1]) + (part >= own[2]) + (part >= own[3]) - 2
    return tendency


@njit(cache=True)
def learn(
    success: NDArray[np.float64],
    persona: NDArray[np.int64],
    tendency: NDArray[np.int64],
    standardised_return: float,
    memory: float,
) -> None:
    """Remember which personas' tendencies paid, float64[P] in place: the discounted mean of both.

    A persona without agents counts as one that did nothing.
    """
    total, count = np.zeros(success.size, np.int64), np.zeros(success.size, np.int64)
    for i in range(persona.size):
        total[persona[i]] += tendency[i]
        count[persona[i]] += 1
    for p in range(success.size):
        mean = total[p] / max(count[p], 1)
        success[p] = memory * success[p] + (1.0 - memory) * standardised_return * mean


@njit(cache=True)
def standardise(move: float, deviation: float) -> float:
    """Return a log return in standard deviations, at most 5 either way."""
    return min(max(move / deviation, -5.0), 5.0)


@njit(cache=True)
def draw_wealth(
    words: NDArray[np.uint32], tail: float, factor: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Draw the wealth of n agents, float64[n], 1 on average: none has a tenth of all.

    Parameters
    ----------
    words
        uint32[4, n].
    tail
        Pareto exponent.
    factor
        float64[n], of what is drawn.
    """
    wealth, total = np.empty(factor.size), 0.0
    for i in range(factor.size):
        above = (float(words[0, i]) + 0.5) * 2.0**-32
        wealth[i] = factor[i] * exponential(-logarithm(above) / tail)
        total += wealth[i]
    mean, most = total / factor.size, factor.size / 10
    for i in range(factor.size):
        wealth[i] = min(wealth[i] / mean, most)
    return wealth
