"""Personas who trade real days on paper: the price is the real one whatever they do."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.observation import (
    FIELDS,
    encode_view,
    possible_views,
    price_values,
    to_levels,
)
from evobourse.market.series.prices import PriceSeries

PRICE_FIELDS = 4
"""The first fields of a view: those that prices alone give."""

YEAR_DAYS = 252
STEP = 0.25
"""Part of its wealth that an agent moves into or out of the asset, for each unit of tendency."""


@dataclass(frozen=True, eq=False)
class Record:
    """What a strategy earned.

    Attributes
    ----------
    returns
        Simple daily returns of its wealth after costs, float64[T].
    invested
        Mean part of the wealth in the asset.
    turnover
        Value traded a year, over wealth.
    """

    returns: NDArray[np.float64]
    invested: float
    turnover: float


def real_views(closes: NDArray[np.float64], days: range, attention: int) -> NDArray[np.int64]:
    """Return what can be seen before each day: views int64[days, S] of all masks.

    Parameters
    ----------
    closes
        float64[T]; a day's view has the closes before it alone.
    days
        Rows of the series, from `HISTORY_DAYS` on.
    attention
        How many of the `PRICE_FIELDS` an agent sees; each of S choices of them is a mask.
    """
    shown = np.zeros((0, len(FIELDS)), bool)
    for chosen in combinations(range(PRICE_FIELDS), min(attention, PRICE_FIELDS)):
        mask = np.isin(np.arange(len(FIELDS)), chosen)
        shown = np.vstack([shown, mask])
    rest = np.zeros(len(FIELDS) - PRICE_FIELDS)  # hidden: neither crowd nor news is known
    values = [np.concatenate([price_values(np.log(closes[:day])), rest]) for day in days]
    return encode_view(to_levels(np.array(values))[:, None, :], shown[None])


def trade(
    series: PriceSeries,
    days: range,
    choices: NDArray[np.float64],
    attention: int,
    agents: int,
    cost: float,
    rng: np.random.Generator,
) -> list[Record]:
    """Let each persona's agents trade at the opens of real days.

    An agent sees some of the signs that closes up to the day before give, draws a tendency and
    trades at the open: it moves `STEP` of its wealth for each unit, never short and never on
    credit. It begins with half of its wealth in the asset, as agents of a market do.

    Returns
    -------
    list of Record
        One a persona, of its agents' wealth together.
    """
    personas = len(choices)
    views = real_views(series.close, days, attention)
    row_of = np.searchsorted(possible_views(attention), views)
    mask = rng.integers(views.shape[1], size=agents)
    cash, shares = (np.full((personas, agents), 0.5) for _ in range(2))
    shares = shares / series.close[days.start - 1]
    wealth, invested, traded = [np.full(personas, float(agents))], [], np.zeros(personas)
    for at, day in enumerate(days):
        chances = choices[:, row_of[at][mask]]  # [personas, agents, 5]
        drawn = rng.random((personas, agents))
        tendency = (drawn[..., None] >= chances).sum(axis=2) - 2
        price = series.open[day]
        worth = cash + shares * price
        wanted = np.clip(shares * price / worth + STEP * tendency, 0.0, 1.0) * worth
        value = wanted - shares * price
        value = np.minimum(value, cash / (1 + cost))  # who buys with everything pays the cost too
        shares, cash = shares + value / price, cash - value - cost * np.abs(value)
        traded += (np.abs(value) / worth).mean(axis=1)
        whole = cash + shares * series.close[day]
        wealth.append(whole.sum(axis=1))
        invested.append((shares * series.close[day] / whole).mean(axis=1))
    path = np.array(wealth)
    returns = path[1:] / path[:-1] - 1
    part, turnover = np.mean(invested, axis=0), traded * YEAR_DAYS / len(days)
    return [Record(returns[:, p], float(part[p]), float(turnover[p])) for p in range(personas)]


def hold(series: PriceSeries, days: range, part: float, cost: float) -> Record:
    """Buy for a part of the wealth at the first open and hold."""
    price = np.concatenate([[series.open[days.start]], series.close[days.start : days.stop]])
    asset = part * price / price[0]
    wealth = asset + 1 - part
    wealth[1:] -= part * cost
    invested = float((asset / wealth)[1:].mean())
    return Record(wealth[1:] / wealth[:-1] - 1, invested, part * YEAR_DAYS / len(days))
