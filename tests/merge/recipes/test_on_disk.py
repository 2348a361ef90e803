import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from evobourse.merge.engine.adapter_bank import Adapter
from evobourse.merge.errors import ModelError, RecipeError
from evobourse.merge.peft.write import write_adapter
from evobourse.merge.recipes.mergekit_yaml import read_recipe
from evobourse.merge.recipes.on_disk import merge_on_disk
from evobourse.merge.recipes.recipe import Recipe, load_source, merge_recipe


def test_a_merge_on_disk_equals_the_one_in_memory(tiny_models, tmp_path):
    base, one, adapter = str(tiny_models["base"]), str(tiny_models["one"]), tmp_path / "adapter"
    factors = {(1, "mlp.up_proj"): (torch.ones(2, 32) / 9, torch.arange(128.0).reshape(64, 2) / 99)}
    write_adapter(Adapter("two", factors, None, ""), adapter, base)
    names, densities = (one, str(adapter)), ((0.4, 0.7), (0.5, 0.6))
    recipe = Recipe("della", base, names, ((0.4, 0.7), (1, 0.2)), densities, seed=9)
    folder = tmp_path / "merged"
    folder.mkdir()  # an empty one is taken
    merge_on_disk(recipe, folder)
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert loaded.dtype == torch.float32
    state = AutoModelForCausalLM.from_pretrained(base).state_dict()
    read = {
        one: AutoModelForCausalLM.from_pretrained(one).state_dict(),
        str(adapter): load_source("two", adapter, state),
    }
    expected, found = merge_recipe(recipe, state, read), loaded.state_dict()
    assert all(torch.equal(tensor, found[key]) for key, tensor in expected.items())
    assert AutoTokenizer.from_pretrained(folder)("w7").input_ids == [7]
    assert read_recipe((folder / "mergekit_config.yml").read_text(), 9) == recipe
    front = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    assert front["library_name"] == "transformers"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "merged"]
    with pytest.raises(ModelError, match="the folder is not empty"):
        merge_on_disk(recipe, folder)


def test_models_that_cannot_be_merged_are_named_and_nothing_is_left(
    tiny_models, tiny_llama, tmp_path
):
    base, one = str(tiny_models["base"]), str(tiny_models["one"])

    def merge(base, source):
        merge_on_disk(Recipe("task_arithmetic", base, (source,), ((1.0,),)), tmp_path / "merged")

    with pytest.raises(ModelError, match="/nowhere': no such folder"):
        merge(base, f"{tmp_path}/nowhere")
    with pytest.raises(ModelError, match="/nowhere': no such folder"):
        merge(f"{tmp_path}/nowhere", one)
    bare = tmp_path / "bare"
    tiny_llama(3).save_pretrained(bare)
    with pytest.raises(ModelError, match="bare': cannot be loaded, its tokenizer is not"):
        merge(base, str(bare))
    wider = tmp_path / "wider"
    tiny_llama(3, vocabulary=101).save_pretrained(wider)
    tokenizer = AutoTokenizer.from_pretrained(one)
    tokenizer.add_tokens(["w100"])
    tokenizer.save_pretrained(wider)
    with pytest.raises(ModelError, match="wider': token 'w100' has id 100 there and None in"):
        merge(base, str(wider))
    deeper = tmp_path / "deeper"
    tiny_llama(3, layers=3).save_pretrained(deeper)
    AutoTokenizer.from_pretrained(one).save_pretrained(deeper)
    with pytest.raises(RecipeError, match="mergekit failed"):
        merge(str(deeper), one)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "deeper", "wider"]
