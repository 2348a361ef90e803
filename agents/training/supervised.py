"""Style training: an activated LoRA adapter that decides as its teacher does.

The loop is supervised (PEFT, accelerate, datasets), over a cached shared prefix, on a base in full
precision or INT8.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from evobourse.agents.encodings.encoding import WORDS, Encoding
from evobourse.agents.encodings.projector import PatchProjector, open_projector
from evobourse.agents.errors import AgentError
from evobourse.agents.observation import INVOCATION
from evobourse.agents.training.choice_reader import choice_reader
from evobourse.agents.training.unfinished import TrainingState
from evobourse.merge.engine.int8 import Int8Linear
from evobourse.merge.engine.prompt_tokens import PromptTokens
from evobourse.merge.sources import public_name

if TYPE_CHECKING:
    from accelerate import Accelerator
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
    gradient_checkpointing
        Recompute each layer's activations for the backward pass: less memory, more time.
    save_every
        Steps between two savings of an unfinished training.
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
    gradient_checkpointing: bool = False
    save_every: int = 10


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

    What accelerate is told (``accelerate launch``, its environment) holds: processes share each
    batch, precision and gradient accumulation are its own; on a GPU the default is bf16. An
    interrupted training goes on from its last saved step when it is asked for again, and ends in
    the same bytes as without the break.

    Parameters
    ----------
    name
        Adapter name; the folder is ``folder / name``.
    dataset
        Columns ``view`` and ``label``, see `agents.training.examples.labelled_dataset`.
    model, tokenizer
        The base in fp32, or with `merge.engine.int8.Int8Linear` layers; left as it was.
    config
        Training settings.
    folder
        Parent of the written folder: ``adapter_config.json``, ``adapter_model.safetensors``
        (bf16) and ``provenance.json`` (data hash, seed, steps, losses, settings).
    provenance
        Further entries for ``provenance.json``, such as the series and its years.
    on_step
        Called with the step number and its loss; when a training goes on, with those that were
        done before first.
    encoding
        What a view becomes for the model; one of numbers needs the dataset's column ``window``.
        A projector is trained along and written into the folder.

    Raises
    ------
    AgentError
        What an interrupted training left was made with other settings or data, or processes
        cannot share a batch or a projector.
    """
    from accelerate.utils import set_seed
    from torch.utils.data import DataLoader
    from transformers import get_cosine_schedule_with_warmup

    set_seed(config.seed)
    accelerator = open_accelerator(config.batch)
    loader: Any = DataLoader(
        dataset.with_format("torch"),
        batch_size=config.batch,
        shuffle=True,
        drop_last=True,
        generator=torch.Generator().manual_seed(config.seed),
    )
    with _attached(model, config) as own:
        trained = {name: p for name, p in own.named_parameters() if p.requires_grad}
        projector = open_projector(model, tokenizer) if encoding.name == "patches" else None
        if projector is not None:
            if accelerator.num_processes > 1:
                raise AgentError(
                    "training: accelerate has several processes, and a projector is trained by "
                    "one; launch one for --encoding patches"
                )
            trained |= {f"projector.{name}": p for name, p in projector.named_parameters()}
        optimizer: Any = torch.optim.AdamW(trained.values(), lr=config.learning_rate)
        schedule: Any = get_cosine_schedule_with_warmup(optimizer, config.steps // 10, config.steps)
        tuned, optimizer, loader, schedule = accelerator.prepare(own, optimizer, loader, schedule)
        told = {**provenance, **_data(dataset), "settings": asdict(config)}
        state = TrainingState(folder / f".{name}.unfinished", told, trained, optimizer, schedule)
        state.load()
        shared, device = config.activated, accelerator.device
        read = choice_reader(tuned, tokenizer, device, shared, encoding, projector)
        report = on_step or (lambda step, loss: None)
        for step, done in enumerate(state.losses, 1):
            report(step, done)
        micro: list[float] = []
        # The batches' order is the seed's alone: what was read before is passed over.
        for batch in islice(_endless(loader), state.batches, None):
            if len(state.losses) >= config.steps:
                break
            state.batches += 1
            with accelerator.accumulate(tuned):
                logits = read(batch["view"].tolist(), batch.get("window"))
                loss = functional.cross_entropy(logits, batch["label"])
                accelerator.backward(loss)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            micro.append(float(accelerator.gather(loss.detach()).mean()))
            if not accelerator.sync_gradients:
                continue
            state.losses.append(float(np.mean(micro)))
            micro.clear()
            if len(state.losses) % config.save_every == 0 and accelerator.is_main_process:
                state.save()
            report(len(state.losses), state.losses[-1])
        if accelerator.is_main_process:
            if config.activated:
                _, opening = PromptTokens(tokenizer).cut(encoding.rules, INVOCATION)
                own.peft_config["default"].alora_invocation_tokens = list(opening)
            record = _record(told, state.losses)
            save_adapter(own, folder / name, record, _card(name, record), projector)
            state.remove()
        accelerator.wait_for_everyone()


def open_accelerator(batch: int) -> Accelerator:
    """Open accelerate with its own settings; bf16 on a GPU where it has none for precision.

    Raises
    ------
    AgentError
        Its processes cannot share batches of this size.
    """
    from accelerate import Accelerator, DataLoaderConfiguration, DistributedDataParallelKwargs

    told = "ACCELERATE_MIXED_PRECISION" in os.environ
    accelerator = Accelerator(
        mixed_precision=None if told else "bf16" if torch.cuda.is_available() else "no",
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        # INT8 weights are buffers, the same everywhere: no need to send them at each step.
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    if batch % accelerator.num_processes:
        raise AgentError(
            f"training: a batch is {batch} examples, and accelerate has "
            f"{accelerator.num_processes} processes; launch a number that divides it"
        )
    return accelerator


@contextmanager
def _attached(model: PreTrainedModel, config: TrainingConfig) -> Iterator[Any]:
    """Put LoRA on the layers, and take it off at the end.

    An activated adapter acts from its invocation tokens on, and in training those and what follows
    are all that is read with it: there it is an ordinary one.
    """
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import Linear

    layers = model.model.layers
    first = len(layers) - config.top_layers if config.top_layers else 0
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=list(config.modules),
        layers_to_transform=list(range(first, len(layers))),
        task_type="CAUSAL_LM",
    )
    lora._register_custom_module({Int8Linear: Linear})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unsupported layer type")  # it says how wide it is
        tuned: Any = get_peft_model(model, lora)
    try:
        with _recomputed(layers if config.gradient_checkpointing else ()):
            yield tuned
    finally:
        tuned.unload()


@contextmanager
def _recomputed(layers: Iterable[Any]) -> Iterator[None]:
    """Keep no activations inside these layers: the backward pass computes them again.

    transformers' own switch drops the cache, and with it the rules that stand there.
    """
    layers = tuple(layers)
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _endless(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def _data(dataset: Dataset) -> dict[str, Any]:
    data = np.stack([dataset["view"], dataset["label"]]).astype(np.int64).tobytes()
    if "window" in dataset.column_names:
        data += np.array(dataset["window"], np.float32).tobytes()
    return {"data_sha256": hashlib.sha256(data).hexdigest(), "examples": len(dataset)}


def _record(told: dict[str, Any], losses: list[float]) -> dict[str, Any]:
    """Add what came of it; settings stand last."""
    settings = {"settings": told["settings"]}
    rest = {key: value for key, value in told.items() if key not in settings}
    found = {"loss_first": losses[0], "loss_last": float(np.mean(losses[-10:]))}
    return rest | found | settings


def save_adapter(
    tuned: Any,
    folder: Path,
    record: dict[str, Any],
    card: str,
    projector: PatchProjector | None = None,
) -> None:
    """Write a PEFT folder next to its place and move it there whole.

    Parameters
    ----------
    tuned
        A PEFT model; its adapter's weights become bf16.
    folder
        Replaced if it is there.
    record, card
        For ``provenance.json`` and ``README.md``.
    projector
        Written along.
    """
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.bfloat16)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".training-") as scratch:
        fresh = Path(scratch) / folder.name
        # PEFT would ask the hub whether the vocabulary has grown, which nothing here does.
        tuned.save_pretrained(fresh, save_embedding_layers=False)
        _settle(fresh / "adapter_config.json", record.get("base"))
        if projector is not None:
            projector.save(fresh)
        (fresh / PROVENANCE).write_text(json.dumps(record, indent=2) + "\n")
        (fresh / "README.md").write_text(card)
        if folder.exists():
            folder.rename(Path(scratch) / "replaced")
        fresh.rename(folder)


def _settle(file: Path, base: str | None) -> None:
    """Write PEFT's sets in order, and the base by its public name, not where it lay."""
    config = json.loads(file.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    config["base_model_name_or_path"] = public_name(base or config["base_model_name_or_path"])
    file.write_text(json.dumps(config, indent=2, sort_keys=True))


def _card(name: str, record: dict[str, Any]) -> str:
    kind = "Activated LoRA (aLoRA)" if record["settings"]["activated"] else "LoRA"
    return (
        f"# {name}\n\n{kind} adapter of a style, trained on forced-choice decisions labelled by "
        f"{', '.join(record['styles'])} over {record['series']}, {record['years'][0]} to "
        f"{record['years'][1]}. How it was made is in `{PROVENANCE}`. A style, not a forecast.\n"
    )
