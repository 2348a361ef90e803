"""Layered memory: what fades, what is kept, what comes to mind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evobourse.agents.deliberation.memory import FORGOTTEN, LayeredMemory, similarity
from evobourse.agents.deliberation.settings import Deliberation, Expert, Memory, Traits
from evobourse.agents.errors import AgentError

DAYS = st.lists(
    st.tuples(
        st.integers(1, 5),  # days since the one before
        st.sampled_from(["falling cheap", "rising fair", "soaring bubble nervous"]),
        st.integers(1, 60),
        st.floats(0.0, 1.0),
    ),
    max_size=25,
)
SETTINGS = st.builds(
    Memory,
    recall_tokens=st.integers(0, 150),
    promote_importance=st.floats(0.3, 1.0),
    promote_recalls=st.integers(1, 4),
    long_term_factor=st.floats(1.0, 20.0),
)


def by_length(texts, query):
    return np.array([len(text) % 7 / 7 for text in texts])


def live(memory, days):
    """Let days pass, recalling each morning; return the last day and all that ever happened."""
    today, happened = 0, []
    for gap, text, tokens, importance in days:
        today += gap
        memory.recall(today, "falling", by_length)
        memory.end_day(today, f"{text} {today}", tokens, importance)
        happened.append((today, tokens, importance))
    return today, happened


@given(DAYS, SETTINGS, st.floats(0.5, 50.0))
def test_what_comes_to_mind_fits_is_known_and_has_not_faded(days, own, memory_days):
    memory = LayeredMemory(own, memory_days)
    today, happened = live(memory, days)
    known = {id(e) for e in (*memory.episodic, *memory.long_term)}
    came = memory.recall(today + 1, "falling cheap", by_length)
    assert sum(e.tokens for e in came) <= own.recall_tokens
    assert {id(e) for e in came} <= known
    assert [e.day for e in came] == sorted({e.day for e in came})
    if happened and happened[-1][1] <= own.recall_tokens:
        assert came[-1].day == today  # yesterday is always among them
    for episode in memory.episodic:
        assert memory.weigh(episode, today) >= FORGOTTEN
        assert episode.importance < own.promote_importance
        assert today - episode.day <= np.log(100) * memory_days + 1e-9
    for episode in memory.long_term:
        age = (today - episode.day) / (own.long_term_factor * memory_days)
        assert memory.weigh(episode, today) == pytest.approx(np.exp(-age))
        assert memory.weigh(episode, today) >= FORGOTTEN


@given(DAYS, SETTINGS, st.floats(0.5, 50.0))
def test_nothing_is_lost_that_has_not_faded(days, own, memory_days):
    memory = LayeredMemory(own, memory_days)
    today, happened = live(memory, days)
    held = {e.day for e in (*memory.episodic, *memory.long_term)}
    for day, _, importance in happened:
        kept_long = importance >= own.promote_importance
        slower = own.long_term_factor if kept_long else 1.0
        if np.exp(-(today - day) / (slower * memory_days)) >= FORGOTTEN * (1 + 1e-9):
            assert day in held


@given(st.lists(st.integers(1, 40), max_size=12), st.integers(0, 100))
def test_the_latest_notes_of_today_fit_and_go_with_the_day(lengths, room):
    memory = LayeredMemory(Memory(working_tokens=room), 5.0)
    for n, tokens in enumerate(lengths):
        memory.note(str(n), tokens)
    notes = memory.latest_notes()
    assert notes == [str(n) for n in range(len(lengths))][len(lengths) - len(notes) :]
    assert sum(lengths[len(lengths) - len(notes) :]) <= room
    if len(notes) < len(lengths):
        assert sum(lengths[len(lengths) - len(notes) - 1 :]) > room
    memory.end_day(0, "over", 1, 0.5)
    assert memory.latest_notes() == []


def test_importance_recency_and_relevance_each_decide():
    def recalled(*episodes, query="calm"):
        memory = LayeredMemory(Memory(recall_tokens=20, promote_importance=1.0), 5.0)
        for day, text, importance in (*episodes, (30, "yesterday", 0.1)):
            memory.end_day(day, text, 10, importance)
        return [e.text for e in memory.recall(31, query)]

    assert recalled((28, "dull", 0.1), (28, "crash", 0.9)) == ["crash", "yesterday"]
    assert recalled((20, "old", 0.5), (28, "new", 0.5)) == ["new", "yesterday"]
    assert recalled((28, "calm sea", 0.5), (28, "storm here", 0.5)) == ["calm sea", "yesterday"]


def test_recalls_and_importance_make_a_memory_last():
    memory = LayeredMemory(Memory(promote_importance=0.6, promote_recalls=3), 2.0)
    memory.end_day(0, "a crash", 5, 0.9)
    memory.end_day(1, "a dull day", 5, 0.1)
    assert [e.text for e in memory.long_term] == ["a crash"]
    for day in (2, 3, 4):
        memory.recall(day, "dull")
        memory.end_day(day, "nothing", 5, 0.0)
    assert [e.text for e in memory.long_term] == ["a crash", "a dull day"]
    memory.end_day(60, "later", 5, 0.0)
    assert [e.text for e in memory.long_term] == ["a crash", "a dull day"]  # weigh more than 0.01
    assert [e.text for e in memory.episodic] == ["later"]
    memory.end_day(94, "much later", 5, 0.0)
    assert memory.long_term == []


@settings(max_examples=30)
@given(st.lists(st.text(max_size=30), max_size=6), st.text(max_size=30))
def test_any_texts_are_as_similar_as_a_number_from_0_to_1_says(texts, query):
    found = similarity(texts, query)
    assert found.shape == (len(texts),)
    assert ((found >= 0) & (found <= 1)).all()


def test_a_text_is_most_similar_to_itself():
    found = similarity(["falling cheap", "falling fair", "news"], "falling cheap")
    assert found[0] == pytest.approx(1.0)
    assert 0.0 < found[1] < 1.0
    assert found[2] == 0.0


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Deliberation(receptivity=1.5), "receptivity is 1.5, expected 0 to 1"),
        (lambda: Deliberation(reason_tokens=0), "reason_tokens is 0, expected 1 to 1,000"),
        (lambda: Traits(memory_days=0.0), "memory_days is 0.0, expected 0.1 to 10,000"),
        (lambda: Memory(recall_tokens=-1), "recall_tokens is -1, expected at least 0"),
        (lambda: Memory(long_term_factor=0.5), "long_term_factor is 0.5, expected at least 1"),
        (lambda: Expert("value", "other"), "name one of the two"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(make, complaint):
    with pytest.raises(AgentError, match=complaint):
        make()
