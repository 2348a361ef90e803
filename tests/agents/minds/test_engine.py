import shutil

import numpy as np
import pytest
import torch

from evobourse.agents.minds.engine import MindEngine, hash_weights
from evobourse.agents.observation import INVOCATION, VIEWS, decode_view, render_rules, render_view
from evobourse.merge.engine.adapter_bank import AdapterBank
from evobourse.merge.errors import AdapterError, ModelError
from tests.agents.mixtures import mind, one_hot
from tests.shared_weights import share_weights


@pytest.fixture(scope="module")
def minds():
    drawn = np.random.default_rng(7).normal(0, 0.6, (3, 1, 3)).astype(np.float32)
    return [*drawn, one_hot(0), one_hot(2)]


# One prompt


def test_the_pieces_of_a_prompt_are_the_tokens_of_its_text(style_engine, tokenizer):
    for view in np.random.default_rng(0).integers(VIEWS, size=300).tolist():
        text = render_rules() + render_view(view)
        whole = tokenizer(text, add_special_tokens=False).input_ids
        assert style_engine.prompt_tokens(view) == whole


def test_invocation_tokens_stand_once_in_a_prompt(style_engine, tokenizer):
    invocation = tokenizer(INVOCATION, add_special_tokens=False).input_ids
    tokens = style_engine.prompt_tokens(VIEWS - 1)
    starts = [n for n in range(len(tokens)) if tokens[n : n + len(invocation)] == invocation]
    assert starts == [len(tokenizer(render_rules(), add_special_tokens=False).input_ids)]


# Exact in every batch


def test_an_answer_is_the_same_bits_alone_and_beside_any_others(fresh_engine, minds, few):
    together = fresh_engine()
    for m in minds:
        together.ask(m, few)
    expected = [together.answer(m, few) for m in minds]
    assert together.counters.computed == len(minds) * len(few)
    assert together.counters.trunk_rows == len(few)
    rows = np.stack(expected).reshape(len(minds), -1)
    assert len(np.unique(rows, axis=0)) == len(minds)

    backwards = fresh_engine()
    backwards.ask(mind(3, 2, 1), few[16:])
    for m in reversed(minds):
        backwards.ask(m, few[::-2])
        backwards.ask(m, few[:7])
    for m, answer in zip(minds, expected, strict=True):
        np.testing.assert_array_equal(backwards.answer(m, few[::-2]), answer[::-2])
    np.testing.assert_array_equal(backwards.answer(minds[1], few), expected[1])

    for n in (0, 4):
        alone = fresh_engine().answer(minds[n], few[n : n + 1])
        np.testing.assert_array_equal(alone, expected[n][n : n + 1])


def test_an_answer_is_the_same_bits_in_batches_of_every_size(fresh_engine):
    views = np.arange(VIEWS)
    views = views[(decode_view(views) >= 0).sum(axis=1) == 4]  # one length: one batch
    views = np.random.default_rng(0).permutation(views)[:150]
    whole = fresh_engine().answer(mind(0.3, -0.2, 0.9), views)
    for start, stop in ((0, 1), (149, 150), (71, 73), (1, 14), (40, 77), (21, 150)):
        answer = fresh_engine().answer(mind(0.3, -0.2, 0.9), views[start:stop])
        np.testing.assert_array_equal(answer, whole[start:stop])


def test_an_ordinary_adapter_answers_the_same_bits_alone(ordinary_engine, tokenizer, minds, few):
    def fresh():
        return MindEngine(ordinary_engine.decoder.model, tokenizer, ordinary_engine.bank, "bare")

    together = fresh()
    for m in minds[:2]:
        together.ask(m, few)
    expected = [together.answer(m, few) for m in minds[:2]]
    np.testing.assert_array_equal(fresh().answer(minds[1], few[5:6]), expected[1][5:6])


# Both kinds of adapter


def test_an_activated_adapter_keeps_off_the_rules_beside_an_ordinary_one(
    make_engine, style_folders, ordinary_folders, style_engine, ordinary_engine, market_views
):
    names = list(style_folders)
    engine = make_engine([style_folders[names[0]], ordinary_folders[names[1]]])
    views = market_views[:5]
    np.testing.assert_allclose(
        engine.answer(mind(1, 0), views), style_engine.answer(one_hot(0), views), atol=1e-3
    )
    np.testing.assert_allclose(
        engine.answer(mind(0, 1), views), ordinary_engine.answer(one_hot(1), views), atol=1e-3
    )


# Any prompt


def test_a_prompt_of_a_views_tokens_is_answered_as_the_view(fresh_engine, minds, few):
    engine, other = fresh_engine(), fresh_engine()
    prompts = [engine.view_prompt(view) for view in few[:3].tolist()]
    rules = engine.tokenize(render_rules())
    assert prompts[0] == engine.prompt(
        rules, engine.tokenize(render_view(few[0])[len(INVOCATION) :])
    )
    answers = engine.answer_prompts(minds[0], [prompts[2], *prompts])
    np.testing.assert_array_equal(answers[1:], other.answer(minds[0], few[:3]))
    np.testing.assert_array_equal(answers[0], answers[3])
    assert (engine.counters.asked, engine.counters.computed) == (4, 3)
    again = engine.answer_prompts(minds[0], prompts[:1])
    np.testing.assert_array_equal(again, answers[1:2])
    assert engine.counters.computed == 3


