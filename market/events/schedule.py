"""A schedule of events: made in Python or read from YAML, applied in time, written down again."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evobourse.market.errors import MarketError
from evobourse.market.events.kinds import KINDS, CancelTrades, ChangeTerms, Event, Order, Windfall
from evobourse.market.events.values import AT_SETTLEMENT, Agents, Checked, Rows, kind_of
from evobourse.market.hooks import Applied, Market


class EventSchedule:
    """Events that happen to one exchange; a `market.hooks.Schedule`.

    All events are held against the exchange before its first turn: assets, agents, turns and
    terms that do not exist are refused there, not on the day. Events of one turn happen in the
    order in which they were given; at settlement trades are cancelled first.

    Parameters
    ----------
    events : iterable of Event
        What happens.
    rng : numpy.random.Generator, optional
        Draws the agents of events that concern a share of them, all before the first turn, in
        the order of the events.
    source : str
        What a complaint calls the schedule.

    Attributes
    ----------
    applied : list of Applied
        What has happened so far.
    """

    def __init__(
        self,
        events: Iterable[Event] = (),
        rng: np.random.Generator | None = None,
        source: str = "schedule",
    ) -> None:
        self.applied: list[Applied] = []
        self._events: list[Event] = []
        self._rows: list[Rows | None] = []
        self._due: dict[tuple[int, int], list[int]] = {}
        self._rng = rng
        self._source = source
        self._exchange: Market | None = None
        self._past = (-1, 0)
        for event in events:
            self.add(event)

    @property
    def events(self) -> tuple[Event, ...]:
        """All events, past and to come, in the order in which they were given."""
        return tuple(self._events)

    def add(self, event: Event) -> None:
        """Let something else happen, also while an exchange runs.

        Parameters
        ----------
        event : Event
            For a turn or settlement that has not come yet.

        Raises
        ------
        MarketError
            If its time is past, or it does not fit the exchange that runs.
        """
        if event.moment <= self._past:
            raise MarketError(
                f"{self._where(len(self._events), event)}: this moment is past; name a later one"
            )
        self._events.append(event)
        self._rows.append(None)
        if self._exchange is not None:
            try:
                self._choose(len(self._events) - 1, self._exchange)
                self._rehearse(self._exchange)
            except MarketError:
                self._events.pop()
                self._rows.pop()
                raise
        self._due.setdefault(event.moment, []).append(len(self._events) - 1)

    def remove(self, event: Event) -> None:
        """Let an event that has not come yet not happen after all; of equal ones the last.

        Raises
        ------
        MarketError
            If there is none, or its time is past.
        """
        rows = [row for row, own in enumerate(self._events) if own == event]
        if not rows or event.moment <= self._past:
            raise MarketError(
                f"{self._source}: no {kind_of(type(event))} is to come on day {event.day}"
            )
        row = rows[-1]
        del self._events[row], self._rows[row]
        self._due = {}
        for place, own in enumerate(self._events):
            if own.moment > self._past:
                self._due.setdefault(own.moment, []).append(place)

    def begin(self, exchange: Market) -> None:
        """Hold all events against an exchange, once; its first turn does it at the latest.

        Raises
        ------
        MarketError
            If an event does not fit the exchange.
        """
        if self._exchange is not None:
            return
        for row, event in enumerate(self._events):
            if event.moment < (exchange.day, exchange.turn):
                raise MarketError(
                    f"{self._where(row, event)}: the exchange has played {exchange.day} days "
                    "already; name a later one"
                )
            self._choose(row, exchange)
        self._rehearse(exchange)
        self._exchange = exchange

    def before_turn(self, exchange: Market) -> None:
        """Apply what is due before this turn.

        Raises
        ------
        MarketError
            If an event does not fit the exchange, or the schedule belongs to another one.
        """
        self.begin(exchange)
        if exchange is not self._exchange:
            raise MarketError(f"{self._source} runs at another exchange; make one for each")
        self._apply((exchange.day, exchange.turn), exchange)

    def before_settlement(self, exchange: Market) -> None:
        """Apply what is due at the day's settlement."""
        self._apply((exchange.day, AT_SETTLEMENT), exchange)

    def to_yaml(self) -> str:
        """Write all events so that `load_schedule` reads the same ones."""
        entries = [plain_event(event) for event in self._events]
        text = yaml.safe_dump({"events": entries}, sort_keys=False, allow_unicode=True)
        if any(line_break in text for line_break in "\x85\u2028\u2029"):
            # PyYAML reads these, written as they are, as spaces.
            text = yaml.safe_dump({"events": entries}, sort_keys=False)
        return text

    def _choose(self, row: int, exchange: Market) -> None:
        event = self._events[row]
        agents = getattr(event, "agents", None)
        if agents is not None:
            with _located(self._where(row, event)):
                self._rows[row] = agents.choose(exchange, self._rng)

    def _rehearse(self, exchange: Market) -> None:
        """Refuse events to come with an asset, turn or term that does not exist."""
        turns = len(exchange.rules.turns)
        terms = [listing.instrument for listing in exchange.listings]
        to_come = [row for row, event in enumerate(self._events) if event.moment > self._past]
        for row in sorted(to_come, key=lambda row: self._events[row].moment):
            event = self._events[row]
            with _located(self._where(row, event)):
                if getattr(event, "turn", 0) >= turns:
                    raise MarketError(f"the exchange's turns are 0 to {turns - 1}")
                name = getattr(event, "asset", None)
                asset = None if name is None else exchange.asset(name)
                if asset is not None and isinstance(event, ChangeTerms):
                    terms[asset] = replace(terms[asset], **event.changes)
                if isinstance(event, Order):
                    event.check(exchange)
                future = asset is not None and terms[asset].kind == "future"
                if future and isinstance(event, Windfall):
                    raise MarketError(f"{name!r} is a future; grant cash or an equity")

    def _apply(self, moment: tuple[int, int], exchange: Market) -> None:
        due = self._due.pop(moment, [])
        for row in sorted(due, key=lambda row: not isinstance(self._events[row], CancelTrades)):
            event = self._events[row]
            with _located(self._where(row, event)):
                detail = event.apply(exchange, self._rows[row])
            asset = getattr(event, "asset", None) or ""
            kind = kind_of(type(event))
            self.applied.append(
                Applied(exchange.day, exchange.turn, kind, asset, json.dumps(detail))
            )
        self._past = moment

    def _where(self, row: int, event: Event) -> str:
        turn = f", turn {event.moment[1]}" if hasattr(event, "turn") else ""
        return f"{self._source}: events[{row}] ({kind_of(type(event))}, day {event.day}{turn})"


