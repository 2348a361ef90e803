"""The morning of a crowd: what each agent sees of one market, through its masks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Numba's cache watches this file alone: after a change to these, delete __pycache__.
from evobourse.agents.crowds.daily_loops import Earshot, mood_codes, see
from evobourse.agents.crowds.elementary import (
    exponential,
    logarithm,
    logarithms,
    normal_quantile,
    normal_table,
)
from evobourse.agents.crowds.mechanisms import perceive, read_together
from evobourse.agents.crowds.volatility import UNMEASURED, Volatility, kept_a_day
from evobourse.agents.masks import day_masks, draw_fields
from evobourse.agents.observation import (
    FIELD_NAMES,
    HISTORY_DAYS,
    STRIDES,
    measure_prices,
    public_codes,
)
from evobourse.agents.personas.persona import Society
from evobourse.agents.personas.traits import TraitTable
from evobourse.market.book.book import RestingOrders
from evobourse.market.crowd import AssetView, Message
from evobourse.market.philox import Purpose, draw_uniform, draw_words

_CROWD, _FIELDS = FIELD_NAMES.index("crowd"), len(FIELD_NAMES)
_NEWS_STRIDE = int(STRIDES[FIELD_NAMES.index("news")])
_CROWD_STRIDE = int(STRIDES[_CROWD])
_VALUE = FIELD_NAMES.index("value")
_NEWS = Purpose.NEWS
WORDS_SEE = 2
"""Fields whose masks the first words of a day decide; for more, agents draw a second time."""


@dataclass(frozen=True, eq=False)
class Morning:
    """What a crowd knows of its asset when it decides.

    Attributes
    ----------
    views
        int64[n], what each agent sees, see `agents.observation.encode_view`.
    log_path
        float64[`HISTORY_DAYS`], natural logarithms of the latest closes.
    reference_ticks
        The price that orders start from: the last close.
    volatility
        Of the closes so far.
    resting
        The crowd's own orders in the book; None where nothing can rest.
    day, time
        The day, and turns since the first of day 0.
    deviation
        Of the last close from value, as the value sign measures it.
    """

    views: NDArray[np.int64]
    log_path: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    reference_ticks: int = 0
    volatility: Volatility = UNMEASURED
    resting: RestingOrders | None = None
    day: int = 0
    time: int = 0
    deviation: float = 0.0


class Observer:
    """Shows a market to a crowd's agents.

    Parameters
    ----------
    society, traits
        What agents have in common, and what sets their personas apart.
    persona
        int64[n], the persona that each agent starts with.
    key
        Of the crowd; masks, news and what is misread are drawn by it.

    Attributes
    ----------
    sees
        int8[n, A], the fields that an agent sees where nothing hides them, F for none.
    traits
        As given.
    volatility
        As of the last morning.
    shared
        float64[P], spread of what a persona's agents misread together.
    perceived
        Natural logarithm of the perceived value as of the last morning; NaN before the first, and
        where value is the yearly mean.
    """

    def __init__(
        self,
        society: Society,
        traits: TraitTable,
        persona: NDArray[np.int64],
        key: np.uint64,
    ):
        self._society, self.traits, self._key = society, traits, key
        uniform = _draw_field_numbers(len(persona), key)
        sees = draw_fields(society, society.attention, traits.never[persona], uniform)
        self.sees = np.where(sees < 0, _FIELDS, sees).astype(np.int8)
        self._told = np.zeros(len(persona))
        self.volatility = UNMEASURED
        self.shared = society.mechanisms.shared_reading * traits.shared_reading
        self.perceived = math.nan

    @property
    def hearing(self) -> tuple[float, float, float]:
        """Noise, threshold and vigilance of the society."""
        society = self._society
        return (
            float(society.news_noise),
            float(society.news_threshold),
            float(society.vigilance),
        )

    @property
    def value_rates(self) -> tuple[float, float]:
        """How a perceived value moves, see `agents.crowds.mechanisms.perceive`."""
        mechanisms = self._society.mechanisms
        return float(mechanisms.value_news), kept_a_day(mechanisms.value_half_life_days)

    def tell(self, message: Message) -> None:
        """Let agents hear a message's tone with the next morning's news."""
        if message.tone:
            told = np.zeros(len(self._told))
            told[slice(None) if message.agents is None else message.agents] = message.tone
            self.tell_tones(told)

    def tell_tones(self, tones: NDArray[np.float64]) -> None:
        """Let agents hear tones, float64[n], with the next morning's news."""
        self._told = self._told + tones

    def observe(
        self,
        asset: AssetView,
        day: int,
        time: int,
        persona: NDArray[np.int64],
        moods: NDArray[np.float64] | None,
    ) -> Morning:
        """Show a morning's market.

        Parameters
        ----------
        asset, day, time
            What there is to see, and when.
        persona
            int64[n], the present persona of each agent.
        moods
            float64[n], what the crowd field shows each agent of others, NaN for nothing; None to
            show all the same orders of the day before.
        """
        society, n = self._society, len(persona)
        closes = asset.close_ticks
        log_path = logarithms(closes[-HISTORY_DAYS:])
        self.volatility = volatility = self.volatility.follow(
            closes,
            log_path,
            society.volatility_memory_days,
            float(society.mechanisms.loss_asymmetry),
        )
        told, self._told = self._told, np.zeros(n)
        none = np.zeros((4, 0), np.uint32)
        tone, rates = draw_news(day, self._key), self.value_rates
        if rates[0] > 0.0:
            self.perceived = perceive(
                self.perceived, tone, told, volatility.long_run, log_path[-1], rates
            )
        values = morning_values(log_path, (asset.buy_quantity, asset.sell_quantity), self.perceived)
        threshold = news_threshold((volatility.long_run, volatility.recent), self.hearing)
        views = see_morning(
            self.sees,
            persona,
            self.traits.never,
            society.rates,
            values,
            np.zeros(0) if moods is None else moods,
            Earshot(
                read_together(tone, self.shared, day, self._key),
                self.hearing[0],
                threshold,
                told,
                self.traits.receptivity,
            ),
            normal_table(),
            draw_words(n, day, 0, Purpose.DAY, self._key),
            draw_words(n, day, 0, Purpose.DAY_MORE, self._key)
            if society.attention > WORDS_SEE
            else none,
            day,
            self._key,
        )
        return Morning(
            views,
            log_path,
            int(closes[-1]),
            volatility,
            asset.resting,
            day,
            time,
            float(values[_VALUE]),
        )


