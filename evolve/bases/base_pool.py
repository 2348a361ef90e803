"""A pool: several bases in one market, as many of them loaded at once as a budget holds."""

from __future__ import annotations

import gc
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evobourse.agents.errors import AgentError
from evobourse.agents.minds.answer_memo import AnswerTable
from evobourse.agents.minds.stored_answers import name_mind
from evobourse.agents.personas.persona import Population

if TYPE_CHECKING:
    from evobourse.evolve.bases.protocol import Bases
    from evobourse.merge.recipes.stack_recipe import AnyRecipe

MEMO_MINDS = 512


@dataclass
class Counters:
    """What was asked, computed anew and recalled from disk on all bases; how often one loaded."""

    asked: int = 0
    computed: int = 0
    recalled: int = 0
    loads: int = 0


@dataclass
class PooledBase:
    """One base of a pool.

    Attributes
    ----------
    open
        Loads it.
    nbytes
        What it takes when loaded; None until it has been, 0 for a server's.
    base_hash
        Its content hash; None to accept whatever the first load brings.
    depth
        Its number of layers; None until it has been loaded.
    """

    open: Callable[[], Bases]
    nbytes: int | None = None
    base_hash: str | None = None
    depth: int | None = None
    queue: dict[bytes, tuple[NDArray[np.float32], list[NDArray[np.int64]]]] = field(
        default_factory=dict
    )


