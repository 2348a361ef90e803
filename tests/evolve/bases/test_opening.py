from pathlib import Path

import pytest
import torch

from evobourse import agents
from evobourse.agents.minds.engine import hash_weights
from evobourse.evolve.bases.merged import MergedBases
from evobourse.merge.engine.int8 import quantize_int8
from evobourse.merge.recipes.recipe import Recipe, load_source, merge_recipe
from tests.shared_weights import share_weights

SOURCE = Path(agents.__file__).parent / "sources" / "value-investor"
BASE = "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def bases(smol, make_engine, style_folders):
    state = smol[0].state_dict()
    engine = make_engine([style_folders["value"]], own_weights=True)
    sources = {"value-investor": load_source("value-investor", SOURCE, state)}
    return MergedBases(engine, state, "bare", sources, {"value-investor": "some hash"})


def held(bases):
    state = bases.engine.decoder.model.state_dict()
    return {key: tensor.clone() for key, tensor in state.items()}


def test_whatever_was_served_before_the_engine_holds_exactly_the_recipes_weights(bases, smol):
    names = ("value-investor",)
    recipes = [
        Recipe("linear", BASE, names, ((0.5,),), options={"normalize": False}),  # moves them all
        Recipe("task_arithmetic", BASE, names, ((0.1,), (0.4,))),
    ]
    before = hash_weights(held(bases))
    for recipe in recipes:
        bases.serve(recipe)
    expected = share_weights(smol[0])
    expected.load_state_dict(merge_recipe(recipes[-1], bases.base, bases.sources), assign=True)
    expected, ours = quantize_int8(expected).state_dict(), held(bases)
    assert ours.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in ours.items())
    bases.serve(None)
    assert hash_weights(held(bases)) == before
