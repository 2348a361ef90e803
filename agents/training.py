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

from agents.observation import INVOCATION, OPTIONS, render_rules, render_view

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
    optimizer = torch.optim.AdamW(
        [p for p in tuned.parameters() if p.requires_grad], lr=config.learning_rate
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, config.steps // 10, config.steps)
    tuned, optimizer, loader, schedule = accelerator.prepare(tuned, optimizer, loader, schedule)
    read = choice_reader(tuned, tokenizer, accelerator.device, shared_prefix=config.activated)
    losses: list[float] = []
    while len(losses) < config.steps:
        for batch in loader:
            loss = functional.cross_entropy(read(batch["view"].tolist()), batch["label"])
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
    save_adapter(tuned, folder / name, record, _card(name, record))
    tuned.unload()


def choice_reader(
    model: Any, tokenizer: Any, device: torch.device, shared_prefix: bool
) -> Callable[[list[int]], torch.Tensor]:
    """Build the differentiable function from views to the forced choice's logits.

    Parameters
    ----------
    model
        A PEFT model.
    tokenizer
        Of its base.
    device
        Where the model is.
    shared_prefix
        Read the rules once, without the adapter, and reuse their keys and values: right for an
        activated adapter. An ordinary one reads the rules itself.

    Returns
    -------
    Callable
        Takes n views, see `agents.observation.encode_view`; returns float32[n, 5].
    """
    from transformers import DynamicCache

    rules = tokenizer(render_rules(), add_special_tokens=False).input_ids
    options = [tokenizer(o, add_special_tokens=False).input_ids[0] for o in OPTIONS]
    prefix = DynamicCache()
    if shared_prefix:
        with torch.no_grad(), model.disable_adapter():
            ids = torch.tensor([rules], device=device)
            prefix = model(input_ids=ids, use_cache=True).past_key_values

    def read(views: list[int]) -> torch.Tensor:
        private = [tokenizer(render_view(v), add_special_tokens=False).input_ids for v in views]
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
        out = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=keep)
        return out.logits[torch.arange(len(texts)), row][:, options].float()

    return read


def _record(
    dataset: Dataset, losses: list[float], config: TrainingConfig, provenance: dict[str, Any]
) -> dict[str, Any]:
    data = np.stack([dataset["view"], dataset["label"]]).astype(np.int64)
    return {
        **provenance,
        "data_sha256": hashlib.sha256(data.tobytes()).hexdigest(),
        "examples": len(dataset),
        "loss_first": losses[0],
        "loss_last": float(np.mean(losses[-10:])),
        "settings": asdict(config),
    }


def save_adapter(tuned: Any, folder: Path, record: dict[str, Any], card: str) -> None:
    """Write a PEFT folder next to its place and move it there whole.

    Parameters
    ----------
    tuned
        A PEFT model; its adapter's weights become bf16.
    folder
        Replaced if it is there.
    record, card
        For ``provenance.json`` and ``README.md``.
    """
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.bfloat16)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".training-") as scratch:
        fresh = Path(scratch) / folder.name
        tuned.save_pretrained(fresh)
        (fresh / PROVENANCE).write_text(json.dumps(record, indent=2) + "\n")
        (fresh / "README.md").write_text(card)
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
