"""The London nickel days of March 2022 at our exchange, with traders that follow rules.

What happens from outside stands in `nickel_2022.yaml`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.experiments.studies.nickel.crowds import (
    CENTS,
    LOT_TONNES,
    Arbitrageurs,
    Dealers,
    Followers,
    Holders,
    Idle,
)
from evobourse.market.book.book import Depth
from evobourse.market.book.order_events import Kind, Status
from evobourse.market.crowd import Clearing, DayOutcome, Message
from evobourse.market.events.schedule import EventSchedule, load_schedule
from evobourse.market.exchange import Exchange
from evobourse.market.hooks import Market
from evobourse.market.instruments import Instrument
from evobourse.market.listing import Bar
from evobourse.market.session import SessionRules

DATA = Path(__file__).parents[2] / "data" / "nickel_2022.csv"
SCHEDULE = Path(__file__).parents[2] / "scenarios" / "nickel_2022.yaml"
FIRST_DAY = "2022-03-01"
TURNS: tuple[Clearing, ...] = ("call", "continuous", "call")
VALUE_ADDED_TAX, CNY_PER_USD = 1.13, 6.35
"""What turns Shanghai's price into London's; the rate is that of March 2022 to a percent."""

CONTRACT = Instrument(
    "nickel", "future", tick_cents=CENTS, lot_units=LOT_TONNES, price_limit=0.95, fee_bps=1
)
"""Three months, 6 t, without a limit to speak of: London had none before 16 March."""


@dataclass(frozen=True)
class Cast:
    """How many of each kind, their lots at the start, and their cash each in million USD.

    The large short is of the size that the press reported, 150,000 t; its cash bears a rise of a
    tenth. Everything else is an assumption (docs/decisions/025-nickel-scenario.md).
    """

    large_short_lots: int = 25_000
    large_short_cash: float = 1_000.0
    producers: int = 30
    producer_lots: int = 500
    producer_cash: float = 150.0
    holders: int = 50
    holder_lots: int = 800
    holder_cash: float = 60.0
    arbitrageurs: int = 80
    arbitrageur_lots: int = 100
    arbitrageur_cash: float = 25.0
    followers: int = 60
    follower_cash: float = 4.0
    dealers: int = 30
    dealer_cash: float = 20.0


class Record:
    """Keeps what the table shows of each day; a `market.hooks.Journal`."""

    def __init__(self) -> None:
        self.days: list[dict[str, float]] = []
        self._queued: NDArray[np.int64] | None = None
        self._halted = False
        self._forced = np.zeros(2, np.int64)

    def turn_over(
        self, exchange: Market, messages: Sequence[Message], depth: Sequence[Depth | None]
    ) -> None:
        """Count forced trades and orders of a turn."""
        queued = exchange.ledger.queued[:, 0].copy()
        if self._queued is None:
            self._queued = np.zeros_like(queued)
        done = self._queued - queued
        self._forced += np.array([done[done > 0].sum(), -done[done < 0].sum()])
        self._queued = queued
        self._halted |= exchange.listings[0].halted

    def day_over(
        self,
        exchange: Market,
        outcome: DayOutcome,
        bars: Sequence[Bar],
        limits_ticks: NDArray[np.int64],
    ) -> None:
        """Keep the day."""
        listing, queued = exchange.listings[0], exchange.ledger.queued[:, 0]
        fills, entered = listing.fills_today(), np.zeros(2, np.int64)
        for batch in listing.batches:
            limit = (batch.events.kind == Kind.LIMIT) & (batch.status != Status.REJECTED)
            for row, side in enumerate((1, -1)):
                entered[row] += batch.events.quantity[limit & (batch.events.side == side)].sum()
        traded = int(fills.quantity.sum())
        unfilled = entered - (traded - self._forced)
        self.days.append(
            {
                "settle": int(outcome.settle_ticks[0]),
                "traded": int(fills.price_ticks @ fills.quantity) / traded if traded else np.nan,
                "close": int(outcome.close_ticks[0]),
                "lower": int(limits_ticks[0, 0]),
                "upper": int(limits_ticks[0, 1]),
                "authored": bool(listing.override_ticks),
                "halted": self._halted,
                "volume": int(outcome.volume[0]),
                "annulled": traded if listing.annulled else 0,
                "bids_left": int(unfilled[0]),
                "offers_left": int(unfilled[1]),
                "called": len(outcome.margin_called),
                "liquidated": int(self._forced.sum()),
                "queued": int(np.abs(queued).sum()),
                "pool_cents": exchange.ledger.pools.bankruptcy_cents,
            }
        )
        self._begin(queued.copy())

    def _begin(self, queued: NDArray[np.int64]) -> None:
        self._queued, self._halted = queued, False
        self._forced = np.zeros(2, np.int64)


def read_real(path: Path = DATA) -> pd.DataFrame:
    """Read the real days: prices in USD/t and CNY/t by date, NaN where there was none."""
    return pd.read_csv(path, comment="#", parse_dates=["date"], index_col="date")


def parity_usd(real: pd.DataFrame) -> pd.Series:
    """Return Shanghai's last close in USD/t without value added tax; it closes before London."""
    return real["shfe_close_cny"].ffill() / VALUE_ADDED_TAX / CNY_PER_USD


