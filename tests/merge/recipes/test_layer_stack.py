import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from evobourse.merge.engine.decoder import Decoder
from evobourse.merge.engine.int8 import quantize_int8
from evobourse.merge.errors import RecipeError
from evobourse.merge.recipes.layer_stack import LayerStack, stack_config, stack_model, stack_state
from evobourse.merge.recipes.recipe import Recipe
from evobourse.merge.recipes.stack_recipe import StackRecipe, stack_states, to_mergekit_yaml

REPEATING = (("one", 0), ("two", 1), ("one", 1), ("one", 1), ("two", 0), ("two", 1))
SCALES = (1.0, 0.8, 1.3, 0.9, 1.7, 1.0)


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def models(request, tiny_llama):
    return {name: tiny_llama(s, tied=request.param) for s, name in enumerate(("one", "two"))}


@pytest.fixture(scope="module")
def states(models, state_of):
    return {name: state_of(model) for name, model in models.items()}


@pytest.fixture(scope="module")
def tokens():
    return torch.randint(0, 100, (3, 9), generator=torch.Generator().manual_seed(0))


# The genome of Akiba et al.


def test_an_indicator_over_repeats_gives_the_path_and_its_scales():
    scaling = np.arange(25, dtype=float).reshape(5, 5) + 1
    indicator = np.array([1, 0, 1, 1, 0, 0, 0.5, -1, 2, 0, 0, 0, 0, 0, 3.0])
    stack = LayerStack.from_indicator({"a": 3, "b": 2}, indicator, scaling)
    # a0 -> a2 skips, a2 -> b0 crosses, b0 -> a1 crosses, a1 -> b0 crosses, b0 -> b1 is in order.
    assert stack.layers == (("a", 0), ("a", 2), ("b", 0), ("a", 1), ("b", 0), ("b", 1))
    assert stack.scales == (1.0, scaling[0, 2], scaling[2, 3], scaling[3, 1], scaling[1, 3], 1.0)
    assert LayerStack.from_dict(stack.to_dict()) == stack


