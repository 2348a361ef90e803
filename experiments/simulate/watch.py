"""What the desk shows of a market: a row a day, and the last turn in detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.crowds.persona_crowd import PersonaCrowd
from evobourse.market.book.book import Depth
from evobourse.market.book.order_events import Kind, Status
from evobourse.market.crowd import Crowd, DayOutcome, Message
from evobourse.market.crowds.chiarella_iori import Forecasters
from evobourse.market.crowds.market_maker import MarketMakers
from evobourse.market.crowds.noise_trader import NoiseTraders
from evobourse.market.crowds.person import RecordedPerson
from evobourse.market.hooks import Market
from evobourse.market.listing import Bar, Batch

YOU = "you"
_CROWDS: tuple[tuple[type[Crowd], str], ...] = (
    (MarketMakers, "market makers"),
    (NoiseTraders, "noise traders"),
    (Forecasters, "forecasters"),
    (RecordedPerson, YOU),
)
PRICE_BINS = 40
MOST_TEXTS, MOST_LETTERS = 200, 2_000
MOST_LINKS = 400


@dataclass(frozen=True)
class DayRow:
    """A day, as the page has it; lists are by group, see `Watch.groups`.

    Attributes
    ----------
    bar
        Open, high, low, close and settlement in ticks, and lots traded.
    halted
        Whether trading was halted at the close.
    tendency
        Mean tendency of the group's agents, -2 to 2; None where they have none.
    lots
        Mean position of the group's agents.
    profit
        What the group's accounts are worth over what they began with, less 1.
    wanted
        Lots bid for less lots offered, in orders let in.
    got
        Lots bought less lots sold.
    agents
        How many agents the group has.
    events
        Kinds of what happened from outside.
    """

    bar: tuple[int, int, int, int, int, int]
    halted: bool
    tendency: list[float | None]
    lots: list[float]
    profit: list[float]
    wanted: list[int]
    got: list[int]
    agents: list[int]
    events: list[str]

    def as_json(self) -> list[Any]:
        """Return the values in order."""
        return list(vars(self).values())


class Watch:
    """A journal of one exchange for the page; of days before the last it keeps a row each.

    Parameters
    ----------
    exchange
        At its first day.

    Attributes
    ----------
    groups
        Names of those who are told apart: personas, then the crowds beside them.
    personas
        Those of them that are personas.
    rows
        One a day; never changed in place but for appending.
    """

    def __init__(self, exchange: Market) -> None:
        self.rows: list[DayRow] = []
        self.groups: list[str] = []
        self.personas: list[str] = []
        self._first: dict[int, int] = {}  # first group of each crowd
        self._persona_crowd = -1
        for number, crowd in enumerate(exchange.floor.crowds):
            self._first[number] = len(self.groups)
            if isinstance(crowd, PersonaCrowd):
                self._persona_crowd = number
                self.personas += [persona.name for persona in crowd.population.personas]
                self.groups += [persona.name for persona in crowd.population.personas]
            else:
                called = next(name for kind, name in _CROWDS if isinstance(crowd, kind))
                again = sum(name.startswith(called) for name in self.groups)
                self.groups.append(f"{called} {again + 1}" if again else called)
        self._endowed = exchange.ledger.equity_cents()[: exchange.n_agents].astype(np.float64)
        self._group = self.group_of(exchange)
        self._tendency = np.full(len(self.groups), np.nan)
        self.book: dict[str, Any] = {}
        self.texts: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []

    def group_of(self, exchange: Market) -> NDArray[np.int64]:
        """Return the present group of each agent, int64[n]."""
        groups = np.zeros(exchange.n_agents, np.int64)
        for number, (crowd, start, stop) in enumerate(exchange.floor.seats()):
            own = crowd.persona if isinstance(crowd, PersonaCrowd) else 0
            groups[start:stop] = self._first[number] + own
        return groups

    def forked(self, day: int) -> Watch:
        """Return a journal that knows the days before ``day``."""
        copied = object.__new__(Watch)
        copied.__dict__ |= self.__dict__
        copied.rows, copied._tendency = self.rows[:day], self._tendency.copy()
        copied.book, copied.texts, copied.messages = {}, [], []
        return copied

    def turn_over(
        self, exchange: Market, messages: Sequence[Message], depth: Sequence[Depth | None]
    ) -> None:
        """Take in tendencies, orders, messages and texts of a turn."""
        self._group = self.group_of(exchange)
        if exchange.turn == 0:
            self.texts, self.messages = [], []
        for crowd, start, stop in exchange.floor.seats():
            columns = crowd.decisions()
            if len(columns.get("tendency", ())):
                group = self._group[start:stop][np.asarray(columns["agent"])]
                count = np.bincount(group, minlength=len(self.groups))
                total = np.bincount(group, columns["tendency"], minlength=len(self.groups))
                held = count > 0
                self._tendency[held] = total[held] / count[held]
            self._keep_texts(crowd, start, exchange)
        for message in messages:
            heard = exchange.n_agents if message.agents is None else len(message.agents)
            said = {"kind": message.kind, "text": message.text, "source": message.source}
            self.messages.append({**said, "heard": heard})
        listing = exchange.listings[0]
        batches = [batch for batch in listing.batches if batch.turn == exchange.turn]
        self.book = orders_by_price(batches) | {
            "turn": exchange.turn,
            "clearing": exchange.rules.turns[exchange.turn],
            "last": int(listing.book.last_ticks),
            "limits": [int(limit) for limit in listing.limits_ticks],
        }

    def day_over(
        self,
        exchange: Market,
        outcome: DayOutcome,
        bars: Sequence[Bar],
        limits_ticks: NDArray[np.int64],
    ) -> None:
        """Add the day's row."""
        n, groups, group = exchange.n_agents, len(self.groups), self._group
        for crowd, start, _ in exchange.floor.seats():
            self._keep_texts(crowd, start, exchange)
        wanted, got = net_lots(exchange.listings[0].batches, n)
        count = np.bincount(group, minlength=groups)
        least_one = np.maximum(count, 1)

        def summed(values: NDArray[Any]) -> NDArray[np.float64]:
            return np.bincount(group, values, minlength=groups).astype(np.float64)

        ledger, bar = exchange.ledger, bars[0]
        equity, endowed = summed(ledger.equity_cents()[:n]), summed(self._endowed)
        tendency = [None if np.isnan(mean) else round(float(mean), 3) for mean in self._tendency]
        self.rows.append(
            DayRow(
                (
                    bar.open_ticks,
                    bar.high_ticks,
                    bar.low_ticks,
                    bar.close_ticks,
                    int(outcome.settle_ticks[0]),
                    bar.volume,
                ),
                exchange.listings[0].halted,
                [
                    mean if there else None
                    for mean, there in zip(tendency, count.tolist(), strict=True)
                ],
                np.round(summed(ledger.position[:n, 0]) / least_one, 1).tolist(),
                np.round(equity / np.maximum(endowed, 1.0) - (count > 0), 5).tolist(),
                summed(wanted).astype(np.int64).tolist(),
                summed(got).astype(np.int64).tolist(),
                count.tolist(),
                [event.kind for event in exchange.happened],
            )
        )

    def _keep_texts(self, crowd: Crowd, first: int, exchange: Market) -> None:
        columns = crowd.texts()
        for agent, kind, text in zip(
            columns.get("agent", ()), columns.get("kind", ()), columns.get("text", ()), strict=True
        ):
            row = first + int(agent)
            who = self.groups[self._group[row]]
            said = {"turn": exchange.turn, "agent": row, "who": who, "kind": str(kind)}
            self.texts.append({**said, "text": str(text)[:MOST_LETTERS]})
        self.texts = self.texts[-MOST_TEXTS:]


