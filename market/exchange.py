"""An exchange: several assets, crowds and turns a day, through books, accounts and settlement.

Prices, credit and margins are left to books and ledger, what is kept to a journal, and what
happens from outside to a schedule.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.market.book.book import MAX_TICKS, Depth
from evobourse.market.book.order_events import Kind, OrderEvents, TimeInForce
from evobourse.market.crowd import Clearing, Crowd, DayOutcome, Message, Orders, event_columns
from evobourse.market.errors import MarketError
from evobourse.market.hooks import Applied, Journal, Schedule
from evobourse.market.instruments import Instrument
from evobourse.market.ledger import Ledger
from evobourse.market.listing import Batch, Listing
from evobourse.market.philox import arrival_times, draw_key
from evobourse.market.seating import Floor
from evobourse.market.session import SessionRules


class Exchange:
    """Assets traded by crowds, day by day.

    Parameters
    ----------
    instruments : sequence of Instrument
        The assets, A of them; their names differ.
    history_ticks : sequence of NDArray[np.int64]
        Closes of each asset before day 0 in ticks, shape [H], H >= 1, over 0; copied.
    crowds : sequence of Crowd
        Who trades. The agents of the second follow those of the first, and so on.
    cash_cents, position : NDArray[np.int64]
        Endowments of all agents, shapes [n] and [n, A], as in :class:`~market.ledger.Ledger`.
    rng : numpy.random.Generator
        Gives the key by which the order of arrival in each turn is drawn, and nothing else. Of
        several crowds each has a key of its own, and an order's time depends on its agent and turn
        alone: who sends nothing leaves the others' arrival as it is, so that runs with and without
        can be paired.
    rules : SessionRules, optional
        The turns of a day; one call auction if left out.
    schedule : Schedule, optional
        News, shocks, changed rules and authored settlements.
    journal : Journal, optional
        What keeps a record.

    Attributes
    ----------
    day, turn : int
        Days finished, and the turn that is played, or is next.
    listings : list of Listing
        The assets: terms, books, prices.
    ledger : Ledger
        All accounts; where turns of kind "impact" occur, the last one is their dealer's.
    schedule : Schedule or None
        What happens to it from outside.

    Raises
    ------
    MarketError
        If names repeat, a history is no prices, or endowments do not fit.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        history_ticks: Sequence[NDArray[np.int64]],
        crowds: Sequence[Crowd],
        cash_cents: NDArray[np.int64],
        position: NDArray[np.int64],
        rng: np.random.Generator,
        rules: SessionRules | None = None,
        schedule: Schedule | None = None,
        journal: Journal | None = None,
    ) -> None:
        names = [item.name for item in instruments]
        if not names or len(set(names)) != len(names) or len(history_ticks) != len(names):
            raise MarketError(
                f"received instruments {names} and {len(history_ticks)} histories, expected "
                "different names and a history for each"
            )
        self.rules = rules or SessionRules()
        self.floor = Floor(crowds, len(names))
        self.day, self.turn = 0, 0
        if len(cash_cents) != self.n_agents:
            raise MarketError(
                f"received {len(cash_cents)} accounts, expected {self.n_agents}: the crowds have "
                f"{[crowd.n_agents for crowd in crowds]} agents"
            )
        self.listings = [
            Listing(item, history, self.rules.self_trade)
            for item, history in zip(instruments, history_ticks, strict=True)
        ]
        dealers = int("impact" in self.rules.turns)
        self.ledger = Ledger(
            instruments,
            np.append(cash_cents, np.zeros(dealers, np.int64)),
            np.vstack([position, np.zeros((dealers, len(names)), np.int64)]),
            np.array([listing.reference_ticks for listing in self.listings]),
            dealer=bool(dealers),
        )
        streams = [rng] if len(crowds) == 1 else rng.spawn(len(crowds))
        self._arrival = [draw_key(stream) for stream in streams]
        self.schedule = schedule
        self._journal = journal
        self._messages: list[Message] = []

    @property
    def happened(self) -> list[Applied]:
        """What happened today from outside."""
        applied = () if self.schedule is None else self.schedule.applied
        return [event for event in applied if event.day == self.day]

    @property
    def n_agents(self) -> int:
        """Agents of all crowds."""
        return self.floor.n_agents

    def asset(self, name: str) -> int:
        """Return the row of an asset.

        Raises
        ------
        MarketError
            If there is no such asset.
        """
        names = [listing.instrument.name for listing in self.listings]
        if name not in names:
            raise MarketError(f"no asset {name!r}, expected one of {names}")
        return names.index(name)

    def run(self, days: int, on_day: Callable[[int], None] | None = None) -> None:
        """Play days, on top of those already played.

        Parameters
        ----------
        days : int
            How many.
        on_day : callable, optional
            Called with the number of each day when it is over.
        """
        for _ in range(days):
            self.play_day()
            if on_day is not None:
                on_day(self.day - 1)

    def play_day(self) -> DayOutcome:
        """Play what is left of a day's turns, settle, and tell the crowds and the journal.

        Returns
        -------
        DayOutcome
            What the day came to; agents are rows of all crowds.

        Raises
        ------
        MarketError
            If a crowd sends an order for an agent or asset that does not exist, or withdraws by
            anything but a cancel.
        """
        while (outcome := self.play_turn()) is None:
            pass
        return outcome

    def play_turn(self) -> DayOutcome | None:
        """Play the next turn; after a day's last one settle, and return what the day came to.

        Raises
        ------
        MarketError
            As `play_day`.
        """
        if self.turn == 0:
            for listing in self.listings:
                listing.open_day()
        self._play_turn(self.rules.turns[self.turn])
        if self.turn < len(self.rules.turns) - 1:
            self.turn += 1
            return None
        return self._settle_day()

    def keep(self, journal: Journal | None) -> None:
        """Let a journal keep what happens from now on, or none."""
        self._journal = journal

    def send(self, message: Message) -> None:
        """Let agents hear something before the next turn; agents are rows of all crowds."""
        self._messages.append(message)

    def grant(self, agent: int, cash_cents: int = 0, asset: int = 0, quantity: int = 0) -> None:
        """Hand an agent cash or lots, or take them away; see :meth:`market.ledger.Ledger.grant`."""
        if not 0 <= agent < self.n_agents:
            raise MarketError(f"windfall for agent {agent}, expected 0 to {self.n_agents - 1}")
        self.ledger.grant(agent, cash_cents, asset, quantity)

    def halt(self, asset: int, halted: bool = True) -> None:
        """Take no more orders for an asset, or take them again; cancels are always taken."""
        self.listings[asset].halted = halted

    def change_terms(self, asset: int, **changes: Any) -> None:
        """Change fields of an instrument from the next turn on: price limit, margins, costs.

        Raises
        ------
        MarketError
            If a field does not exist or is one that stays, or a value is refused.
        """
        stay = {"name", "kind", "tick_cents", "lot_units"}
        allowed = sorted(set(Instrument.__dataclass_fields__) - stay)
        if wrong := sorted(changes.keys() - set(allowed)):
            raise MarketError(f"cannot change {wrong[0]!r} of an instrument, use one of {allowed}")
        listing = self.listings[asset]
        listing.instrument = replace(listing.instrument, **changes)
        self.ledger.change_terms(asset, listing.instrument)

    def override_settlement(self, asset: int, settle_ticks: int) -> None:
        """Settle an asset today at this price, whatever was traded; its close follows.

        Raises
        ------
        MarketError
            If no book could take orders around the price.
        """
        if not 1 <= settle_ticks < MAX_TICKS // 2:
            raise MarketError(
                f"settlement of {self.listings[asset].instrument.name!r} at {settle_ticks} ticks, "
                f"expected 1 to {MAX_TICKS // 2 - 1}"
            )
        self.listings[asset].override_ticks = settle_ticks

    def cancel_trades(self, asset: int) -> None:
        """Annul today's trades in an asset at settlement: cash, lots, fees and taxes go back."""
        self.listings[asset].annulled = True

    def _play_turn(self, clearing: Clearing) -> None:
        if self.schedule is not None:
            self.schedule.before_turn(self)
        self._withdraw_what_no_longer_holds()
        messages, self._messages = self._messages, []
        depth = self._depth()
        listings, floor = self.listings, self.floor
        shown = listings, self.ledger, depth, messages, self._time
        floor.observe(self.day, self.turn, clearing, *shown)
        submitted = floor.orders()
        orders = floor.together(submitted)
        sequence = self._draw_arrival(submitted)
        events, asset_of = self._events(orders, sequence)
        refused = self.ledger.screen(
            events,
            asset_of,
            self.ledger.holds([listing.book.resting for listing in listings]),
            np.array([listing.limits_ticks for listing in listings]),
            np.array([listing.book.last_ticks for listing in listings]),
            np.array([listing.halted for listing in listings]),
        )
        fate = np.zeros((3, len(orders)), np.int64)
        for asset in range(len(listings)):
            rows = np.flatnonzero(asset_of == asset)
            batch, own = self._match(asset, clearing, events[rows], refused[rows])
            came = (batch.filled[own], batch.reason[own], batch.number[own])
            fate[:, sequence[rows]] = np.stack(came)
        self._withdraw(floor.report(submitted, fate))
        if self._journal is not None:
            self._journal.turn_over(self, messages, depth)

    def _match(
        self,
        asset: int,
        clearing: Clearing,
        events: OrderEvents,
        refused: NDArray[np.int8],
    ) -> tuple[Batch, slice]:
        """Play one asset's turn; return what came of it, and where the crowds' orders stand."""
        listing, last_turn = self.listings[asset], self.turn == len(self.rules.turns) - 1
        forced = self._forced(asset)
        auction = clearing == "call" and not listing.halted
        before = [self._request(Kind.CALL)] if auction else []
        after = [self._request(Kind.UNCROSS)] if auction else []
        if clearing == "impact":
            batch = listing.fill_at_impact(
                self.turn,
                OrderEvents.concatenate([forced, events]),
                np.concatenate([np.zeros(len(forced), np.int8), refused]),
                self.rules.impact_per_lot,
                dealer=self.n_agents,
            )
            start = len(forced)
        else:
            after += [self._request(Kind.END_DAY)] if last_turn else []
            start = len(before) + len(forced)
            none = np.zeros(start, np.int8), np.zeros(len(after), np.int8)
            batch = listing.process(
                self.turn,
                OrderEvents.concatenate([*before, forced, events, *after]),
                np.concatenate([none[0], refused, none[1]]),
            )
        if clearing == "impact" and last_turn:
            listing.process(self.turn, self._request(Kind.END_DAY))
        fills = batch.fills
        self.ledger.trade(asset, fills.buyer, fills.seller, fills.price_ticks, fills.quantity)
        done = slice(start - len(forced), start)
        self.ledger.queued[forced.agent, asset] -= forced.side * batch.filled[done]
        return batch, slice(start, start + len(events))

    def _settle_day(self) -> DayOutcome:
        if self.schedule is not None:
            self.schedule.before_settlement(self)
        limits_ticks = np.array([listing.limits_ticks for listing in self.listings])
        before = self.ledger.mark_ticks
        settle_ticks = before.copy()
        for asset, listing in enumerate(self.listings):
            if listing.annulled:
                self.ledger.annul(asset)
            settle_ticks[asset] = listing.override_ticks or listing.vwap_ticks() or before[asset]
        called = self.ledger.settle(settle_ticks)
        references = np.array([listing.reference_ticks for listing in self.listings])
        bars = [
            listing.close_day(int(price))
            for listing, price in zip(self.listings, settle_ticks, strict=True)
        ]
        outcome = DayOutcome(
            self.day,
            references,
            np.array([bar.close_ticks for bar in bars]),
            settle_ticks,
            np.array([bar.volume for bar in bars]),
            called,
        )
        self.floor.settled(outcome)
        if self._journal is not None:
            self._journal.day_over(self, outcome, bars, limits_ticks)
        self.day, self.turn = self.day + 1, 0
        return outcome

    def _withdraw_what_no_longer_holds(self) -> None:
        """Cancel what rests outside the price band, or is no longer covered by its account.

        The orders of an agent without free cash all go. Cash goes by losses marked to market,
        higher margins and windfalls taken away, none of which happens within a turn.
        """
        outside = [listing.apply_limits() for listing in self.listings]
        holds = self.ledger.holds([listing.book.resting for listing in self.listings])
        short = self.ledger.cash_cents < holds.cash_cents + holds.margin_cents
        for listing, gone in zip(self.listings, outside, strict=True):
            resting = listing.book.resting
            leaving = short[resting.agent] | np.isin(resting.number, gone)
            if leaving.any():
                listing.process(
                    self.turn,
                    OrderEvents.of(
                        np.full(leaving.sum(), Kind.CANCEL),
                        time=self._time,
                        agent=resting.agent[leaving],
                        target=resting.number[leaving],
                    ),
                )

    def _forced(self, asset: int) -> OrderEvents:
        """Return the market orders that reduce positions by force, what is left of them."""
        queued, position = self.ledger.queued[:, asset], self.ledger.position[:, asset]
        agents = np.flatnonzero(queued)
        if self.listings[asset].halted:
            agents = agents[:0]
        lots = np.minimum(np.abs(queued[agents]), np.abs(position[agents]))
        return OrderEvents.of(
            np.full(len(agents), Kind.MARKET),
            time=self._time,
            agent=agents,
            side=np.sign(queued[agents]),
            quantity=lots,
            time_in_force=TimeInForce.IMMEDIATE_OR_CANCEL,
        )

    def _depth(self) -> list[Depth | None]:
        books = [listing.book for listing in self.listings]
        if self.rules.turns == ("call",) and not any(len(book.resting) for book in books):
            return [None] * len(books)
        return [book.depth(self.rules.depth_levels) for book in books]

    def _draw_arrival(self, submitted: Sequence[Orders]) -> NDArray[np.int64]:
        """Return the rows of all crowds' orders by arrival."""
        times = [
            arrival_times(own.agent, self.day, self.turn, key)
            for key, own in zip(self._arrival, submitted, strict=True)
        ]
        return np.argsort(np.concatenate(times), kind="stable")

    def _events(
        self, orders: Orders, sequence: NDArray[np.int64]
    ) -> tuple[OrderEvents, NDArray[np.int16]]:
        """Return orders as events by arrival, and the asset of each."""
        time = np.full(len(orders), self._time)
        events = OrderEvents(time=time, **event_columns(orders))
        return events[sequence], orders.column("asset")[sequence]

    def _withdraw(self, cancels: Orders) -> None:
        events, asset_of = self._events(cancels, np.arange(len(cancels)))
        for asset in np.unique(asset_of):
            rows = np.flatnonzero(asset_of == asset)
            self.listings[asset].process(self.turn, events[rows])

    def _request(self, kind: Kind) -> OrderEvents:
        return OrderEvents.of([kind], time=self._time, side=1)

    @property
    def _time(self) -> int:
        return self.day * len(self.rules.turns) + self.turn
