"""The benchmark of a 7B at its tiny size: every figure comes out, of files that stay."""

import json
import resource

import pytest
import torch

from evobourse.experiments.benchmarks.large import bench
from evobourse.experiments.benchmarks.large.bench import Settings, run, write
from evobourse.experiments.benchmarks.random_base import TINY, write_random_base
from evobourse.experiments.errors import ConfigError
from evobourse.merge.engine.loading import load_quantized
from tests.random_models import make_tokenizer


@pytest.mark.slow
@pytest.mark.usefixtures("fetched_base")
def test_one_call_prints_every_figure(tmp_path, capfd, report):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # of all tests so far
    settings = Settings(shape="tiny", adapters=3, few=2, minds=5, sweep=False, folder=tmp_path)
    run(settings, report)
    said = capfd.readouterr()
    figures = {f["figure"]: f for f in map(json.loads, said.out.splitlines())}
    assert figures["self-check"]["ratio"] < 1
    assert figures["self-check, remembered"]["value"] < figures["self-check"]["value"]
    assert 0.98 < figures["self-check, correlation of option logits"]["value"] < 1
    assert figures["444 answers: 2 minds, all views each"]["value"] > 0
    assert figures["5 answers: 5 minds, a view each"]["value"] > 0
    peaks = [f["value"] for name, f in figures.items() if name.startswith("peak memory")]
    assert before <= peaks[0] <= peaks[-1] < before + 3
    assert len(list((tmp_path / "adapters").iterdir())) == 3


def test_a_written_base_has_its_shapes_parameters_and_is_read(tmp_path):
    write_random_base(TINY, tmp_path, torch.Generator().manual_seed(0))
    make_tokenizer().save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == TINY.layers + 1
    model, _, _ = load_quantized(str(tmp_path))
    layers = [module.weight.numel() for module in model.modules() if hasattr(module, "scale")]
    held = sum(p.numel() for p in model.parameters())
    assert held + sum(layers) == TINY.parameters


@pytest.mark.usefixtures("fetched_base")
def test_a_disk_without_room_is_refused(tmp_path, monkeypatch, report):
    full = type("Usage", (), {"free": 1_000})
    monkeypatch.setattr(bench.shutil, "disk_usage", lambda folder: full)
    with pytest.raises(ConfigError, match="set folder= to a larger disk"):
        write(TINY, tmp_path / "base", tmp_path / "adapters", 1, report)