@njit(cache=True)
def draw_news(day: int, key: np.uint64) -> float:
    """Draw a day's news, standard normal."""
    return normal_quantile(draw_uniform(day, _NEWS, key))


@njit(cache=True)
def news_threshold(deviations: tuple[float, float], hearing: tuple[float, float, float]) -> float:
    """Return from where on news counts as bad or good.

    It must be the more unusual to count, the calmer the market has been.

    Parameters
    ----------
    deviations
        Of the long run, and lately.
    hearing
        Noise, threshold and vigilance of the society.
    """
    (long_run, recent), (noise, threshold, vigilance) = deviations, hearing
    calm = 1.0 if vigilance == 0.0 else 0.0
    if long_run > 0.0:
        calm = exponential(vigilance * logarithm(long_run / recent))
    return math.sqrt(1.0 + noise * noise) * (threshold * calm)


@njit(cache=True)
def morning_values(
    log_path: NDArray[np.float64], asked: tuple[int, int], perceived: float
) -> NDArray[np.float64]:
    """Measure what all could see of a morning, float64[F]; news is each agent's own.

    Parameters
    ----------
    log_path
        float64[`HISTORY_DAYS`].
    asked
        Lots bought and sold by the orders of the day before.
    perceived
        Natural logarithm of the perceived value; NaN for the yearly mean.
    """
    bought, sold = asked
    values = np.empty(_FIELDS)
    values[:4], mean, unit = measure_prices(log_path)
    if not math.isnan(perceived):
        values[_VALUE] += (mean - perceived) / unit
    values[4], values[5] = (bought - sold) / max(bought + sold, 1), 0.0
    return values


@njit(cache=True)
def see_morning(
    sees: NDArray[np.int8],
    persona: NDArray[np.int64],
    never: NDArray[np.bool_],
    rates: NDArray[np.float64],
    values: NDArray[np.float64],
    moods: NDArray[np.float64],
    news: Earshot,
    normals: NDArray[np.float32],
    words: NDArray[np.uint32],
    more: NDArray[np.uint32],
    day: int,
    key: np.uint64,
) -> NDArray[np.int64]:
    """Encode what each agent sees of one morning: prices, orders or moods, news, masks.

    Parameters
    ----------
    rates
        See `agents.masks.Masks.rates`.
    values
        float64[F], see `morning_values`.
    moods
        float64[n]; none where all see the same orders.
    sees, persona, never, news, normals, words, more
        See `agents.crowds.daily_loops.see`.
    day, key
        Of the crowd.

    Returns
    -------
    NDArray
        int64[n].
    """
    codes, hidden = public_codes(values), day_masks(rates, day, key)
    own = mood_codes(moods, _CROWD_STRIDE)
    return see(sees, persona, never, hidden, codes, own, news, _NEWS_STRIDE, normals, words, more)


def _draw_field_numbers(n: int, key: np.uint64) -> NDArray[np.float64]:
    """Draw two numbers an agent and field, float64[n, F, 2]."""
    blocks = [draw_words(n, row, 0, Purpose.FIELDS, key) for row in range(2 * _FIELDS // 4)]
    words = np.concatenate(blocks).T.reshape(n, _FIELDS, 2).astype(np.float64)
    return (words + 0.5) * 2.0**-32
