"""A writer: the same answers whatever it remembers, whoever else asks, and as at a glance."""

import numpy as np
import pytest

from evobourse.agents.deliberation.writer import Ask, BatchWriter
from evobourse.agents.observation import decode_view, encode_view
from evobourse.merge.engine.byte_budget import ByteBudget

PAGES = (
    ("\nYou remember:\n- yesterday: a loss.", "\nRound 1 of 5. You hold 10 shares."),
    ("\nRound 1 of 5. You hold 3 shares, 5% of your wealth.",),
    ("\nNews: The auditors have found a hole.\nRound 1 of 5.", "\nThought: I think so."),
)
CUE = ".\nThought: I think"


@pytest.fixture(scope="module")
def asks():
    drawn = np.random.default_rng(5).normal(0, 0.5, (3, 1, 3)).astype(np.float32)
    levels = np.array([[0, 1, 2, 0, 1, 2], [4, 0, 0, 2, 0, 0], [1, 3, 1, 1, 2, 1]])
    visible = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1]], bool)
    views = encode_view(levels, visible)
    return [
        Ask(n, page, int(view), mind)
        for n, (page, view, mind) in enumerate(zip(PAGES, views, drawn, strict=True))
    ]


def rngs(asks):
    return [np.random.default_rng(ask.agent) for ask in asks]


@pytest.fixture(scope="module")
def answered(shallow_engine, asks):
    writer = BatchWriter(shallow_engine())
    return writer.choose(asks), writer.write(asks, CUE, 4, 0.8, rngs(asks)), writer


def test_answers_are_the_same_alone_in_any_order_and_remembered(shallow_engine, asks, answered):
    logits, texts, writer = answered
    np.testing.assert_array_equal(writer.choose(asks), logits)  # behind what is known
    alone = BatchWriter(shallow_engine())
    for n in (2, 0):
        assert alone.write([asks[n]], CUE, 4, 0.8, rngs([asks[n]])) == [texts[n]]
        np.testing.assert_array_equal(alone.choose([asks[n]])[0], logits[n])
    forgetful = shallow_engine()
    forgetful.budget = ByteBudget(0)
    np.testing.assert_array_equal(BatchWriter(forgetful).choose(asks[:2]), logits[:2])


def test_what_a_page_begins_with_is_computed_once(asks, answered):
    _, _, writer = answered
    before, asked = writer.computed, writer.counters.prompt
    longer = [Ask(a.agent, (*a.page, "\nMore."), a.view, a.mind) for a in asks]
    writer.choose(longer)
    tails = sum(
        len([*writer.engine.invocation, *writer.engine.view_prompt(a.view).steps[0]]) for a in asks
    )
    assert writer.computed - before == 3 * writer.count("\nMore.") + tails
    whole = sum(
        len(writer.engine.view_prompt(a.view).tokens) + sum(map(writer.count, a.page))
        for a in longer
    )
    assert writer.counters.prompt - asked == whole


def test_behind_no_page_a_choice_is_the_reflex(shared_engine, asks, total_variation):
    """The trie of prompts and a sequence cut the same tokens differently, so not to the bit."""
    engine = shared_engine
    bare = [Ask(a.agent, (), a.view, a.mind) for a in asks]
    expected = [engine.answer(a.mind, np.array([a.view]))[0] for a in bare]
    assert total_variation(BatchWriter(engine).choose(bare), np.array(expected)).max() < 0.02
    assert decode_view(np.array(asks[1].view)).max() == -1


def test_a_whole_model_agrees_with_peft_s_reading_of_a_page(
    make_engine, style_folders, open_peft, rounded_model, total_variation
):
    """Activated adapters act from the last invocation on; PEFT finds it in the whole text."""
    import torch

    engine = make_engine(style_folders.values())
    writer = BatchWriter(engine)
    model = open_peft(rounded_model, style_folders)
    model.set_adapter("value")
    value = np.array([[0.0, 1.0, 0.0]], np.float32)
    asks = [Ask(n, page, 37 * n, value) for n, page in enumerate(PAGES)]
    theirs = []
    for ask in asks:
        prompt = engine.view_prompt(ask.view)
        page = [token for piece in ask.page for token in engine.tokenize(piece)]
        ids = [*prompt.shared, *page, *prompt.opening, *prompt.steps[0]]
        with torch.inference_mode():
            out = model(input_ids=torch.tensor([ids])).logits[0, -1, engine.options]
        theirs.append(out.numpy())
    assert total_variation(writer.choose(asks), np.array(theirs)).max() < 0.02


def test_a_mind_leans_as_far_one_way_as_the_other(shared_engine, asks):
    writer = BatchWriter(shared_engine)
    views = np.arange(0, 300)
    leaning = writer.bias(asks[0].mind, "\nRound 1 of 1.", views)
    np.testing.assert_allclose(leaning, -leaning[::-1])
    rules = [*shared_engine.rules, *shared_engine.tokenize("\nRound 1 of 1.")]
    prompts = [shared_engine.prompt(rules, *shared_engine.view_prompt(v).steps) for v in views[::5]]
    rest = shared_engine.answer_prompts(asks[0].mind, prompts).mean(axis=0) - leaning
    np.testing.assert_allclose(rest, rest[::-1], atol=1e-4)