@given(data=st.data(), depths=st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_steps_as_in_the_source_are_never_scaled_and_others_always(data, depths):
    total, repeats = sum(depths), data.draw(st.integers(1, 3))
    values = st.lists(st.floats(-1, 1), min_size=total * repeats, max_size=total * repeats)
    indicator = np.array(data.draw(values))
    indicator[-1] = 1
    scaling = np.full((total, total), 2.0)
    named = {f"s{n}": depth for n, depth in enumerate(depths)}
    stack = LayerStack.from_indicator(named, indicator, scaling)
    assert len(stack.layers) == (indicator > 0).sum()
    steps = list(zip(stack.layers, stack.layers[1:], stack.scales[1:], strict=False))
    for (before, layer), (name, number), scale in steps:
        assert scale == (1.0 if (before, layer) == (name, number - 1) else 2.0)


@pytest.mark.parametrize(
    ("indicator", "scaling", "message"),
    [
        (np.ones(7), np.ones((4, 4)), r"stack\.indicator: has shape \(7,\), .* multiple of 4"),
        (np.ones(0), np.ones((4, 4)), r"stack\.indicator: has shape \(0,\)"),
        (np.ones(8), np.ones((4, 3)), r"stack\.scaling: has shape \(4, 3\), expected \(4, 4\)"),
        (-np.ones(8), np.ones((4, 4)), "at least one layer"),
        (np.ones(8), np.zeros((4, 4)), r"stack\.scales: .* expected 8 numbers above 0"),
        (np.ones(8), np.full((4, 4), np.nan), r"stack\.scales: .* expected 8 numbers above 0"),
    ],
)
def test_a_malformed_genome_is_refused(indicator, scaling, message):
    with pytest.raises(RecipeError, match=message):
        LayerStack.from_indicator({"a": 2, "b": 2}, indicator, scaling)


def test_layers_that_do_not_exist_or_do_not_fit_are_refused(states, tiny_llama, state_of):
    def build(*layers):
        return stack_state(LayerStack(layers, (1.0,) * len(layers)), states | other)

    other = {"wide": {k: torch.cat([t, t]) for k, t in states["one"].items()}}
    with pytest.raises(RecipeError, match=r"'three' is unknown; known: \['one', 'two', 'wide'\]"):
        build(("three", 0))
    with pytest.raises(RecipeError, match=r"stack\.layers\[1\]: 'one' has no layer 2; it has 2"):
        build(("one", 0), ("one", 2))
    with pytest.raises(RecipeError, match=r"layers\.1\..* is \(64, 32\), .* \(32, 32\)"):
        build(("one", 0), ("wide", 1))
    other = {"large": state_of(tiny_llama(3, vocabulary=101))}
    with pytest.raises(RecipeError, match="differ in width or vocabulary"):
        build(("one", 0), ("large", 1))


# What a stack computes


def test_the_whole_source_in_order_is_the_source(models, states, tokens):
    stack = LayerStack((("two", 0), ("two", 1)), (1.0, 1.0))
    model = stack_model(stack, states, models["two"].config)
    with torch.inference_mode():
        assert torch.equal(model(tokens).logits, models["two"](tokens).logits)


def by_hand(stack, models, tokens):
    """The sources' own modules, one after the other, each input scaled; no cache."""
    first, last = models[stack.layers[0][0]].model, models[stack.layers[-1][0]]
    hidden = first.embed_tokens(tokens)
    angles = first.rotary_emb(hidden, position_ids=torch.arange(tokens.shape[1])[None])
    for (name, layer), scale in zip(stack.layers, stack.scales, strict=True):
        module = models[name].model.layers[layer]
        hidden = module(hidden * scale, position_embeddings=angles)
    tied = last.config.tie_word_embeddings
    head = first.embed_tokens.weight if tied else last.lm_head.weight
    return last.model.norm(hidden) @ head.T


def test_scaled_inputs_equal_the_sources_modules_called_by_hand(models, states, tokens):
    stack = LayerStack(REPEATING, SCALES)
    model = stack_model(stack, states, models["one"].config)
    with torch.inference_mode():
        logits = model(tokens).logits
        torch.testing.assert_close(logits, by_hand(stack, models, tokens), rtol=1e-5, atol=1e-5)
        plain = stack_model(LayerStack(REPEATING, (1.0,) * 6), states, models["one"].config)
        assert (plain(tokens).logits - logits).abs().max() > 0.05


def test_folded_scales_leave_an_ordinary_model_that_answers_the_same(models, states, tokens):
    stack = LayerStack(REPEATING, SCALES)
    running = stack_model(stack, states, models["one"].config)
    folded = stack_state(stack, states)
    ordinary = type(models["one"])(stack_config(folded, models["one"].config))
    ordinary.load_state_dict(folded)
    with torch.inference_mode():
        torch.testing.assert_close(
            ordinary.eval()(tokens).logits, running(tokens).logits, rtol=0, atol=1e-3
        )


def test_repeated_layers_share_their_weights_and_nothing_is_copied(models, states):
    model = stack_model(LayerStack(REPEATING, SCALES), states, models["one"].config)
    layers = model.model.layers
    shared = layers[2].mlp.up_proj.weight, layers[3].mlp.up_proj.weight
    key = "model.layers.1.mlp.up_proj.weight"
    assert {weight.data_ptr() for weight in shared} == {states["one"][key].data_ptr()}
    assert [layer.self_attn.layer_idx for layer in layers] == list(range(6))
    assert not any(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])


