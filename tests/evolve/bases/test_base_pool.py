"""Several bases in one market: whose answers they are, what is loaded when, what bundles carry."""

import gc
import weakref
from dataclasses import dataclass
from dataclasses import replace as with_other
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse import agents
from evobourse.agents.errors import AgentError
from evobourse.agents.minds.choices import tabulate_choices
from evobourse.agents.minds.stand_ins import RandomMinds
from evobourse.evolve.bases.base_pool import BasePool, PooledBase
from evobourse.evolve.bases.limits import BaseLimits
from evobourse.evolve.bases.opening import PersonaBase, open_bases, open_model
from evobourse.merge.errors import ModelError
from evobourse.merge.recipes.recipe import Recipe
from evobourse.merge.sources import DEFAULT_BASE

SOURCES = Path(agents.__file__).parent / "sources"
MIXTURES = ((0.9, 0.0, 0.2), (0.9, 0.0, 0.2), (0.0, -0.3, 0.7), (0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def people(population, folded_base):
    """Four personas, every other one on the folded base; the first two differ in nothing else."""
    plain = population(MIXTURES, attention=1)
    bases = (None, folded_base, None, folded_base)
    personas = (with_other(p, base=b) for p, b in zip(plain.personas, bases, strict=True))
    return with_other(plain, personas=tuple(personas))


@pytest.fixture(scope="module")
def alone(people, folded_base, style_folders):
    """All personas' choices on each base, from an engine that knows no other; and its size."""
    chosen, sizes = {}, {}
    for base, name in ((None, DEFAULT_BASE), (folded_base, folded_base)):
        bases = open_model(name, list(style_folders.values()), ())
        [chosen[base]] = tabulate_choices([people], bases.serve(None))
        sizes[name] = bases.nbytes
    return chosen, sizes


@pytest.fixture
def open_pool(folded_base, style_folders):
    def opened(memory_bytes=None, sources=()):
        styles = tuple(style_folders.values())
        others = {folded_base: PersonaBase(styles)}
        return open_bases(
            DEFAULT_BASE,
            styles,
            sources,
            others=others,
            limits=BaseLimits(memory_bytes=memory_bytes),
        )

    return opened


def assert_as_alone(choices, people, alone):
    for row, persona in enumerate(people.personas[: len(choices)]):
        np.testing.assert_array_equal(choices[row], alone[persona.base][row])


def test_every_persona_gets_the_bits_of_an_engine_on_its_base_alone(
    open_pool, people, alone, folded_base
):
    pool = open_pool()
    [choices] = tabulate_choices([people], pool.serve(None))
    assert_as_alone(choices, people, alone[0])
    assert not np.array_equal(choices[0], choices[1])  # the same mixture on two bases
    assert not np.array_equal(alone[0][None], alone[0][folded_base])
    assert (pool.counters.loads, pool.counters.computed) == (2, 4 * choices.shape[1])
    assert list(pool.loaded) == [DEFAULT_BASE, folded_base]
    assert {name: pool.members[name].nbytes for name in pool.loaded} == alone[1]
    assert pool.nbytes == sum(alone[1].values())
    # INT8 with scales, an embedding in bf16, and adapters.
    assert 106e6 + 2 * 28e6 < alone[1][folded_base] < 1.2 * (106e6 + 2 * 28e6)


def test_where_one_base_fits_at_a_time_the_bits_are_the_same_and_the_others_are_gone(
    open_pool, people, alone, folded_base
):
    budget = max(alone[1].values())
    pool = open_pool(budget)
    engines = []

    def watch(name, opens):
        def opened():
            assert pool.nbytes == 0
            bases = opens()
            engines.append((name, weakref.ref(bases.engine.decoder.model)))
            return bases

        return opened

    for name, member in pool.members.items():
        member.open = watch(name, member.open)
    few = [with_other(people, personas=people.personas[:2])]
    [first] = tabulate_choices(few, pool.serve(None))
    [choices] = tabulate_choices([people], pool)
    assert_as_alone(first, people, alone[0])
    assert_as_alone(choices, people, alone[0])
    gc.collect()
    # The base that is loaded when the second flush begins answers first.
    assert [name for name, _ in engines] == [DEFAULT_BASE, folded_base, DEFAULT_BASE]
    assert [engine() is not None for _, engine in engines] == [False, False, True]
    assert pool.counters.computed == 4 * choices.shape[1]
    tabulate_choices([people], pool)
    assert (pool.counters.loads, pool.nbytes <= budget) == (3, True)


def test_a_recipe_changes_the_main_base_alone(open_pool, people, alone, style_folders):
    source = SOURCES / "trend-follower"
    recipe = Recipe("task_arithmetic", DEFAULT_BASE, (source.name,), ((0.4,),))
    single = open_model(DEFAULT_BASE, list(style_folders.values()), [source])
    [merged] = tabulate_choices([people], single.serve(recipe))
    del single  # a gigabyte less beside the pool
    gc.collect()
    pool = open_pool(sources=[source])
    [choices] = tabulate_choices([people], pool.serve(recipe))
    assert_as_alone(choices, people, {**alone[0], None: merged})
    assert not np.array_equal(merged[0], alone[0][None][0])
    computed = pool.counters.computed
    [back] = tabulate_choices([people], pool.serve(None))
    assert_as_alone(back, people, alone[0])
    assert pool.counters.computed == computed + 2 * choices.shape[1]  # the main base's
    [again] = tabulate_choices([people], pool.serve(recipe))
    np.testing.assert_array_equal(again, choices)
    assert pool.counters.computed == computed + 2 * choices.shape[1]


# Who makes room


@dataclass
class Sized:
    """A base of a size whose answers name it, its recipe, the mind and the view."""

    name: str
    nbytes: int
    base_hash: str = "as ever"
    depth: int = 3

    def serve(self, recipe):
        self.recipe, self.counters = recipe, SimpleNamespace(computed=0, recalled=0)
        return self

    def scope(self, mind):
        return {"base": self.name}

    def ask(self, mind, views):
        pass

    def answer(self, mind, views):
        assert len(set(views.tolist())) == len(views)
        self.counters.computed += len(views)
        return answers_of(self.name, self.recipe, mind, views)


def answers_of(name, recipe, mind, views):
    weight = recipe.weights[0][0] if recipe else 0.0
    return np.float32([[int(name), weight, mind[0, 0], view, 0] for view in views.tolist()])


recipes = st.sampled_from([None, *(Recipe("linear", "0", ("s",), ((w,),)) for w in (0.25, 0.5))])
questions = st.tuples(st.integers(0, 3), st.integers(0, 2), st.lists(st.integers(0, 9), min_size=1))
rounds = st.lists(st.tuples(recipes, st.lists(questions, min_size=1, max_size=6)), max_size=6)


@pytest.fixture(scope="module")
def _no_collecting():
    """Leave the garbage of bases that hold nothing alone: there may be large models beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evobourse.evolve.bases.base_pool.gc", SimpleNamespace(collect=int))
        yield


@pytest.mark.usefixtures("_no_collecting")
@settings(max_examples=50)
@given(st.lists(st.integers(0, 9), min_size=4, max_size=4), st.integers(9, 40), rounds)
def test_whatever_is_asked_the_budget_holds_and_a_flush_loads_no_base_twice(sizes, budget, rounds):
    loads, asked = [], set()

    def open_one(name):
        assert pool.nbytes + sizes[int(name)] <= budget
        loads.append(name)
        return Sized(name, sizes[int(name)])

    names = [str(n) for n in range(4)]
    pool = BasePool({n: PooledBase(lambda n=n: open_one(n)) for n in names}, budget)
    for recipe, round_ in rounds:
        pool.serve(recipe)
        loads.clear()
        for base, mind, views in round_:
            pool.minds_on(str(base)).ask(np.float32([[mind]]), np.array(views))
        for base, mind, views in round_:
            chosen, views = (recipe if base == 0 else None), np.array(views)
            found = pool.minds_on(str(base)).answer(np.float32([[mind]]), views)
            expected = answers_of(str(base), chosen, np.float32([[mind]]), views)
            np.testing.assert_array_equal(found, expected)
            asked |= {(base, str(chosen), mind, view) for view in views.tolist()}
        assert len(loads) == len(set(loads))
        assert pool.nbytes <= budget
        assert pool.counters.computed == len(asked)


def test_the_base_used_longest_ago_makes_room_and_what_it_said_stays_known():
    sizes = {"0": 4, "1": 3, "2": 3, "3": 0}
    made = {n: PooledBase(lambda n=n: Sized(n, sizes[n])) for n in sizes}
    made["3"].nbytes = 0  # a server: it takes nothing, and is never let go of
    pool = BasePool(made, 7)
    mind, views = np.zeros((1, 1), np.float32), np.arange(2)
    for name in ("3", "0", "1"):
        pool.minds_on(name).answer(mind, views)
    pool.minds_on("0").answer(mind, np.array([5]))  # nobody knew the size of "1", so "0" had gone
    assert list(pool.loaded) == ["3", "1", "0"]
    pool.minds_on("2").answer(mind, views)
    pool.minds_on("1").answer(mind, np.array([5]))
    assert list(pool.loaded) == ["3", "2", "1"]
    loads = pool.counters.loads
    for name in ("0", "1", "2", "3"):
        np.testing.assert_array_equal(
            pool.minds_on(name).answer(mind, views), answers_of(name, None, mind, views)
        )
    assert pool.counters.loads == loads


def test_a_base_above_the_budget_an_unknown_one_and_a_changed_one_are_refused():
    mind, views = np.zeros((1, 1), np.float32), np.arange(2)
    pool = BasePool({"0": PooledBase(lambda: Sized("0", 9))}, 8)
    with pytest.raises(AgentError, match=r"'0': takes 9 bytes, and minds.memory_bytes is 8"):
        pool.answer(mind, views)
    with pytest.raises(AgentError, match=r"'5': a persona names it, and open are 0; open it"):
        pool.minds_on("5")
    versions = iter(("before", "after"))
    pool = BasePool({"0": PooledBase(lambda: Sized("0", 5, next(versions)))})
    pool.answer(mind, views)
    pool.loaded.clear()
    with pytest.raises(AgentError, match=r"'0': has other weights than it had before"):
        pool.answer(mind, views + 2)


def test_stand_ins_answer_for_every_persona(people):
    [choices] = tabulate_choices([people], RandomMinds())
    np.testing.assert_allclose(choices, np.broadcast_to(np.arange(1, 6) / 5, choices.shape))


def test_a_base_that_cannot_be_opened_is_named(style_folders):
    styles = tuple(style_folders.values())
    bases = open_bases(DEFAULT_BASE, styles, (), others={"./nowhere": PersonaBase(styles)})
    with pytest.raises(AgentError, match="is the main one and a persona's own; name another"):
        open_bases("./here", styles, (), others={"./here": PersonaBase(styles)})
    with pytest.raises(ModelError, match=r"a persona's base './nowhere': .*no such folder"):
        bases.serve(None).minds_on("./nowhere").answer(np.zeros((1, 3), np.float32), np.arange(2))
