"""A market that can be taken back to any day, or into two: a line of days and its snapshots."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.exchange import pay_contests
from evobourse.experiments.simulate.watch import Watch
from evobourse.market.events.kinds import Event
from evobourse.market.events.schedule import EventSchedule
from evobourse.market.exchange import Exchange

FIRST_SPACING, MOST_SNAPSHOTS = 8, 24


class Branch:
    """One line of days: a market, what a person did to it, and copies of it at earlier days.

    A copy is exact, since everything that a market draws from is in it. Copies are taken at the
    start of every so many days; where they become too many every second one goes, so that a long
    line takes as much memory as a short one.

    Parameters
    ----------
    exchange
        Before its first turn, with an `EventSchedule`.
    shared
        What all copies may share: minds and tables, which no market changes.
    name
        Of the line.

    Attributes
    ----------
    happened : list of Event
        What the person did, in the order in which it was done.
    parent : tuple of (str, int) or None
        The line that it left, and the day.
    """

    def __init__(self, exchange: Exchange, shared: Sequence[object], name: str) -> None:
        self.name, self.parent = name, cast(tuple[str, int] | None, None)
        self.exchange = exchange
        self.happened: list[Event] = []
        self._shared = shared
        self.watch = Watch(exchange)
        exchange.keep(self.watch)
        schedule_of(exchange).begin(exchange)
        self._spacing = FIRST_SPACING
        self._snapshots: dict[int, tuple[Exchange, tuple[Event, ...]]] = {}
        self._snap()

    @property
    def day(self) -> int:
        """Days played."""
        return self.exchange.day

    @property
    def turn(self) -> int:
        """The turn that is next."""
        return self.exchange.turn

    @property
    def to_come(self) -> list[Event]:
        """What the person did that has not happened yet."""
        now = (self.day, self.turn)
        return [event for event in self.happened if event.moment >= now]

    def play_turn(self) -> bool:
        """Play the next turn; say whether it ended the day."""
        if self.exchange.play_turn() is None:
            return False
        pay_contests(self.exchange, self.day - 1)
        if self.day % self._spacing == 0:
            self._snap()
        return True

    def happen(self, event: Event) -> None:
        """Let something happen on a turn that has not come yet.

        Raises
        ------
        MarketError
            It does not fit the market, or its time is past.
        """
        schedule_of(self.exchange).add(event)
        self.happened.append(event)

    def call_off(self, event: Event) -> None:
        """Take back what has not happened yet.

        Raises
        ------
        MarketError
            There is no such event to come.
        """
        schedule_of(self.exchange).remove(event)
        last = len(self.happened) - 1 - self.happened[::-1].index(event)
        del self.happened[last]

    def rewind(self, day: int) -> None:
        """Go back to the start of a day; what the person did later is going to happen again.

        Raises
        ------
        ConfigError
            The day has not come yet.
        """
        self.exchange = self._restored(day, self.happened)
        self.watch = self.watch.forked(self.day)
        self.exchange.keep(self.watch)
        for later in [at for at in self._snapshots if at > day]:
            del self._snapshots[later]
        while self.day < day:
            self.play_turn()

    def fork(self, name: str, day: int) -> Branch:
        """Return a line that shares the days before ``day``, and has nothing to come."""
        kept = [event for event in self.happened if event.day < day]
        other = copy.copy(self)
        other.name, other.parent = name, (self.name, day)
        other.happened = kept
        other._snapshots = {at: one for at, one in self._snapshots.items() if at <= day}
        other.rewind(day)
        return other

    def _restored(self, day: int, happened: Sequence[Event]) -> Exchange:
        """Return a copy of the last snapshot up to a day, with these events to come."""
        if not 0 <= day <= self.day:
            raise ConfigError(f"day {day} has not come yet; name one from 0 to {self.day}")
        nearest = max(at for at in self._snapshots if at <= day)
        held, known = self._snapshots[nearest]
        exchange = self._copied(held)
        schedule = schedule_of(exchange)
        missing = list(happened)
        for event in known:
            if event in missing:
                missing.remove(event)
            elif event.day >= nearest:
                schedule.remove(event)
        for event in missing:
            if event.day >= nearest:
                schedule.add(event)
        return exchange

    def _snap(self) -> None:
        self._snapshots[self.day] = self._copied(self.exchange), tuple(self.happened)
        while len(self._snapshots) > MOST_SNAPSHOTS:
            self._spacing *= 2
            kept = [at for at in self._snapshots if at % self._spacing == 0]
            self._snapshots = {at: self._snapshots[at] for at in kept}

    def _copied(self, exchange: Exchange) -> Exchange:
        exchange.keep(None)  # a copy is given a journal when it is played on
        memo: dict[int, Any] = {id(one): one for one in self._shared}
        copied = copy.deepcopy(exchange, memo)
        exchange.keep(self.watch)
        return copied


def schedule_of(exchange: Exchange) -> EventSchedule:
    """Return what happens to an exchange, which is an `EventSchedule` here."""
    assert isinstance(exchange.schedule, EventSchedule)
    return exchange.schedule


def same_state(one: Exchange, other: Exchange) -> bool:
    """Say whether two markets have the same accounts, to the cent and the lot."""
    pairs = (
        (one.ledger.cash_cents, other.ledger.cash_cents),
        (one.ledger.position, other.ledger.position),
    )
    return all(np.array_equal(first, second) for first, second in pairs)
