import copy
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from evobourse.agents.errors import AgentError
from evobourse.agents.minds.engine import hash_weights
from evobourse.agents.training.choice_reader import choice_reader
from evobourse.agents.training.examples import labelled_dataset
from evobourse.agents.training.supervised import PROVENANCE, TrainingConfig, train_adapter
from evobourse.merge.engine.int8 import Int8Linear
from evobourse.merge.peft.folder import read_adapter

TINY = TrainingConfig(rank=2, top_layers=2, steps=5, batch=8, seed=11, save_every=2)
RECORD = {"styles": ["value"], "series": "sp500", "years": ["1999-01-04", "2006-12-29"]}


def train(dataset, model, tokenizer, folder, steps, config=TINY, stop_after=None):
    def report(step, loss):
        steps.append((step, loss))
        if step == stop_after:
            raise KeyboardInterrupt

    train_adapter("tiny", dataset, model, tokenizer, config, folder, RECORD, report)


@pytest.fixture(scope="module")
def dataset(market_views):
    return labelled_dataset(market_views[:40], ("value",))


@pytest.fixture(scope="module")
def trained(smol, dataset, tmp_path_factory):
    """One tiny run on a copy of the real model: its folder, the model, its hash, the losses."""
    model = copy.deepcopy(smol[0])
    before = hash_weights(model.state_dict())
    folder, steps = tmp_path_factory.mktemp("trained"), []
    train(dataset, model, smol[1], folder, steps)
    return folder / "tiny", model, before, steps


