"""The morning of a crowd: what each agent sees of one market, through its masks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.daily_loops import encode_seen, hear
from evobourse.agents.crowds.volatility import UNMEASURED, Volatility
from evobourse.agents.masks import draw_day, draw_fields
from evobourse.agents.observation import (
    FIELD_NAMES,
    FIELDS,
    HISTORY_DAYS,
    price_values,
    private_codes,
    public_codes,
    to_levels,
)
from evobourse.agents.personas.persona import Society
from evobourse.agents.personas.traits import TraitTable
from evobourse.market.book.book import RestingOrders
from evobourse.market.crowd import AssetView, Message

_NEWS = FIELD_NAMES.index("news")
_CROWD = FIELD_NAMES.index("crowd")


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
    time
        Turns since the first of day 0.
    """

    views: NDArray[np.int64]
    log_path: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    reference_ticks: int = 0
    volatility: Volatility = UNMEASURED
    resting: RestingOrders | None = None
    time: int = 0


class Observer:
    """Shows a market to a crowd's agents.

    Parameters
    ----------
    society, traits
        What agents have in common, and what sets their personas apart.
    persona
        int64[n], the persona that each agent starts with.
    rng
        The crowd's own stream; masks, news and what is misread come from it.
    """

    def __init__(
        self,
        society: Society,
        traits: TraitTable,
        persona: NDArray[np.int64],
        rng: np.random.Generator,
    ):
        self._society, self._traits, self._rng = society, traits, rng
        self._sees = draw_fields(society, society.attention, traits.never[persona], rng)
        self._told = np.zeros(len(persona))
        self._volatility = UNMEASURED

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
        time: int,
        persona: NDArray[np.int64],
        moods: NDArray[np.float64] | None,
    ) -> Morning:
        """Show a morning's market.

        Parameters
        ----------
        asset, time
            What there is to see, and when.
        persona
            int64[n], the present persona of each agent.
        moods
            float64[n], what the crowd field shows each agent of others, NaN for nothing; None to
            show all the same orders of the day before.
        """
        society, n = self._society, len(persona)
        closes = asset.close_ticks
        log_path = np.log(closes[-HISTORY_DAYS:])
        self._volatility = volatility = self._volatility.follow(
            closes, log_path, society.volatility_memory_days
        )
        sees = draw_day(society, self._traits.hide(self._sees, persona), self._rng)
        normal = self._rng.standard_normal(1 + n)
        told = self._told * self._traits.receptivity[persona]
        self._told = np.zeros(n)
        # News must be the more unusual to count, the calmer the market has been.
        calm = volatility.long_run / volatility.recent
        threshold = float(society.news_threshold * calm**society.vigilance)
        noise = np.hypot(1.0, society.news_noise)
        news = hear(normal[0], society.news_noise * normal[1:] + told, noise * threshold)
        traded = asset.buy_quantity + asset.sell_quantity
        crowd = (asset.buy_quantity - asset.sell_quantity) / max(traded, 1)
        codes = public_codes(to_levels(np.array([*price_values(log_path), crowd, 0.0])))
        if moods is not None:
            codes[_CROWD] = 0
        views = encode_seen(codes, _NEWS, private_codes(_NEWS, news), sees)
        if moods is not None:
            views += np.where((sees == _CROWD).any(axis=1), _mood_codes(moods), 0)
        reference = int(closes[-1])
        return Morning(views, log_path, reference, volatility, asset.resting, time)


def _mood_codes(moods: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return what moods, float64[n], add to the views that show them; nothing for NaN."""
    levels = np.searchsorted(FIELDS[_CROWD].edges, moods, side="right")
    return private_codes(_CROWD, np.where(np.isnan(moods), -1, levels))
