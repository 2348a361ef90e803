"""A session on disk: an append-only log, and each line of days as a scenario file.

The log is the truth; the scenario files are written from it, for `evobourse simulate` to replay.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evobourse.evolve.durable import replace_bytes
from evobourse.experiments.config.sections import write_yaml
from evobourse.experiments.errors import ConfigError
from evobourse.market.durable import write_all
from evobourse.market.events.kinds import Event
from evobourse.market.events.schedule import EventSchedule

LOG = "session.jsonl"
VERSION = 1


class SessionLog:
    """The lines of a session, one JSON object each; held by one desk at a time.

    A line that a kill cut off is dropped when the log is opened.

    Parameters
    ----------
    folder
        The session's; made if it does not exist.
    settings
        What the session begins with: the first line of a new log, and what an old one is held
        against where a value is not None.

    Attributes
    ----------
    settings : dict
        The first line of the log.
    lines : list of dict
        The others, as they were when it was opened.

    Raises
    ------
    ConfigError
        Another desk has the session, it is of other settings, or it cannot be read.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        path = folder / LOG
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise ConfigError(
                f"session {folder}: another desk has it; close that one, or name another folder"
            ) from error
        whole = path.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1]
        os.ftruncate(self._descriptor, len(whole))
        try:
            held = [json.loads(line) for line in whole.splitlines()]
            if held and held[0].get("desk") != VERSION:
                raise ConfigError(f"session {folder}: {LOG} is no log of this version's desk")
        except (ValueError, AttributeError) as error:
            raise ConfigError(f"session {folder}: {LOG} is damaged ({error})") from error
        self.lines: list[dict[str, Any]] = held[1:]
        if held:
            self.settings: dict[str, Any] = held[0]
            for key, value in settings.items():
                if value is not None and self.settings.get(key) != value:
                    raise ConfigError(
                        f"session {folder}: {key} is {self.settings.get(key)!r} there, received "
                        f"{value!r}; leave it out, or name another folder"
                    )
        else:
            self.settings = {"desk": VERSION, **settings}
            self.append(self.settings)

    def append(self, line: Mapping[str, Any], safe: bool = True) -> None:
        """Add a line; forced to disk where ``safe``, or else there unless the machine stops.

        Raises
        ------
        ConfigError
            The disk takes no more; the log stays as it was.
        """
        size = os.fstat(self._descriptor).st_size
        try:
            write_all(self._descriptor, json.dumps(line).encode() + b"\n")
            if safe:
                os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, size)
            raise ConfigError(
                f"session {self.folder}: cannot be written ({error.strerror}); nothing is done; "
                "make room, then do it again"
            ) from error

    def close(self) -> None:
        """Let another desk have the session."""
        os.close(self._descriptor)

    def write_scenario(
        self, name: str, scenario: Mapping[str, Any], events: Sequence[Event], command: str
    ) -> Path:
        """Write a line of days as a scenario file and its events; return the first's path."""
        own, place = f"{name}_events.yaml", self.folder / f"{name}.yaml"
        replace_bytes(self.folder / own, EventSchedule(events).to_yaml().encode())
        text = f"# Made by a desk. The same market again:\n# {command}\n"
        text += write_yaml({**scenario, "events": own})
        replace_bytes(place, text.encode())
        return place


def new_folder(parent: Path = Path("runs")) -> Path:
    """Return the first ``desk-N`` that is not there yet."""
    return next(folder for folder in _numbered(parent) if not folder.exists())


def _numbered(parent: Path) -> Iterator[Path]:
    number = 1
    while True:
        yield parent / f"desk-{number}"
        number += 1
