"""The Franke-Westerhoff population at our exchange: through a dealer's impact, through a call.

The crowd is seated so that nothing but the clearing limits it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evobourse.fitness.moments import LONG_MEMORY_DAYS, measured, moments
from evobourse.market.crowd import Clearing
from evobourse.market.crowds.franke_westerhoff import (
    PUBLISHED,
    FrankeWesterhoff,
    FrankeWesterhoffCrowd,
)
from evobourse.market.exchange import Exchange
from evobourse.market.instruments import Instrument
from evobourse.market.ledger import MAX_CASH_CENTS
from evobourse.market.session import SessionRules

VALUE_TICKS = 200_000
"""A tick is a 2,000th of a published daily standard deviation."""

CONTRACT = Instrument(
    "future", kind="future", price_limit=0.9, initial_margin_bps=1, maintenance_margin_bps=1
)
"""A future that anybody can hold long or short: the paper's traders have no budget."""

_OF_PRICES = measured(LONG_MEMORY_DAYS, with_volume=False)
HILL, VOLATILITY = map(_OF_PRICES.index, ("hill", "log_volatility"))
NAMES = tuple("volatility %" if k == VOLATILITY else name for k, name in enumerate(_OF_PRICES))


def play_market(
    clearing: Clearing,
    n_agents: int,
    days: int,
    seed: int,
    lots: int = 100,
    dispersion: float = 0.0,
    systematic: bool = False,
    parameters: FrankeWesterhoff = PUBLISHED,
) -> NDArray[np.float64]:
    """Return daily log returns, float64[days], from the value and equal odds of both camps on.

    The camps' noise is that of `fitness.baselines.franke_westerhoff` with the same seed.
    """
    rng = np.random.default_rng(seed)
    crowd = FrankeWesterhoffCrowd(
        parameters, n_agents, VALUE_TICKS, rng, lots, dispersion, systematic
    )
    exchange = Exchange(
        [CONTRACT],
        [np.array([VALUE_TICKS])],
        [crowd],
        np.full(n_agents, MAX_CASH_CENTS // n_agents),
        np.zeros((n_agents, 1), np.int64),
        rng.spawn(1)[0],
        SessionRules((clearing,), impact_per_lot=crowd.impact_per_lot),
    )
    closes = [VALUE_TICKS]
    for _ in range(days):
        closes.append(int(exchange.play_day().close_ticks[0]))
    return np.diff(np.log(closes))


def describe(log_returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the moments named in `NAMES`: `fitness.moments`, but volatility in % a day."""
    values = moments(log_returns, 0.01)
    values[..., VOLATILITY] = np.exp(values[..., VOLATILITY])
    return values