def build(
    real: pd.DataFrame, schedule: EventSchedule, seed: int = 1, cast: Cast | None = None
) -> tuple[Exchange, Record]:
    """Return the exchange on the evening of 28 February, and the record that it will keep."""
    cast = cast or Cast()
    arrival, *streams = np.random.default_rng(seed).spawn(5)
    days = real.loc[FIRST_DAY:]
    parity = parity_usd(real)[days.index].to_numpy()
    turns = len(TURNS)
    crowds = [
        Idle(1),
        Idle(cast.producers),
        Holders(cast.holders, streams[0], turns, parity),
        Arbitrageurs(cast.arbitrageurs, streams[1], turns, parity, cast.arbitrageur_lots),
        Followers(cast.followers, streams[2], turns),
        Dealers(cast.dealers, streams[3], turns),
    ]
    sizes = [crowd.n_agents for crowd in crowds]
    millions = [
        cast.large_short_cash,
        cast.producer_cash,
        cast.holder_cash,
        cast.arbitrageur_cash,
        cast.follower_cash,
        cast.dealer_cash,
    ]
    lots = [-cast.large_short_lots, -cast.producer_lots, cast.holder_lots, 0, 0, 0]
    history = real["lme_3m_close"].loc[: days.index[0]].iloc[:-1]
    record = Record()
    exchange = Exchange(
        [CONTRACT],
        [np.rint(history.to_numpy()).astype(np.int64)],
        crowds,
        np.repeat([round(value * 1e6 * CENTS) for value in millions], sizes),
        np.repeat(lots, sizes)[:, None],
        arrival,
        SessionRules(TURNS),
        schedule,
        record,
    )
    return exchange, record


def play(seed: int = 1, schedule: EventSchedule | None = None) -> pd.DataFrame:
    """Play the days of March and return them beside the real ones.

    Parameters
    ----------
    seed : int
        Of everything drawn.
    schedule : EventSchedule, optional
        What happens; that of `SCHEDULE` if left out.

    Returns
    -------
    pandas.DataFrame
        One row a day, by date: what `Record` keeps, and the real ``lme_cash_settlement``,
        ``lme_3m_close``, ``parity`` (Shanghai's close) and ``known`` (London's last close before
        them) in USD/t.
    """
    real = read_real()
    exchange, record = build(real, schedule or load_schedule(SCHEDULE), seed)
    days = real.loc[FIRST_DAY:, ["lme_cash_settlement", "lme_3m_close"]]
    exchange.run(len(days))
    known = real["lme_3m_close"].loc[: days.index[0]].iloc[-2]
    days = days.assign(parity=parity_usd(real)[days.index], known=known)
    return pd.DataFrame(record.days, index=days.index).join(days)
