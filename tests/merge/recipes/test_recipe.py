import math

import pytest
import torch
import yaml

from evobourse.merge.errors import AdapterError, ModelError, RecipeError
from evobourse.merge.recipes.mergekit_yaml import write_recipe
from evobourse.merge.recipes.methods import METHODS
from evobourse.merge.recipes.recipe import FilterSetting, Recipe, load_source, merge_recipe

WEIGHTS = ((0.3, 0.5), (1.2, -0.4))


# Validation


@pytest.mark.parametrize(
    ("method", "sources", "weights", "message"),
    [
        ("slurp", ("a",), ((1.0,),), "recipe.method: is 'slurp', expected 'linear', 'slerp', "),
        ("linear", (), ((),), "recipe.sources: names must be present and unique"),
        ("linear", ("a", "a"), ((1.0, 1.0),), "recipe.sources: names must be present and unique"),
        ("linear", ("a",), (), "recipe.weights: is empty"),
        ("linear", ("a", "b"), ((1.0, 1.0), (1.0,)), r"recipe.weights\[1\]: .* 2 finite numbers"),
        ("linear", ("a", "b"), ((1.0, 1.0, 1.0),), r"recipe.weights\[0\]: .* 2 finite numbers"),
        ("linear", ("a",), ((math.nan,),), r"recipe.weights\[0\]: is \(nan,\)"),
        ("task_arithmetic", ("a",), ((1.0,), (math.inf,)), r"recipe.weights\[1\]: is \(inf,\)"),
        ("linear", ("a", "b"), ((1.0, -1.0),), r"recipe.weights\[0\]: linear weights sum to zero"),
        ("nuslerp", ("a", "b"), ((1.0, -1.0),), "nuslerp weights sum to zero"),
        ("nuslerp", ("a",), ((1.0,),), r"recipe.sources: are \('a',\), nuslerp takes 2"),
        ("slerp", ("a", "b"), ((1.0,),), "slerp takes 1"),
        ("slerp", ("a",), ((1.0, 1.0),), "expected 1 finite numbers, t"),
        ("model_stock", ("a",), ((),), "model_stock takes at least 2"),
        ("karcher", ("a", "b"), ((1.0, 1.0),), "expected 0 finite numbers, the method weighs"),
        ("task_arithmetic", ("a", "base"), ((1.0, 1.0),), "'base' is the base"),
        ("ties", ("a", "b"), ((1.0, 1.0),), "recipe.densities: is None, ties takes one row a"),
    ],
)
def test_a_malformed_recipe_is_refused(method, sources, weights, message):
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe(method, "base", sources, weights)
    assert "\n" not in str(caught.value)


def sparse(method="ties", densities=((0.5, 0.5),), weights=((1.0, 1.0),), **further):
    return Recipe(method, "base", ("a", "b"), weights, densities, **further)


@pytest.mark.parametrize("density", [0.0, -0.1, 1.1, math.nan])
def test_densities_that_mergekit_would_take_are_refused(density):
    with pytest.raises(RecipeError, match=r"densities\[0\]: is .* above 0 and up to 1"):
        sparse(densities=((0.5, density),))
    with pytest.raises(RecipeError, match=r"filters\.mlp\.densities\[0\]"):
        sparse(filters={"mlp": FilterSetting(densities=((0.5, density),))})