@dataclass(frozen=True)
class PooledMinds:
    """The minds of one base of a pool, see `agents.minds.stand_ins.Minds`."""

    pool: BasePool
    base: str

    def ask(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> None:
        """Queue questions of one mind, to be answered together with everyone else's."""
        queue = self.pool.members[self.base].queue
        queue.setdefault(mind.tobytes(), (mind, []))[1].append(views)

    def answer(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return option logits float32[n, 5]; computes everything queued on any base."""
        return self.pool.answer_on(self.base, mind, views)

    def scope(self, mind: NDArray[np.float32] | None) -> dict[str, Any]:
        """Name all that answers depend on but the view; loads a base that was never asked."""
        return {**self.pool.scope_of(self.base), "mind": name_mind(mind)}


class BasePool:
    """Bases and minds at once: `evolve.bases.protocol.Bases`, `agents.minds.stand_ins.Minds`.

    Recipes apply to the main base alone, whose questions are those put to the pool itself. What is
    queued is answered base by base, those in memory first: a flush loads no base twice. The base
    used longest ago makes room for the next; what it has answered stays known, and it is loaded
    again when a new question comes. A base never asked before may take all that the budget holds.

    Parameters
    ----------
    members
        Bases by name, the main one first.
    memory_bytes
        Most bytes that loaded bases take together (weights, adapters and what recipes need;
        loading itself passes through full precision), or None for no limit.
    """

    def __init__(self, members: Mapping[str, PooledBase], memory_bytes: int | None = None):
        self.members, self.memory_bytes = dict(members), memory_bytes
        self.counters = Counters()
        self.loaded: OrderedDict[str, Bases] = OrderedDict()  # the one used last stands last
        self._main = next(iter(members))
        self._recipe: AnyRecipe | None = None
        self._possible = {_name(None)}
        self._scopes: dict[tuple[str, str], dict[str, Any]] = {}
        self._tables: OrderedDict[tuple[str, str, bytes], AnswerTable] = OrderedDict()

    @property
    def base_hash(self) -> str:
        """Name the unmerged main base's weights by content."""
        return self.hash_of(self._main)

    @property
    def depth(self) -> int:
        """Count the main base's layers, 0 where nobody says."""
        known = self.members[self._main].depth
        return self._open(self._main).depth if known is None else known

    @property
    def nbytes(self) -> int:
        """Count the bytes of what is loaded."""
        return sum(self.members[name].nbytes or 0 for name in self.loaded)

    def scope_of(self, base: str) -> dict[str, Any]:
        """Name all that answers of a base depend on but mind and view."""
        key = self._served(base)
        if key not in self._scopes:
            self._scopes[key] = self.engine(base).scope(None)
        return self._scopes[key]

    def hash_of(self, base: str) -> str:
        """Name a base's weights by content."""
        return self.members[base].base_hash or self._open(base).base_hash

    def expect(self, casts: Sequence[tuple[AnyRecipe | None, Sequence[Population]]]) -> None:
        """Wait to be asked."""

    def serve(self, recipe: AnyRecipe | None) -> BasePool:
        """Set the main base's recipe; one not carried out before is, so that it can be refused."""
        if _name(recipe) not in self._possible:
            self._open(self._main).serve(recipe)
            self._possible.add(_name(recipe))
        if recipe != self._recipe:  # what was asked of the one before is not asked of this one
            self.members[self._main].queue.clear()
        self._recipe = recipe
        return self

    def minds_on(self, base: str | None) -> PooledMinds:
        """Return the minds of a base, by default the main one.

        Raises
        ------
        AgentError
            The base is none of the pool's.
        """
        if base is not None and base not in self.members:
            raise AgentError(
                f"base {base!r}: a persona names it, and open are {', '.join(self.members)}; "
                "open it too"
            )
        return PooledMinds(self, base or self._main)

    def engine(self, base: str | None) -> Any:
        """Return what answers a base's prompts, loaded now; to be used at once and let go."""
        name = self.minds_on(base).base
        return self._open(name).serve(self._recipe if name == self._main else None)

    def ask(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> None:
        """Queue questions to the main base."""
        self.minds_on(None).ask(mind, views)

    def answer(self, mind: NDArray[np.float32], views: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the main base's option logits float32[n, 5]."""
        return self.minds_on(None).answer(mind, views)

    def scope(self, mind: NDArray[np.float32] | None) -> dict[str, Any]:
        """Name all that the main base's answers depend on but the view."""
        return self.minds_on(None).scope(mind)

    def answer_on(
        self, base: str, mind: NDArray[np.float32], views: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return a base's option logits float32[n, 5]; computes everything queued on any base.

        Raises
        ------
        AgentError
            A base takes more than the budget, or is not the one that it was before.
        """
        if not self._table(base, mind).known[views].all():
            self.minds_on(base).ask(mind, views)
            self._flush()
        self.counters.asked += len(views)
        return self._table(base, mind).logits[views]

    def _flush(self) -> None:
        while len(self._tables) > MEMO_MINDS:  # before, so that no new answer is lost
            self._tables.popitem(last=False)
        waiting = [name for name, member in self.members.items() if member.queue]
        for name in sorted(waiting, key=lambda name: name not in self.loaded):
            self._ask(name)

    def _ask(self, name: str) -> None:
        """Put one base's queue to it, and keep the answers."""
        queue = self.members[name].queue
        asked = [
            (mind, table, np.array(unknown))
            for mind, parts in queue.values()
            for table in [self._table(name, mind)]
            if (unknown := table.unknown(parts))
        ]
        if asked:
            minds = self._open(name).serve(self._recipe if name == self._main else None)
            self._scopes[self._served(name)] = minds.scope(None)
            computed, recalled = minds.counters.computed, minds.counters.recalled
            for mind, _, views in asked:
                minds.ask(mind, views)
            for mind, table, views in asked:
                table.put(views.tolist(), minds.answer(mind, views))
            self.counters.computed += minds.counters.computed - computed
            self.counters.recalled += minds.counters.recalled - recalled
        queue.clear()

    def _table(self, name: str, mind: NDArray[np.float32]) -> AnswerTable:
        key = (*self._served(name), mind.tobytes())
        table = self._tables.setdefault(key, AnswerTable())
        self._tables.move_to_end(key)
        return table

    def _served(self, name: str) -> tuple[str, str]:
        """Name a base and the recipe that it is asked on."""
        return name, _name(self._recipe if name == self._main else None)

    def _open(self, name: str) -> Bases:
        """Return a base, loaded where it was not, after others have made room."""
        if name not in self.loaded:
            member = self.members[name]
            self._make_room(member.nbytes)
            opened = member.open()
            if member.base_hash not in (None, opened.base_hash):
                raise AgentError(
                    f"base {name!r}: has other weights than it had before; use those, or begin anew"
                )
            member.base_hash, member.depth = opened.base_hash, opened.depth
            member.nbytes = opened.nbytes
            if self.memory_bytes is not None and member.nbytes > self.memory_bytes:
                raise AgentError(
                    f"base {name!r}: takes {member.nbytes:,} bytes, and minds.memory_bytes is "
                    f"{self.memory_bytes:,}; raise it to that at least"
                )
            self.loaded[name] = opened
            self.counters.loads += 1
        self.loaded.move_to_end(name)
        return self.loaded[name]

    def _make_room(self, needed: int | None) -> None:
        """Let go of bases until so many bytes are free, or all where nobody knows how many."""
        if self.memory_bytes is None:
            return
        sizes = {name: self.members[name].nbytes or 0 for name in self.loaded}
        free = self.memory_bytes - sum(sizes.values())
        for name in [name for name, size in sizes.items() if size]:
            if needed is not None and needed <= free:
                break
            del self.loaded[name]
            free += sizes[name]
            gc.collect()


def _name(recipe: AnyRecipe | None) -> str:
    return json.dumps(recipe.to_dict()) if recipe else ""
