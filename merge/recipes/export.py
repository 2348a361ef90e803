"""A merged model as an ordinary Hugging Face folder: config, weights, tokenizer, model card."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import yaml

from evobourse.merge.errors import ModelError
from evobourse.merge.recipes.layer_stack import stack_config
from evobourse.merge.recipes.recipe import HEAD, State, is_tied
from evobourse.merge.sources import public_name, resolve_model

CONFIG_NAME = "mergekit_config.yml"
_CARD = """---
{front}---
# {name}

Merged with [mergekit](https://github.com/arcee-ai/mergekit) from {models}{run}.

```yaml
{recipe}```
"""


def export_model(
    folder: Path,
    state: State,
    donor: str,
    recipe_yaml: str,
    models: Sequence[str],
    *,
    seed: int | None = None,
    dtype: torch.dtype = torch.float32,
    shard_bytes: int = 2_000_000_000,
) -> None:
    """Write a merged state dict as a model folder that ``from_pretrained`` loads.

    Parameters
    ----------
    folder
        Must not exist, or be empty; its name is the model's.
    state
        What `merge.recipes.recipe.merge_recipe` or `merge.recipes.layer_stack.stack_state` (folded)
        made.
    donor
        Model that lends config, generation config and tokenizer; as in
        `merge.sources.resolve_model`.
    recipe_yaml
        The merge in mergekit's YAML, for ``mergekit_config.yml`` and the card.
    models
        Names of the merged models; hub ids among them go to the card's front matter.
    seed
        The ``--random-seed`` that belongs to the YAML, if any.
    dtype
        Of the weights written.
    shard_bytes
        Most bytes a file.

    Raises
    ------
    ModelError
        The folder is not empty, or the donor cannot be read.
    """
    from huggingface_hub import save_torch_state_dict
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    path = resolve_model(donor)
    with new_folder(folder) as fresh:
        try:
            config = stack_config(state, AutoConfig.from_pretrained(path))
            tokenizer = AutoTokenizer.from_pretrained(path)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"export: donor {donor!r} cannot be read ({reason})") from error
        config.dtype = dtype
        tied = is_tied(state)
        weights = {
            key: state[key].to(dtype).clone(memory_format=torch.contiguous_format)
            for key in state
            if not (tied and key == HEAD)
        }
        save_torch_state_dict(weights, fresh, max_shard_size=shard_bytes)
        config.save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)
        if (Path(path) / "generation_config.json").is_file():
            GenerationConfig.from_pretrained(path).save_pretrained(fresh)
        write_card(fresh, folder.name, recipe_yaml, models, seed)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to write a model into; it takes its place once all is written.

    It stands alone in a scratch folder beside its place, which may hold what must be gone later.

    Raises
    ------
    ModelError
        The place is taken: a folder that is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ModelError(f"export {folder}: the folder is not empty; name a new one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as scratch:
        fresh = Path(scratch) / "model"
        fresh.mkdir()
        yield fresh
        if folder.exists():
            folder.rmdir()
        shutil.move(fresh, folder)


def write_card(
    folder: Path, name: str, recipe_yaml: str, models: Sequence[str], seed: int | None = None
) -> None:
    """Write ``README.md``, with the hub's front matter, and ``mergekit_config.yml``."""
    hub = [
        model
        for model in map(public_name, models)
        if model.count("/") == 1 and model[0] not in "./~"
    ]
    front = {"tags": ["mergekit", "merge"], "library_name": "transformers"}
    run = "" if seed is None else f" with `mergekit-yaml --random-seed {seed}`"
    card = _CARD.format(
        front=yaml.safe_dump({**({"base_model": hub} if hub else {}), **front}, sort_keys=False),
        name=name,
        models=", ".join(models),
        run=run,
        recipe=recipe_yaml,
    )
    (folder / "README.md").write_text(card)
    (folder / CONFIG_NAME).write_text(recipe_yaml)
