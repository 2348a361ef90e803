"""The London nickel days of March 2022 at our exchange: `python -m experiments.nickel`.

Knows the contract, who starts with what, the record of each day, the table and the picture.
Deliberately leaves what happens from outside to `nickel_2022.yaml`, and judges nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evolve.durable import replace_bytes
from experiments.nickel_crowds import (
    CENTS,
    LOT_TICK_CENTS,
    LOT_TONNES,
    Arbitrageurs,
    Dealers,
    Followers,
    Holders,
    Idle,
)
from experiments.report import figure_bytes
from fitness.plots import INK, MUTED, SIMULATED
from market.book import Depth
from market.crowd import DayOutcome, Message
from market.event_schedule import EventSchedule, load_schedule
from market.exchange import Exchange, SessionRules
from market.instruments import Instrument
from market.listing import Bar
from market.order_events import Kind, Status

DATA = Path(__file__).with_name("data") / "nickel_2022.csv"
SCHEDULE = Path(__file__).with_name("nickel_2022.yaml")
PICTURE = Path("runs") / "nickel" / "nickel_2022.png"

FIRST_DAY = "2022-03-01"
TURNS = ("call", "continuous", "call")
VALUE_ADDED_TAX, CNY_PER_USD = 1.13, 6.35
"""What turns Shanghai's price into London's; the rate is that of March 2022 to a percent."""

CONTRACT = Instrument(
    "nickel", "future", tick_cents=CENTS, lot_units=LOT_TONNES, price_limit=0.95, fee_bps=1
)
"""Three months, 6 t, without a limit to speak of: London had none before 16 March."""


@dataclass(frozen=True)
class Cast:
    """How many of each kind, their lots at the start, and their cash each in million USD."""

    large_short_lots: int = 25_000
    large_short_cash: float = 700.0
    producers: int = 30
    producer_lots: int = 500
    producer_cash: float = 75.0
    holders: int = 50
    holder_lots: int = 800
    holder_cash: float = 60.0
    arbitrageurs: int = 80
    arbitrageur_cash: float = 6.0
    followers: int = 60
    follower_cash: float = 8.0
    dealers: int = 30
    dealer_cash: float = 20.0


class Record:
    """Keeps what the table shows of each day; a `market.seams.Journal`."""

    def __init__(self) -> None:
        self.days: list[dict[str, int | bool]] = []
        self._begin(None)

    def turn_over(
        self, exchange: Exchange, messages: Sequence[Message], depth: Sequence[Depth | None]
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
        exchange: Exchange,
        outcome: DayOutcome,
        bars: Sequence[Bar],
        limits_ticks: NDArray[np.int64],
    ) -> None:
        """Keep the day."""
        listing, queued = exchange.listings[0], exchange.ledger.queued[:, 0]
        entered = np.zeros(2, np.int64)
        for batch in listing.batches:
            limit = (batch.events.kind == Kind.LIMIT) & (batch.status != Status.REJECTED)
            for row, side in enumerate((1, -1)):
                entered[row] += batch.events.quantity[limit & (batch.events.side == side)].sum()
        traded = int(listing.fills_today().quantity.sum())
        unfilled = entered - (traded - self._forced)
        self.days.append(
            {
                "settle": int(outcome.settle_ticks[0]),
                "lower": int(limits_ticks[0, 0]),
                "upper": int(limits_ticks[0, 1]),
                "authored": bool(listing.override_ticks),
                "halted": self._halted,
                "volume": int(outcome.volume[0]),
                "annulled": traded if listing.annulled else 0,
                "high": int(listing.fills_today().price_ticks.max(initial=0)),
                "bids_left": int(unfilled[0]),
                "offers_left": int(unfilled[1]),
                "called": len(outcome.margin_called),
                "liquidated": int(self._forced.sum()),
                "queued": int(np.abs(queued).sum()),
                "pool_cents": exchange.ledger.pools.bankruptcy_cents,
            }
        )
        self._begin(queued.copy())

    def _begin(self, queued: NDArray[np.int64] | None) -> None:
        self._queued, self._halted = queued, False
        self._forced = np.zeros(2, np.int64)


def read_real(path: Path = DATA) -> pd.DataFrame:
    """Read the real days: prices in USD/t and CNY/t by date, NaN where there was none."""
    return pd.read_csv(path, comment="#", parse_dates=["date"], index_col="date")


def build(
    real: pd.DataFrame, schedule: EventSchedule, seed: int = 1, cast: Cast | None = None
) -> tuple[Exchange, Record]:
    """Return the exchange on the evening of 28 February, and the record that it will keep."""
    cast = cast or Cast()
    arrival, *streams = np.random.default_rng(seed).spawn(5)
    days = real.loc[FIRST_DAY:]
    parity = (real["shfe_close_cny"].ffill() / VALUE_ADDED_TAX / CNY_PER_USD).loc[FIRST_DAY:]
    turns = len(TURNS)
    crowds = [
        Idle(1),
        Idle(cast.producers),
        Holders(cast.holders, streams[0], turns),
        Arbitrageurs(cast.arbitrageurs, streams[1], turns, parity.to_numpy()),
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


def play(seed: int = 1, path: Path = SCHEDULE) -> pd.DataFrame:
    """Play the days of March and return them beside the real ones, one row a day."""
    real = read_real()
    exchange, record = build(real, load_schedule(path), seed)
    days = real.loc[FIRST_DAY:]
    exchange.run(len(days))
    table = pd.DataFrame(record.days, index=days.index)
    return table.join(days[["lme_cash_settlement", "lme_3m_close", "note"]])


def print_table(table: pd.DataFrame) -> None:
    """Print a line a day."""
    print(
        "2022   real cash  real 3M  settled   volume  called  liquidated   queued  bids left  "
        "offers left  bankrupt"
    )
    print(
        "         USD/t     USD/t    USD/t      lots  agents        lots     lots       lots  "
        "       lots   mn USD"
    )
    for date, day in table.iterrows():
        marks = ("A" if day.authored else " ") + ("H" if day.halted else " ")
        print(
            f"{date:%m-%d}  {_price(day.lme_cash_settlement)}  {_price(day.lme_3m_close)}  "
            f"{day.settle:7,}{marks} {day.volume:7,}  {day.called:6}  {day.liquidated:10,}  "
            f"{day.queued:7,}  {day.bids_left:9,}  {day.offers_left:11,}  "
            f"{day.pool_cents / CENTS / 1e6:8,.0f}"
        )


def _price(value: float) -> str:
    return "      –" if np.isnan(value) else f"{value:7,.0f}"


if __name__ == "__main__":
    print_table(play(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