def test_training_writes_a_complete_peft_folder(trained, tokenizer):
    folder, _, _, _ = trained
    assert sorted(path.name for path in folder.parent.iterdir()) == ["tiny"]
    names = {path.name for path in folder.iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", PROVENANCE, "README.md"}
    adapter = read_adapter(folder)
    assert tokenizer.decode(list(adapter.invocation_tokens)) == "\nToday:"
    assert {layer for layer, _ in adapter.factors} == {28, 29}
    assert all(down.shape[0] == 2 for down, _ in adapter.factors.values())
    assert all(up.abs().max() > 0 for _, up in adapter.factors.values())
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_provenance_tells_how_it_was_made(trained, dataset):
    folder, _, _, steps = trained
    record = json.loads((folder / PROVENANCE).read_text())
    assert record | RECORD == record
    assert record["examples"] == 40
    assert record["settings"]["seed"] == 11
    assert record["settings"]["steps"] == 5
    assert [step for step, _ in steps] == [1, 2, 3, 4, 5]
    losses = [loss for _, loss in steps]
    assert record["loss_first"] == losses[0]
    assert record["loss_last"] == pytest.approx(np.mean(losses))
    assert len(record["data_sha256"]) == 64
    assert "value over sp500" in (folder / "README.md").read_text()


def test_the_base_is_left_as_it_was(trained, smol):
    _, model, before, _ = trained
    assert list(model.state_dict()) == list(smol[0].state_dict())
    assert hash_weights(model.state_dict()) == before == hash_weights(smol[0].state_dict())


def test_the_same_seed_makes_the_same_bytes(trained, dataset, tokenizer, tmp_path):
    folder, model, _, steps = trained
    again = []
    train(dataset, model, tokenizer, tmp_path, again)
    assert again == steps
    for name in ("adapter_model.safetensors", PROVENANCE, "README.md"):
        assert (tmp_path / "tiny" / name).read_bytes() == (folder / name).read_bytes()


WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def unfinished(dataset, smol, tmp_path_factory):
    """The same run, interrupted after its third step: what it left, and the steps."""
    folder, steps = tmp_path_factory.mktemp("unfinished"), []
    with pytest.raises(KeyboardInterrupt):
        train(dataset, copy.deepcopy(smol[0]), smol[1], folder, steps, stop_after=3)
    [left] = folder.iterdir()
    assert left.name == ".tiny.unfinished"
    return left, steps


def test_an_interrupted_training_goes_on_to_the_same_bytes(
    trained, unfinished, dataset, tokenizer, tmp_path
):
    folder, model, _, steps = trained
    left, before = unfinished
    shutil.copy(left, tmp_path)
    after = []
    train(dataset, model, tokenizer, tmp_path, after)
    assert before == steps[:3]
    assert after == steps  # the two that were saved are told again, the third is made again
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    for path in folder.iterdir():
        assert (tmp_path / "tiny" / path.name).read_bytes() == path.read_bytes()


def test_an_unfinished_training_of_another_kind_is_refused(
    unfinished, dataset, smol, tokenizer, tmp_path
):
    model = copy.deepcopy(smol[0])
    shutil.copy(unfinished[0], tmp_path)
    with pytest.raises(AgentError, match="unfinished training with other settings or data"):
        train(dataset, model, tokenizer, tmp_path, [], replace(TINY, learning_rate=1e-3))
    assert not any("lora" in name for name, _ in model.named_modules())
    (tmp_path / ".tiny.unfinished").write_bytes(b"cut off")
    with pytest.raises(AgentError, match=r"is no unfinished training .*remove it to begin anew"):
        train(dataset, model, tokenizer, tmp_path, [])


def test_recomputed_layers_learn_the_same(trained, dataset, smol, tmp_path):
    folder, model, _, steps = trained
    again = []
    config = replace(TINY, gradient_checkpointing=True)
    train(dataset, model, smol[1], tmp_path, again, config)
    assert again == steps
    assert (tmp_path / "tiny" / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    assert not any("forward" in vars(layer) for layer in model.model.layers)


def test_gradients_accumulate_as_accelerate_is_told(trained, dataset, smol, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2")
    halves, config = [], replace(TINY, batch=4, steps=3)
    train(dataset, trained[1], smol[1], tmp_path, halves, config)
    assert len(halves) == 3
    # Before anything is learnt, two batches of four are the batch of eight.
    assert halves[0][1] == pytest.approx(trained[3][0][1], rel=1e-5)


def test_training_reads_what_pefts_own_activated_adapter_reads(
    open_peft, read_whole, smol, style_folders, market_views
):
    tuned = open_peft(smol[0], {"momentum": style_folders["momentum"]})
    read = choice_reader(tuned, smol[1], torch.device("cpu"), shared_prefix=True)
    views = market_views[:6].tolist()
    with torch.inference_mode():
        together = read(views).numpy()
    np.testing.assert_allclose(together, read_whole(tuned, views), atol=2e-3)


# On INT8


def test_gradients_pass_an_int8_layer_as_they_pass_its_weights():
    torch.manual_seed(0)
    layer = Int8Linear(torch.nn.Linear(128, 48))
    plain = layer.dequantized()
    given = torch.randn(3, 5, 128)
    ways = []
    for product in (layer.product, lambda x: functional.linear(x, plain)):
        hidden = given.clone().requires_grad_()
        out = product(hidden.bfloat16())
        (out.float() ** 2).sum().backward()
        ways.append((out.detach(), hidden.grad))
    for ours, oracle in zip(*ways, strict=True):
        torch.testing.assert_close(ours, oracle, rtol=0, atol=0)
    with torch.no_grad():
        torch.testing.assert_close(layer.product(given.bfloat16()), ways[0][0], rtol=0, atol=0)


def test_an_int8_layer_keeps_int8_for_its_gradients():
    layer, kept = Int8Linear(torch.nn.Linear(256, 256)), []
    hidden = torch.randn(1, 2, 256, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(hidden).sum().backward()
    assert 0 < sum(t.nbytes for t in kept) < 1.1 * (layer.weight.nbytes + layer.scale.nbytes)


def gradients(model, tokenizer, dataset):
    """Gradients of a fresh adapter over two of the top layers, its second factor not at zero."""
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import Linear

    lora = LoraConfig(r=2, target_modules=["v_proj", "down_proj"], layers_to_transform=[28, 29])
    lora._register_custom_module({Int8Linear: Linear})
    torch.manual_seed(3)
    tuned = get_peft_model(model, lora)
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.01)
    read = choice_reader(tuned, tokenizer, torch.device("cpu"), shared_prefix=True)
    loss = functional.cross_entropy(read(dataset["view"][:8]), torch.tensor(dataset["label"][:8]))
    loss.backward()
    found = {n: p.grad for n, p in tuned.named_parameters() if p.requires_grad}
    tuned.unload()
    return float(loss.detach()), found


@pytest.mark.filterwarnings("ignore:Unsupported layer type")
def test_an_adapter_on_int8_gets_the_gradients_of_the_rounded_base(
    int8_model, rounded_model, tokenizer, dataset
):
    loss, ours = gradients(copy.deepcopy(int8_model), tokenizer, dataset)
    exact, oracle = gradients(copy.deepcopy(rounded_model), tokenizer, dataset)
    assert loss == pytest.approx(exact, rel=0.02)
    assert ours.keys() == oracle.keys()
    for name, gradient in ours.items():  # activations are bf16 here and fp32 there
        alike = functional.cosine_similarity(gradient.flatten(), oracle[name].flatten(), dim=0)
        assert alike > 0.99, name


def test_training_on_int8_lowers_the_loss_and_leaves_the_base(
    int8_model, tokenizer, dataset, tmp_path
):
    model, losses = copy.deepcopy(int8_model), []
    train(dataset, model, tokenizer, tmp_path, losses, replace(TINY, steps=8))
    assert losses[-1][1] < 0.75 * losses[0][1]
    assert hash_weights(model.state_dict()) == hash_weights(int8_model.state_dict())
    assert read_adapter(tmp_path / "tiny").factors
