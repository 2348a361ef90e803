"""Minds against implementations that are not ours: the full-precision model, and PEFT."""

import copy
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from evobourse.agents.observation import INVOCATION, render_rules, render_view
from tests.agents.mixtures import mind, one_hot
from tests.shared_weights import share_weights


@pytest.fixture(scope="module")
def peft_activated(open_peft, rounded_model, style_folders):
    return open_peft(rounded_model, style_folders)


def read_private(model, tokenizer, options, views, prefix_model):
    """Ask an fp32 transformers model over its own cache of the rules, a length at a time."""
    rules = tokenizer(render_rules(), add_special_tokens=False, return_tensors="pt").input_ids
    texts = [render_view(view) for view in views.tolist()]
    private = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    logits = torch.empty(len(views), len(options))
    with torch.inference_mode():
        prefix = prefix_model(rules, use_cache=True).past_key_values
        for length in set(map(len, private)):
            rows = [n for n, tokens in enumerate(private) if len(tokens) == length]
            cache = DynamicCache()
            for index, layer in enumerate(prefix.layers):
                shape = (len(rows), -1, -1, -1)
                cache.update(layer.keys.expand(shape), layer.values.expand(shape), index)
            ids = torch.tensor([private[n] for n in rows])
            whole = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
            logits[rows] = whole[:, -1, options]
    return logits.numpy()


def test_the_int8_base_chooses_as_the_fp32_model(style_engine, smol, market_views, total_variation):
    model, tokenizer = smol
    exact = read_private(model, tokenizer, style_engine.options, market_views, model)
    distance = total_variation(style_engine.answer(mind(0, 0, 0), market_views), exact)
    print(f"bare TV mean {distance.mean():.4f} max {distance.max():.4f}")
    assert len(distance) >= 100
    assert distance.mean() <= 0.02


def test_a_style_in_int8_chooses_as_merged_into_the_fp32_model(
    style_engine, smol, ordinary_folders, open_peft, market_views, total_variation
):
    model, tokenizer = smol
    name = "momentum"
    tuned = open_peft(copy.deepcopy(model), {name: ordinary_folders[name]})
    merged = tuned.merge_and_unload()
    exact = read_private(merged, tokenizer, style_engine.options, market_views, model)
    answers = style_engine.answer(one_hot(list(ordinary_folders).index(name)), market_views)
    distance = total_variation(answers, exact)
    print(f"style TV mean {distance.mean():.4f} max {distance.max():.4f}")
    assert distance.mean() <= 0.02
    bare = style_engine.answer(mind(0, 0, 0), market_views)
    assert total_variation(bare, exact).mean() > 0.3


# PEFT has an fp32 model with the same rounded weights: all that may differ is the arithmetic.

ROUNDINGS = 2  # the engine's products round what goes in too, and not all processors sum alike


def log_odds_distance(first, second):
    """Return the root mean square difference of log odds, of logits [n, 5]."""
    difference = np.asarray(first) - np.asarray(second)
    return float((difference - difference.mean(axis=1, keepdims=True)).std())