@pytest.mark.parametrize(
    ("further", "message"),
    [
        ({"options": {"normalise": True}}, r"ties takes no 'normalise'; did you mean 'normalize'"),
        ({"options": {"gamma": 0.1}}, r"ties takes no 'gamma'; "),
        ({"options": {"normalize": 1.0}}, r"options\.normalize: is 1\.0, expected a finite bool"),
        ({"options": {"lambda": math.inf}}, r"options\.lambda: is inf, expected a finite float"),
        ({"filters": {"norms": FilterSetting()}}, "'norms' is none of attention, mlp, embeddings"),
        (
            {"filters": {"mlp": FilterSetting(weights=((1.0, -1.0),))}},
            r"recipe\.filters\.mlp\.weights\[0\]: ties weights sum to zero",
        ),
        (
            {"filters": {"mlp": FilterSetting(weights=((1.0, 1.0), (1.0, 1.0)))}},
            r"recipe\.filters\.mlp\.weights: has 2 rows, expected 1",
        ),
        ({"densities": ((0.5, 0.5), (0.5, 0.5))}, r"recipe\.densities: has 2 rows, expected 1"),
        ({"seed": 1}, "ties draws no random numbers"),
        ({"method": "dare_ties"}, "recipe.seed: is None, but dare_ties draws random numbers"),
        ({"method": "dare_ties", "seed": -1}, r"recipe\.seed: is -1"),
        ({"method": "della", "seed": 1, "densities": ((0.5, 0.9),)}, r"1 - epsilon .*0\.15"),
        ({"method": "breadcrumbs", "densities": ((0.5, 0.995),)}, r"1 - gamma .*0\.01"),
    ],
)
def test_what_mergekit_would_ignore_is_refused(further, message):
    with pytest.raises(RecipeError, match=message):
        sparse(**further)


def test_the_table_of_methods_is_mergekits(recipes):
    from mergekit import merge_methods
    from mergekit.merge_methods.base import BasePolicy, ParameterScope

    for name, method in METHODS.items():
        spec = merge_methods.get(name).spec
        ours = {"weight"} if method.weights == "source" else set()
        ours |= {"t"} if method.weights == "t" else set()
        ours |= {"density"} if method.density else set()
        theirs = {p.name: p for p in spec.parameters}
        if name == "task_arithmetic":  # mergekit lists a density that it never reads
            assert theirs.pop("density").default == 1
        assert ours | set(method.options) == set(theirs)
        assert all(theirs[key].value_type is kind for key, kind in method.options.items())
        assert (spec.contract.base in (BasePolicy.REQUIRED, BasePolicy.OPTIONAL)) == method.base
        if "normalize" in method.options:
            assert theirs["normalize"].default == method.normalize
        for key, default in (("gamma", 0.01), ("epsilon", 0.15)):
            assert key not in theirs or theirs[key].default == default
        if "weight" in theirs:
            assert theirs["weight"].scope is not ParameterScope.SHARED
    assert {recipe.method for recipe in recipes.values()} == set(METHODS)


def test_every_recipe_survives_its_dict(recipes):
    for recipe in recipes.values():
        assert Recipe.from_dict(yaml.safe_load(yaml.safe_dump(recipe.to_dict()))) == recipe


def test_task_arithmetic_may_sum_to_zero():
    assert Recipe("task_arithmetic", "base", ("a", "b"), ((1.0, -1.0),))


def test_a_recipe_survives_its_dict():
    recipe = Recipe("task_arithmetic", "base", ("a", "b"), WEIGHTS)
    assert Recipe.from_dict(yaml.safe_load(yaml.safe_dump(recipe.to_dict()))) == recipe


def test_sources_that_do_not_fit_are_refused(tiny_llama, state_of):
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


def test_a_source_of_another_shape_is_refused(style_folders, tiny_llama, state_of):
    base = state_of(tiny_llama(0))
    with pytest.raises(AdapterError, match=r"model\.layers\.24\..* no such linear layer"):
        load_source("a", style_folders["value"], base)


def test_a_source_of_another_vocabulary_is_refused(tmp_path, tiny_llama):
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    def word_level(vocabulary):
        return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(vocabulary)))

    tiny_llama(0).save_pretrained(tmp_path)
    base = word_level({"up": 0, "down": 1, "flat": 2})
    word_level({"up": 0, "down": 2, "flat": 1}).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"source 'a': token 'down' has id 2 there and 1 in the"):
        load_source("a", tmp_path, {}, base)
    base.save_pretrained(tmp_path)
    assert load_source("a", tmp_path, {}, base).keys() == tiny_llama(0).state_dict().keys()


# mergekit's own command line as the oracle


