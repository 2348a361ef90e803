import copy
import json

import numpy as np
import pytest

from agents.examples import labelled_dataset
from agents.minds import hash_weights
from agents.training import PROVENANCE, TrainingConfig, train_adapter
from merge.adapters import read_adapter

TINY = TrainingConfig(rank=2, top_layers=2, steps=5, batch=8, seed=11)
RECORD = {"styles": ["value"], "series": "sp500", "years": ["1999-01-04", "2006-12-29"]}


def train(dataset, model, tokenizer, folder, steps):
    def report(step, loss):
        steps.append((step, loss))

    train_adapter("tiny", dataset, model, tokenizer, TINY, folder, RECORD, report)


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