def net_lots(batches: Sequence[Batch], agents: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what each agent wanted and what it got on a day, bought less sold: int64[n] each."""
    wanted, got = np.zeros(agents, np.int64), np.zeros(agents, np.int64)
    for batch in batches:
        agent, lots, side = _let_in(batch)[:3]
        own = agent < agents  # an impact turn's dealer is no agent
        np.add.at(wanted, agent[own], (lots * side)[own])
        for party, sign in ((batch.fills.buyer, 1), (batch.fills.seller, -1)):
            own = party < agents
            np.add.at(got, party[own], sign * batch.fills.quantity[own])
    return wanted, got


def orders_by_price(batches: Sequence[Batch]) -> dict[str, Any]:
    """Return a turn's orders in bins of price: lots bid and offered, and those of them filled.

    Limits beyond the 2nd and 98th percentile are counted in the outermost bins.
    """
    rows = [_let_in(batch) for batch in batches]
    _, lots, side, price, filled = (
        np.concatenate([row[column] for row in rows] or [np.zeros(0, np.int64)])
        for column in range(5)
    )
    if not len(price):
        return {"low": 0, "step": 1, "bid": [], "ask": [], "bid_filled": [], "ask_filled": []}
    low, high = (int(edge) for edge in np.percentile(price, (2, 98)))
    step = max(1, -(-(high - low + 1) // PRICE_BINS))
    place = np.clip((price - low) // step, 0, (high - low) // step)
    found: dict[str, Any] = {"low": low, "step": step}
    for name, sign in (("bid", 1), ("ask", -1)):
        own = side == sign
        for key, values in ((name, lots), (f"{name}_filled", filled)):
            binned = np.bincount(place[own], values[own], minlength=int((high - low) // step) + 1)
            found[key] = binned.astype(np.int64).tolist()
    return found


def describe_society(exchange: Market) -> dict[str, Any] | None:
    """Return who is linked with whom and who has heard which rumour; None without a society."""
    crowd = next((c for c in exchange.floor.crowds if isinstance(c, PersonaCrowd)), None)
    if crowd is None or crowd.life is None:
        return None
    life = crowd.life
    links = life.links
    strongest = np.argsort(-links.similarity, kind="stable")[:MOST_LINKS]
    tellings = life.tables().get("tellings", {})
    return {
        "persona": crowd.persona.tolist(),
        "mood": np.round(life.mood, 2).tolist(),
        "links": np.stack([links.agent, links.other], axis=1)[strongest].tolist(),
        "count": len(links.agent),
        "told": [
            [int(teller), int(hearer)]
            for hearer, teller in zip(
                tellings.get("agent", ()), tellings.get("other", ()), strict=True
            )
        ][:MOST_LINKS],
        "rumours": [
            {
                "text": rumour.message.text,
                "day": rumour.day,
                "fresh": round(life.rumours.freshness(rumour, exchange.day), 3),
                "heard": rumour.heard_day.tolist(),
            }
            for rumour in life.rumours.current[-3:]
        ],
    }


def _let_in(batch: Batch) -> tuple[NDArray[np.int64], ...]:
    """Return agent, lots, side, limit and lots filled of the orders that a batch let in."""
    events = batch.events
    order = (events.kind <= Kind.REPLACE) & (batch.status != Status.REJECTED)
    columns = (events.agent, events.quantity, events.side, events.price_ticks, batch.filled)
    return tuple(np.asarray(column[order], np.int64) for column in columns)
