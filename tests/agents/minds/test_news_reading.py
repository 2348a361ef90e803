"""Minds that read a sentence: the form of the prompt, and answers that no batch changes."""

from pathlib import Path

import numpy as np
import pytest

from evobourse.agents.deliberation.wording import render_situation
from evobourse.agents.deliberation.writer import Ask, BatchWriter
from evobourse.agents.minds import news_reading
from evobourse.agents.minds.news_reading import expected_tendency, read_news, render_news
from evobourse.agents.observation import render_rules, render_view
from evobourse.market.events.dated_news import load_news
from evobourse.market.series.named import load_series
from tests.agents.mixtures import one_hot

SHIPPED = Path(__file__).parents[3] / "experiments" / "data" / "news_1999_2018.csv"
TEXTS = ("A port is closed.", "", "The bank has lent 5 billion dollars.", "Rain.", "A port opens.")


@pytest.fixture(scope="module")
def minds():
    nobody = np.zeros((1, 3), np.float32)
    return [nobody, one_hot(0), 0.5 * one_hot(1) + one_hot(2)]


@pytest.fixture(scope="module")
def views(market_views):
    return [0, *market_views[:4].tolist()]


@pytest.fixture(scope="module")
def answers(style_engine, minds, views):
    return read_news(style_engine, minds, TEXTS, views)


def test_without_a_sentence_it_is_the_choice_at_a_glance(style_engine, minds, views):
    read = read_news(style_engine, minds, [""] * len(views), views)
    for mind, logits in zip(minds, read, strict=True):
        np.testing.assert_array_equal(logits, style_engine.answer(mind, np.array(views)))


def test_no_batch_changes_an_answer(fresh_engine, minds, views, answers, monkeypatch):
    monkeypatch.setattr(news_reading, "TOGETHER", 1)
    engine = fresh_engine()
    for row in reversed(range(len(minds))):
        for at in reversed(range(len(TEXTS))):
            [[alone]] = read_news(engine, [minds[row]], [TEXTS[at]], [views[at]])
            np.testing.assert_array_equal(alone, answers[row, at])


def test_a_sentence_changes_the_answers_of_all_minds(style_engine, minds, views, answers):
    plain = read_news(style_engine, minds, [""] * len(views), views)
    read = [at for at, text in enumerate(TEXTS) if text]
    assert (np.abs(answers - plain)[:, read].max(axis=2) > 1e-3).all()
    np.testing.assert_array_equal(answers[:, 1], plain[:, 1])


def test_a_page_of_an_agent_who_deliberates_has_the_same_line(style_engine, minds, views):
    situation = render_situation(0, 1, "ACCOUNT", (), [f"News: {TEXTS[0]}"])
    assert situation.partition("\nRound")[0] == render_news(TEXTS[0])
    ask = Ask(0, (render_news(TEXTS[0]),), views[1], minds[0])
    tail = render_view(views[1]).removeprefix("\nToday:")
    pieces = BatchWriter(style_engine).pieces(ask, tail)
    prompt = style_engine.text_prompt(render_rules() + render_news(TEXTS[0]), tail)
    assert [token for piece in pieces for token in piece] == list(prompt.tokens)


def test_prompts_of_the_shipped_facts_are_the_tokens_of_their_text(style_engine, tokenizer):
    for fact in load_news(SHIPPED, load_series("sp500")):
        shared, step = render_rules() + render_news(fact.text), " calm bad ->"
        whole = tokenizer(f"{shared}\nToday:{step}", add_special_tokens=False).input_ids
        assert list(style_engine.text_prompt(shared, step).tokens) == whole


def test_the_expected_tendency_is_the_mean_of_the_softmax():
    logits = np.log([[0.1, 0.2, 0.3, 0.15, 0.25], [0.2] * 5])
    np.testing.assert_allclose(expected_tendency(logits, 1.0), [0.25, 0.0], atol=1e-12)
    both = expected_tendency(np.stack([logits, logits]), np.array([[1.0], [1e9]]))
    np.testing.assert_allclose(both, [[0.25, 0.0], [0.0, 0.0]], atol=1e-8)
