"""What a session's log says of its lines of days."""

from __future__ import annotations

from dataclasses import dataclass, field

from evobourse.experiments.desk.log import SessionLog
from evobourse.experiments.errors import ConfigError
from evobourse.market.events.kinds import Event
from evobourse.market.events.schedule import read_event

MAIN = "main"
"""The line that a session begins with."""


@dataclass
class Plan:
    """What a log says of a line of days."""

    parent: tuple[str, int] | None = None
    happened: list[Event] = field(default_factory=list)
    day: int = 0
    turn: int = 0


def read_plans(log: SessionLog) -> tuple[dict[str, Plan], str]:
    """Read a session's log: where each line of days is in the end, and which was played.

    Raises
    ------
    ConfigError, MarketError
        A line says nothing that a desk does.
    """
    plans, shown = {MAIN: Plan()}, MAIN
    for number, line in enumerate(log.lines, 2):
        where = f"session {log.folder}: line {number}"
        try:
            do, name = line["do"], line.get("branch", MAIN)
            if do == "fork":
                parent, day = line["parent"], line["day"]
                kept = [event for event in plans[parent].happened if event.day < day]
                plans[name] = Plan((parent, day), kept, day)
                shown = name
                continue
            plan = plans[name]
            if do == "play":
                plan.day, plan.turn = line["day"], line["turn"]
            elif do == "rewind":
                plan.day, plan.turn = line["day"], 0
            elif do == "happen":
                plan.happened.append(read_event(line["event"], where))
            elif do == "call_off":
                plan.happened.reverse()
                plan.happened.remove(read_event(line["event"], where))
                plan.happened.reverse()
            elif do == "show":
                shown = name
            else:
                raise ConfigError(f"{where}: {do!r} is nothing that a desk does")
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{where} is damaged ({error!r})") from error
    return plans, shown
