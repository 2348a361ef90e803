"""The benchmark of a GPU at its tiny size: every figure comes out, and out of memory halves."""

import json
import math

import pytest
import torch

from evobourse.experiments.benchmarks import gpu as benchmarks_gpu
from evobourse.experiments.benchmarks.gpu import MINDS, Settings, run
from evobourse.experiments.benchmarks.gpu_steps import halve_until_it_fits
from evobourse.experiments.benchmarks.random_base import TINY, random_adapters, random_base
from evobourse.merge.engine.int8 import Int8Linear


def test_one_call_prints_every_figure(capsys, monkeypatch, report):
    monkeypatch.setattr(benchmarks_gpu, "LEAST_SECONDS", 0.01)
    run(Settings(shape="tiny", views=1, eager=True), report)
    said = capsys.readouterr()
    figures = [json.loads(line) for line in said.out.splitlines()]
    assert all(list(f) == ["bench", "figure", "value", "unit", "peer", "ratio"] for f in figures)
    assert all(math.isfinite(f["value"]) for f in figures)
    named = {(f["figure"], f["peer"]): f for f in figures}
    for minds in MINDS:
        assert named[f"{minds} minds, new answers a second", "planned"]["value"] > 0
    assert named["same bits in any batch, as it runs", "exact"]["ratio"] == 1
    assert named["base, 16 adapters, 1000 minds: held", "limit"]["ratio"] < 1
    assert "speed and memory, not judgement" in said.err
    if not torch.cuda.is_available():
        assert "no CUDA device: the same code at a tiny size" in said.err


def test_out_of_memory_halves_until_it_fits():
    asked = []

    def run(rows):
        asked.append(rows)
        if rows > 5:
            raise torch.OutOfMemoryError("full")

    assert halve_until_it_fits(run, 64) == (4, 4)
    assert asked == [64, 32, 16, 8, 4]

    def never(rows):
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        halve_until_it_fits(never, 8)


def test_a_random_base_has_its_shapes_parameters_and_keeps_the_scale():
    generator = torch.Generator().manual_seed(0)
    model = random_base(TINY, torch.device("cpu"), generator)
    linears = [m for m in model.modules() if isinstance(m, Int8Linear)]
    held = sum(p.numel() for p in model.parameters()) + sum(m.weight.numel() for m in linears)
    assert held == TINY.parameters
    hidden = torch.randn(64, 3, linears[0].in_features, generator=generator)
    assert 0.8 < linears[0](hidden).std() < 1.25
    adapters = random_adapters(TINY, 2, 4, 0.4, generator)
    assert {layer for layer, _ in adapters[0].factors} == {3, 4}