DEPTHS = {"untied": 2, "tied": 12}  # layer 10 stands before layer 2 where names are sorted


@pytest.fixture(scope="module")
def both(recipes, tiny_llama, state_of, mergekit_yaml, tmp_path_factory):
    """All recipes merged by us and by ``mergekit-yaml``: kind to inputs, our models, theirs."""
    folder = tmp_path_factory.mktemp("mergekit")
    states, jobs = {}, {}
    for kind, depth in DEPTHS.items():
        models = {
            name: tiny_llama(seed, kind == "tied", layers=depth)
            for seed, name in enumerate(("base", "one", "two"))
        }
        states[kind] = {name: state_of(model) for name, model in models.items()}
        places = {name: str(folder / f"{name}-{kind}") for name in models}
        for name, model in models.items():
            model.save_pretrained(places[name])
        for name, recipe in recipes.items():
            jobs[kind, name] = (write_recipe(recipe, depth, places), recipe.seed)
    written = mergekit_yaml(folder, jobs)
    return {
        kind: (
            states[kind],
            {n: merge_recipe(r, states[kind]["base"], states[kind]) for n, r in recipes.items()},
            {name: written[kind, name] for name in recipes},
        )
        for kind in DEPTHS
    }


@pytest.mark.parametrize("kind", DEPTHS)
def test_every_method_gives_the_bits_of_mergekits_command_line(both, kind):
    (states, ours, theirs), tied = both[kind], kind == "tied"
    for name, tensors in theirs.items():
        assert list(ours[name]) == list(states["base"])
        assert set(ours[name]) - set(tensors) == ({"lm_head.weight"} if tied else set())
        odd = [key for key, tensor in tensors.items() if not torch.equal(ours[name][key], tensor)]
        assert not odd, f"{name}: {odd}"
        assert all(tensor.dtype == torch.float32 for tensor in ours[name].values())
        if tied:
            assert torch.equal(
                ours[name]["lm_head.weight"], ours[name]["model.embed_tokens.weight"]
            )


@pytest.mark.parametrize("kind", DEPTHS)
def test_no_two_recipes_make_the_same_model_and_none_makes_nan(both, kind):
    states, ours, _ = both[kind]
    key = "model.layers.1.mlp.up_proj.weight"
    tensors = [model[key] for model in (*states.values(), *ours.values())]
    assert all(tensor.isfinite().all() for tensor in tensors)
    for at, tensor in enumerate(tensors):
        assert not any(torch.equal(tensor, other) for other in tensors[:at])


def test_the_same_seed_gives_the_same_bytes_and_leaves_torchs_stream_alone(
    recipes, tiny_llama, state_of
):
    states = {name: state_of(tiny_llama(s)) for s, name in enumerate(("base", "one", "two"))}
    recipe = recipes["dare_linear"]
    torch.manual_seed(11)
    first = merge_recipe(recipe, states["base"], states)
    drawn = torch.rand(3)
    second = merge_recipe(recipe, states["base"], states)
    assert all(torch.equal(tensor, second[key]) for key, tensor in first.items())
    torch.manual_seed(11)
    assert torch.equal(torch.rand(3), drawn)
    other = Recipe(**{**vars(recipe), "seed": recipe.seed + 1})
    third = merge_recipe(other, states["base"], states)
    assert not torch.equal(first["lm_head.weight"], third["lm_head.weight"])


def test_shared_tensors_come_out_the_same_whether_passed_through_or_merged(
    recipes, tiny_llama, state_of
):
    base = state_of(tiny_llama(0))
    key = "model.layers.1.mlp.down_proj.weight"
    sources = {
        name: {**base, key: state_of(tiny_llama(s))[key]} for s, name in ((1, "one"), (2, "two"))
    }
    copies = {n: {k: t.clone() for k, t in state.items()} for n, state in sources.items()}
    for name, recipe in recipes.items():
        passed = merge_recipe(recipe, base, sources)
        merged = merge_recipe(recipe, base, copies)
        assert all(torch.equal(tensor, merged[k]) for k, tensor in passed.items()), name