@pytest.mark.parametrize("quantised", [False, True])
def test_greedy_generation_from_a_cache_equals_reading_everything_anew(
    models, states, tokens, quantised
):
    model = stack_model(LayerStack(REPEATING, SCALES), states, models["one"].config)
    if quantised:
        model = quantize_int8(model)
    with torch.inference_mode():
        length = {"max_new_tokens": 12, "min_new_tokens": 12, "eos_token_id": None}
        cached = model.generate(tokens, do_sample=False, pad_token_id=0, **length)
        sequence = tokens
        for _ in range(12):
            following = model(sequence, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)
            sequence = torch.cat([sequence, following], 1)
        assert torch.equal(cached, sequence)
        read = model(tokens, use_cache=True).past_key_values
    assert len(read) == 6
    assert read.get_seq_length() == 9


def test_our_decoder_runs_a_stack_over_a_prefix_computed_once(models, states, tokens):
    model = stack_model(LayerStack(REPEATING, SCALES), states, models["one"].config)
    decoder = Decoder(model)
    rows = [tokens[:, 4:][n].tolist() for n in range(3)]
    for row, private in zip(tokens, rows, strict=True):
        _, prefix = decoder.run(decoder.embed([row[:4].tolist()]), 0, 6)
        hidden, _ = decoder.run(decoder.embed([private]), 0, 6, prefix)
        with torch.inference_mode():
            expected = model(row[None]).logits[:, -1, [7, 8, 9]]
        logits = decoder.option_logits(hidden[:, -1], [7, 8, 9])
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


# mergekit's own command line as the oracle


def test_a_stack_equals_mergekits_passthrough(
    tokens, mergekit_yaml, tmp_path, tiny_llama, state_of
):
    stacks = {"ones": LayerStack(REPEATING, (1.0,) * 6), "scaled": LayerStack(REPEATING, SCALES)}
    states, jobs = {}, {}
    for tied in (False, True):
        models = {name: tiny_llama(s, tied=tied) for s, name in enumerate(("one", "two"))}
        states[tied] = {name: state_of(model) for name, model in models.items()}
        places = {name: str(tmp_path / f"{name}-{tied}") for name in models}
        for name, model in models.items():
            model.save_pretrained(places[name])
        jobs |= {(n, tied): (s.to_mergekit_yaml(places), None) for n, s in stacks.items()}
    written = mergekit_yaml(tmp_path, jobs)
    for (name, tied), tensors in written.items():
        ours = stack_state(stacks[name], states[tied])
        assert set(ours) - set(tensors) == ({"lm_head.weight"} if tied else set())
        assert all(torch.equal(ours[key], tensor) for key, tensor in tensors.items())
    for at, tied in ((0, False), (2, True)):
        theirs = type(models["one"]).from_pretrained(tmp_path / f"merged-{at}").eval()
        assert theirs.config.num_hidden_layers == 6
        model = stack_model(stacks["ones"], states[tied], theirs.config)
        with torch.inference_mode():
            assert torch.equal(model(tokens).logits, theirs(tokens).logits)


def test_a_stack_of_a_merge_equals_mergekit_multi(tmp_path, tiny_llama, state_of):
    models = {name: tiny_llama(s) for s, name in enumerate(("base", "one", "two"))}
    states = {name: state_of(model) for name, model in models.items()}
    places = {name: str(tmp_path / name) for name in models}
    for name, model in models.items():
        model.save_pretrained(places[name])
    merge = Recipe("task_arithmetic", "base", ("one", "two"), ((0.3, 0.5), (0.7, -0.2)))
    layers = (("base", 0), ("merged", 1), ("one", 1), ("merged", 0))
    recipe = StackRecipe("base", LayerStack(layers, (1.0, 1.0, 0.8, 1.0)), {"merged": merge})
    (tmp_path / "recipe.yaml").write_text(to_mergekit_yaml(recipe, 2, places))
    script = "from mergekit.scripts.multimerge import main; main()"
    paths = [tmp_path / "recipe.yaml", "-I", tmp_path, "--out-path", tmp_path / "out"]
    command = [sys.executable, "-c", script, *map(str, paths), "--no-copy-tokenizer", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours = stack_state(recipe.stack, stack_states(recipe, states["base"], states))
    theirs = load_file(tmp_path / "out" / "model.safetensors")
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], tensor) for key, tensor in theirs.items())
