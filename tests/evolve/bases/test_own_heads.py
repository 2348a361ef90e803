"""Merges of tied and untied models, of half models and of numbers that overflow."""

import json

import numpy as np
import pytest
import torch

from evobourse.agents.minds.engine import hash_weights
from evobourse.agents.minds.self_check import compare
from evobourse.evolve.bases.opening import open_model
from evobourse.merge.errors import ModelError
from evobourse.merge.recipes.export import export_model
from evobourse.merge.recipes.layer_stack import LayerStack
from evobourse.merge.recipes.on_disk import merge_on_disk
from evobourse.merge.recipes.recipe import Recipe, merge_recipe
from evobourse.merge.recipes.stack_recipe import StackRecipe
from evobourse.merge.reference import reference_logits
from evobourse.merge.sources import load_model
from tests.random_models import make_model, write_adapter, write_base

NOBODY = np.zeros((1, 0), np.float32)
VIEWS = np.arange(0, 9216, 600)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EVOBOURSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folders(tmp_path):
    """A base and a source, by whether each is tied."""

    def write(base_tied, source_tied):
        return (
            write_base(tmp_path / "base", make_model(seed=1, tie_word_embeddings=base_tied)),
            write_base(tmp_path / "source", make_model(seed=2, tie_word_embeddings=source_tied)),
        )

    return write


TIED = [(True, False), (False, True), (False, False), (True, True)]


@pytest.mark.parametrize(("base_tied", "source_tied"), TIED)
def test_a_merge_answers_as_transformers_runs_its_export(folders, tmp_path, base_tied, source_tied):
    base, source = folders(base_tied, source_tied)
    bases = open_model(str(base), (), (source,))
    recipe = Recipe("linear", str(base), (str(base), "source"), ((0.4, 0.6),))
    state = merge_recipe(recipe, bases.base, bases.sources)
    export_model(tmp_path / "made", state, str(base), "", ["source"])
    engine = bases.serve(recipe)
    ids = [engine.prompt_tokens(view) for view in VIEWS.tolist()]
    exact = reference_logits("made", tmp_path / "made", ids, engine.options)
    assert compare(engine.answer(NOBODY, VIEWS), exact).correlation > 0.998
    assert compare(bases.serve(None).answer(NOBODY, VIEWS), exact).correlation < 0.9
    exact = reference_logits("base", base, ids, engine.options)
    assert compare(bases.serve(None).answer(NOBODY, VIEWS), exact).correlation > 0.998


@pytest.mark.parametrize(("base_tied", "source_tied"), TIED[:2])
def test_a_merge_on_disk_says_whether_its_head_is_its_own(
    folders, tmp_path, base_tied, source_tied
):
    base, source = folders(base_tied, source_tied)
    recipe = Recipe("linear", str(base), (str(base), str(source)), ((0.4, 0.6),))
    merge_on_disk(recipe, tmp_path / "made")
    states = {str(source): load_model(str(source))[0].state_dict()}
    expected = merge_recipe(recipe, load_model(str(base))[0].state_dict(), states)
    assert not json.loads((tmp_path / "made" / "config.json").read_text())["tie_word_embeddings"]
    made = load_model(str(tmp_path / "made"))[0].state_dict()
    assert hash_weights(made) == hash_weights(expected)


@pytest.mark.parametrize(("base_tied", "source_tied"), TIED[:2])
def test_a_stack_of_both_has_the_last_ones_head(folders, tmp_path, base_tied, source_tied):
    base, source = folders(base_tied, source_tied)
    bases = open_model(str(base), (), (source,))
    for order in ((str(base), "source"), ("source", str(base))):
        layers = ((order[0], 0), (order[0], 1), (order[1], 2))
        recipe = StackRecipe(str(base), LayerStack(layers, (1.0, 1.0, 1.0)))
        engine = bases.serve(recipe)
        states = {str(base): bases.base, "source": bases.sources["source"]}
        last = states[order[1]]["lm_head.weight"][engine.options]
        assert torch.equal(engine.decoder.parts.head.weight[engine.options].float(), last)


def test_a_merge_that_overflows_fails_with_the_place(folders):
    base, source = folders(False, False)
    bases = open_model(str(base), (), (source,))
    recipe = Recipe("task_arithmetic", str(base), ("source",), ((1e39,),))
    with pytest.raises(ModelError, match=r"recipe: not a number in .*too large together"):
        bases.serve(recipe)
    assert np.isfinite(bases.serve(None).answer(NOBODY, VIEWS)).all()


def test_a_mind_that_overflows_names_its_adapter(tmp_path):
    base = write_base(tmp_path / "base")
    folder = write_adapter(
        tmp_path / "value", make_model(), lambda t: {k: 1e25 * x for k, x in t.items()}
    )
    engine = open_model(str(base), (folder,), ()).engine
    with pytest.raises(ModelError, match=r"not a number among the answers.*adapters 'value'"):
        engine.answer(np.array([[1.0]], np.float32), VIEWS)
    assert np.isfinite(engine.answer(np.array([[0.0]], np.float32), VIEWS)).all()
