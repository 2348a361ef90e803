"""Six classes of nickel traders with minds: ten rounds of them, and what is measured in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evobourse.agents.observation import FIELD_NAMES, FIELDS, decode_view
from evobourse.evolve.markets import MIN_HISTORY_DAYS
from evobourse.experiments.config.cast import Cast
from evobourse.experiments.config.scenario import Scenario
from evobourse.experiments.simulate.bundle import OpenPopulation
from evobourse.experiments.simulate.cast import CastMarket, build_cast
from evobourse.market.book.order_events import Kind, Reason
from evobourse.market.crowd import Message
from evobourse.market.series.named import load_series
from evobourse.market.tape.journal import TapeJournal, describe_instruments
from evobourse.market.tape.recorder import MemoryRecorder

FIRST_ROUND, LAST_ROUND = "2022-02-23", "2022-03-08"
STAND_IN, STAND_IN_ENDS = "wti", "2018-02-01"
"""The year before the nickel data begin: crude oil, the latest shipped year to 1 February."""

HOLDERS = 3
"""Largest holders that all are told of in the morning."""

_NEWS = FIELD_NAMES.index("news")


@dataclass(frozen=True, eq=False)
class Rounds:
    """What R rounds came to, before trades were cancelled.

    Attributes
    ----------
    price
        float64[R] USD/t, the last trade of each round; that before where there was none.
    classes
        Name of each agent's class.
    tape
        Its tables by name.
    margin_cents
        Of a lot whose price is a tick, in cents: initial margin.
    """

    price: NDArray[np.float64]
    classes: tuple[str, ...]
    tape: dict[str, pd.DataFrame]
    margin_cents: float

    def of(self, table: str, name: str, column: str = "agent") -> pd.DataFrame:
        """Return the rows of a class."""
        rows = self.tape[table]
        agents = [agent for agent, one in enumerate(self.classes) if one == name]
        return rows[rows[column].isin(agents)]

    def by_round(self, rows: pd.Series) -> NDArray[np.float64]:
        """Return sums by day as float64[R]."""
        found = rows.groupby(level="day").sum()
        return found.reindex(range(len(self.price)), fill_value=0).to_numpy(np.float64)

    def bought(self, name: str) -> NDArray[np.float64]:
        """Return the lots that a class bought in each round, float64[R]."""
        return self.by_round(self.of("fills", name, "buyer").set_index("day")["quantity"])

    def sold(self, name: str) -> NDArray[np.float64]:
        """Return the lots that a class sold in each round, float64[R]."""
        return self.by_round(self.of("fills", name, "seller").set_index("day")["quantity"])

    def forced(self, name: str) -> NDArray[np.float64]:
        """Return the lots that a class traded by force in each round, float64[R]."""
        orders = self.of("orders", name)
        forced = orders[orders["kind"] == Kind.MARKET]  # minds send limit orders alone
        return self.by_round(forced.set_index("day")["filled"])

    def behaviour(self, name: str) -> NDArray[np.float64]:
        """Return a class's mean tendency in each round over the strongest, float64[R] in -1..1."""
        rows = self.of("decisions", name)
        mean = rows.groupby("day")["tendency"].mean() / 2
        return mean.reindex(range(len(self.price))).to_numpy(np.float64)

    def affordable(self, name: str) -> NDArray[np.float64]:
        """Return a class's net purchases over what its cash could margin then, float64[R] in %.

        Purchases are those of all rounds so far; cash is the evening's, at the round's price.
        """
        cash = self.of("accounts", name).groupby("day")["cash_cents"].sum()
        most = cash.reindex(range(len(self.price))).to_numpy(np.float64)
        most = np.where(most > 0, most, np.nan) / (self.price * self.margin_cents)
        return np.asarray(100 * np.cumsum(self.bought(name) - self.sold(name)) / most)

    def order_range(self, name: str) -> tuple[float, ...]:
        """Return limits (5 % to 95 %, % from the settlement before), lots, number, refused %."""
        sent = self.of("orders", name).query(f"kind == {int(Kind.LIMIT)}")
        before = self.tape["prices"].set_index("day")["reference_ticks"]
        offset = 100 * (sent["price_ticks"] / sent["day"].map(before) - 1)
        margin = sent["reason"].isin((Reason.NO_MARGIN, Reason.MARGIN_CALL))
        if not len(sent):
            return (np.nan,) * 4 + (0.0, np.nan)
        ends = np.percentile(offset, (5, 95)), np.percentile(sent["quantity"], (5, 95))
        return (*map(float, np.concatenate(ends)), float(len(sent)), 100 * float(margin.mean()))

    def lean_by_news(self) -> dict[str, float]:
        """Return the mean tendency of decisions by the word for the news that they saw."""
        rows = self.tape["decisions"]
        level = decode_view(rows["view"].to_numpy())[:, _NEWS]
        words = FIELDS[_NEWS].words
        return {
            word: float(rows["tendency"][level == at].mean()) if (level == at).any() else np.nan
            for at, word in enumerate(words)
        }

    def malformed(self) -> float:
        """Return the share of named orders that do not parse, in %; NaN where none is named."""
        rows = self.tape["decisions"]
        if "malformed" not in rows:
            return np.nan
        asked = rows["malformed"] | rows["lots"].notna()
        return 100 * float(rows["malformed"].sum() / max(asked.sum(), 1))


