"""The thread that plays a session: it alone touches the market, and shows what others may read."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.experiments.desk.facts import FactBands
from evobourse.experiments.desk.session import Session
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.watch import DayRow, describe_society
from evobourse.market.crowds.person import RecordedPerson
from evobourse.market.events.schedule import plain_event

SHOW_SECONDS = 0.05
FACTS_SECONDS = 1.0
FASTEST = 1_000.0
PAST_DAYS = 250


@dataclass(frozen=True)
class Line:
    """A line of days as the page has it: its first ``days`` rows, of an edition of them."""

    edition: int
    rows: list[DayRow]
    days: int
    parent: tuple[str, int] | None


@dataclass(frozen=True)
class Shown:
    """What can be seen at one moment; nothing in it changes.

    Attributes
    ----------
    lines
        The session's lines of days.
    parts
        Everything else, by name; a part that has not changed is the same object as before.
    """

    lines: Mapping[str, Line]
    parts: Mapping[str, Any]


class Player:
    """Plays a session in a thread of its own, and does what it is asked to between two turns.

    Parameters
    ----------
    session
        What is played.
    real_ticks
        Real closes after the history where they are known, shape [R].

    Attributes
    ----------
    shown : Shown
        The present state; replaced, never changed.
    """

    def __init__(self, session: Session, real_ticks: NDArray[np.int64] | None = None) -> None:
        self.session = session
        self.playing, self.days_a_second = False, 5.0
        self._tasks: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]
        self._tasks = queue.SimpleQueue()
        self._editions: dict[str, tuple[list[DayRow], int]] = {}
        self._parts: dict[str, Any] = {}
        self._notice: dict[str, Any] = {"text": "", "number": 0}
        self._due = self._shown_at = self._facts_at = 0.0
        self._bands = FactBands(session.history)
        real = [] if real_ticks is None else real_ticks[: session.size.days].tolist()
        self._parts["about"] = {
            "name": session.name,
            "bundle": str(session.log.settings["bundle"]),
            "folder": str(session.log.folder),
            "days": session.size.days,
            "agents": session.size.agents,
            "seed": session.size.seed,
            "turns": list(session.scenario.turns),
            "groups": session.branch.watch.groups,
            "personas": session.branch.watch.personas,
            "past": session.history[-PAST_DAYS:].tolist(),
            "real": real,
        }
        self.shown = self._look()
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)

    def start(self) -> None:
        """Begin to take commands."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the turn that is played; everything done so far is on disk."""
        self._tasks.put(None)

    def join(self) -> None:
        """Wait until the turn that is played is over."""
        self._thread.join()

    def say(self, text: str) -> None:
        """Show a line to whoever looks, from any thread."""
        self._notice = {"text": text, "number": self._notice["number"] + 1}
        parts = {**self.shown.parts, "notice": self._notice}
        self.shown = Shown(self.shown.lines, parts)

    def show_stage(self, stage: str) -> None:
        """Show what agents who think are at; called by whoever plays a turn."""
        parts = {**self.shown.parts, "stage": stage}
        self.shown = Shown(self.shown.lines, parts)

    def ask(self, command: Mapping[str, Any]) -> Future[Any]:
        """Let something be done before the next turn.

        Parameters
        ----------
        command
            ``do`` and its values: ``play``, ``pause``, ``step`` (``unit``: turn or day),
            ``speed`` (``days_a_second``), ``rewind`` (``day``), ``fork`` (``day``, ``name``),
            ``show`` (``branch``), ``happen`` (``event``), ``call_off`` (``index``), ``replay``.

        Returns
        -------
        Future
            Of what came of it: JSON, or the exception that refused it.

        Raises
        ------
        ConfigError
            There is no such command, or a value is missing or of another type.
        """
        done: Future[Any] = Future()
        self._tasks.put((self._reading(command), done))
        return done

    def _reading(self, command: Mapping[str, Any]) -> Callable[[], Any]:
        session = self.session

        def value(key: str, *kinds: type) -> Any:
            given = command.get(key)
            if type(given) not in kinds:
                raise ConfigError(f"{key} is {str(given)[:40]!r}, expected {kinds[0].__name__}")
            return given

        do = command.get("do")
        if do == "play":
            return lambda: self._play(True)
        if do == "pause":
            return lambda: self._play(False)
        if do == "step":
            unit = value("unit", str)
            if unit not in ("turn", "day"):
                raise ConfigError(f"unit is {unit[:40]!r}, expected turn or day")
            return lambda: self._step(unit)
        if do == "speed":
            speed = value("days_a_second", int, float)
            if not 0.01 <= speed <= FASTEST:
                raise ConfigError(f"days_a_second is {speed}, expected 0.01 to {FASTEST:.0f}")
            return lambda: self._set_speed(float(speed))
        if do == "rewind":
            day = value("day", int)
            return lambda: session.rewind(day)
        if do == "fork":
            day, name = value("day", int), value("name", str, type(None))
            return lambda: session.fork(day, name)
        if do == "show":
            name = value("branch", str)
            return lambda: session.show(name)
        if do == "happen":
            event = value("event", dict)
            return lambda: plain_event(session.happen(event))
        if do == "call_off":
            index = value("index", int)
            return lambda: session.call_off(index)
        if do == "replay":
            return session.replay
        raise ConfigError(f"do is {str(do)[:40]!r}, which a desk does not do")

    def _play(self, playing: bool) -> None:
        if playing and self.session.over:
            raise ConfigError("the session's days are over; go back, or branch from a day")
        self.playing, self._due = playing, time.monotonic()

    def _set_speed(self, days_a_second: float) -> None:
        self.days_a_second, self._due = days_a_second, time.monotonic()

    def _step(self, unit: str) -> None:
        self.playing = False
        while not self.session.play_turn() and unit == "day":
            pass

    def _run(self) -> None:
        while True:
            wait = max(0.0, self._due - time.monotonic()) if self.playing else None
            try:
                task = self._tasks.get(timeout=wait) if wait != 0.0 else self._tasks.get_nowait()
            except queue.Empty:
                self._go_on()
                continue
            if task is None:
                return
            work, done = task
            result, refusal = None, None
            try:
                result = work()
            except Exception as error:  # told to whoever asked, whatever it is
                refusal = error
            self.shown = self._look()  # seen before it is answered
            if refusal is None:
                done.set_result(result)
            else:
                done.set_exception(refusal)

    def _go_on(self) -> None:
        """Play the turn that is due."""
        session = self.session
        try:
            ended = session.play_turn()
        except Exception as error:
            self.playing = False
            self.say(" ".join(str(error).split()))
            ended = True
        turns = len(session.scenario.turns)
        now = time.monotonic()
        # a market that cannot keep up does not hurry afterwards
        self._due = max(self._due + 1.0 / (self.days_a_second * turns), now - 1.0)
        if session.over:
            self.playing = False
        if not self.playing or (now - self._shown_at > SHOW_SECONDS and (ended or turns > 1)):
            self.shown = self._look()

    def _look(self) -> Shown:
        session, branch = self.session, self.session.branch
        self._shown_at = time.monotonic()
        lines = {}
        for name, one in session.branches.items():
            rows, edition = self._editions.get(name, (None, -1))
            if rows is not one.watch.rows:
                edition += 1
                self._editions[name] = one.watch.rows, edition
            lines[name] = Line(edition, one.watch.rows, len(one.watch.rows), one.parent)
        exchange, watch = branch.exchange, branch.watch
        listing, ledger, own = exchange.listings[0], exchange.ledger, exchange.n_agents - 1
        person = exchange.floor.crowds[-1]
        terms = listing.instrument
        resting = listing.book.resting
        mine = resting.agent == own
        self._parts |= {
            "now": {
                "branch": branch.name,
                "day": branch.day,
                "turn": branch.turn,
                "playing": self.playing,
                "speed": self.days_a_second,
                "over": session.over,
                "halted": listing.halted,
                "terms": {
                    "price_limit": terms.price_limit,
                    "fee_bps": terms.fee_bps,
                    "sell_tax_bps": terms.sell_tax_bps,
                    "short_sales": terms.short_sales,
                    "initial_margin_bps": terms.initial_margin_bps,
                    "maintenance_margin_bps": terms.maintenance_margin_bps,
                },
                "last": int(listing.book.last_ticks),
                "limits": [int(limit) for limit in listing.limits_ticks],
                "scenario": f"{branch.name}.yaml",
            },
            "account": {
                "seated": isinstance(person, RecordedPerson),
                "cash_cents": int(ledger.cash_cents[own]),
                "lots": int(ledger.position[own, 0]),
                "equity_cents": int(ledger.equity_cents()[own]),
                "told": person.told if isinstance(person, RecordedPerson) else [],
                "resting": np.stack(
                    [
                        resting.number[mine],
                        resting.side[mine],
                        resting.remaining[mine],
                        resting.price_ticks[mine],
                    ],
                    axis=1,
                ).tolist(),
            },
            "book": watch.book,
            "said": {"messages": watch.messages, "texts": watch.texts},
            "events": {
                "happened": [_brief(plain_event(event)) for event in branch.happened],
                "to_come": [_brief(plain_event(event)) for event in branch.to_come],
            },
            "society": describe_society(exchange),
            "notice": self._notice,
            "stage": "",
        }
        if not self.playing or self._shown_at - self._facts_at > FACTS_SECONDS:
            self._facts_at = self._shown_at
            closes = [int(session.history[-1]), *(row.bar[3] for row in watch.rows)]
            self._parts["facts"] = self._bands.of(np.array(closes))
        before = getattr(self, "shown", Shown({}, {})).parts
        self._parts = {
            name: before[name] if name in before and before[name] == part else part
            for name, part in self._parts.items()
        }
        return Shown(lines, dict(self._parts))


def _brief(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event with the number of its agents for a long list of them."""
    agents = event.get("agents")
    return event | {"agents": len(agents)} if isinstance(agents, list) else event