# The memo


def test_what_was_answered_once_is_never_computed_again(fresh_engine, market_views):
    engine, chosen = fresh_engine(), mind(0.2, 0.3, 0.4)
    views = market_views[:5]
    first = engine.answer(chosen, views[[0, 1, 2, 3, 4, 4, 0]])
    counters = engine.counters
    assert (counters.asked, counters.computed, counters.trunk_rows) == (7, 5, 5)
    tokens = counters.tokens
    engine.ask(chosen, views)
    again = engine.answer(chosen, views)
    np.testing.assert_array_equal(again, first[:5])
    assert (counters.asked, counters.computed, counters.trunk_rows) == (12, 5, 5)
    assert counters.tokens == tokens
    engine.answer(mind(0.2, 0.3, 0.5), views)  # another mind shares the trunk alone
    assert (counters.computed, counters.trunk_rows) == (10, 5)


def test_cores_between_the_factors_make_another_mind(make_engine, ordinary_folders, few):
    engine, views = make_engine(list(ordinary_folders.values())[:1]), few[:4]
    bent = np.concatenate([[0.8], np.diag(np.linspace(0, 2, 8)).ravel()]).astype(np.float32)
    identity = np.concatenate([[0.8], np.eye(8).ravel()]).astype(np.float32)
    plain = np.array([[0.8]], np.float32)
    minds = (plain, identity[None, None], bent[None, None])
    first, second, third = (engine.answer(m, views) for m in minds)
    np.testing.assert_array_equal(first, second)
    assert np.abs(third - first).max() > 0.05


@pytest.mark.parametrize("budget", [0, 300_000])
def test_more_minds_than_the_budget_holds_are_all_answered(
    budget, style_engine, fresh_engine, tokenizer, minds, few
):
    views, roomy = few[:1], fresh_engine()
    chosen = minds[: 5 if budget else 2]
    model, bank = style_engine.decoder.model, style_engine.bank
    cramped = MindEngine(model, tokenizer, bank, "bare", kv_budget_bytes=budget)
    for m in chosen:
        roomy.ask(m, views)
        cramped.ask(m, views)
    for m in chosen:
        np.testing.assert_array_equal(cramped.answer(m, views), roomy.answer(m, views))
    assert roomy.counters.computed == len(chosen) < cramped.counters.computed
    assert cramped.budget.most_held <= budget


def test_other_weights_answer_otherwise_and_the_return_restores_every_bit(
    make_engine, style_folders, smol, few
):
    engine, views = make_engine(style_folders.values(), own_weights=True), few[:2]
    bare = engine.answer(one_hot(1), views)
    names = [f"model.layers.{n}.mlp.down_proj.weight" for n in range(10, 20)]
    names.append("model.embed_tokens.weight")
    base = {name: smol[0].state_dict()[name] for name in names}
    engine.set_base({name: 1.1 * tensor for name, tensor in base.items()}, "other")
    other = engine.answer(one_hot(1), views)
    assert not np.isclose(other, bare, atol=1e-2).all()

    computed = engine.counters.computed
    engine.set_base(base, "bare")
    np.testing.assert_array_equal(engine.answer(one_hot(1), views), bare)
    assert engine.counters.computed == computed  # remembered with its base
    engine.set_base(base, "the same weights under a new name")
    np.testing.assert_array_equal(engine.answer(one_hot(1), views), bare)
    assert engine.counters.computed == computed + 2
    engine.set_base({}, "other")
    np.testing.assert_array_equal(engine.answer(one_hot(1), views), other)


# What is refused


def test_an_adapter_that_waits_for_other_tokens_is_refused(make_engine, style_folders, tmp_path):
    folder = shutil.copytree(style_folders["value"], tmp_path / "foreign")
    config = folder / "adapter_config.json"
    config.write_text(config.read_text().replace("7886", "7887"))
    with pytest.raises(AdapterError, match=r"adapter 'foreign': activates on tokens \[198, 7887"):
        make_engine([folder])


def test_a_vocabulary_that_splits_the_options_is_refused(int8_model):
    class Letters:
        bos_token_id = None

        def __call__(self, text, **options):
            self.input_ids = [ord(letter) for letter in text]
            self.special_tokens_mask = [0] * len(text)
            return self

    bank = AdapterBank(share_weights(int8_model), ())
    with pytest.raises(ModelError, match="are not one token each"):
        MindEngine(int8_model, Letters(), bank, "bare")


def test_a_prompt_that_is_none_is_refused(style_engine):
    with pytest.raises(ModelError, match="pieces of 2, 3, 1, 0 tokens, expected at least 1 each"):
        style_engine.prompt([5, 6], [7], [])
    with pytest.raises(ModelError, match="token 49152, expected 0 to 49151"):
        style_engine.prompt([5, 6], [49152])


def test_weights_are_hashed_by_content(smol):
    name = "model.layers.0.mlp.up_proj.weight"
    weight = smol[0].state_dict()[name]
    same, changed = weight.clone(), weight.clone()
    changed[3, 4] = changed[3, 4].nextafter(torch.tensor(9.0))
    assert hash_weights({name: weight}) == hash_weights({name: same})
    assert hash_weights({name: weight}) != hash_weights({name: changed})
    assert hash_weights({name: weight}) != hash_weights({"other": weight})
