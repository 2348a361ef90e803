from collections import OrderedDict
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from evobourse.merge.engine.byte_budget import ByteBudget


@dataclass(frozen=True)
class Thing:
    nbytes: int


PUT = st.tuples(st.just("put"), st.integers(0, 6), st.integers(0, 12))
GET = st.tuples(st.just("get"), st.integers(0, 6), st.just(0))
CLEAR = st.tuples(st.just("clear"), st.integers(0, 1), st.just(0))


@given(limit=st.integers(0, 25), steps=st.lists(PUT | GET | CLEAR, max_size=40))
def test_it_holds_what_was_used_last_and_never_more_than_its_limit(limit, steps):
    """Against a list in order of use, trimmed from its old end after each step."""
    budget, used = ByteBudget(limit), OrderedDict()
    for step, number, size in steps:
        key = (number % 2, number)
        if step == "put":
            budget.put(key, Thing(size))
            used.pop(key, None)
            if size <= limit:
                used[key] = size
                while sum(used.values()) > limit:
                    used.popitem(last=False)
        elif step == "get":
            thing = budget.get(key)
            assert (thing is not None) == (key in used)
            if thing is not None:
                assert thing.nbytes == used[key]
                used.move_to_end(key)
        else:
            budget.clear(number)
            used = OrderedDict((k, v) for k, v in used.items() if k[0] != number)
        assert budget.held == sum(used.values()) <= budget.most_held <= limit
        assert len(budget) == len(used)


def test_a_thing_that_has_grown_is_counted_at_its_new_size():
    budget = ByteBudget(10)
    budget.put(("a",), Thing(4))
    budget.put(("b",), Thing(4))
    budget.put(("b",), Thing(9))
    assert budget.get(("a",)) is None
    assert (budget.held, budget.most_held) == (9, 9)
    budget.put(("b",), Thing(11))  # larger than everything: not held, and neither is the old one
    assert (budget.get(("b",)), budget.held) == (None, 0)
