import json

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from evobourse.merge.errors import ModelError, RecipeError
from evobourse.merge.peft.folder import Adapter
from evobourse.merge.peft.write import write_adapter
from evobourse.merge.recipes.export import export_model
from evobourse.merge.recipes.layer_stack import LayerStack, stack_model, stack_state
from evobourse.merge.recipes.merge_cache import merge_to_cache
from evobourse.merge.recipes.mergekit_yaml import read_recipe
from evobourse.merge.recipes.recipe import Recipe, load_source, merge_recipe
from evobourse.merge.recipes.stack_recipe import to_mergekit_yaml


@pytest.fixture(scope="module")
def folders(tiny_llama, tmp_path_factory):
    """Three model folders with one tokenizer, the first tied."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    root = tmp_path_factory.mktemp("models")
    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(100)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0")
    for seed, name in enumerate(("base", "one", "two")):
        tiny_llama(seed, tied=True).save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return {name: root / name for name in ("base", "one", "two")}


@pytest.fixture(scope="module")
def states(folders):
    return {
        name: AutoModelForCausalLM.from_pretrained(folder).state_dict()
        for name, folder in folders.items()
    }


def front_matter(folder):
    _, front, body = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), body


def test_a_merge_is_exported_as_an_ordinary_model(folders, states, recipes, tmp_path):
    recipe = recipes["dare_ties"]
    state = merge_recipe(recipe, states["base"], states)
    text = to_mergekit_yaml(recipe, 2)
    folder = tmp_path / "merged"
    models = ("base", "owner/one", "smollm2-135m-instruct")
    export_model(
        folder, state, str(folders["base"]), text, models, seed=recipe.seed, shard_bytes=30_000
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
        export_model(folder, state, str(folders["base"]), text, models)
    assert not list(tmp_path.glob(".export-*"))


def test_a_stack_is_exported_with_its_scales_folded_in(folders, states, tmp_path):
    stack = LayerStack((("one", 0), ("two", 0), ("two", 1), ("one", 1)), (1.0, 1.2, 1.0, 0.7))
    folder = tmp_path / "stack"
    donor = str(folders["one"])
    export_model(folder, stack_state(stack, states), donor, stack.to_mergekit_yaml(), ("one",))
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert loaded.config.num_hidden_layers == 4
    tokens = torch.arange(10)[None]
    running = stack_model(stack, states, loaded.config)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(tokens).logits, running(tokens).logits, rtol=0, atol=1e-3)
    assert "base_model" not in front_matter(folder)[0]


def test_a_half_precision_export_says_so(folders, states, tmp_path):
    export_model(
        tmp_path / "b", states["one"], str(folders["one"]), "", ("one",), dtype=torch.bfloat16
    )
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "b")
    assert loaded.dtype == torch.bfloat16
    key = "model.norm.weight"
    assert torch.equal(loaded.state_dict()[key], states["one"][key].bfloat16())


def test_an_unreadable_donor_is_refused(states, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"export: donor .* cannot be read"):
        export_model(tmp_path / "out", states["one"], str(tmp_path), "", ())


# On disk


def test_a_merge_on_disk_is_made_once_and_equals_the_one_in_memory(
    folders, states, monkeypatch, tmp_path
):
    monkeypatch.setenv("EVOBOURSE_CACHE", str(tmp_path / "cache"))
    base = str(folders["base"])
    sources = {"one": folders["one"], "two": tmp_path / "adapter"}  # a full model and a LoRA
    factors = {(1, "mlp.up_proj"): (torch.ones(2, 32) / 9, torch.arange(128.0).reshape(64, 2) / 99)}
    write_adapter(Adapter("two", factors, None, ""), sources["two"], base)
    densities = ((0.4, 0.7), (0.5, 0.6))
    recipe = Recipe("della", base, ("one", "two"), ((0.4, 0.7), (1, 0.2)), densities, seed=9)
    folder = merge_to_cache(recipe, sources)
    assert folder.parent == tmp_path / "cache" / "merges"
    loaded = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    read = {"one": states["one"], "two": load_source("two", sources["two"], states["base"])}
    expected = merge_recipe(recipe, states["base"], read)
    assert all(torch.equal(tensor, loaded[key]) for key, tensor in expected.items())
    assert AutoTokenizer.from_pretrained(folder)("w7").input_ids == [7]
    assert str(tmp_path) not in (folder / "mergekit_config.yml").read_text()
    assert front_matter(folder)[0]["library_name"] == "transformers"
    before = (folder / "model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr("evobourse.merge.recipes.merge_cache.run_mergekit", None)  # not run again
    assert merge_to_cache(recipe, sources) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    with pytest.raises(TypeError):  # other sources are another merge
        merge_to_cache(recipe, {"one": folders["two"], "two": sources["two"]})


def test_sources_that_are_not_there_are_refused_on_disk(folders, recipes):
    recipe = Recipe("linear", str(folders["base"]), ("one",), ((1.0,),))
    with pytest.raises(RecipeError, match=r"'one' is unknown; known: \['two'\]"):
        merge_to_cache(recipe, {"two": folders["two"]})
    with pytest.raises(ModelError, match="merging on disk needs a local folder"):
        merge_to_cache(Recipe("linear", "owner/name", ("one",), ((1.0,),)), folders)
