import json

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from evobourse.merge.errors import ModelError
from evobourse.merge.recipes.export import export_model
from evobourse.merge.recipes.layer_stack import LayerStack, stack_model, stack_state
from evobourse.merge.recipes.mergekit_yaml import read_recipe
from evobourse.merge.recipes.recipe import merge_recipe
from evobourse.merge.recipes.stack_recipe import to_mergekit_yaml


@pytest.fixture(scope="module")
def states(tiny_models):
    return {
        name: AutoModelForCausalLM.from_pretrained(folder).state_dict()
        for name, folder in tiny_models.items()
    }


def front_matter(folder):
    _, front, body = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), body


def test_a_merge_is_exported_as_an_ordinary_model(tiny_models, states, recipes, tmp_path):
    recipe = recipes["dare_ties"]
    state = merge_recipe(recipe, states["base"], states)
    text = to_mergekit_yaml(recipe, 2)
    folder = tmp_path / "merged"
    models = ("base", "owner/one", "smollm2-135m-instruct")
    export_model(
        folder, state, str(tiny_models["base"]), text, models, seed=recipe.seed, shard_bytes=30_000
    )
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1
    assert "lm_head.weight" not in index["weight_map"]  # tied
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert loaded.dtype == torch.float32
    again = loaded.state_dict()
    assert all(torch.equal(tensor, again[key]) for key, tensor in state.items())
    assert AutoTokenizer.from_pretrained(folder)("w7 w42").input_ids == [7, 42]
    front, body = front_matter(folder)
    assert front == {
        "base_model": ["owner/one", "HuggingFaceTB/SmolLM2-135M-Instruct"],
        "tags": ["mergekit", "merge"],
        "library_name": "transformers",
    }
    assert "--random-seed 3" in body
    assert text in body
    assert read_recipe((folder / "mergekit_config.yml").read_text(), recipe.seed) == recipe
    with pytest.raises(ModelError, match="the folder is not empty; name a new one"):
        export_model(folder, state, str(tiny_models["base"]), text, models)
    assert not list(tmp_path.glob(".export-*"))


def test_a_stack_is_exported_with_its_scales_folded_in(tiny_models, states, tmp_path):
    stack = LayerStack((("one", 0), ("two", 0), ("two", 1), ("one", 1)), (1.0, 1.2, 1.0, 0.7))
    folder = tmp_path / "stack"
    donor = str(tiny_models["one"])
    export_model(folder, stack_state(stack, states), donor, stack.to_mergekit_yaml(), ("one",))
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert loaded.config.num_hidden_layers == 4
    tokens = torch.arange(10)[None]
    running = stack_model(stack, states, loaded.config)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(tokens).logits, running(tokens).logits, rtol=0, atol=1e-3)
    assert "base_model" not in front_matter(folder)[0]


def test_a_half_precision_export_says_so(tiny_models, states, tmp_path):
    export_model(
        tmp_path / "b", states["one"], str(tiny_models["one"]), "", ("one",), dtype=torch.bfloat16
    )
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "b")
    assert loaded.dtype == torch.bfloat16
    key = "model.norm.weight"
    assert torch.equal(loaded.state_dict()[key], states["one"][key].bfloat16())


def test_an_unreadable_donor_is_refused(states, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"export: donor .* cannot be read"):
        export_model(tmp_path / "out", states["one"], str(tmp_path), "", ())
