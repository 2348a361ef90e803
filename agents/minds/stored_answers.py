"""Answers that travel with a population: of each of its minds, to every view that it can meet.

They need no model. What else is asked opens it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from evobourse.agents.errors import AgentError
from evobourse.agents.minds.answer_memo import answer_key
from evobourse.agents.minds.stand_ins import Minds, SeveralBases, minds_of
from evobourse.agents.observation import CUE, INVOCATION, OPTIONS, possible_views, render_rules
from evobourse.agents.personas.persona import Population

SCHEMA = "evobourse/answers/v1"
_HEADER = "answers"  # one entry: safetensors writes several in no fixed order
_VIEWS = "views"
_WORDS = hashlib.sha256(f"{render_rules()}{INVOCATION}{CUE}".encode()).hexdigest()
"""Names what views become in a prompt: other words ask other questions."""


@dataclass
class Counters:
    """Questions asked, computed anew and recalled; of minds that have opened no model."""

    asked: int = 0
    computed: int = 0
    recalled: int = 0


@dataclass(frozen=True, eq=False)
class StoredAnswers:
    """Answers of a population's minds.

    Attributes
    ----------
    views
        Asked of every mind, ascending, int64[V].
    scopes
        What all answers of a base depend on but mind and view, see `MindEngine.scope`: which
        arithmetic, weights and adapters. By the name that personas give the base, "" for the main
        one.
    tables
        Option logits float32[V, 5] by key: the hash of a scope with its mind.
    """

    views: NDArray[np.int64]
    scopes: Mapping[str, Mapping[str, Any]]
    tables: Mapping[str, NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.tables) * len(self.views)

    def find(
        self, base: str | None, mind: NDArray[np.float32], views: NDArray[np.int64]
    ) -> NDArray[np.float32] | None:
        """Return option logits float32[n, 5] of n views; None unless all of them are here."""
        scope = self.scopes.get(base or "")
        table = None if scope is None else self.tables.get(_key(scope, mind))
        if table is None or not np.isin(views, self.views).all():
            return None
        return table[np.searchsorted(self.views, views)]


def gather_answers(population: Population, minds: Any) -> StoredAnswers:
    """Ask a population's minds for all that its agents can meet.

    Parameters
    ----------
    population
        Who.
    minds
        See `evolve.bases.protocol.ServedMinds`.
    """
    views = possible_views(population.society.attention)
    scopes: dict[str, Mapping[str, Any]] = {}
    tables = {}
    for persona in population.personas:
        own: Any = minds_of(minds, persona)
        answers = own.answer(persona.mind, views)  # before its scope, which must not load a base
        base = persona.base or ""
        if base not in scopes:
            scopes[base] = own.scope(None)
        tables[_key(scopes[base], persona.mind)] = answers
    return StoredAnswers(views, scopes, tables)


def name_mind(mind: NDArray[np.float32] | None) -> list[Any] | None:
    """Write a mind for a scope: its shape and its bytes."""
    return None if mind is None else [list(mind.shape), mind.tobytes().hex()]


def _key(scope: Mapping[str, Any], mind: NDArray[np.float32]) -> str:
    return answer_key({**scope, "mind": name_mind(mind)}, _WORDS).hex()


def pack_answers(answers: StoredAnswers) -> bytes:
    """Write answers as a safetensors file: the same bytes for the same answers."""
    header = {"schema": SCHEMA, "scopes": answers.scopes, "words": _WORDS}
    tensors: dict[str, NDArray[Any]] = {_VIEWS: answers.views, **answers.tables}
    packed: bytes = save(tensors, {_HEADER: json.dumps(header)})
    return packed


def read_answers(file: Path) -> StoredAnswers | None:
    """Read answers; None where prompts had other words then, so that other questions were asked.

    Raises
    ------
    AgentError
        The file is no such file, or of another version.
    """
    try:
        with safe_open(file, "numpy") as stored:
            header = json.loads(stored.metadata()[_HEADER])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        schema, scopes, words = (header[key] for key in ("schema", "scopes", "words"))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(repr(error).split())
        raise AgentError(f"{file.name}: holds no answers ({reason})") from error
    if schema != SCHEMA:
        raise AgentError(f"{file.name}: schema is {schema!r}, expected {SCHEMA!r}")
    views = tensors.pop(_VIEWS, np.zeros(0, np.int64))
    shape = (len(views), len(OPTIONS))
    odd = [name for name, table in tensors.items() if table.shape != shape]
    if odd or (np.diff(views) <= 0).any():
        raise AgentError(f"{file.name}: answers and views do not match")
    return StoredAnswers(views, scopes, tensors) if words == _WORDS else None


class StoredMinds:
    """Minds whose answers are stored; `agents.minds.stand_ins.Minds` and ``SeveralBases``.

    Parameters
    ----------
    answers
        What is known.
    open_live
        Returns the minds themselves, for what is not.
    is_open
        Says whether those have been opened.
    base
        Which of their bases, None for the main one.
    """

    def __init__(
        self,
        answers: StoredAnswers,
        open_live: Callable[[], Any],
        is_open: Callable[[], bool],
        base: str | None = None,
    ) -> None:
        self.answers, self.base = answers, base
        self._open_live, self._is_open = open_live, is_open

    @property
    def live(self) -> Any:
        """The minds themselves, opened if they were not."""
        return self._open_live()

    @property
    def counters(self) -> Any:
        """What the minds themselves were asked."""
        return self.live.counters if self._is_open() else Counters()

    def minds_on(self, base: str | None) -> StoredMinds:
        """Return the minds of a base, None for the main one."""
        return StoredMinds(self.answers, self._open_live, self._is_open, base)

    def scope(self, mind: NDArray[np.float32] | None) -> dict[str, Any]:
        """Name all that answers depend on but the view."""
        return {**self.answers.scopes[self.base or ""], "mind": name_mind(mind)}

    def ask(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> None:
        """Queue what is not stored."""
        if self.answers.find(self.base, mind, views) is None:
            self._own().ask(mind, views)

    def answer(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return option logits float32[n, 5]."""
        stored = self.answers.find(self.base, mind, views)
        return self._own().answer(mind, views) if stored is None else stored

    def _own(self) -> Minds:
        live: Minds = self.live
        return live.minds_on(self.base) if isinstance(live, SeveralBases) else live
