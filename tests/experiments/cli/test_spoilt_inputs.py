"""Every command that takes a base, an adapter or a source, with spoilt ones: one line, exit 2."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
import yaml

from evobourse.experiments.cli.main import main
from tests.random_models import (
    Tensors,
    make_model,
    with_nan,
    without,
    write_adapter,
    write_base,
)

pytestmark = pytest.mark.slow
QUICKSTART = str(Path(__file__).parents[3] / "experiments" / "quickstart.yaml")
Make = Callable[[Path], Path]
BASES: dict[str, Make] = {
    "lost": lambda f: write_base(f, change=without("layers.2.mlp.down_proj")),
    "no head": lambda f: write_base(f, change=without("lm_head")),
    "prefix": lambda f: write_base(f, change=lambda t: {f"x.{k}": v for k, v in t.items()}),
    "deeper": lambda f: write_base(f, num_hidden_layers=4),
    "nan": lambda f: write_base(f, change=with_nan("layers.1")),
    "gptq": lambda f: write_base(f, quantization_config={"quant_method": "gptq", "bits": 4}),
    "multiplier": lambda f: write_base(f, embedding_multiplier=12.0),
    "classifier": lambda f: write_base(f, architectures=["LlamaForSequenceClassification"]),
    "half a file": lambda f: cut_short(write_base(f) / "model.safetensors"),
    "no tokenizer": lambda f: cut_short(write_base(f) / "tokenizer.json"),
    "no config": lambda f: cut_short(write_base(f) / "config.json"),
}
ADAPTERS: dict[str, Make] = {
    "empty": lambda f: write_adapter(f, make_model(), lambda _: {}),
    "shape 0": lambda f: write_adapter(f, make_model(), to_nothing),
    "one layer left": lambda f: write_adapter(f, make_model(), without("layers.1.", "layers.2.")),
    "nan": lambda f: write_adapter(f, make_model(), with_nan("layers.1.self_attn.v_proj")),
    "pissa": lambda f: write_adapter(f, make_model(), told={"init_lora_weights": "pissa"}),
    "replicated": lambda f: write_adapter(f, make_model(), told={"layer_replication": [[0, 2]]}),
    "of another model": lambda f: write_adapter(f, make_model(hidden_size=32, head_dim=8)),
    "half a file": lambda f: cut_short(write_adapter(f, make_model()) / "adapter_config.json"),
}


def cut_short(file: Path) -> Path:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return file.parent


def to_nothing(tensors: Tensors) -> Tensors:
    return {key: torch.zeros(0) for key in tensors}


@pytest.fixture
def run(monkeypatch, capsys, tmp_path) -> Callable[..., str]:
    """Type a command in an empty folder; it must refuse. Returns what it says."""
    monkeypatch.setenv("EVOBOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def typed(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["evobourse", *arguments])
        disabled = logging.root.manager.disable
        with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
            main()
        logging.disable(disabled)
        said = capsys.readouterr().err
        assert "Traceback" not in said
        lines = [line for line in said.splitlines() if line.startswith("evobourse: ")]
        assert (ended.value.code, len(lines)) == (2, 1), (arguments, said)
        return lines[0]

    return typed


def commands(
    base: Path, adapters: Path | None = None, sources: Path | None = None
) -> list[list[str]]:
    """List what a person types that opens these."""
    minds = {"base": base, "adapters": adapters, "sources": sources}
    told = [f"minds.{key}={value}" for key, value in minds.items() if value is not None]
    told += ["personas=[{name: one, style: style}]", "market.days=60", "market.agents=20"]
    told += ["minds.attention=1"] + ([] if sources else ["minds.recipe_blocks=0"])
    settings = [part for value in told for part in ("--set", value)]
    opened = [["evolve", QUICKSTART, "--run", "run"], ["simulate", QUICKSTART, "--days", "60"]]
    return [[*command, *settings] for command in opened]


def test_spoilt_bases(run, tmp_path):
    adapters = write_adapter(tmp_path / "adapters" / "style", make_model()).parent
    for name, make in BASES.items():
        base = make(tmp_path / name)
        recipe = {"merge_method": "linear", "base_model": str(base), "dtype": "float32"}
        recipe["models"] = [{"model": str(base), "parameters": {"weight": 1}}]
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        training = ["--set", f"minds.base={base}", "--out", "trained", "--steps", "1"]
        typed: list[Sequence[str]] = [
            ["check", str(base)],
            ["merge", "recipe.yaml", "--out", "merged"],
            ["train-styles", QUICKSTART, *training],
            ["train-styles", QUICKSTART, *training, "--int8"],
            ["cast", "ten zorgblat investors", "--base", str(base), "--out", "cast.yaml"],
            *commands(base, adapters),
        ]
        if name in ("gptq", "no config"):  # a plan reads no weights
            typed.append(["plan", "--base", str(base)])
        for command in typed:
            said = run(*command)
            assert str(base) in said or "quickstart" in said, (command, said)
        for left in ("merged", "cast.yaml", "run", "trained"):
            assert not (tmp_path / left).exists()


def test_spoilt_adapters_and_sources(run, tmp_path):
    base = write_base(tmp_path / "base")
    good = write_adapter(tmp_path / "good" / "style", make_model()).parent
    for name, make in ADAPTERS.items():
        folder = make(tmp_path / name / "style")
        recipe = {"merge_method": "linear", "base_model": str(base), "dtype": "float32"}
        models = [{"model": str(m), "parameters": {"weight": 1}} for m in (base, folder)]
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "models": models}))
        typed: list[Sequence[str]] = [
            ["check", str(folder), "--base", str(base)],
            ["check", str(folder.parent), "--base", str(base)],
            ["merge", "recipe.yaml", "--out", "merged"],
            *commands(base, folder.parent),
            *commands(base, good, folder.parent),
        ]
        for command in typed:
            assert re.search("style|source", run(*command)), command
        assert not (tmp_path / "merged").exists()
        assert not (tmp_path / "run").exists()


def test_spoilt_models_as_sources(run, tmp_path):
    base = write_base(tmp_path / "base")
    good = write_adapter(tmp_path / "good" / "style", make_model()).parent
    others: dict[str, Make] = {
        "another kind": lambda f: write_base(f, make_model("qwen2")),
        "other angles": lambda f: write_base(
            f, rope_parameters={"rope_type": "default", "rope_theta": 5e5}
        ),
        "other heads": lambda f: write_base(
            f, make_model(num_attention_heads=2, num_key_value_heads=1, head_dim=32)
        ),
        "other shape": lambda f: write_base(f, make_model(intermediate_size=64)),
    }
    for name, make in {**BASES, **others}.items():
        source = make(tmp_path / name / "source")
        typed = [
            ["check", str(source.parent), "--base", str(base)],
            *commands(base, good, source.parent),
        ]
        for command in typed if name != "other shape" else typed[1:]:
            assert "source" in run(*command), command


def test_plan_reads_configs_in_one_line(run, tmp_path):
    for content in (b"", b"null", b"[]", b"{}", b"\x00"):
        folder = tmp_path / "base"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_bytes(content)
        run("plan", "--base", str(folder))
