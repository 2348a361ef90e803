"""Style training: an activated LoRA adapter that decides as its teacher does.

Knows the supervised loop (PEFT, accelerate, datasets) over a cached shared prefix.
Deliberately knows nothing of the INT8 engine that will run the adapter.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from agents.encodings.encoding import SOFT, WORDS, Encoding
from agents.encodings.projector import PatchProjector, SoftInputs, open_projector
from agents.observation import INVOCATION, OPTIONS

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


PROVENANCE = "provenance.json"

SOURCES: dict[str, tuple[str, ...]] = {
    "trend-follower": ("momentum", "breakout", "herding"),
    "value-investor": ("value", "contrarian", "risk-averse"),
}
"""Style-tuned full models for merge recipes: the teachers whose mean choice each learns."""


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of one adapter's training.

    Attributes
    ----------
    rank, alpha
        LoRA rank and scaling numerator.
    top_layers
        How many of the uppermost decoder layers carry the adapter; 0 for all.
    modules
        Linear layers adapted, by PEFT's names.
    activated
        aLoRA: act from the invocation tokens on, so that the shared prefix stays the base's.
    steps, batch, learning_rate
        Optimisation: AdamW, linear warm-up over a tenth of the steps, cosine decay.
    seed
        Of initialisation and shuffling.
    """

    rank: int = 8
    alpha: int = 16
    top_layers: int = 6
    modules: tuple[str, ...] = ("q_proj", "v_proj", "o_proj", "down_proj")
    activated: bool = True
    steps: int = 100
    batch: int = 32
    learning_rate: float = 3e-3
    seed: int = 0


def train_adapter(
    name: str,
    dataset: Dataset,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: TrainingConfig,
    folder: Path,
    provenance: dict[str, Any],
    on_step: Callable[[int, float], None] | None = None,
    encoding: Encoding = WORDS,
) -> None:
    """Train one adapter and write it as a PEFT folder with its provenance.

    Parameters
    ----------
    name
        Adapter name; the folder is ``folder / name``.
    dataset
        Columns ``view`` and ``label``, see `agents.examples.labelled_dataset`.
    model, tokenizer
        The base in fp32; left as it was.
    config
        Training settings.
    folder
        Parent of the written folder: ``adapter_config.json``, ``adapter_model.safetensors``
        (bf16) and ``provenance.json`` (data hash, seed, steps, losses, settings).
    provenance
        Further entries for ``provenance.json``, such as the series and its years.
    on_step
        Called with the step number and its loss.
    encoding
        What a view becomes for the model; one of numbers needs the dataset's column ``window``.
        A projector is trained along and written into the folder.
    """
    from accelerate import Accelerator
    from accelerate.utils import set_seed
    from peft import LoraConfig, get_peft_model
    from torch.utils.data import DataLoader
    from transformers import get_cosine_schedule_with_warmup

    set_seed(config.seed)
    depth = len(model.model.layers)
    first = depth - config.top_layers if config.top_layers else 0
    invocation = tokenizer(INVOCATION, add_special_tokens=False).input_ids
    tuned = get_peft_model(
        model,
        LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            target_modules=list(config.modules),
            layers_to_transform=list(range(first, depth)),
            alora_invocation_tokens=invocation if config.activated else None,
            task_type="CAUSAL_LM",
        ),
    )
    accelerator = Accelerator()
    loader = DataLoader(
        dataset.with_format("torch"),
        batch_size=config.batch,
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(config.seed),
    )
    trained = [p for p in tuned.parameters() if p.requires_grad]
    projector = open_projector(model, tokenizer) if encoding.name == "patches" else None
    if projector is not None:
        trained += projector.parameters()
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate)
    schedule = get_cosine_schedule_with_warmup(optimizer, config.steps // 10, config.steps)
    tuned, optimizer, loader, schedule = accelerator.prepare(tuned, optimizer, loader, schedule)
    shared = config.activated
    read = _reader(tuned, tokenizer, accelerator.device, shared, encoding, projector)
    losses: list[float] = []
    while len(losses) < config.steps:
        for batch in loader:
            logits = read(batch["view"].tolist(), batch.get("window"))
            loss = functional.cross_entropy(logits, batch["label"])
            accelerator.backward(loss)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
            if on_step:
                on_step(len(losses), losses[-1])
            if len(losses) >= config.steps:
                break
    tuned = accelerator.unwrap_model(tuned)
    record = _record(dataset, losses, config, provenance)
    _save(tuned, folder / name, record, projector)
    tuned.unload()


def _reader(
    model: Any,
    tokenizer: Any,
    device: torch.device,
    shared_prefix: bool,
    encoding: Encoding = WORDS,
    projector: PatchProjector | None = None,
) -> Callable[[list[int], torch.Tensor | None], torch.Tensor]:
    """Build the function from views, and their windows if any, to option logits float32[n, 5]."""
    from transformers import DynamicCache

    def tokenize(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False).input_ids

    rules, soft = tokenize(encoding.rules), SoftInputs()
    options = [tokenizer(o, add_special_tokens=False).input_ids[0] for o in OPTIONS]
    prefix = DynamicCache()
    if shared_prefix:
        with torch.no_grad(), model.disable_adapter():
            ids = torch.tensor([rules], device=device)
            prefix = model(input_ids=ids, use_cache=True).past_key_values

    def read(views: list[int], windows: torch.Tensor | None = None) -> torch.Tensor:
        private = [
            tokenize(INVOCATION)
            + encoding.window_part(tokenize, v, None if windows is None else windows[row].numpy())
            + encoding.words_part(tokenize, v)
            for row, v in enumerate(views)
        ]
        texts = private if shared_prefix else [rules + p for p in private]
        width = max(map(len, texts))
        last = torch.tensor([len(t) - 1 for t in texts], device=device)
        # Padding stands on the right, behind the last real token: causal attention never sees it.
        ids = torch.tensor([t + [t[-1]] * (width - len(t)) for t in texts], device=device)
        cache = DynamicCache()
        for index, layer in enumerate(prefix.layers):
            shape = (len(texts), -1, -1, -1)
            cache.update(layer.keys.expand(shape), layer.values.expand(shape), index)
        keep, row = torch.unique(last, return_inverse=True)
        if (where := ids == SOFT).any():
            soft.expect(where, projector(windows[where.any(dim=1)]))
            ids = ids.clamp_min(0)
        with soft.attached(model):
            out = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=keep)
        return out.logits[torch.arange(len(texts)), row][:, options].float()

    return read


