"""Answers remembered: a table in memory for each mind, and an exact memo on disk for all runs.

Whoever asks says what an answer depends on.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.errors import AgentError
from evobourse.agents.observation import OPTIONS, VIEWS
from evobourse.merge.engine.prompt import Prompt

MEMO_ROWS = 5_000_000
_SCHEMA = 1
_BYTES = 4 * len(OPTIONS)
_WAIT_SECONDS = 60.0
_KEYS_AT_ONCE = 500


@dataclass
class AnswerTable:
    """All answers of one mind on one base: logits float32[VIEWS, 5] and which are known."""

    logits: NDArray[np.float32] = field(
        default_factory=lambda: np.zeros((VIEWS, len(OPTIONS)), np.float32)
    )
    known: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(VIEWS, np.bool_))

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.logits.nbytes + self.known.nbytes

    def unknown(self, asked: Sequence[NDArray[np.int64]]) -> list[int]:
        """Return the views asked for that have no answer yet, once each and ascending."""
        views = np.unique(np.concatenate(asked))
        return [int(view) for view in views[~self.known[views]]]

    def put(self, views: Sequence[int], logits: NDArray[np.float32]) -> None:
        """Enter answers float32[n, 5] of n views."""
        self.logits[list(views)] = logits
        self.known[list(views)] = True

    def read(self, views: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return answers float32[n, 5] of n views, all of them known."""
        return self.logits[views]


class PromptTable:
    """All answers of one mind on one base to prompts that are no views."""

    def __init__(self) -> None:
        self._logits: dict[Prompt, NDArray[np.float32]] = {}
        self.nbytes = 0  # of answers and, about, of their keys

    def unknown(self, asked: Sequence[Sequence[Prompt]]) -> list[Prompt]:
        """Return the prompts asked for that have no answer yet, once each."""
        prompts = dict.fromkeys(prompt for some in asked for prompt in some)
        return [prompt for prompt in prompts if prompt not in self._logits]

    def put(self, prompts: Sequence[Prompt], logits: NDArray[np.float32]) -> None:
        """Enter answers float32[n, 5] of n prompts."""
        self._logits |= dict(zip(prompts, logits, strict=True))
        self.nbytes += sum(_BYTES + 200 + 8 * len(prompt.tokens) for prompt in prompts)

    def read(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Return answers float32[n, 5] of n prompts, all of them known."""
        return np.array([self._logits[prompt] for prompt in prompts], np.float32)


def answer_key(scope: Mapping[str, Any], prompt: Sequence[int | str] | str) -> bytes:
    """Hash all that an answer depends on: 32 bytes.

    Parameters
    ----------
    scope
        What is the same for many questions (base hash, mind, engine, precision, split of the
        prefix ...), as plain JSON values. Temperature is not among them: logits are free of it.
    prompt
        The whole prompt, as token ids (and soft tokens' keys) or, where only a server knows those,
        as text.
    """
    whole = json.dumps([dict(scope), prompt if isinstance(prompt, str) else list(prompt)])
    return hashlib.sha256(whole.encode()).digest()


class AnswerMemo:
    """Option logits by key in one SQLite file, shared by any number of processes.

    An answer is the bits that were computed, never an approximation. Write-ahead logging lets
    readers go on beside a writer, and a process that is killed loses no answer that `write`
    has returned from.

    Parameters
    ----------
    file
        Made with its folder where missing.
    rows
        Most answers kept (about 100 bytes each); the oldest make room.

    Raises
    ------
    AgentError
        The file cannot be made or read, or is something else.
    """

    def __init__(self, file: Path, rows: int = MEMO_ROWS):
        self.file, self.rows = file, rows
        self._connection: sqlite3.Connection | None = None
        self._owner = 0
        self._open()

    def read(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return the known answers among keys, float32[5] each."""
        found: dict[bytes, NDArray[np.float32]] = {}
        try:
            for at in range(0, len(keys), _KEYS_AT_ONCE):
                part = list(keys[at : at + _KEYS_AT_ONCE])
                marks = ",".join("?" * len(part))
                query = f"SELECT key, logits FROM answers WHERE key IN ({marks})"
                for key, logits in self._open().execute(query, part):
                    found[key] = np.frombuffer(logits, "<f4").astype(np.float32)
        except sqlite3.Error as error:
            raise self._trouble(error) from error
        return found

    def write(self, answers: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Keep answers, all or none; one that is known already stays as it is."""
        packed = [(key, logits.astype("<f4").tobytes()) for key, logits in answers.items()]
        try:
            with self._open() as connection:
                connection.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", packed)
                # Row ids ascend with age and have no gaps but at the old end.
                connection.execute(
                    "DELETE FROM answers WHERE rowid <= (SELECT max(rowid) FROM answers) - ?",
                    (self.rows,),
                )
        except sqlite3.Error as error:
            raise self._trouble(error) from error

    def __len__(self) -> int:
        [(count,)] = self._open().execute("SELECT count(*) FROM answers")
        return int(count)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None and self._owner == os.getpid():
            self._connection.close()
        self._connection = None

    def _open(self) -> sqlite3.Connection:
        """Return this process's own connection: one that crossed a fork would harm the file."""
        if self._connection is None or self._owner != os.getpid():
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                self._connection, self._owner = self._connect(), os.getpid()
            except (OSError, sqlite3.Error) as error:
                raise self._trouble(error) from error
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.file, timeout=_WAIT_SECONDS, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            [(schema,)] = connection.execute("PRAGMA user_version")
            if schema not in (0, _SCHEMA):
                raise sqlite3.DatabaseError(f"version {schema} of the schema, expected {_SCHEMA}")
            with connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, "
                    f"logits BLOB NOT NULL CHECK (length(logits) = {_BYTES}))"
                )
                connection.execute(f"PRAGMA user_version = {_SCHEMA}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _trouble(self, error: Exception) -> AgentError:
        return AgentError(
            f"memo {self.file}: cannot be used ({error}); delete the file, or name another one "
            "as minds.memo"
        )
