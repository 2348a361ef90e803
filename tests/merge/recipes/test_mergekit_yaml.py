import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evobourse.merge.errors import RecipeError
from evobourse.merge.recipes.mergekit_yaml import read_recipe, write_recipe
from evobourse.merge.recipes.methods import METHODS
from evobourse.merge.recipes.recipe import FILTERS, FilterSetting, Recipe

OPTIONS = {
    "normalize": st.booleans(),
    "rescale": st.booleans(),
    "int8_mask": st.booleans(),
    "filter_wise": st.booleans(),
    "nuslerp_row_wise": st.booleans(),
    "nuslerp_flatten": st.booleans(),
    "lambda": st.floats(0.1, 2.0),
    "gamma": st.floats(0.0, 0.2),
    "epsilon": st.floats(0.01, 0.2),
    "tol": st.floats(1e-9, 1e-3),
    "max_iter": st.integers(1, 50),
}


@st.composite
def any_recipe(draw):
    name = draw(st.sampled_from(sorted(METHODS)))
    method = METHODS[name]
    least, most = method.sources
    count = draw(st.integers(least, min(most, 4)))
    blocks = draw(st.integers(1, 4))

    def table(values, width):
        row = st.tuples(*[values] * width)
        return st.tuples(*[row] * blocks)

    width = {"source": count, "t": 1, "none": 0}[method.weights]
    weights = table(st.floats(0.01, 3.0), width)
    densities = table(st.floats(0.25, 0.75), count)
    filters = {}
    for filter_name in draw(st.sets(st.sampled_from(sorted(FILTERS)))) if width else ():
        own = draw(weights) if draw(st.booleans()) or not method.density else None
        thin = draw(densities) if method.density and (own is None or draw(st.booleans())) else None
        filters[filter_name] = FilterSetting(own, thin)
    return Recipe(
        name,
        "owner/base",
        tuple(f"s{n}" for n in range(count)),
        draw(weights),
        draw(densities) if method.density else None,
        filters,
        {key: draw(OPTIONS[key]) for key in draw(st.sets(st.sampled_from(sorted(method.options))))}
        if method.options
        else {},
        draw(st.integers(0, 2**32 - 1)) if method.random else None,
    )


@given(recipe=any_recipe(), depth=st.integers(4, 40))
def test_a_recipe_survives_mergekits_yaml_and_its_dict(recipe, depth):
    read = read_recipe(write_recipe(recipe, depth), recipe.seed)
    for name in ("weights", "densities"):  # a filter may come back with the recipe's own values
        assert read.rows(name) == recipe.rows(name)
        assert all(read.rows(name, f) == recipe.rows(name, f) for f in FILTERS)
    same = ("method", "base", "sources", "options", "seed")
    assert [getattr(read, key) for key in same] == [getattr(recipe, key) for key in same]
    assert read_recipe(write_recipe(read, depth), read.seed) == read
    assert Recipe.from_dict(recipe.to_dict()) == recipe


USERS = """
models:
  - {model: m/one, parameters: {weight: 0.5, density: 0.3}}
  - {model: m/two, parameters: {weight: [{filter: mlp, value: 1e-1}, {value: 1}]}}
merge_method: ties
base_model: m/base
parameters: {density: 0.8, normalize: false, lambda: 2}
dtype: float32
"""


def test_a_users_yaml_is_read_with_mergekits_precedence():
    assert read_recipe(USERS) == Recipe(
        "ties",
        "m/base",
        ("m/one", "m/two"),
        ((0.5, 1.0),),
        ((0.3, 0.8),),
        {"mlp": FilterSetting(((0.5, 0.1),), None)},
        {"normalize": False, "lambda": 2},
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("weight: 0.5", "wieght: 0.5", r"unknown key 'wieght'.* did you mean 'weight'\?"),
        ("lambda: 2", "lamda: 2", r"recipe\.parameters: unknown key 'lamda'.*'lambda'"),
        ("lambda: 2", "epsilon: 0.1", r"unknown key 'epsilon', which mergekit would ignore"),
        ("density: 0.3", "normalize: true", r"m/one\.parameters: unknown key 'normalize'"),
        ("density: 0.3", "density: 0", r"densities\[0\]: is \(0\.0, 0\.8\)"),
        ("density: 0.3", "density: 1.5", r"densities\[0\]: is \(1\.5, 0\.8\)"),
        ("normalize: false", "normalize: 0.5", r"options\.normalize: is 0\.5, expected"),
        ("weight: 0.5", "weight: x", r"is 'x', expected a number"),
        ("weight: 0.5", "weight: [0.1, 0.9]", "gradients are not supported"),
        ("filter: mlp", "filter: norm", r"unknown filter 'norm'; known: self_attn, mlp, embed"),
        ("filter: mlp", "filter: lm_head", "one value for the filters embed_tokens and lm_head"),
        ("{filter: mlp, value: 1e-1}, {value: 1}", "{value: 1}, {filter: mlp, value: 0}", "at the"),
        ("density: 0.8, ", "", r"'m/two' has no density"),
        ("dtype: float32", "dtype: bfloat16", r"recipe\.dtype: is 'bfloat16', expected 'float32'"),
        ("dtype:", "dtpye:", r"unknown key 'dtpye'"),
        ("merge_method: ties", "merge_method: tie", r"recipe\.method: is 'tie', expected 'linear'"),
        ("base_model: m/base", "", r"recipe\.base_model: is None"),
        ("model: m/two", "modle: m/two", "malformed"),
        ("merge_method: ties", "merge_method: [", "no YAML"),
        ("merge_method: ties", "merge_method: [ties]", r"recipe\.method: is \"\['ties'\]\", exp"),
        ("dtype: float32", "slices: []\ndtype: float32", "has both slices and models"),
        ("model: m/two", "model: {model: m/two}", "expected every model as one text"),
        ("{model: m/one, parameters: {weight: 0.5, density: 0.3}}", "3", "malformed"),
    ],
)
def test_what_mergekit_would_ignore_or_choke_on_is_refused(old, new, message):
    assert USERS.count(old) == 1
    with pytest.raises(RecipeError, match=message) as caught:
        read_recipe(USERS.replace(old, new))
    assert "\n" not in str(caught.value)


def test_slices_of_unequal_spans_or_other_models_are_refused(recipes):
    text = write_recipe(recipes["linear"], 6)
    config = yaml.safe_load(text)
    config["slices"][0]["sources"][0]["layer_range"] = [0, 2]
    with pytest.raises(RecipeError, match="the same models in every slice, over equal spans"):
        read_recipe(yaml.safe_dump(config))
    config = yaml.safe_load(text)
    config["slices"][1]["sources"][0]["model"] = "three"
    with pytest.raises(RecipeError, match="the same models in every slice"):
        read_recipe(yaml.safe_dump(config))
    with pytest.raises(RecipeError, match="malformed"):
        read_recipe("merge_method: linear\ndtype: float32\nslices: 3")
    with pytest.raises(RecipeError, match="is no mapping"):
        read_recipe("- 1")
    with pytest.raises(RecipeError, match="no YAML"):
        read_recipe(b"\xff\xfe\xfa")
