"""`evobourse merge` as a person types it: a real process, mergekit, random models of two layers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).parents[3]


def merge(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evobourse.experiments.cli.main", "merge", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def recipe(tiny_models, tmp_path) -> dict:
    """Write a merge of two models into ``linear.yaml``, named from where the command runs."""
    for name, folder in tiny_models.items():
        (tmp_path / name).symlink_to(folder)
    values = {
        "merge_method": "linear",
        "base_model": "base",
        "models": [
            {"model": "one", "parameters": {"weight": 3}},
            {"model": "two", "parameters": {"weight": 1}},
        ],
        "dtype": "float32",
    }
    (tmp_path / "linear.yaml").write_text(yaml.safe_dump(values))
    return values


def test_a_users_recipe_becomes_a_model_folder(recipe, tiny_models, tmp_path):
    done = merge(tmp_path, "linear.yaml", "--out", "made/mean", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["model"], told["recipe"]["sources"]) == ("made/mean", ["one", "two"])
    merged, one, two = (
        AutoModelForCausalLM.from_pretrained(folder).state_dict()
        for folder in (tmp_path / "made/mean", tiny_models["one"], tiny_models["two"])
    )
    for key, tensor in merged.items():
        torch.testing.assert_close(tensor, 0.75 * one[key] + 0.25 * two[key])


def test_what_is_not_understood_is_one_line_and_exit_code_2(recipe, tmp_path):
    def changed(**values) -> subprocess.CompletedProcess[str]:
        (tmp_path / "other.yaml").write_text(yaml.safe_dump(recipe | values))
        return merge(tmp_path, "other.yaml")

    refuses(changed(merge_metod="ties"), "unknown key 'merge_metod'.* did you mean 'merge_method'")
    refuses(changed(models=[{"model": "./three", "parameters": {"weight": 1}}]), "no such folder")
    refuses(merge(tmp_path, "nothing.yaml"), "nothing.yaml")
    assert not (tmp_path / "merged").exists()


def refuses(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
