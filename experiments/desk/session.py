"""A session at the desk: lines of days, what a person does to them, all of it on disk."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.stand_ins import Minds
from evobourse.evolve.bundle import Bundle
from evobourse.evolve.durable import replace_bytes
from evobourse.experiments.config.cast import Cast as Members
from evobourse.experiments.config.scenario import Scenario, Size, load_scenario
from evobourse.experiments.config.sections import write_yaml
from evobourse.experiments.desk.log import SessionLog
from evobourse.experiments.desk.plans import read_plans
from evobourse.experiments.desk.settings import CAST_FILE, desk_scenario
from evobourse.experiments.errors import ConfigError
from evobourse.experiments.simulate.branch import Branch, same_state
from evobourse.experiments.simulate.cast import asset_history, build_cast
from evobourse.experiments.simulate.exchange import build_scenario, record_run
from evobourse.market.errors import MarketError
from evobourse.market.events.kinds import Event
from evobourse.market.events.schedule import plain_event, read_event
from evobourse.market.exchange import Exchange

if TYPE_CHECKING:
    from evobourse.agents.deliberation.thinking import Thinker
    from evobourse.agents.encodings.encoded_minds import EncodedMinds

MOST_BRANCHES = 8

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,23}")
_WITH_ASSET = ("halt", "resume", "change_terms", "settle_at", "cancel_trades")


@dataclass(frozen=True)
class Cast:
    """Who plays.

    Attributes
    ----------
    bundle
        The population and its world.
    choices
        What its minds choose, or minds to be asked, see `simulate.exchange.build_scenario`.
    minds
        What answered, for contests; what answers, for members.
    members
        Who trades in the place of the bundle's personas; None for these.
    """

    bundle: Bundle
    choices: NDArray[np.float64] | EncodedMinds | Thinker
    minds: Minds | None = None
    members: Members | None = None


class Session:
    """Lines of days of one market, and what a person does to them.

    Everything that is done is in the log before it is answered. A log that holds a session
    already is played up to where that one was.

    Parameters
    ----------
    cast
        Who plays.
    log
        Its settings say where: ``agents``, ``days``, ``seed``, ``scenario``, ``events``.
    on_day
        Called with the name of a line and a day, while an old session is played again.

    Attributes
    ----------
    branches : dict
        The lines by name.
    shown : str
        The line that is played.

    Raises
    ------
    ConfigError, MarketError
        The scenario, or a line of the log, cannot be.
    """

    def __init__(
        self,
        cast: Cast,
        log: SessionLog,
        on_day: Callable[[str, int], None] = lambda name, day: None,
    ) -> None:
        self.log, self._cast = log, cast
        settings = log.settings
        self.size = Size(settings["agents"], settings["days"], settings["seed"])
        self.scenario = desk_scenario(settings["scenario"])
        self._events = [
            read_event(entry, f"session {log.folder}: events[{row}]")
            for row, entry in enumerate(settings["events"])
        ]
        if settings.get("cast") is not None:  # an older log has none
            text = write_yaml(settings["cast"])
            replace_bytes(log.folder / CAST_FILE, text.encode())
        self.branches: dict[str, Branch] = {}
        plans, self.shown = read_plans(log)
        for name, plan in plans.items():
            branch = self._begun(name)
            branch.parent = plan.parent
            for event in plan.happened:
                branch.happen(event)
            while (branch.day, branch.turn) < (plan.day, plan.turn):
                if branch.play_turn():
                    on_day(name, branch.day)
            self.branches[name] = branch
            self._write(branch)

    @property
    def name(self) -> str:
        """Of the population."""
        return self._cast.bundle.name

    @property
    def history(self) -> NDArray[np.int64]:
        """Closes before the first day, in ticks."""
        cast = self._cast
        if cast.members is not None:
            return asset_history(cast.members.assets[0], cast.bundle)
        return cast.bundle.history

    @property
    def branch(self) -> Branch:
        """The line that is played."""
        return self.branches[self.shown]

    @property
    def over(self) -> bool:
        """Whether the line that is played has reached the session's last day."""
        return self.branch.day >= self.size.days

    def play_turn(self) -> bool:
        """Play the next turn; say whether it ended the day.

        Raises
        ------
        ConfigError
            The session's last day is over, or what a person did cannot happen: it is taken back.
        MarketError
            The market itself cannot go on.
        """
        if self.over:
            raise ConfigError(
                f"the session's {self.size.days} days are over; go back, or begin one with more "
                "--days"
            )
        branch = self.branch
        day, turn = branch.day, branch.turn
        try:
            ended = branch.play_turn()
        except MarketError as error:
            if not self._take_back(day, turn):
                raise
            raise ConfigError(f"{error}; it is taken back, and day {day} begins again") from error
        line = {"do": "play", "branch": branch.name, "day": branch.day, "turn": branch.turn}
        self.log.append(line, safe=False)
        return ended

    def happen(self, entry: Mapping[str, Any]) -> Event:
        """Let something happen on the line that is played.

        Parameters
        ----------
        entry
            An event as ``docs/events.md`` has it. Without a day it is the turn that is next.
            ``agents`` may also say ``{persona: NAME, share: PART}``; who that is, is drawn and
            written down.

        Returns
        -------
        Event
            As it is recorded.

        Raises
        ------
        ConfigError, MarketError
            It cannot be; nothing is recorded then.
        """
        branch = self.branch
        given: dict[str, Any] = dict(entry)
        given.setdefault("day", branch.day)
        kind = given.get("kind")
        if kind in _WITH_ASSET:
            given.setdefault("asset", branch.exchange.listings[0].instrument.name)
        if kind not in ("settle_at", "cancel_trades") and given["day"] == branch.day:
            given.setdefault("turn", branch.turn)
        if "agents" in given:
            given["agents"] = self._rows(given["agents"])
        event = read_event(given, "received")
        if event.day >= self.size.days:
            raise ConfigError(f"day {event.day}: the session's last is {self.size.days - 1}")
        with _shorter():
            branch.happen(event)
        try:
            self._log("happen", branch.name, event=plain_event(event))
        except ConfigError:
            branch.call_off(event)
            raise
        self._write(branch)
        return event

    def call_off(self, index: int) -> None:
        """Take back what has not happened yet: a place in the line's `Branch.to_come`.

        Raises
        ------
        ConfigError
            There is no such place.
        """
        branch = self.branch
        if not 0 <= index < len(branch.to_come):
            raise ConfigError(f"nothing to come at place {index}; it may have happened by now")
        event = branch.to_come[index]
        self._log("call_off", branch.name, event=plain_event(event))
        branch.call_off(event)
        self._write(branch)

    def rewind(self, day: int) -> None:
        """Take the line that is played back to the start of a day; see `Branch.rewind`."""
        self.branch.rewind(day)
        self._log("rewind", self.shown, day=day)

    def fork(self, day: int, name: str | None = None) -> None:
        """Let a new line leave the one that is played at the start of a day, and play it.

        Raises
        ------
        ConfigError
            The day has not come yet, the name is taken or no name, or there are too many lines.
        """
        if name is None:
            numbers = range(1, MOST_BRANCHES + 2)
            name = next(f"branch-{n}" for n in numbers if f"branch-{n}" not in self.branches)
        if not _NAME.fullmatch(name) or name in self.branches:
            raise ConfigError(
                f"branch {name[:40]!r}: expected a new name of small letters, digits and dashes"
            )
        if len(self.branches) >= MOST_BRANCHES:
            raise ConfigError(f"{MOST_BRANCHES} branches are the most that a session holds")
        branch = self.branch.fork(name, day)
        self._log("fork", name, parent=self.shown, day=day)
        self.branches[name], self.shown = branch, name
        self._write(branch)

    def show(self, name: str) -> None:
        """Play another line from now on.

        Raises
        ------
        ConfigError
            There is none of that name.
        """
        if name not in self.branches:
            raise ConfigError(f"no branch {name[:40]!r}, expected one of {list(self.branches)}")
        self.shown = name
        self._log("show", name)

    def command(self, branch: Branch, days: int | None = None) -> str:
        """Return what to type to have a line's market again."""
        size = self.size
        return (
            f"evobourse simulate {self.log.settings['bundle']} --scenario "
            f"{self.log.folder / branch.name}.yaml --agents {size.agents} --days "
            f"{size.days if days is None else days} --seed {size.seed}"
            + "".join(f" --set {shlex.quote(change)}" for change in self.log.settings["overrides"])
        )

    def replay(self) -> dict[str, Any]:
        """Play the line's scenario file from day 0 as `evobourse simulate` does, and compare.

        Returns
        -------
        dict
            ``days``, ``same`` (every day's prices and volume, and in the morning of a day every
            account), the tape's ``digest``, and the ``command`` that makes it.
        """
        branch = self.branch
        days = branch.day
        if not days:
            raise ConfigError("no day is over yet; play one before it is replayed")
        scenario = load_scenario(self.log.folder / f"{branch.name}.yaml")
        exchange = self._exchange(scenario, None)
        with tempfile.TemporaryDirectory(prefix="evobourse-desk-") as folder:
            tape = record_run(exchange, days, Path(folder) / "tape")
            columns = ("open", "high", "low", "close", "settle")
            prices = tape.frame("prices")
            found = prices[[*(f"{name}_ticks" for name in columns), "volume"]].to_numpy()
            digest = tape.manifest.digest
        shown = np.array([row.bar for row in branch.watch.rows])
        same = np.array_equal(found, shown)
        if branch.turn == 0:
            same = same and same_state(exchange, branch.exchange)
        return {
            "days": days,
            "same": bool(same),
            "digest": digest,
            "command": self.command(branch, days),
        }

    def _begun(self, name: str) -> Branch:
        cast = self._cast
        exchange = self._exchange(self.scenario, self._events)
        shared = [one for one in vars(cast).values() if one is not None]
        return Branch(exchange, shared, name)

    def _exchange(self, scenario: Scenario, events: list[Event] | None) -> Exchange:
        cast = self._cast
        if cast.members is not None:
            assert cast.minds is not None  # whoever opened it has them
            days, seed, minds = self.size.days, self.size.seed, cast.minds
            given = (scenario, cast.members, cast.bundle, minds, days, seed)
            return build_cast(*given, events=events).exchange
        return build_scenario(
            scenario, cast.bundle, cast.choices, self.size, minds=cast.minds, events=events
        )

    def _rows(self, agents: Any) -> Any:
        """Return the rows of agents that a share or a persona stands for; others as they are."""
        if not isinstance(agents, Mapping) or "crowd" in agents:
            return agents
        if unknown := sorted(set(agents) - {"persona", "share", "rows"}):
            raise ConfigError(f"agents: unknown key {unknown[0]!r}; valid: persona, share")
        if "rows" in agents:
            return list(agents["rows"])
        watch, exchange = self.branch.watch, self.branch.exchange
        personas = exchange.floor.crowds[0].n_agents
        group = watch.group_of(exchange)[:personas]
        rows = np.arange(personas)
        if (name := agents.get("persona")) is not None:
            if name not in watch.groups:
                raise ConfigError(f"agents.persona: {name!r} is none of {watch.groups}")
            rows = np.flatnonzero(group == watch.groups.index(name))
        share = agents.get("share", 1.0)
        if not isinstance(share, int | float) or not 0 < share <= 1:
            raise ConfigError(f"agents.share is {share!r}, expected over 0, up to 1")
        if not len(rows):
            raise ConfigError(f"agents: nobody follows persona {name!r} now")
        drawn = np.random.default_rng([self.size.seed, len(self.branch.happened), self.branch.day])
        return sorted(drawn.permutation(rows)[: max(1, round(share * len(rows)))].tolist())

    def _take_back(self, day: int, turn: int) -> bool:
        """Take back what a person did to a turn that failed, and begin the day again, if so."""
        branch = self.branch
        failed = [e for e in branch.happened if e.day == day and e.moment >= (day, turn)]
        if not failed:
            return False
        for event in failed:
            branch.happened.remove(event)
            self._log("call_off", branch.name, event=plain_event(event))
        branch.rewind(day)
        self._log("rewind", branch.name, day=day)
        self._write(branch)
        return True

    def _log(self, do: str, branch: str, **more: Any) -> None:
        self.log.append({"do": do, "branch": branch, **more})

    def _write(self, branch: Branch) -> None:
        """Write the line as a scenario file."""
        events = [*self._events, *branch.happened]
        settings = self.log.settings["scenario"]
        self.log.write_scenario(branch.name, settings, events, self.command(branch))


@contextmanager
def _shorter() -> Iterator[None]:
    """Leave out where in a schedule an event stands, which a person has not typed."""
    try:
        yield
    except MarketError as error:
        raise ConfigError(str(error).split("): ", 1)[-1]) from error
