import math

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from merge.errors import AdapterError, RecipeError
from merge.recipe import Recipe, load_source, merge_recipe

WEIGHTS = ((0.3, 0.5), (1.2, -0.4))


def tiny_llama(seed, tied=False, vocabulary=100):
    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config)


def state_of(model):
    return {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}


# Validation


@pytest.mark.parametrize(
    ("method", "sources", "weights", "message"),
    [
        ("slerp", ("a",), ((1.0,),), "recipe.method: is 'slerp', expected 'task_arithmetic'"),
        ("linear", (), ((),), "recipe.sources: names must be present and unique"),
        ("linear", ("a", "a"), ((1.0, 1.0),), "recipe.sources: names must be present and unique"),
        ("linear", ("a",), (), "recipe.weights: is empty"),
        ("linear", ("a", "b"), ((1.0, 1.0), (1.0,)), r"recipe.weights\[1\]: .* 2 finite numbers"),
        ("linear", ("a", "b"), ((1.0, 1.0, 1.0),), r"recipe.weights\[0\]: .* 2 finite numbers"),
        ("linear", ("a",), ((math.nan,),), r"recipe.weights\[0\]: is \(nan,\)"),
        ("task_arithmetic", ("a",), ((1.0,), (math.inf,)), r"recipe.weights\[1\]: is \(inf,\)"),
        ("linear", ("a", "b"), ((1.0, -1.0),), r"recipe.weights\[0\]: linear weights sum to zero"),
    ],
)
def test_a_malformed_recipe_is_refused(method, sources, weights, message):
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe(method, "base", sources, weights)
    assert "\n" not in str(caught.value)


def test_task_arithmetic_may_sum_to_zero():
    assert Recipe("task_arithmetic", "base", ("a", "b"), ((1.0, -1.0),))


def test_a_recipe_survives_its_dict():
    recipe = Recipe("task_arithmetic", "base", ("a", "b"), WEIGHTS)
    assert Recipe.from_dict(yaml.safe_load(yaml.safe_dump(recipe.to_dict()))) == recipe


def test_sources_that_do_not_fit_are_refused():
    base = state_of(tiny_llama(0))
    recipe = Recipe("linear", "base", ("a",), ((1.0,),))
    with pytest.raises(RecipeError, match=r"'a' is unknown; known: \['b'\]"):
        merge_recipe(recipe, base, {"b": base})
    wider = state_of(tiny_llama(1, vocabulary=101))
    with pytest.raises(RecipeError, match=r"'a' and the base differ in (lm_head|model.embed)"):
        merge_recipe(recipe, base, {"a": wider})
    lacking = {key: tensor for key, tensor in base.items() if key != "model.norm.weight"}
    with pytest.raises(RecipeError, match=r"'a' and the base differ in model\.norm\.weight"):
        merge_recipe(recipe, base, {"a": lacking})


# What a merge is


@pytest.fixture(scope="module")
def real(smol, style_folders):
    """The real base and two sources: a style folded in, and one moved in every tensor."""
    base = smol[0].state_dict()
    generator = torch.Generator().manual_seed(0)
    moved = {
        key: tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
        for key, tensor in base.items()
    }
    return base, {"a": load_source("a", style_folders["value"], base), "b": moved}


def test_a_folded_adapter_changes_its_own_layers_alone(real):
    base, sources = real
    touched = [key for key, tensor in sources["a"].items() if tensor is not base[key]]
    assert len(touched) == 4 * 6
    assert all(24 <= int(key.split(".")[2]) < 30 for key in touched)
    assert all(not torch.equal(sources["a"][key], base[key]) for key in touched)


def test_task_arithmetic_is_the_base_plus_the_weighted_differences(real):
    base, sources = real
    recipe = Recipe("task_arithmetic", "base", ("a", "b"), WEIGHTS)
    merged = merge_recipe(recipe, base, sources)
    assert list(merged) == list(base)
    for key, tensor in base.items():
        layer = int(key.split(".")[2]) if ".layers." in key else 0 if "layers" in key else None
        upper = layer >= 15 if layer is not None else key == "model.norm.weight"
        a, b = WEIGHTS[int(upper)]
        expected = tensor + a * (sources["a"][key] - tensor) + b * (sources["b"][key] - tensor)
        if key != "lm_head.weight":  # tied in the base, moved apart in b
            torch.testing.assert_close(merged[key], expected, rtol=0, atol=1e-6)


def test_tensors_that_all_share_are_passed_through(real):
    base, sources = real
    merged = merge_recipe(Recipe("task_arithmetic", "base", ("a",), ((0.7,),)), base, sources)
    same = [key for key in base if merged[key] is base[key]]
    assert len(same) == len(base) - 4 * 6
    assert "model.layers.0.mlp.up_proj.weight" in same


def test_a_weight_of_one_is_the_source_and_zero_the_base(real):
    base, sources = real
    for weight, expected in ((1.0, sources["a"]), (0.0, base)):
        recipe = Recipe("task_arithmetic", "base", ("a",), ((weight,),))
        merged = merge_recipe(recipe, base, sources)
        for key in base:
            torch.testing.assert_close(merged[key], expected[key], rtol=0, atol=1e-6)


def test_a_source_of_another_shape_is_refused(style_folders):
    base = state_of(tiny_llama(0))
    with pytest.raises(AdapterError, match=r"source 'a': model\.layers\.24\..* absent in the base"):
        load_source("a", style_folders["value"], base)


# mergekit's own run as the oracle


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("method", ["task_arithmetic", "linear"])
def test_a_recipe_equals_mergekits_own_run_of_its_yaml(method, tied, tmp_path):
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    states = {}
    for seed, name in enumerate(("base", "one", "two")):
        model = tiny_llama(seed, tied)
        model.save_pretrained(tmp_path / name)
        states[name] = state_of(model)
    recipe = Recipe(method, "base", ("one", "two"), WEIGHTS)
    text = recipe.to_mergekit_yaml(depth=2)
    for name in states:  # the YAML names sources; mergekit reads folders
        text = text.replace(f"model: {name}\n", f"model: {tmp_path / name}\n")
    config = MergeConfiguration.model_validate(yaml.safe_load(text))
    run_merge(config, str(tmp_path / "merged"), MergeOptions(copy_tokenizer=False, quiet=True))
    theirs = load_file(next((tmp_path / "merged").glob("*.safetensors")))
    ours = merge_recipe(recipe, states["base"], states)
    assert set(ours) - set(theirs) == ({"lm_head.weight"} if tied else set())
    for key, tensor in theirs.items():
        torch.testing.assert_close(ours[key], tensor, rtol=0, atol=1e-6)
    if tied:
        assert torch.equal(ours["lm_head.weight"], ours["model.embed_tokens.weight"])
