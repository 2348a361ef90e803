"""Stored answers are the minds' own, and models are opened for what else is asked alone."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from evobourse.agents.errors import AgentError
from evobourse.agents.minds import stored_answers
from evobourse.agents.minds.stored_answers import (
    StoredMinds,
    gather_answers,
    pack_answers,
    read_answers,
)
from evobourse.agents.observation import possible_views
from evobourse.evolve.bases.stand_ins import ServedTeachers

STYLES = ("momentum", "contrarian")


@pytest.fixture
def people(population):
    return population([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], attention=1)


@pytest.fixture
def answers(people):
    return gather_answers(people, ServedTeachers(STYLES))


def test_all_that_a_population_can_meet_is_stored_once_a_mind(people, answers):
    views = possible_views(1)
    assert len(answers) == 2 * len(views)  # the third persona's mind is the first one's
    teachers = ServedTeachers(STYLES)
    for persona in people.personas:
        some = views[[5, 0, 5]]
        stored = answers.find(None, persona.mind, some)
        assert (stored == teachers.answer(persona.mind, some)).all()


def test_the_file_has_the_same_bytes_and_brings_everything_back(people, answers, tmp_path):
    file = tmp_path / "answers.safetensors"
    file.write_bytes(pack_answers(answers))
    again = gather_answers(people, ServedTeachers(STYLES))
    assert pack_answers(again) == file.read_bytes()
    back = read_answers(file)
    assert back is not None
    assert back.scopes == answers.scopes
    assert pack_answers(back) == file.read_bytes()


def test_prompts_in_other_words_ask_other_questions(answers, tmp_path, monkeypatch):
    file = tmp_path / "answers.safetensors"
    file.write_bytes(pack_answers(answers))
    monkeypatch.setattr(stored_answers, "_WORDS", "other words")
    assert read_answers(file) is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda header, tensors: header.update(schema="evobourse/answers/v0"), "schema is"),
        (lambda header, tensors: header.pop("scopes"), "holds no answers"),
        (lambda header, tensors: tensors.update(views=tensors["views"][:-1]), "do not match"),
        (lambda header, tensors: tensors.update(views=tensors["views"][::-1].copy()), "not match"),
    ],
)
def test_what_is_no_file_of_answers_is_refused(spoil, message, answers, tmp_path):
    file = tmp_path / "answers.safetensors"
    file.write_bytes(pack_answers(answers))
    with safe_open(file, "numpy") as stored:
        header = json.loads(stored.metadata()["answers"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    spoil(header, tensors)
    save_file(tensors, file, {"answers": json.dumps(header)})
    with pytest.raises(AgentError, match=message):
        read_answers(file)


def test_models_open_for_a_new_mind_and_for_a_new_view_alone(people, answers):
    opened = []

    def open_live():
        opened.append(1)
        return ServedTeachers(STYLES)

    minds = StoredMinds(answers, open_live, lambda: bool(opened))
    known, views = people.personas[0].mind, possible_views(1)
    minds.ask(known, views)
    minds.answer(known, views)
    assert minds.counters.computed == 0
    assert not opened
    further = possible_views(2)
    live = ServedTeachers(STYLES)
    assert (minds.answer(known, further) == live.answer(known, further)).all()
    assert opened
    opened.clear()
    new = np.array([[0.5, 0.5]], np.float32)
    assert (minds.answer(new, views) == live.answer(new, views)).all()
    assert opened
    opened.clear()
    minds.minds_on("another").answer(known, views)  # stored are the main base's
    assert opened