@contextmanager
def in_bf16(model):
    """Let every module but the head hand on bf16, whatever the processor's own is like."""

    def rounded(module, inputs, out):
        return out.bfloat16().float() if isinstance(out, torch.Tensor) else None

    modules = [m for name, m in model.named_modules() if not name.endswith("lm_head")]
    hooks = [module.register_forward_hook(rounded) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def assert_same_choice(answers, model, read):
    """Compare logits [n, 5] with what `read` reads off the fp32 model; bf16 is all they may cost.

    Return what was read, and what would have been too far from it.
    """
    exact = read()
    with in_bf16(model):
        bound = ROUNDINGS * log_odds_distance(read(), exact)
    distance = log_odds_distance(answers, exact)
    print(f"log odds differ by {distance:.4f}, by {bound:.4f} at most")
    assert 0 < distance <= bound
    return exact, bound


def test_bare_base_equals_transformers_on_the_full_prompt(
    style_engine, rounded_model, read_whole, market_views
):
    views = market_views[:10]
    answers = style_engine.answer(mind(0, 0, 0), views)
    assert_same_choice(answers, rounded_model, lambda: read_whole(rounded_model, views))


@pytest.mark.parametrize("k", range(3))
def test_an_activated_style_equals_peft(
    k, style_engine, style_folders, peft_activated, read_whole, market_views
):
    peft_activated.set_adapter(list(style_folders)[k])
    views = market_views[10 * k : 10 * k + 10]
    answers = style_engine.answer(one_hot(k), views)
    exact, _ = assert_same_choice(
        answers, peft_activated, lambda: read_whole(peft_activated, views)
    )
    np.testing.assert_array_equal(answers.argmax(1), exact.argmax(1))


@pytest.mark.parametrize("weights", [(0.5, 0.3, 0.2), (1.1, -0.6, 0.4)])
def test_a_mixture_equals_pefts_weighted_adapter(
    weights, style_engine, style_folders, peft_activated, read_whole, market_views
):
    name = "mixture"
    peft_activated.add_weighted_adapter(
        list(style_folders), list(weights), name, combination_type="cat"
    )
    peft_activated.set_adapter(name)
    assert peft_activated.peft_config[name].alora_invocation_tokens
    views = market_views[:10]
    answers = style_engine.answer(mind(*weights), views)
    try:
        exact, bound = assert_same_choice(
            answers, peft_activated, lambda: read_whole(peft_activated, views)
        )
    finally:
        peft_activated.set_adapter(next(iter(style_folders)))
        peft_activated.delete_adapter(name)
    # A tenth of one coefficient is another mixture.
    nearby = style_engine.answer(mind(weights[0] + 0.1, *weights[1:]), views)
    assert log_odds_distance(nearby, exact) > bound


def test_an_ordinary_adapter_equals_peft_on_the_full_prompt(
    ordinary_engine, ordinary_folders, rounded_model, open_peft, read_whole, market_views,
    style_engine,
):  # fmt: skip
    name = "contrarian"
    tuned = open_peft(rounded_model, {name: ordinary_folders[name]})
    views = market_views[:10]
    chosen = one_hot(list(ordinary_folders).index(name))
    exact, bound = assert_same_choice(
        ordinary_engine.answer(chosen, views), tuned, lambda: read_whole(tuned, views)
    )
    # Acting on the rules too is another choice: the two ways are not confused.
    assert log_odds_distance(style_engine.answer(chosen, views), exact) > bound


@pytest.fixture(scope="module")
def two_layer_folder(smol, tmp_path_factory):
    """Ordinary LoRA with random factors on the lowest and the topmost layer."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["q_proj", "up_proj"],
        layers_to_transform=[0, 29],
        use_rslora=True,
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("lora") / "two-layers"
    get_peft_model(share_weights(smol[0]), config).save_pretrained(folder)
    return folder


def test_every_block_has_its_own_coefficient(
    make_engine, two_layer_folder, rounded_model, open_peft, read_whole, market_views
):
    engine = make_engine([two_layer_folder], blocks=2)
    assert engine.bank.first_layer == 0
    tuned = open_peft(rounded_model, {"x": two_layer_folder})
    for layer, coefficient in ((0, 0.5), (29, -2.0)):
        block = tuned.base_model.model.model.layers[layer]
        for module in (block.self_attn.q_proj, block.mlp.up_proj):
            module.scaling["x"] *= coefficient
    views = market_views[:6]
    right = engine.answer(np.array([[0.5], [-2.0]], np.float32), views)
    exact, bound = assert_same_choice(right, tuned, lambda: read_whole(tuned, views))
    swapped = engine.answer(np.array([[-2.0], [0.5]], np.float32), views)
    assert log_odds_distance(swapped, exact) > 5 * bound


def test_news_of_the_day_is_shared_and_read(
    style_engine, fresh_engine, peft_activated, style_folders, total_variation, few
):
    engine = fresh_engine()

    def read_prompts(model, prompts):
        with torch.inference_mode():
            whole = [
                model(torch.tensor([prompt.tokens]), logits_to_keep=1).logits for prompt in prompts
            ]
        return torch.cat(whole)[:, -1, engine.options].numpy()

    texts = [
        render_rules() + f" This morning's news: {news}."
        for news in ("the mine is closed after a fire", "a new vein was found, richer than any")
    ]
    private = [engine.tokenize(render_view(view)[len(INVOCATION) :]) for view in few[:3].tolist()]
    prompts = [engine.prompt(engine.tokenize(text), own) for text in texts for own in private]
    for name, chosen in zip(list(style_folders)[:2], (one_hot(0), one_hot(1)), strict=True):
        peft_activated.set_adapter(name)
        engine.ask_prompts(chosen, prompts)
        answers = engine.answer_prompts(chosen, prompts)
        assert_same_choice(answers, peft_activated, lambda: read_prompts(peft_activated, prompts))
    assert total_variation(answers[:3], answers[3:]).min() > 1e-3
    # Twice the news, and each private text behind either: six nodes of the trunk for both minds.
    assert engine.counters.trunk_rows == 6