def load_schedule(path: Path, rng: np.random.Generator | None = None) -> EventSchedule:
    """Read a schedule from YAML: a mapping with a list ``events``, see docs/events.md.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    rng : numpy.random.Generator, optional
        As in `EventSchedule`.

    Raises
    ------
    MarketError
        The file is missing or no such list, an event's kind or key is unknown (the nearest valid
        one is named), a key is missing, or a value is refused.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # of another encoding, or a name with a null in it
        reason = getattr(error, "strerror", None) or error
        raise MarketError(f"{path}: cannot be read ({reason}); name a schedule") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise MarketError(f"{path}: no valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(raw, dict) or list(raw) != ["events"] or not isinstance(raw["events"], list):
        raise MarketError(f"{path}: expected the key events alone, a list of what happens")
    events = [
        read_event(entry, f"{path}: events[{row}]") for row, entry in enumerate(raw["events"])
    ]
    return EventSchedule(events, rng, str(path))


def read_event(entry: Any, where: str) -> Event:
    """Make an event of what YAML or JSON says of it.

    Parameters
    ----------
    entry : mapping
        Its kind and its values.
    where : str
        What a complaint begins with.

    Raises
    ------
    MarketError
        As `load_schedule`.
    """
    if not isinstance(entry, Mapping) or "kind" not in entry:
        raise MarketError(f"{where} is {entry!r}, expected a mapping with kind: {', '.join(KINDS)}")
    kind = entry["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise MarketError(f"{where}: unknown kind {kind!r}; {_nearest(kind, KINDS)}")
    values = {key: value for key, value in entry.items() if key != "kind"}
    event: Event = _make(KINDS[kind], values, where, kind)
    return event


def plain_event(event: Event) -> dict[str, Any]:
    """Return an event as `read_event` takes it: kind and what is set, as YAML and JSON have it."""
    return {"kind": kind_of(type(event)), **_plain(event)}


def _make(made: type[Checked], values: Mapping[Any, Any], where: str, name: str) -> Any:
    known: dict[str, Field[Any]] = {item.name: item for item in fields(made)}
    for key in values:
        if key not in known:
            raise MarketError(f"{where}: {name} has no key {key!r}; {_nearest(key, known)}")
    for key, item in known.items():
        if item.default is MISSING and key not in values:
            raise MarketError(f"{where}: {name} lacks {key}; give it a value")
    given = dict(values)
    if isinstance(given.get("agents"), Mapping):
        given["agents"] = _make(Agents, given["agents"], where, "agents")
    elif "agents" in given:
        everyone = given["agents"] == "all"
        with _located(where):
            given["agents"] = Agents() if everyone else Agents(rows=given["agents"])
    with _located(where):
        return made(**given)


def _nearest(key: Any, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(key), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(known)}"


def _plain(item: Checked) -> dict[str, Any]:
    """Return what is set, in plain types, as YAML has it."""
    defaults = {column.name: column.default for column in fields(item)}
    values = {name: getattr(item, name) for name in defaults}
    values = {name: value for name, value in values.items() if value != defaults[name]}
    if isinstance(agents := values.get("agents"), Agents):
        values["agents"] = list(agents.rows) if agents.rows else _plain(agents) or "all"
    return values


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Put a place before the message of a MarketError raised within."""
    try:
        yield
    except MarketError as error:
        raise MarketError(f"{where}: {error}") from error