def known_closes(real: pd.DataFrame) -> NDArray[np.int64]:
    """Return the closes before the first round in USD/t: a stand-in's year, then London's own.

    The stand-in is scaled to end at London's first close; of real days there are 16.
    """
    own = real["lme_3m_close"].loc[:FIRST_ROUND].iloc[:-1].to_numpy()
    series = load_series(STAND_IN, close_only=True)
    year = series.close[series.dates <= np.datetime64(STAND_IN_ENDS)][-MIN_HISTORY_DAYS:]
    joined = np.concatenate([year[:-1] / year[-1] * own[0], own])
    return np.asarray(np.rint(joined), np.int64)


def play_rounds(
    opened: OpenPopulation,
    scenario: Scenario,
    cast: Cast,
    real: pd.DataFrame,
    seed: int,
    on_round: Callable[[], None] = lambda: None,
) -> Rounds:
    """Play the ten rounds.

    Each class sees what the cast lets it see, on every day: the society's masks are off.

    Parameters
    ----------
    opened
        Whose styles, society and minds the classes have.
    scenario, cast
        Where, and who.
    real
        The real days, see `rules.read_real`; prices of the rounds are not read.
    seed
        Of every draw.
    on_round
        Called after each round.
    """
    rounds = len(real.loc[FIRST_ROUND:LAST_ROUND])
    population = opened.bundle.population
    seeing = replace(population, society=population.society.unmasked())
    bundle = replace(opened.bundle, population=seeing, history=known_closes(real))
    market = build_cast(scenario, cast, bundle, opened.minds, rounds, seed)
    exchange = market.exchange
    sink = MemoryRecorder(describe_instruments(exchange))
    exchange.keep(TapeJournal(sink))
    terms = exchange.listings[0].instrument
    margin_cents = terms.lot_tick_cents * terms.initial_margin_bps / 10_000

    def tell(day: int) -> None:
        exchange.send(Message("notice", describe_market(market)))
        if day >= 0:
            on_round()

    tell(-1)
    exchange.run(rounds, tell)
    tape = sink.tape()
    names = ("prices", "orders", "fills", "decisions", "texts", "accounts", "holdings")
    tables = {name: tape.frame(name) for name in names}
    last = tables["fills"].groupby("day")["price_ticks"].last().reindex(range(rounds)).ffill()
    price = last.fillna(bundle.history[-1]).to_numpy(np.float64)
    return Rounds(price, market.members, tables, margin_cents)


def describe_market(market: CastMarket) -> str:
    """Write what all may know in the evening: the largest holders, the last move, its volume."""
    exchange = market.exchange
    held = pd.Series(exchange.ledger.position[:, 0]).groupby(list(market.members)).sum()
    largest = held.reindex(held.abs().sort_values(ascending=False, kind="stable").index)
    said = [
        f"{name} {'long' if lots > 0 else 'short'} {abs(lots)} lots"
        for name, lots in largest.iloc[:HOLDERS].items()
        if lots
    ]
    view = exchange.listings[0].view(None, 0, 0)
    move = 100 * (view.close_ticks[-1] / view.close_ticks[-2] - 1)
    volume = f" on {view.volume[-1]} lots" if view.volume[-1] else ""
    return f"The price moved {move:+.1f}%{volume}. Largest holders: {', '.join(said)}."