def _record(
    dataset: Dataset, losses: list[float], config: TrainingConfig, provenance: dict[str, Any]
) -> dict[str, Any]:
    data = np.stack([dataset["view"], dataset["label"]]).astype(np.int64).tobytes()
    if "window" in dataset.column_names:
        data += np.array(dataset["window"], np.float32).tobytes()
    return {
        **provenance,
        "data_sha256": hashlib.sha256(data).hexdigest(),
        "examples": len(dataset),
        "loss_first": losses[0],
        "loss_last": float(np.mean(losses[-10:])),
        "settings": asdict(config),
    }


def _save(
    tuned: Any, folder: Path, record: dict[str, Any], projector: PatchProjector | None
) -> None:
    """Write the PEFT folder next to its place and move it there whole."""
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.bfloat16)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".training-") as scratch:
        fresh = Path(scratch) / folder.name
        tuned.save_pretrained(fresh)
        if projector is not None:
            projector.save(fresh)
        (fresh / PROVENANCE).write_text(json.dumps(record, indent=2) + "\n")
        (fresh / "README.md").write_text(_card(folder.name, record))
        if folder.exists():
            folder.rename(Path(scratch) / "replaced")
        fresh.rename(folder)


def _card(name: str, record: dict[str, Any]) -> str:
    kind = "Activated LoRA (aLoRA)" if record["settings"]["activated"] else "LoRA"
    return (
        f"# {name}\n\n{kind} adapter of a style, trained on forced-choice decisions labelled by "
        f"{', '.join(record['styles'])} over {record['series']}, {record['years'][0]} to "
        f"{record['years'][1]}. How it was made is in `{PROVENANCE}`. A style, not a forecast.\n"
    )
