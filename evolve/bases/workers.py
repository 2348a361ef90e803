"""Bases that are open in an executor's workers, not here: questions go there, answers come back.

Every distinct mind on a base is asked once, in one worker.
"""

from __future__ import annotations

import json
import pickle
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.minds.stand_ins import Minds, SeveralBases
from evobourse.agents.observation import possible_views
from evobourse.agents.personas.persona import Population
from evobourse.evolve.executors.executor import Executor

if TYPE_CHECKING:
    from evobourse.evolve.bases.protocol import Bases
    from evobourse.merge.recipes.stack_recipe import AnyRecipe

REMEMBERED_MINDS = 2048
"""Answers kept here, of one mind on one base each (20 bytes a view); more where one generation
has more."""

SHARE_MINDS = 16
"""Most minds of one task, so that a lost worker costs little."""

Mind = NDArray[np.float32]
Views = NDArray[np.int64]
Answers = NDArray[np.float32]

_Key = tuple[str, bytes, bytes]
Served = tuple["AnyRecipe | None", "str | None"]
"""A recipe of the main base, and the base that is asked, None for the main one."""


@dataclass
class QuestionCounters:
    """Questions asked, and those that had to go to a worker."""

    asked: int = 0
    computed: int = 0


class WorkerBases:
    """The bases of an executor's workers; an `evolve.bases.protocol.Bases`.

    A worker opens them when it is first asked and keeps them open. Answers do not depend on who
    gives them (``tests/evolve/bases/test_workers.py``), so questions are shared out at will: whole
    rows while there are as many as workers, parts of rows where there are fewer.

    Parameters
    ----------
    opener
        Opens the bases in a worker; pickles.
    executor
        Has the workers.

    Raises
    ------
    merge.errors.MergeError, agents.errors.AgentError
        As the opener does, in the first worker.
    """

    def __init__(self, opener: Callable[[], Bases], executor: Executor) -> None:
        self._opener, self._executor = pickle.dumps(opener), executor
        self._known: OrderedDict[_Key, tuple[Future[Answers], int]] = OrderedDict()
        self._most = REMEMBERED_MINDS
        self.counters = QuestionCounters()
        self.base_hash, self.depth = executor.submit(_describe, self._opener).result()

    def serve(self, recipe: AnyRecipe | None) -> WorkerMinds:
        """Return the minds of a recipe's base; they stay valid, whatever else is served."""
        return WorkerMinds(self, (recipe, None))

    @property
    def nbytes(self) -> int:
        """Nothing is kept here."""
        return 0

    def hash_of(self, base: str) -> str:
        """Have a worker name a base's weights by content, which may load it there."""
        return self._executor.submit(_hash_of, self._opener, base).result()

    def scope(self, served: Served, mind: Mind | None) -> dict[str, Any]:
        """Have a worker name all that answers depend on but the view."""
        return self._executor.submit(_scope, self._opener, served, mind).result()

    def expect(self, casts: Sequence[tuple[AnyRecipe | None, Sequence[Population]]]) -> None:
        """Have everything answered that these populations can meet, several at a time."""
        self.put(
            [
                ((recipe, persona.base), persona.mind, possible_views(population.society.attention))
                for recipe, populations in casts
                for population in populations
                for persona in population.personas
            ]
        )

    def put(self, questions: Sequence[tuple[Served, Mind, Views]]) -> None:
        """Send off what is not known yet; every distinct mind on a base goes to one worker."""
        rows: dict[tuple[str, bytes], tuple[Served, Views, dict[_Key, Mind]]] = {}
        for served, mind, views in questions:
            key = _key(served, mind, views)
            if key not in self._known:
                row = rows.setdefault((key[0], key[2]), (served, views, {}))
                row[2][key] = mind
        per_row = _up(self._executor.workers, len(rows)) if rows else 0
        for served, views, minds in rows.values():
            parts = min(len(minds), max(per_row, _up(len(minds), SHARE_MINDS)))
            for share in np.array_split(np.arange(len(minds)), parts):
                keys = [list(minds)[i] for i in share]
                asked = [minds[key] for key in keys]
                future = self._executor.submit(_answer, self._opener, served, asked, views)
                self._known |= {key: (future, i) for i, key in enumerate(keys)}
                self.counters.computed += len(asked) * len(views)
        self._most = max(self._most, sum(len(minds) for *_, minds in rows.values()))
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def answer(self, served: Served, mind: Mind, views: Views) -> Answers:
        """Wait for the option logits float32[n, 5] of a question that was put."""
        key = _key(served, mind, views)
        future, place = self._known[key]
        self._known.move_to_end(key)
        answers: Answers = future.result()[place]
        self.counters.asked += len(views)
        return answers


class WorkerMinds:
    """Minds of one recipe's base in the workers; `agents.minds.stand_ins.Minds`."""

    def __init__(
        self,
        bases: WorkerBases,
        served: Served,
        asked: list[tuple[Served, Mind, Views]] | None = None,
    ) -> None:
        self._bases, self._served = bases, served
        self._asked = [] if asked is None else asked
        self.counters = bases.counters

    def minds_on(self, base: str | None) -> WorkerMinds:
        """Return the minds of a base that personas name, see `evolve.bases.base_pool.BasePool`."""
        return WorkerMinds(self._bases, (self._served[0], base), self._asked)

    def scope(self, mind: Mind | None) -> dict[str, Any]:
        """Name all that answers depend on but the view."""
        return self._bases.scope(self._served, mind)

    def ask(self, mind: Mind, views: Views) -> None:
        """Queue questions of one mind, to be sent off together with all others'."""
        self._asked.append((self._served, mind, views))

    def answer(self, mind: Mind, views: Views) -> Answers:
        """Return option logits float32[n, 5]."""
        self._bases.put([*self._asked, (self._served, mind, views)])
        self._asked.clear()
        return self._bases.answer(self._served, mind, views)


def _up(amount: int, size: int) -> int:
    """Divide, rounding up."""
    return -(-amount // size)


def _key(served: Served, mind: Mind, views: Views) -> _Key:
    recipe, base = served
    written = json.dumps([recipe.to_dict() if recipe else None, base], sort_keys=True)
    return written, bytes(repr(mind.shape), "ascii") + mind.tobytes(), views.tobytes()


@lru_cache(maxsize=1)
def _open(opener: bytes) -> Bases:
    """Open bases in a worker, once."""
    bases: Bases = pickle.loads(opener)()
    return bases


def _describe(opener: bytes) -> tuple[str, int]:
    bases = _open(opener)
    return bases.base_hash, bases.depth


def _hash_of(opener: bytes, base: str) -> str:
    return _open(opener).hash_of(base)


def _scope(opener: bytes, served: Served, mind: Mind | None) -> dict[str, Any]:
    there: Any = _minds(opener, served)
    named: dict[str, Any] = there.scope(mind)
    return named


def _minds(opener: bytes, served: Served) -> Minds:
    """Return in a worker the minds that a question is put to."""
    recipe, base = served
    there: Minds = _open(opener).serve(recipe)
    return there.minds_on(base) if isinstance(there, SeveralBases) else there


def _answer(opener: bytes, served: Served, minds: list[Mind], views: Views) -> Answers:
    """Answer in a worker: float32[minds, views, 5]."""
    there = _minds(opener, served)
    for mind in minds:
        there.ask(mind, views)
    return np.stack([there.answer(mind, views) for mind in minds])
